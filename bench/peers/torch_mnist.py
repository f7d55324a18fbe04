#!/usr/bin/env python3
"""Trains the demo's network on MNIST by the demo's recipe in PyTorch, and prints seconds and test accuracy of each seed.

    python torch_mnist.py --data ~/.local/share/ballast/data/mnist [--threads 2] [--seeds 1,2,3] [--channels-last]

The recipe is cmd/ballast/demo.yaml: standardised pixels, SGD with momentum and weight decay on kernels, cosine schedule,
label smoothing, 3 epochs in batches of 64. The order of the examples and the first weights are PyTorch's own.
"""
import argparse, gzip, math, os, struct, time

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", required=True)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--seeds", default="1,2,3")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--channels-last", action="store_true")
args = parser.parse_args()
torch.set_num_threads(args.threads)


def idx(name):
    for root, _, files in os.walk(args.data):
        for f in files:
            if f.startswith(name):
                path = os.path.join(root, f)
                data = (gzip.open(path) if f.endswith(".gz") else open(path, "rb")).read()
                rank = data[3]
                shape = struct.unpack(">" + "I" * rank, data[4 : 4 + 4 * rank])
                return torch.frombuffer(bytearray(data[4 + 4 * rank :]), dtype=torch.uint8).reshape(shape)
    raise SystemExit(f"no {name} under {args.data}")


x, y = idx("train-images").unsqueeze(1), idx("train-labels").long()
tx, ty = idx("t10k-images").unsqueeze(1), idx("t10k-labels").long()
sample = x[:10000].float() / 255
mean, std = sample.mean(), sample.std(unbiased=False)


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList([nn.Conv2d(1, 16, 3, 1, 1), nn.Conv2d(16, 32, 3, 1, 1)])
        self.norm = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(32)])
        self.dense, self.dense_norm, self.out = nn.Linear(1568, 128), nn.BatchNorm1d(128), nn.Linear(128, 10)

    def forward(self, x):
        for conv, norm in zip(self.conv, self.norm):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.out(F.relu(self.dense_norm(self.dense(x.flatten(1)))))


def prepare(batch):
    batch = (batch.float() / 255 - mean) / std
    return batch.contiguous(memory_format=torch.channels_last) if args.channels_last else batch


for seed in map(int, args.seeds.split(",")):
    torch.manual_seed(seed)
    model = CNN()
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
    decayed = [p for n, p in model.named_parameters() if p.dim() > 1]
    plain = [p for n, p in model.named_parameters() if p.dim() == 1]
    optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0}], lr=args.lr, momentum=0.9)
    steps, step = args.epochs * (len(x) // 64), 0
    began, reached = time.perf_counter(), None
    for epoch in range(args.epochs):
        order = torch.randperm(len(x))
        model.train()
        for i in range(len(x) // 64):
            for group in optimizer.param_groups:
                group["lr"] = args.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            b = order[64 * i : 64 * i + 64]
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(prepare(x[b])), y[b], label_smoothing=0.1).backward()
            optimizer.step()
            step += 1
        spent = time.perf_counter() - began
        model.eval()
        with torch.no_grad():
            right = sum((model(prepare(tx[i : i + 1000])).argmax(1) == ty[i : i + 1000]).sum().item() for i in range(0, len(tx), 1000))
        print(f"seed {seed} epoch {epoch + 1}: {spent:.1f} s, accuracy {right / len(tx):.4f}", flush=True)
