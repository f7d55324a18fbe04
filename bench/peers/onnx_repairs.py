#!/usr/bin/env python3
"""Small networks exported by torch.onnx, and what onnxruntime answers with them before and after Ballast has mended them.

    python onnx_repairs.py make cmd/ballast/testdata/onnx     trains and exports the networks that the tests mend (below 300 KB together)
    python onnx_repairs.py check BALLAST DIR                  BALLAST mends each; both files run in onnxruntime and in BALLAST

Data are optdigits of this repository (data/optdigits/digits.csv.gz), with Ballast's split. `check` leaves its files in the folder that
TMPDIR names. Needs torch, onnx, onnxscript, onnxruntime and numpy.
"""

import csv
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
M64 = (1 << 64) - 1


def order(n):
    """data.Order(n, 0, 0): a Fisher-Yates shuffle by PCG-DXSM, keyed by FNV-1a."""
    h = 0xCBF29CE484222325
    for b in b"order" + bytes(8):
        h = (h ^ b) * 0x100000001B3 & M64
    state = h
    places = list(range(n))
    for i in range(n - 1, 0, -1):
        state = (state * 0x2360ED051FC65DA44385DF649FCCF645 + 0x5851F42D4C957F2D14057B7EF767814F) & ((1 << 128) - 1)
        hi, lo = state >> 64, state & M64
        hi ^= hi >> 32
        hi = hi * 0xDA942042E4DD58B5 & M64
        hi ^= hi >> 48
        hi = hi * (lo | 1) & M64
        j = hi * (i + 1) >> 64
        places[i], places[j] = places[j], places[i]
    return places


def digits():
    """Images [n, 1, 8, 8] in [0,1] and labels of the parts train and test."""
    with gzip.open(ROOT / "data/optdigits/digits.csv.gz", "rt") as f:
        rows = np.array([[int(v) for v in row] for row in csv.reader(f)])
    rows = rows[order(len(rows))]
    x, y = (rows[:, :64] / 16).astype(np.float32).reshape(-1, 1, 8, 8), rows[:, 64].astype(np.int64)
    return (x[:1280], y[:1280]), (x[1280:], y[1280:])


def networks():
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, cin, cout, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
            self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)) if stride > 1 else nn.Identity()

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + self.down(x))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.bn = nn.Conv2d(1, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12)
            self.blocks = nn.Sequential(Block(12, 12, 1), Block(12, 24, 2))
            self.fc = nn.Linear(24, 10)

        def forward(self, x):
            return self.fc(self.blocks(torch.relu(self.bn(self.stem(x)))).mean((2, 3)))

    class ViT(nn.Module):
        def __init__(self, dim=24, depth=2, heads=3):
            super().__init__()
            self.patch = nn.Conv2d(1, dim, 2, 2)
            self.cls, self.position = nn.Parameter(torch.zeros(1, 1, dim)), nn.Parameter(0.02 * torch.randn(1, 17, dim))
            self.layers = nn.ModuleList(nn.TransformerEncoderLayer(dim, heads, 2 * dim, 0.0, "gelu", batch_first=True, norm_first=True) for _ in range(depth))
            self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

        def forward(self, x):
            t = self.patch(x).flatten(2).transpose(1, 2)
            t = torch.cat([self.cls.expand(t.shape[0], -1, -1), t], 1) + self.position
            for layer in self.layers:
                t = layer(t)
            return torch.softmax(self.head(self.norm(t[:, 0])), -1)

    return ResNet, ViT


def train(make, epochs, rate):
    import torch
    import torch.nn.functional as F

    torch.manual_seed(1)
    (x, y), (tx, ty) = digits()
    x, y, tx, ty = map(torch.from_numpy, (x, y, tx, ty))
    net = make()
    steps = epochs * (len(x) // 64)
    opt = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, rate, steps)
    probable = isinstance(net(x[:2]).sum().item(), float) and bool(((net(x[:2]).sum(1) - 1).abs() < 1e-4).all())
    began = time.time()
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(64):
            if len(part) < 64:
                continue
            out = net(x[part])
            loss = F.nll_loss(torch.log(out.clamp_min(1e-12)), y[part]) if probable else F.cross_entropy(out, y[part])
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        accuracy = (net(tx).argmax(1) == ty).float().mean().item()
    print(f"{make.__name__}: {sum(p.numel() for p in net.parameters())} parameters, {time.time() - began:.1f} s, test accuracy {accuracy:.4f}")
    return net


def make(out):
    import onnx
    import torch

    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    resnet, vit = networks()
    x = torch.zeros(2, 1, 8, 8)
    names = dict(input_names=["image"], output_names=["logits"])
    net = train(resnet, 8, 0.01)
    # Norms are kept in this mode alone: else they are folded into the convolutions. They are those of a network in eval().
    torch.onnx.export(net, (x,), str(out / "resnet-norms.onnx"), dynamo=False, training=torch.onnx.TrainingMode.PRESERVE,
                      do_constant_folding=False, dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}}, opset_version=17, **names)
    torch.onnx.export(net, (x,), str(out / "resnet-folded.onnx"), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False, **names)
    net = train(vit, 40, 0.004)
    torch.onnx.export(net, (x,), str(out / "vit.onnx"), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), external_data=False,
                      input_names=["image"], output_names=["probabilities"])
    total = 0
    for f in sorted(out.glob("*.onnx")):
        m = onnx.load(str(f))
        strip(m)
        onnx.save(m, str(f))
        onnx.checker.check_model(str(f))
        total += f.stat().st_size
        print(f.name, f.stat().st_size, "bytes, opset", m.opset_import[0].version, "IR", m.ir_version, sorted({n.op_type for n in m.graph.node}))
    print(total, "bytes together")


def strip(m):
    """Takes out what says on which machine a model was made: stack traces of the exporter."""
    del m.graph.value_info[:]
    for n in m.graph.node:
        n.doc_string = ""
        del n.metadata_props[:]
    for t in list(m.graph.initializer) + list(m.graph.input) + list(m.graph.output):
        del t.metadata_props[:]
    del m.graph.metadata_props[:]


METHODS = ["temperature", "vector", "matrix", "platt", "isotonic", "histogram"]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def check(ballast, folder):
    """Mends every network, and compares onnxruntime's answers with Ballast's for each file."""
    import onnx
    import onnxruntime

    folder = pathlib.Path(folder)
    out = pathlib.Path(tempfile.mkdtemp(prefix="ballast-repairs-"))
    _, (x, y) = digits()
    np.save(out / "x.npy", x)
    wrong = 0

    def run(*words):
        done = subprocess.run([ballast, *map(str, words)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
        return done.stdout

    def peer(path):
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: x})[0]

    def ours(path):
        run("run", path, "--input", out / "x.npy", "--output", out / "y.npz", "-q", "--overwrite")
        with np.load(out / "y.npz") as z:
            return z[z.files[0]]

    def line(what, path, want=None, tolerance=1e-5, chances=False):
        """One file: onnxruntime beside Ballast, and beside what it must give. With chances, logits are compared as probabilities."""
        nonlocal wrong
        a, b = peer(path), ours(path)
        if chances:
            a, b = softmax(a), softmax(b)
        scale = max(1.0, float(np.abs(a).max()))
        apart = float(np.abs(a - b).max()) / scale
        from_want = float("nan") if want is None else float(np.abs(a - want).max()) / max(1.0, float(np.abs(want).max()))
        bad = apart > tolerance or (want is not None and from_want > tolerance)
        wrong += bad
        accuracy = float((a.argmax(1) == y).mean())
        print(f"{what:<34} accuracy {accuracy:.4f}  onnxruntime and Ballast {apart:.1e}  expected {from_want:.1e}{'  WRONG' if bad else ''}")
        return a

    for file in sorted(folder.glob("*.onnx")):
        name = file.stem
        before = line(name, file)
        probable = abs(before.sum(1) - 1).max() < 1e-3
        logits = np.log(before) if probable else before
        for method in METHODS:
            to = out / f"{name}-{method}.onnx"
            found = json.loads(run("calibrate", file, "--data", "optdigits", "--method", method, "--out", to, "--json", "-q"))
            want, loose, chances = None, 2e-5, False
            if method == "temperature":
                want = logits / found["temperature"]
                want = softmax(want) if probable else want
            elif method == "vector":
                f = found["fitted"]
                # Logarithms of probabilities and logits differ by a number for each row, which unequal weights do not leave out.
                want = None if probable else logits * np.array(f["weights"]) + np.array(f["bias"])
            elif method == "matrix":
                f = found["fitted"]
                want = None if probable else logits @ np.array(f["weights"]).T + np.array(f["bias"])
            else:
                # A step of an isotonic function may be as narrow as a rounding of float32: there the runtimes see another place on it.
                loose, chances = 1e-3 if method == "isotonic" else 1e-5, not probable
            line(f"{name}, {method}", to, want, loose, chances)
        if "norms" in name:
            mended = out / f"{name}-adapted.onnx"
            found = json.loads(run("adapt", file, "--data", "optdigits", "--shift", "contrast:3", "--method", "batch", "--export", mended, "--json", "-q"))
            print(f"  adapted to contrast:3: accuracy {found['accuracy_before']:.4f}, then {found['accuracy']:.4f}")
            line(f"{name}, adapted", mended)
            folded = out / f"{name}-then-folded.onnx"
            run("convert", file, "--fold-norms", "--out", folded, "-q")
            line(f"{name}, folded", folded, before)
            run("convert", mended, "--fold-norms", "--out", out / "both.onnx", "-q")
            line(f"{name}, adapted and folded", out / "both.onnx", peer(mended))
    print(f"{wrong} wrong" if wrong else "all agree")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "make":
        make(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
