#!/usr/bin/env python3
"""Measures PyTorch on the work of `ballast bench train` and part of `ballast bench ops`, and writes a file for --peer-results.

    python torch_train.py --out torch.json [--threads 2] [--only REGEXP] [--compiled]

It needs PyTorch and nothing else. Ballast never needs it: it is here so that anybody can repeat the comparison. Times are
medians of at least 20 runs after 3 that do not count.
"""
import argparse, json, os, re, time

import torch
import torch.nn as nn
import torch.nn.functional as F

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", required=True)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--only", default="")
parser.add_argument("--compiled", action="store_true", help="torch.compile too; needs a C++ compiler")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1)
lines = []


def measure(suite, name, variant, run):
    if not re.search(args.only, f"{suite} {name} {variant}"):
        return
    for _ in range(3):
        run()
    times, began = [], time.perf_counter()
    while len(times) < 20 or (time.perf_counter() - began < 2 and len(times) < 10000):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    times.sort()
    lines.append({"suite": suite, "name": name, "variant": variant, "seconds": times[len(times) // 2], "runs": len(times)})
    print(f"{suite:6s} {name:60s} {variant:24s} {1e3 * times[len(times) // 2]:9.2f} ms  min {1e3 * times[0]:9.2f}", flush=True)


class CNN(nn.Module):
    """The small CNN of zoo/cnn.go."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList([nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.Conv2d(16, 32, 3, 1, 1, bias=False)])
        self.norm = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(32)])
        self.dense, self.dense_norm, self.out = nn.Linear(1568, 128, bias=False), nn.BatchNorm1d(128), nn.Linear(128, 10)

    def forward(self, x):
        for conv, norm in zip(self.conv, self.norm):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        return self.out(F.relu(self.dense_norm(self.dense(x.flatten(1)))))


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv_1, self.norm_1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv_2, self.norm_2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.stride, self.grow = stride, (cout - cin) // 2

    def forward(self, x):
        y = self.norm_2(self.conv_2(F.relu(self.norm_1(self.conv_1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow, self.grow))
        return F.relu(x + y)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks, cin = [], 16
        for stage, cout in enumerate([16, 32, 64]):
            for block in range(3):
                blocks.append(Block(cin, cout, 2 if stage and not block else 1))
                cin = cout
        self.blocks, self.out = nn.Sequential(*blocks), nn.Linear(64, 10)

    def forward(self, x):
        return self.out(self.blocks(F.relu(self.norm(self.stem(x)))).mean((2, 3)))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_1, self.qkv, self.out = nn.LayerNorm(256), nn.Linear(256, 768), nn.Linear(256, 256)
        self.norm_2, self.wide, self.narrow = nn.LayerNorm(256), nn.Linear(256, 1024), nn.Linear(1024, 256)

    def forward(self, x):
        b, n, width = x.shape
        q, k, v = self.qkv(self.norm_1(x)).reshape(b, n, 3, 8, 32).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, width)
        x = x + self.out(y)
        return x + self.narrow(F.gelu(self.wide(self.norm_2(x))))


def step(model, loss):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss(model).backward()
        optimizer.step()

    return run


labels = torch.arange(128) * 7 % 10
for name, make, shape in [("step of the small CNN, batch 64", CNN, (64, 1, 28, 28)), ("step of ResNet-20, batch 128", ResNet20, (128, 3, 32, 32))]:
    for variant, layout in [("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)]:
        x, y = torch.randn(shape).to(memory_format=layout), labels[: shape[0]]
        model = make().to(memory_format=layout)
        measure("train", name, f"eager {variant}", step(model, lambda m: F.cross_entropy(m(x), y)))
        if args.compiled and re.search(args.only, f"train {name} compiled"):
            measure("train", name, f"compiled {variant}", step(torch.compile(make().to(memory_format=layout)), lambda m: F.cross_entropy(m(x), y)))
sequence = torch.randn(8, 256, 256)
name = "step of a transformer stack, 4 layers"
measure("train", name, "eager", step(nn.Sequential(*[Layer() for _ in range(4)]), lambda m: m(sequence).square().mean()))
if args.compiled and re.search(args.only, f"train {name} compiled"):
    measure("train", name, "compiled", step(torch.compile(nn.Sequential(*[Layer() for _ in range(4)])), lambda m: m(sequence).square().mean()))

x, v, norm = torch.randn(4096, 1024, requires_grad=True), torch.randn(4096, 1024), nn.LayerNorm(1024)


def layer_norm():
    x.grad = None
    norm.zero_grad(set_to_none=True)
    norm(x).backward(v)


measure("train", "layer norm of 4096x1024, forward and backward", "eager", layer_norm)
for variant, options in [("eager foreach", {"foreach": True}), ("eager fused", {"fused": True})]:
    weights = [nn.Parameter(torch.zeros(250_000)) for _ in range(20)]
    for w in weights:
        w.grad = torch.randn(250_000)
    measure("train", "AdamW on 5 million weights", variant, torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.01, **options).step)

for name, b, side, cin, cout, k, stride in [
    ("128x32x32x16, 3x3x16", 128, 32, 16, 16, 3, 1), ("128x16x16x32, 3x3x32", 128, 16, 32, 32, 3, 1), ("128x8x8x64, 3x3x64", 128, 8, 64, 64, 3, 1),
    ("128x32x32x16, 3x3x32 stride 2", 128, 32, 16, 32, 3, 2), ("128x16x16x64, 1x1x64", 128, 16, 64, 64, 1, 1), ("128x32x32x3, 3x3x16", 128, 32, 3, 16, 3, 1),
]:
    for variant, layout in [("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)]:
        x = torch.randn(b, cin, side, side).to(memory_format=layout)
        w = torch.randn(cout, cin, k, k).to(memory_format=layout)
        v = torch.randn(b, cout, side // stride, side // stride).to(memory_format=layout)
        back = lambda mask: torch.ops.aten.convolution_backward(v, x, w, None, [stride] * 2, [k // 2] * 2, [1, 1], False, [0, 0], 1, mask)
        measure("ops", f"convolution {name}, forward", f"eager {variant}", lambda: F.conv2d(x, w, None, stride, k // 2))
        measure("ops", f"convolution {name}, input gradient", f"eager {variant}", lambda: back([True, False, False]))
        measure("ops", f"convolution {name}, kernel gradient", f"eager {variant}", lambda: back([False, True, False]))
q, k, v = (torch.randn(8, 8, 256, 32, requires_grad=True) for _ in range(3))
g = torch.randn(8, 8, 256, 32)
measure("ops", "attention 8x8x256x32, forward and backward", "eager sdpa", lambda: F.scaled_dot_product_attention(q, k, v).backward(g))


def cpu():
    for row in open("/proc/cpuinfo"):
        if row.startswith("model name"):
            return row.split(":", 1)[1].strip()
    return ""


machine = {"cpu": cpu(), "cores": os.cpu_count(), "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "system": "linux"}
with open(args.out + ".tmp", "w") as f:
    json.dump({"schema_version": 1, "name": f"torch {torch.__version__.split('+')[0]}", "machine": machine, "threads": args.threads, "lines": lines}, f, indent=2)
os.replace(args.out + ".tmp", args.out)
