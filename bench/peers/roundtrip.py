#!/usr/bin/env python3
"""Runs what Ballast writes in the tools that others have for it, and what they write in Ballast, and compares the numbers.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 peft==0.21.2 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 \\
        onnxruntime==1.32.0 skl2onnx==1.20.0 scikit-learn==1.9.1 tensorboard==2.21.0
    python bench/peers/roundtrip.py --ballast ./ballast [--only transformers,onnx,files] [--work DIR] [--docs docs/roundtrip.md]

    roundtrip_transformers.py   folders of safetensors: converted, merged, stacked, with adapters; loaded by transformers
    roundtrip_onnx.py           models that torch.onnx and skl2onnx export, in `ballast run` on both engines and in onnxruntime
    roundtrip_files.py          event files in TensorBoard, arrays in NumPy, tensors in the safetensors package

Each prints a table in Markdown; --docs puts it between the marks of its section of that page. The last line says how many rows agree. Exit code 1
where one does not. All models are made here, random and small. GGUF in llama.cpp is in roundtrip_gguf.py, recipes beside mergekit
in roundtrip_merge.py.
"""
import argparse
import importlib
import os
import re
import subprocess
import sys
import tempfile
import time

SECTIONS = ["transformers", "onnx", "files"]


class Bench:
    """where the command is, where files may be written, and what was found"""

    def __init__(self, ballast, work):
        self.ballast, self.work = os.path.abspath(ballast), work
        self.rows = 0
        self.failed = []

    def run(self, *args):
        """exit code, and the last line that was said"""
        r = subprocess.run([self.ballast, *map(str, args)], capture_output=True, text=True, cwd=self.work)
        lines = (r.stdout + r.stderr).strip().splitlines() or [""]
        wrong = [x for x in lines if x.startswith("ballast:")]
        return r.returncode, (wrong or lines)[-1]

    def folder(self, *names):
        d = os.path.join(self.work, *(re.sub(r"[^\w.-]+", "_", n) for n in names))
        os.makedirs(d, exist_ok=True)
        return d

    def judge(self, what, good, why=""):
        """counts a row, and says which one failed"""
        self.rows += 1
        if not good:
            self.failed.append(what)
            print("FAILED  %s  %s" % (what, why), file=sys.stderr, flush=True)
        return good


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c).replace("|", "\\|") for c in r) + " |" for r in rows])


def put(page, name, text):
    """replaces what stands between the marks of a section"""
    old = open(page).read()
    begin, end = "<!-- %s: written by bench/peers/roundtrip.py -->" % name, "<!-- end of %s -->" % name
    if begin not in old or end not in old:
        sys.exit("%s lacks the marks %s and %s" % (page, begin, end))
    new = old[: old.index(begin) + len(begin)] + "\n\n" + text + "\n\n" + old[old.index(end):]
    open(page, "w").write(new)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ballast", default="ballast", help="the command")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between them")
    parser.add_argument("--work", help="folder for models and outputs (default: a temporary one, removed afterwards)")
    parser.add_argument("--docs", help="page whose sections are written anew")
    args = parser.parse_args()
    names = args.only.split(",")
    if unknown := set(names) - set(SECTIONS):
        parser.error("no section %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(SECTIONS)))
    with tempfile.TemporaryDirectory(prefix="roundtrip-") as temporary:
        b = Bench(args.ballast, os.path.abspath(args.work or temporary))
        os.makedirs(b.work, exist_ok=True)
        start = time.time()
        for name in names:
            text = importlib.import_module("roundtrip_" + name).section(b)
            print("\n## %s\n\n%s" % (name, text), flush=True)
            if args.docs:
                put(args.docs, name, text)
        print("\n%d of %d rows agree, in %.0f s%s" % (b.rows - len(b.failed), b.rows, time.time() - start, "".join("\n  failed: " + f for f in b.failed)))
    sys.exit(1 if b.failed else 0)


if __name__ == "__main__":
    main()
