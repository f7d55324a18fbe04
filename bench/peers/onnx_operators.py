"""Small ONNX models of one operator each, with what onnxruntime gives for them: the cases of onnxrun's tests.

    pip install onnx onnxruntime scikit-learn skl2onnx numpy
    python bench/peers/onnx_operators.py [FAMILY ...]

writes onnxrun/testdata/cases/FAMILY.zip: for each case NAME.onnx, NAME.in.I.pb and NAME.out.I.pb. Where onnxruntime does not
have an operator or a type, the reference evaluator of the package onnx gives the values; each case says which one did.
"""
import importlib
import io
import os
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "onnxrun", "testdata", "cases")
FAMILIES = ["attention", "norms", "arrange", "sampling", "fourier", "select", "trees", "linear", "sklearn", "quantised", "fused", "cut"]


def array(shape, dtype=np.float32, seed=0, scale=1.0):
    """Random numbers that are the same at every run."""
    rng = np.random.default_rng(seed + 1000 * len(np.atleast_1d(shape)))
    if np.dtype(dtype).kind == "f":
        return (np.round(rng.normal(size=shape) * 32) / 32 * scale).astype(dtype)  # few bits, so that they pack well
    if np.dtype(dtype) == np.bool_:
        return rng.integers(0, 2, size=shape).astype(bool)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -100), min(info.max, 100), size=shape).astype(dtype)


class Family:
    def __init__(self, name):
        self.name, self.cases, self.failed = name, {}, []

    def model(self, name, model, inputs, ref="ort", want=None):
        """Adds a model. inputs are arrays by name; want is given where no tool computes it."""
        if want is None:
            try:
                want = evaluate(model, inputs, ref)
            except Exception as e:  # said at the end; the other cases are written
                self.failed.append(f"{self.name}/{name}: {str(e)[-300:]}")
                return
        assert name not in self.cases, name
        self.cases[name] = (model, inputs, want)

    def op(self, name, op, inputs, outputs=1, domain="", opset=23, ml=4, constant=(), ref="ort", want=None, named=None, **attributes):
        """Adds a model of one node. inputs are arrays in order, None for one left out; those whose places are in constant are
        initialisers. outputs is how many there are, or a list of names with "" for one left out. named has attributes whose
        names are those of arguments here."""
        names = [f"x{i}" if v is not None else "" for i, v in enumerate(inputs)]
        given = {n: v for n, v in zip(names, inputs) if n}
        outs = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else outputs
        attributes = {k: v for k, v in (attributes | (named or {})).items() if v is not None}
        node = helper.make_node(op, names, outs, domain=domain, **attributes)
        fixed = {f"x{i}" for i in constant}
        infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in given.items() if n not in fixed]
        results = [helper.make_empty_tensor_value_info(n) for n in outs if n]
        graph = helper.make_graph([node], "case", infos, results, [numpy_helper.from_array(v, n) for n, v in given.items() if n in fixed])
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        self.model(name, model, {n: v for n, v in given.items() if n not in fixed}, ref, want)

    def last(self):
        """The outputs of the case that was added last, which is dropped: for one in another form."""
        return self.cases.popitem()[1][2]

    def write(self):
        os.makedirs(OUT, exist_ok=True)
        path = os.path.join(OUT, self.name + ".zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
            def put(name, data):
                z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
            for name, (model, inputs, want) in sorted(self.cases.items()):
                put(name + ".onnx", model.SerializeToString())
                for i, v in enumerate(model.graph.input):
                    put(f"{name}.in.{i}.pb", numpy_helper.from_array(np.asarray(inputs[v.name]), v.name).SerializeToString())
                for i, v in enumerate(want):
                    put(f"{name}.out.{i}.pb", numpy_helper.from_array(np.asarray(v, order="C"), model.graph.output[i].name).SerializeToString())
        print(f"{self.name}: {len(self.cases)} cases, {os.path.getsize(path)} bytes")


def evaluate(model, inputs, ref):
    if ref == "onnx":
        return ReferenceEvaluator(model).run(None, inputs)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, inputs)


def main():
    sys.path.insert(0, HERE)
    failed = []
    for name in sys.argv[1:] or FAMILIES:
        family = Family(name)
        importlib.import_module("onnx_operators_" + name).add(family)
        family.write()
        failed += family.failed
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
