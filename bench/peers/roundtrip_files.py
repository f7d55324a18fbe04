"""Event files in TensorBoard, arrays in NumPy, tensors in the safetensors package: see roundtrip.py."""
import json
import math
import os
import shutil
import signal
import subprocess
import time
from importlib.metadata import version

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from roundtrip import table

TYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]


def section(b):
    rows = []

    def row(what, tool, held, wrong):
        """held says what was compared, wrong what differs"""
        rows.append([what, tool, held, "equal" if not wrong else "; ".join(wrong[:3])])
        b.judge("files, " + what, not wrong, "; ".join(wrong[:3]))

    board = "TensorBoard " + version("tensorboard")
    row("events of `train`", board, *events(b, trained(b, "plain", "steps=12")))
    row("events of `train --resume` after a stop", board, *events(b, stopped(b)))
    row("`model.safetensors` of a bundle", "safetensors " + safetensors.__version__, *bundle(b))
    for compress in (False, True):
        row("arrays of `convert --to npz%s`" % (" --compress" if compress else ""), "NumPy " + np.__version__, *arrays(b, compress))
    for to in ("safetensors", "sharded"):
        row("tensors of `convert --to %s`" % to, "safetensors " + safetensors.__version__, *tensors(b, to))
    row("outputs of `run` on a bundle", "NumPy " + np.__version__, *outputs(b))
    return table(["what Ballast wrote", "read by", "compared", "result"], rows)


def trained(b, name, *settings):
    out = os.path.join(b.folder("files"), name)
    shutil.rmtree(out, ignore_errors=True)
    code, said = b.run("train", "data=optdigits", "network={name: mlp, hidden: [16]}", "evaluate_every=2", "log_every=2", *settings, "--out", out, "--engine", "go")
    if code:
        raise SystemExit("train: " + said)
    return out


def stopped(b):
    """a run that was interrupted and taken up again, so that its steps stand in two files"""
    out = os.path.join(b.folder("files"), "stopped")
    shutil.rmtree(out, ignore_errors=True)
    args = [b.ballast, "train", "data=optdigits", "network={name: mlp, hidden: [16]}", "log_every=2", "evaluate_every=50", "steps=1500", "--out", out, "--engine", "go", "-q"]
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = os.path.join(out, "metrics.jsonl")
    while p.poll() is None and not (os.path.exists(log) and os.path.getsize(log) > 0):
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    if p.wait() != 130:
        raise SystemExit("train: the run ended with %d before it was stopped" % p.returncode)
    code = subprocess.run(args + ["--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
    if code:
        raise SystemExit("train --resume: exit code %d" % code)
    return out


def events(b, run):
    """every value of metrics.jsonl stands in TensorBoard at its step, rounded to float32, and nothing else"""
    want = {}
    for line in open(os.path.join(run, "metrics.jsonl")):
        values = json.loads(line)
        step = values.pop("step")
        values.pop("wall_time")
        want.update({(tag, step): float(v) for tag, v in values.items()})
    a = EventAccumulator(run, size_guidance={"scalars": 0})
    a.Reload()
    got = {(tag, e.step): e.value for tag in a.Tags()["scalars"] for e in a.Scalars(tag)}
    wrong = ["%s at step %d is missing" % k for k in sorted(want.keys() - got.keys())] + ["%s at step %d is too much" % k for k in sorted(got.keys() - want.keys())]
    with np.errstate(over="ignore"):
        for k in sorted(want.keys() & got.keys()):
            w = float(np.float32(want[k]))
            if got[k] != w and not (math.isnan(got[k]) and math.isnan(w)):
                wrong.append("%s at step %d is %r, in metrics.jsonl %r" % (*k, got[k], want[k]))
    if not want:
        wrong.append("nothing was logged")
    return "%d values of %d tags" % (len(want), len({t for t, _ in want})), wrong


def bundle(b):
    """a bundle's weights, read by the package and written again by it, give the same answers"""
    model = os.path.join(trained(b, "bundle", "steps=12"), "model")
    path = os.path.join(model, "model.safetensors")
    held, x = safetensors.numpy.load_file(path), np.random.default_rng(1).random((5, 8, 8, 1), dtype=np.float32)
    np.save(os.path.join(b.folder("files"), "x.npy"), x)
    with safetensors.safe_open(path, "np") as f:
        meta = f.metadata()
    answers = []
    for i in range(2):
        y = os.path.join(b.folder("files"), "y%d.npz" % i)
        code, said = b.run("run", model, "--input", os.path.join(b.folder("files"), "x.npy"), "--output", y, "--engine", "go", "--overwrite")
        if code:
            return "", [said]
        answers.append(dict(np.load(y)))
        safetensors.numpy.save_file(held, path, meta)
    return "%d tensors, %d keys" % (len(held), len(meta or {})), [n for n in answers[0] if not np.array_equal(answers[0][n], answers[1][n])]


def mixed():
    """arrays of all types, of no dimension, empty, and with values at the ends of their ranges"""
    r = np.random.default_rng(2)
    out = {}
    for t in TYPES:
        d = np.dtype(t)
        out["%s.one" % t] = np.array(1, d)
        out["%s.none" % t] = np.zeros((0, 3), d)
        if d.kind in "iu":
            out["%s.ends" % t] = np.array([np.iinfo(d).min, np.iinfo(d).max], d)
        out["%s.many" % t] = (r.standard_normal((3, 4, 5)) * 9).astype("int64").astype(d) if d.kind != "f" else r.standard_normal((3, 4, 5)).astype(d)
    out["float32.ends"] = np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45, 3.4028235e38], "f4")
    return out


def same(want, got):
    return got.dtype == want.dtype and got.shape == want.shape and np.array_equal(want, got, equal_nan=want.dtype.kind == "f")


def arrays(b, compress):
    want, d = mixed(), b.folder("files")
    safetensors.numpy.save_file(want, os.path.join(d, "mixed.safetensors"))
    code, said = b.run("convert", os.path.join(d, "mixed.safetensors"), "--to", "npz", *(["--compress"] if compress else []), "--out", os.path.join(d, "mixed.npz"), "--overwrite")
    if code:
        return "", [said]
    got = np.load(os.path.join(d, "mixed.npz"), allow_pickle=False)
    return "%d arrays of %d types" % (len(want), len(TYPES)), [n for n in want if n not in got or not same(want[n], got[n])] + sorted(set(got) - set(want) - {"__metadata__"})


def tensors(b, to):
    """all types of the package, with those that NumPy has not; bytes are compared"""
    d = b.folder("files")
    want = {n: torch.from_numpy(np.array(v)) for n, v in mixed().items()}
    for t in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64):
        want[str(t)] = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).to(t)
    safetensors.torch.save_file(want, os.path.join(d, "all.safetensors"), {"note": "kept"})
    out = os.path.join(d, "written." + to)
    shutil.rmtree(out, ignore_errors=True)
    code, said = b.run("convert", os.path.join(d, "all.safetensors"), "--to", to, *(["--max-shard", 700] if to == "sharded" else []), "--out", out)
    if code:
        return "", [said]
    if to == "safetensors":
        files = {os.path.join(out, "model.safetensors") if os.path.isdir(out) else out: None}
    else:
        index = json.load(open(os.path.join(out, "model.safetensors.index.json")))["weight_map"]
        files = {os.path.join(out, f): {n for n in index if index[n] == f} for f in set(index.values())}
    got, wrong = {}, []
    for path, names in files.items():
        part = safetensors.torch.load_file(path)
        if names is not None and set(part) != names:
            wrong.append("%s does not hold what the index says" % os.path.basename(path))
        got.update(part)
        with safetensors.safe_open(path, "pt") as f:
            if f.metadata().get("note") != "kept":
                wrong.append("the metadata of %s" % os.path.basename(path))
    for n, t in want.items():
        g = got.get(n)
        if g is None or g.dtype != t.dtype or g.shape != t.shape or g.reshape(-1).view(torch.uint8).numpy().tobytes() != t.reshape(-1).view(torch.uint8).numpy().tobytes():
            wrong.append(n)
    return "%d tensors of %d types, %d files" % (len(want), len({t.dtype for t in want.values()}), len(files)), wrong + sorted(set(got) - set(want))


def outputs(b):
    """an MLP's answers by NumPy, from the weights of its bundle"""
    d = b.folder("files")
    y = np.load(os.path.join(d, "y0.npz"), allow_pickle=False)
    wrong = [n for n, v in y.items() if v.dtype != np.float32 or v.shape != (5, 10)]
    if set(y) != {"logits", "probabilities"}:
        wrong.append("names are " + ", ".join(y))
        return "", wrong
    z = y["logits"].astype(np.float64)
    p = np.exp(z - z.max(1, keepdims=True))
    if np.abs(p / p.sum(1, keepdims=True) - y["probabilities"]).max() > 1e-6:
        wrong.append("probabilities are not the softmax of the logits")
    return "logits and probabilities of 5 examples", wrong
