"""Graphs with operators in the middle that have shapes which depend on values."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_operators import array

F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def graph(f, name, nodes, inputs, outputs, constants=(), opset=18):
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), [None] * v.ndim) for n, v in inputs.items()]
    results = [helper.make_empty_tensor_value_info(n) for n in outputs]
    g = helper.make_graph(nodes, "case", infos, results, [numpy_helper.from_array(v, n) for n, v in dict(constants).items()])
    model = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=10)
    f.model(name, model, inputs)


def add(f):
    n = helper.make_node
    x = array((5, 4))
    c = lambda v, t=np.int64: np.array(v, t)
    # The rows with a positive sum, each times two.
    graph(f, "rows", [n("ReduceSum", ["x", "one"], ["s"], keepdims=0), n("Greater", ["s", "zero"], ["m"]), n("Compress", ["x", "m"], ["r"], axis=0), n("Add", ["r", "r"], ["y"])],
          {"x": x}, ["y", "m"], {"one": c([1]), "zero": c(0, np.float32)})
    # Places of what is above, gathered, and a shape made of how many there are.
    graph(f, "gather", [n("Greater", ["x", "zero"], ["m"]), n("NonZero", ["m"], ["at"]), n("Transpose", ["at"], ["t"]), n("GatherND", ["x", "t"], ["v"]), n("Shape", ["v"], ["k"]),
                        n("Concat", ["k", "one"], ["s"], axis=0), n("Reshape", ["v", "s"], ["y"])], {"x": x}, ["y"], {"one": c([1]), "zero": c(0, np.float32)})
    # A size that is computed from the values of an input too large to be part of a program.
    graph(f, "size", [n("ReduceSum", ["x", "both"], ["s"], keepdims=0), n("Cast", ["s"], ["k"], to=I), n("Unsqueeze", ["k", "first"], ["shape"]),
                      n("ConstantOfShape", ["shape"], ["z"], value=helper.make_tensor("v", F, [1], [2.5])), n("Range", ["nought", "k", "step"], ["r"]), n("Cast", ["r"], ["rf"], to=F),
                      n("Mul", ["z", "rf"], ["y"])],
          {"x": np.where(np.arange(6000).reshape(100, 60) % 1000 == 0, 1, 0).astype(np.float32)}, ["y"],
          {"both": c([0, 1]), "first": c([0]), "nought": c(0), "step": c(1)})
    # A branch that a computed value decides, with an operator of the host in it.
    then = helper.make_graph([n("NonZero", ["big"], ["a"])], "t", [], [helper.make_empty_tensor_value_info("a")])
    other = helper.make_graph([n("Constant", [], ["b"], value=numpy_helper.from_array(np.zeros((2, 1), np.int64)))], "e", [], [helper.make_empty_tensor_value_info("b")])
    big = array((60, 60))
    graph(f, "branch", [n("ReduceMax", ["big"], ["top"], keepdims=0), n("Greater", ["top", "zero"], ["yes"]), n("If", ["yes"], ["y"], then_branch=then, else_branch=other)],
          {"big": np.where(np.abs(big) > 2, big, 0).astype(np.float32)}, ["y"], {"zero": c(0, np.float32)})
    # Boxes that stay, gathered; an input is an output as well.
    rng = np.random.default_rng(6)
    a = rng.uniform(0, 0.7, (1, 9, 2))
    boxes = np.concatenate([a, a + 0.3], 2).astype(np.float32)
    graph(f, "boxes", [n("Sigmoid", ["l"], ["scores"]), n("NonMaxSuppression", ["b", "scores", "most", "iou"], ["rows"]), n("Slice", ["rows", "two", "three", "one"], ["at"]),
                       n("Squeeze", ["at", "one"], ["i"]), n("Squeeze", ["b", "nought"], ["flat"]), n("Gather", ["flat", "i"], ["y"]), n("Identity", ["scores"], ["s"])],
          {"b": boxes, "l": rng.normal(size=(1, 1, 9)).astype(np.float32)}, ["y", "s", "rows"],
          {"most": c([5]), "iou": c([0.4], np.float32), "two": c([2]), "three": c([3]), "one": c([1]), "nought": c([0])})
    # Two cuts, and nothing that stays.
    graph(f, "twice", [n("Unique", ["x"], ["u", "", "inverse"]), n("Mul", ["u", "u"], ["q"]), n("Unique", ["q"], ["v", "", "", "counts"]), n("Gather", ["q", "inverse"], ["y"])],
          {"x": np.array([3, -2, 3, 2, 0], np.float32)}, ["v", "counts", "y"])
    graph(f, "none", [n("Greater", ["x", "high"], ["m"]), n("NonZero", ["m"], ["at"]), n("Transpose", ["at"], ["t"]), n("GatherND", ["x", "t"], ["v"]), n("ReduceSum", ["v"], ["y"], keepdims=0)],
          {"x": x}, ["y", "v"], {"high": c(100, np.float32)})
    # An operator of the host in a loop's body.
    body = helper.make_graph([n("Unique", ["x"], ["u"]), n("ReduceSum", ["u"], ["s"], keepdims=0), n("Add", ["acc", "s"], ["acc2"]), n("Identity", ["cond"], ["cond2"]),
                              n("Mul", ["s", "acc"], ["row"])],
                             "body", [helper.make_tensor_value_info("i", I, []), helper.make_tensor_value_info("cond", B, []), helper.make_tensor_value_info("acc", F, [])],
                             [helper.make_tensor_value_info("cond2", B, []), helper.make_tensor_value_info("acc2", F, []), helper.make_tensor_value_info("row", F, [])])
    graph(f, "loop", [n("Loop", ["three", "", "start"], ["acc_out", "rows"], body=body)], {"x": np.array([1, 2, 1, 5], np.float32)}, ["acc_out", "rows"],
          {"three": c(3), "start": c(0.5, np.float32)})
