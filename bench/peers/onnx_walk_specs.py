"""What each operator is tried on, for onnx_walk.py: inputs by shape and kind, and values for every attribute."""
import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

F, I8 = np.float32, np.int64
TYPES = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "bool": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}


class X:
    """An input of the type that the operator has in its place."""

    def __init__(self, *shape, kind="any", seed=0):
        self.shape, self.kind, self.seed = shape, kind, seed

    def make(self, dtype):
        n = int(np.prod(self.shape))
        r = np.random.default_rng(n * 31 + self.seed)
        dtype = np.dtype(dtype)
        integer, unsigned = dtype.kind in "iu", dtype.kind == "u"
        if self.kind == "special":
            if dtype.kind in "iub":
                return None
            v = [np.nan, -np.inf, np.inf, -1e30, 1.5, -0.0, 0.5, -2.5, 2.5, 3e38, -0.25, 7][:n] + [1.0] * max(0, n - 12)
        elif dtype == np.bool_:
            v = r.integers(0, 2, n)
        elif self.kind == "huge":
            return np.array(np.iinfo(dtype).max - 2 if integer else 300, dtype).reshape(self.shape)
        elif self.kind == "large" and integer:  # beyond what floats count
            i = np.iinfo(dtype)
            v = [i.max, i.min, i.max - 1, i.max // 3 * 2 + 1, 0, 1, 5, i.max // 2 + 2][:n] + [3] * max(0, n - 8)
            return np.array(v, dtype).reshape(self.shape)
        elif integer:
            low, high = {"any": (-7, 8), "positive": (1, 8), "whole": (0, 4), "unit": (0, 2), "above": (1, 8), "large": (-7, 8), "bit": (0, 9)}[self.kind]
            v = r.integers(0 if unsigned and low < 0 else low, high + (6 if unsigned and low < 0 else 0), n)
        else:
            low, high = {"any": (-3, 3), "positive": (0.2, 3), "unit": (-0.95, 0.95), "above": (1.05, 4), "whole": (0, 4), "large": (-300, 300), "bit": (0, 9)}[self.kind]
            v = np.round(r.uniform(low, high, n) * 16) / 16  # the same in every type
            if self.kind == "whole":
                v = r.integers(0, 4, n)
        return np.asarray(v, np.float64 if dtype.kind not in "iub" else dtype).astype(dtype).reshape(self.shape)


def c(*values, shape=None, dtype=I8):
    a = np.array(values, dtype)
    return a.reshape(shape) if shape is not None else a


def one(v, dtype=I8):
    return np.array(v, dtype)


SPECS = {}


def spec(*names):
    def add(f):
        for n in names:
            SPECS[n] = f
        return f
    return add


def find(op):
    return SPECS.get(op)


def tensor_type(text):
    return text[7:-1] if text.startswith("tensor(") else None


def fill(op, schema, inputs, binding):
    """The inputs as arrays, or None if a type is missing."""
    out = []
    for i, x in enumerate(inputs):
        if not isinstance(x, X):
            out.append(x)
            continue
        p = schema.inputs[min(i, len(schema.inputs) - 1)]
        text = p.type_str if hasattr(p, "type_str") else p.typeStr
        t = tensor_type(text) or binding.get(text)
        if t is None or t not in TYPES:
            return None
        made = x.make(TYPES[t])
        if made is None:
            return None
        out.append(made)
    return out


def plans(op, schema, of, bindings):
    """The cases of one version of an operator."""
    v = schema.since_version
    s = of(v)
    if s is None:
        return
    least = min_outputs(schema)
    for binding, kind in bindings(schema, s.get("types", {})):
        for name, attributes, inputs in [("", s.get("attrs", {}), s["inputs"])] + [m for m in s.get("more", [])]:
            about = {}
            if kind:
                about["type"] = list(kind)
            if name:
                about["case"] = name
            made = fill(op, schema, inputs, binding)
            if made is None or "keep" in s and not s["keep"](binding, name):
                continue
            yield {"attributes": attributes, "inputs": made, "outputs": s.get("outputs", least), "about": about, "prefer": chosen(s, attributes), "expect": s.get("expect")}
    binding = next(iter(bindings(schema, s.get("types", {}))))[0]
    legacy = {"consumed_inputs": [{"consumed_inputs": [0]}]}
    for name in sorted(schema.attributes):
        for variant in s.get("vary", {}).get(name, legacy.get(name, [])):
            attributes, inputs = variant if isinstance(variant, tuple) else (variant, s["inputs"])
            made = fill(op, schema, inputs, binding)
            if made is None:
                continue
            whole = {**s.get("attrs", {}), **attributes}
            outputs = whole.pop("outputs", s.get("outputs", least))
            base = {k: x for k, x in whole.items() if k != name}
            if name in s.get("attrs", {}):
                base[name] = s["attrs"][name]
            yield {"attributes": whole, "base": base, "inputs": made, "outputs": outputs, "about": {"attribute": name},
                   "prefer": chosen(s, whole), "expect": s.get("expect")}


def chosen(s, attributes):
    p = s.get("prefer")
    return p(attributes) if callable(p) else p


def min_outputs(schema):
    return max(1, schema.min_output)


def has(op_version, since):
    return op_version >= since


# Operators of one input, element by element.
def unary(*names, kind="any", special=True, vary={}, **more):
    def f(v):  # with numbers below 0 and above
        extra = [("special", {}, [X(12, kind="special")])] if special else []
        extra.append(("empty", {}, [X(0, 3, kind=kind)]))
        return {"inputs": [X(2, 3, kind=kind, seed=4)], "more": extra, "vary": vary, "keep": lambda b, name: name != "special" or all(
            t in ("float", "double") for t in b.values() if t != "bool"), **more}
    for n in names:
        SPECS[n] = f


unary("Abs", "Neg", "Ceil", "Floor", "Sign", "Identity", "Erf", "Tanh", "Sigmoid", "Round", "Softplus", "Softsign", "Mish", "HardSwish", "Relu", "IsNaN", "Atan", "Exp")
unary("Sin", "Cos", "Tan", "Sinh", "Cosh", "Asinh", special=False)
unary("Sqrt", "Log", "Reciprocal", kind="positive")
unary("Asin", "Acos", "Atanh", kind="unit", special=False)
unary("Acosh", kind="above", special=False)
unary("Not", "BitwiseNot", special=False)
unary("Gelu", vary={"approximate": [{"approximate": "tanh"}]})
unary("LeakyRelu", vary={"alpha": [{"alpha": 0.3}]})
unary("Elu", vary={"alpha": [{"alpha": 1.5}]})
unary("Celu", vary={"alpha": [{"alpha": 2.5}]})
unary("Selu", vary={"alpha": [{"alpha": 1.25}], "gamma": [{"gamma": 1.5}]})
unary("HardSigmoid", vary={"alpha": [{"alpha": 0.4}], "beta": [{"beta": 0.25}]})
unary("ThresholdedRelu", vary={"alpha": [{"alpha": 0.25}]})
unary("Swish", vary={"alpha": [{"alpha": 0.5}]})
unary("Shrink", special=False, vary={"lambd": [{"lambd": 1.5}], "bias": [{"bias": 0.75}]})
unary("IsInf", vary={"detect_negative": [({"detect_negative": 0}, [X(12, kind="special")])], "detect_positive": [
    ({"detect_positive": 0}, [X(12, kind="special")]), ({"detect_positive": 0, "detect_negative": 0}, [X(12, kind="special")])]})


# Operators of two inputs that broadcast; before opset 7 the second lies along the axes of the first from one on.
def binary(*names, second="any", large=True, expect=None, special=True, first="any", **more):
    def f(v):
        if v < 7:
            return {"inputs": [X(2, 3, kind=first), X(2, 3, kind=second, seed=1)], "vary": {
                "broadcast": [({"broadcast": 1}, [X(2, 3, 4, kind=first), X(3, 4, kind=second, seed=1)])],
                "axis": [({"broadcast": 1, "axis": 1}, [X(2, 3, 4, kind=first), X(3, kind=second, seed=1)])]}, "expect": old(expect) if expect else None}
        extra = [("empty", {}, [X(0, 3), X(3, kind=second, seed=1)])]
        if large:
            extra.append(("large", {}, [X(8, kind="large"), X(8, kind=second, seed=2)]))
        if special:
            extra.append(("special", {}, [X(12, kind="special"), X(1, kind=second, seed=1)]))
            extra.append(("special second", {}, [X(1, kind=second, seed=1), X(12, kind="special")]))
        return {"inputs": [X(2, 3, kind=first), X(3, kind=second, seed=1)], "more": extra, **more, "keep": lambda b, name: not name.startswith("special") or all(
            t in ("float", "double") for t in b.values() if t != "bool")}
    for n in names:
        SPECS[n] = f


def old(f):
    def g(a, b, broadcast=0, axis=None, **_):
        if axis is not None:
            b = b.reshape(b.shape + (1,) * (a.ndim - axis - b.ndim))
        return [np.asarray(f(a, b))]
    return g


binary("Add", expect=np.add)
binary("Sub", expect=np.subtract)
binary("Mul", expect=np.multiply)
binary("Div", second="positive", expect=lambda a, b: (a / b).astype(a.dtype) if a.dtype.kind == "f" else np.trunc(a / b).astype(a.dtype), special=False)
binary("Pow", second="positive", special=False, large=False, expect=np.power, first="positive")
binary("Equal", expect=np.equal)
binary("Less", expect=np.less)
binary("Greater", expect=np.greater)
binary("LessOrEqual", "GreaterOrEqual")
binary("And", expect=np.logical_and, special=False, large=False)
binary("Or", expect=np.logical_or, special=False, large=False)
binary("Xor", expect=np.logical_xor, special=False, large=False)
binary("BitwiseAnd", "BitwiseOr", "BitwiseXor", special=False)
binary("PRelu", special=False, large=False, expect=lambda a, b: np.where(a < 0, a * b, a))


@spec("PRelu")
def _(v):
    if v < 7:
        return {"inputs": [X(2, 3, 4), X(3, seed=1)], "expect": lambda a, b, **_: [np.where(a < 0, a * b.reshape(3, 1), a)]}
    return {"inputs": [X(2, 3, 4), X(3, 1, seed=1)], "more": [("empty", {}, [X(0, 3), X(3, seed=1)])]}


@spec("Mod")
def _(v):
    def keep(b, name):
        return b["T"] not in ("float", "double", "float16", "bfloat16") or name == "fmod"
    return {"inputs": [X(8), X(8, kind="positive", seed=1)], "types": {"T": "int64"}, "keep": keep, "more": [
        ("fmod", {"fmod": 1}, [X(8), X(8, kind="positive", seed=1)]), ("large", {}, [X(8, kind="large"), X(8, kind="positive", seed=1)])],
        "vary": {"fmod": [({"fmod": 1}, [c(-7, 7, -3), c(3, -3, 2)])]}}


@spec("BitShift")
def _(v):
    return {"inputs": [X(8, kind="positive"), X(8, kind="unit", seed=1)], "attrs": {"direction": "LEFT"}, "vary": {"direction": [{"direction": "RIGHT"}]},
            "more": [("large", {"direction": "RIGHT"}, [X(8, kind="large"), X(8, kind="unit", seed=1)])]}


def several(*names, special=True):
    def f(v):
        inputs = [X(2, 3), X(2, 3, seed=1), X(2, 3, seed=2)]
        more = [("one", {}, [X(2, 3)]), ("large", {}, [X(8, kind="large"), X(8, kind="large", seed=1)])]
        if special and v >= 8:
            more += [("special", {}, [X(12, kind="special"), X(1, seed=1)]), ("special second", {}, [X(1, seed=1), X(12, kind="special")])]
        return {"inputs": inputs, "more": more, "prefer": "onnx", "keep": lambda b, name: not name.startswith("special") or b["T"] in ("float", "double")}
    for n in names:
        SPECS[n] = f


several("Max", "Min", "Sum", "Mean")


@spec("Clip")
def _(v):
    if v < 11:
        return {"inputs": [X(2, 3)], "vary": {"min": [{"min": 0.5}], "max": [{"max": 0.75}]}, "more": [("both", {"min": -1.0, "max": 1.0}, [X(2, 3)])]}
    return {"inputs": [X(8), X(kind="unit"), X(kind="above", seed=1)], "prefer": "onnx", "more": [
        ("low", {}, [X(8), X(kind="unit")]), ("high", {}, [X(8), None, X(kind="above")]), ("large", {}, [X(8, kind="large"), X(kind="unit")]),
        ("special", {}, [X(12, kind="special"), X(kind="unit"), X(kind="above")])], "keep": lambda b, name: name != "special" or b["T"] in ("float", "double")}


@spec("Where")
def _(v):
    return {"inputs": [X(2, 3), X(2, 3, kind="large"), X(3, kind="large", seed=1)], "more": [("empty", {}, [X(0, 3), X(0, 3), X(3)])]}


@spec("Cast")
def _(v):
    if v < 6:
        return {"inputs": [X(2, 3)], "attrs": {"to": "INT64"}}
    numbers = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13] + ([16] if v >= 13 else [])
    return {"inputs": [X(2, 3)], "attrs": {"to": 1}, "vary": {"to": [{"to": t} for t in numbers] + [({"to": t}, [X(2, 3, kind="positive")]) for t in numbers]},
            "more": [("to %d" % t, {"to": t}, [X(8, kind="positive", seed=t)]) for t in numbers] + [("large", {"to": 7}, [X(8, kind="bit")])]}


@spec("CastLike")
def _(v):
    return {"inputs": [X(2, 3, kind="positive"), X(1)]}


# Reductions.
def reduction(*names, kind="any", attr_until=18):
    def f(v, name):
        inputs = lambda axes, x=X(2, 3, 4, kind=kind): [x] if v < attr_until else [x, c(*axes)]
        attrs = lambda axes: {"axes": axes} if v < attr_until else {}
        more = [("all", {}, [X(2, 3, 4, kind=kind)]), ("large", attrs([0]), inputs([0], X(8, kind="large"))),
                ("special", attrs([0]), inputs([0], X(3, 4, kind="special"))), ("special rows", attrs([1]), inputs([1], special_rows())),
                ("empty", {**attrs([0]), "keepdims": 0}, inputs([0], X(3, 0))), ("no batch", {**attrs([1]), "keepdims": 0}, inputs([1], X(0, 4))),
                ("two", {**attrs([-1, 0]), "keepdims": 0}, inputs([-1, 0]))]
        if v >= 18 or name == "ReduceSum" and v >= 13:
            more.append(("nothing", {**attrs([0]), "keepdims": 1}, inputs([0], X(0, 3))))
        return {"inputs": inputs([1]), "attrs": attrs([1]), "more": more, "prefer": None if name == "ReduceLogSumExp" else "onnx", "vary": {
            "keepdims": [{"keepdims": 0}], "axes": [{"axes": [0]}, {"axes": [-1, 0]}],
            "noop_with_empty_axes": [({"noop_with_empty_axes": 1}, [X(2, 3, 4, kind=kind)])]},
            "keep": lambda b, what: (what != "special" or name != "ReduceLogSumExp") and (what not in ("large", "nothing") or name in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceSumSquare") or b["T"] in ("float", "double", "float16")) and (
                what == "" or not name.startswith("ReduceLog") or "int" not in b["T"]) and (not what.startswith("special") or b["T"] in ("float", "double")) and (what != "large" or not b["T"].startswith("float") and b["T"] not in ("double", "bfloat16"))}
    for n in names:
        SPECS[n] = lambda v, n=n: f(v, n)


def special_rows():
    return np.array([[-np.inf, -np.inf, -np.inf], [np.inf, 0, -np.inf], [0, 1, 2], [np.nan, 1, 2], [1, 2, np.nan], [-np.inf, 1, 2]], F)


reduction("ReduceSum", attr_until=13)
reduction("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd")
reduction("ReduceLogSum", kind="positive")


@spec("ArgMax", "ArgMin")
def _(v):
    ties = np.array([[1, 3, 3, 2], [0, 0, -1, -1]], F)
    return {"inputs": [X(3, 4)], "prefer": "onnx", "more": [("ties", {"axis": 1}, [ties]), ("no batch", {"axis": 1, "keepdims": 0}, [X(0, 4)]),
            ("special rows", {"axis": 1}, [special_rows()]), ("large", {}, [X(8, kind="large")])],
            "vary": {"axis": [{"axis": 1}, {"axis": -1}], "keepdims": [{"keepdims": 0}], "select_last_index": [({"select_last_index": 1, "axis": 1}, [ties])]},
            "keep": lambda b, name: name not in ("ties", "special rows") or b["T"] == "float"}


@spec("Softmax", "LogSoftmax", "Hardmax")
def _(v):
    return {"inputs": [X(2, 3, 4)], "types": {"T": "float"}, "more": [("special rows", {"axis": 1}, [special_rows() if v >= 13 else special_rows()[:3]]), ("no batch", {"axis": 1}, [X(0, 4)])],
            "vary": {"axis": [{"axis": 0}, {"axis": 1}, {"axis": 2}] + ([{"axis": -2}] if v >= 11 else [])},
            "keep": lambda b, name: name == "" and v >= 13 or b["T"] == "float", "prefer": "onnx" if v >= 13 else None}


@spec("TopK")
def _(v):
    if v < 10:
        return {"inputs": [X(3, 4)], "attrs": {"k": 2}, "vary": {"k": [{"k": 3}], "axis": [{"axis": 0}]}, "outputs": 2}
    k = c(2)
    return {"inputs": [X(3, 5), k], "outputs": 2, "prefer": "onnx", "more": [("large", {}, [X(8, kind="large"), c(3)]), ("none", {}, [X(2, 5), c(0)])] + (
        [("smallest", {"largest": 0}, [X(3, 5), k])] if v >= 11 else []),
            "vary": {"axis": [{"axis": 0}], "largest": [{"largest": 0}], "sorted": [{"sorted": 0}]}}


@spec("CumSum", "CumProd")
def _(v):
    return {"inputs": [X(3, 4), one(1)], "more": [("large", {}, [X(8, kind="large"), one(0)]), ("empty", {}, [X(0, 4), one(1)]), ("back", {"reverse": 1, "exclusive": 1}, [X(3, 4), one(-1)])],
            "vary": {"exclusive": [{"exclusive": 1}], "reverse": [{"reverse": 1}]}}


# Moving values.
@spec("Reshape")
def _(v):
    if v < 5:
        return {"inputs": [X(2, 3, 4)], "attrs": {"shape": [4, 6]}, "vary": {"shape": [{"shape": [0, -1]}, {"shape": [3, 8]}]}}
    return {"inputs": [X(2, 3, 4, kind="large"), c(0, -1)], "more": [("empty", {}, [X(0, 3, 4), c(4, 3, -1)])], "vary": {
        "allowzero": [({"allowzero": 1}, [X(0, 3, 4), c(0, 12)]), ({"allowzero": 1}, [X(0, 3, 4), c(3, 0, 7)])]}}


@spec("Flatten")
def _(v):
    return {"inputs": [X(2, 3, 4)], "vary": {"axis": [{"axis": 0}, {"axis": 2}, {"axis": 3}] + ([{"axis": -1}] if v >= 11 else [])}}


@spec("Squeeze", "Unsqueeze")
def _(v):
    if v < 13:
        return {"inputs": [X(1, 3, 1)], "attrs": {"axes": [0]}, "vary": {"axes": [{"axes": [2]}, {"axes": [0, 2]}]}}
    return {"inputs": [X(1, 3, 1), c(0)], "more": [("back", {}, [X(1, 3, 1), c(-1)])]}


@spec("Transpose")
def _(v):
    return {"inputs": [X(2, 3, 4)], "vary": {"perm": [{"perm": [1, 0, 2]}, {"perm": [0, 2, 1]}]}}


@spec("Concat")
def _(v):
    return {"inputs": [X(2, 3), X(2, 3, seed=1)], "attrs": {"axis": 0}, "more": [("empty", {"axis": 0}, [X(0, 3), X(2, 3)])],
            "vary": {"axis": [{"axis": 1}] + ([{"axis": -1}] if v >= 11 else [])}}


@spec("Split")
def _(v):
    if v < 2:
        return {"inputs": [X(4, 6)], "attrs": {"axis": 0}, "outputs": 2, "vary": {"axis": [{"axis": 1}], "split": [{"split": [1, 3]}]}}
    if v < 13:
        return {"inputs": [X(4, 6)], "outputs": 2, "vary": {"axis": [{"axis": 1}], "split": [{"split": [1, 3]}]}}
    more = [("sizes", {}, [X(4, 6, kind="large"), c(1, 3)]), ("none", {}, [X(4, 6), c(0, 4)])]
    return {"inputs": [X(4, 6)] if v < 18 else [X(4, 6), c(2, 2)], "outputs": 2, "more": more,
            "vary": {"axis": [{"axis": 1}, ] if v < 18 else [({"axis": 1}, [X(4, 6), c(3, 3)])], "num_outputs": [({"num_outputs": 2, "axis": 1}, [X(4, 5)])]}}


@spec("Slice")
def _(v):
    if v < 10:
        return {"inputs": [X(4, 6)], "attrs": {"starts": [1, 0], "ends": [3, 5]}, "vary": {
            "starts": [{"starts": [2, -3]}], "ends": [{"ends": [-1, 2]}], "axes": [{"axes": [1, 0]}]}}
    return {"inputs": [X(4, 6, kind="large"), c(1, 5), c(9, -9), c(0, 1), c(2, -2)], "more": [
        ("plain", {}, [X(4, 6), c(1), c(3)]), ("ends", {}, [X(4, 6), c(-9, 4), c(2**62, 100)]), ("none", {}, [X(4, 6), c(3), c(1)])]}


@spec("Gather")
def _(v):
    i = c(2, 0, 1, 2, shape=(2, 2)) if v < 11 else c(2, 0, -1, -3, shape=(2, 2))
    return {"inputs": [X(3, 3, kind="large"), i], "more": [("none", {}, [X(3, 3), np.zeros((0,), I8)]), ("one", {}, [X(3, 3), one(1)]), ("empty", {}, [X(3, 0), c(1)])],
            "vary": {"axis": [({"axis": 1}, [X(3, 3), i]), ({"axis": -1}, [X(3, 3), i])]}}


@spec("GatherElements")
def _(v):
    return {"inputs": [X(3, 3, kind="large"), c(2, 0, -1, -3, 1, 1, shape=(2, 3))], "vary": {"axis": [{"axis": 1}, {"axis": -1}]}}


@spec("GatherND")
def _(v):
    return {"inputs": [X(2, 2, 3, kind="large"), c(1, 0, 0, -1, shape=(2, 2))], "more": [("one", {}, [X(4), c(1, -1, shape=(2, 1))])],
            "vary": {"batch_dims": [({"batch_dims": 1}, [X(2, 2, 3), c(1, 0, shape=(2, 1))])]}}


@spec("Scatter", "ScatterElements")
def _(v):
    i = c(2, 0, 1, 1, 2, 0, shape=(2, 3)) if v < 11 else c(2, 0, -2, 1, -1, 0, shape=(2, 3))
    twice = c(0, 0, 1, 0, 1, 1, shape=(2, 3))
    return {"inputs": [X(3, 3, kind="large"), i, X(2, 3, seed=1)], "vary": {
        "axis": [({"axis": 1}, [X(3, 3), c(2, 0, 1, 1, 2, 0, shape=(2, 3)), X(2, 3, seed=1)])],
        "reduction": [({"reduction": r}, [X(3, 3), twice, X(2, 3, seed=1)]) for r in reductions(v)]},
        "more": [("none", {}, [X(3, 3), np.zeros((0, 3), I8), np.zeros((0, 3), F)])], "keep": lambda b, name: name != "none" or b["T"] == "float"}


def reductions(v):
    return ["add", "mul"] + (["max", "min"] if v >= 18 else [])


@spec("ScatterND")
def _(v):
    return {"inputs": [X(4, 2, kind="large"), c(3, -3, shape=(2, 1)), X(2, 2, seed=1)], "vary": {
        "reduction": [({"reduction": r}, [X(4, 2), c(1, 1, 3, shape=(3, 1)), X(3, 2, seed=1)]) for r in reductions(v)]}}


@spec("Expand")
def _(v):
    return {"inputs": [X(3, 1), c(2, 1, 4)], "more": [("empty", {}, [X(3, 1), c(3, 0)]), ("less", {}, [X(2, 3), c(1)])]}


@spec("Tile")
def _(v):
    if v < 6:
        return {"inputs": [X(2, 3), np.array([2], F), np.array([1], F)], "types": {"T": "float"}, "expect": lambda x, n, a, **_: [np.tile(x, (1, 2))], "keep": lambda b, name: b["T"] == "float"}
    return {"inputs": [X(2, 3), c(2, 1)], "more": [("none", {}, [X(2, 3), c(0, 2)])]}


@spec("Pad")
def _(v):
    modes = [{"mode": "reflect"}, {"mode": "edge"}] + ([{"mode": "wrap"}] if v >= 19 else [])
    if v < 11:
        key = "paddings" if v < 2 else "pads"
        at = {key: [0, 1, 1, 2]}
        return {"inputs": [X(3, 4)], "attrs": at, "vary": {"mode": modes, "value": [{"value": 2.5}], key: [{key: [1, 0, 0, 2]}]}}
    pads = c(0, 1, 1, 2)
    more = [("value", {}, [X(3, 4), pads, X(kind="above")]), ("cut", {}, [X(3, 4), c(-1, 0, 0, 1)]), ("large", {}, [X(3, 4), pads, X(kind="huge")])]
    if v >= 18:
        more.append(("axes", {}, [X(3, 4), c(1, 2), None, c(-1)]))
    return {"inputs": [X(3, 4), pads], "more": more, "vary": {"mode": modes}}


@spec("DepthToSpace")
def _(v):
    return {"inputs": [X(1, 8, 2, 1)], "attrs": {"blocksize": 2}, "vary": {"blocksize": [{"blocksize": 1}], "mode": [{"mode": "CRD"}]}}


@spec("SpaceToDepth")
def _(v):
    return {"inputs": [X(1, 2, 4, 4)], "attrs": {"blocksize": 2}, "vary": {"blocksize": [{"blocksize": 4}], "mode": [{"mode": "CRD"}]}}


@spec("Shape", "Size")
def _(v):
    return {"inputs": [X(2, 3, 4)], "vary": {"start": [{"start": 1}, {"start": -1}], "end": [{"end": 1}, {"end": -1}]}, "more": [("empty", {}, [X(0, 3)])]}


@spec("Trilu")
def _(v):
    return {"inputs": [X(3, 4, kind="large")], "vary": {"upper": [{"upper": 0}]}, "more": [("k", {}, [X(3, 4), one(1)]), ("back", {"upper": 0}, [X(3, 4), one(-1)]), ("empty", {}, [X(0, 4)])]}


@spec("EyeLike")
def _(v):
    return {"inputs": [X(3, 4)], "vary": {"k": [{"k": 1}, {"k": -1}], "dtype": [{"dtype": t} for t in (6, 7, 9, 10, 11, 2, 3, 12)]}}


@spec("ConstantOfShape")
def _(v):
    value = lambda x, t: {"value": helper.make_tensor("value", t, [1], [x])}
    return {"inputs": [c(2, 3)], "vary": {"value": [value(3, t) for t in (1, 6, 7, 2, 3, 10, 11, 12)] + [value(2**53 + 1, 7), value(True, 9)]}, "more": [("empty", {}, [c(0, 3)]), ("one", {}, [np.zeros((0,), I8)])]}


@spec("Constant")
def _(v):
    t = helper.make_tensor("value", 7, [2], [2**53 + 1, -1])
    vary = {"value_float": [{"value_float": 2.5}], "value_int": [{"value_int": 2**53 + 1}], "value_floats": [{"value_floats": [1.5, 2.5]}], "value_ints": [{"value_ints": [3, 4]}]}
    return {"inputs": [], "vary": {"value": [{"value": t}], **(vary if v >= 12 else {})}}


@spec("Range")
def _(v):
    return {"inputs": [X(kind="unit"), X(kind="above", seed=3), X(kind="positive", seed=5)], "more": [
        ("back", {}, [one(5.0, F), one(-1.0, F), one(-2.0, F)]), ("none", {}, [one(5.0, F), one(5.0, F), one(1.0, F)])], "prefer": "onnx",
        "keep": lambda b, name: name == "" or b["T"] == "float"}


@spec("NonZero")
def _(v):
    return {"inputs": [X(3, 4)], "more": [("empty", {}, [X(0, 3)])]}


@spec("OneHot")
def _(v):
    return {"inputs": [X(4, kind="whole"), one(5, I8), X(2, kind="above")], "types": {"T1": "int64", "T2": "int64", "T3": "float"}, "keep": lambda b, name: b["T2"] == "int64",
            "vary": {"axis": [{"axis": 0}]}, "more": [("beyond", {}, [c(0, 5, -1, -9, 4), one(5, I8), X(2, kind="above")])] if v >= 11 else []}


# Products, convolutions, pools.
@spec("MatMul")
def _(v):
    return {"inputs": [X(2, 3), X(3, 4, seed=1)], "more": [("batch", {}, [X(2, 1, 2, 3), X(3, 3, 2, seed=1)]), ("vector", {}, [X(3), X(3, seed=1)]), ("no batch", {}, [X(0, 3), X(3, 2)]),
            ("large", {}, [X(2, 4, kind="large"), X(4, 2, seed=1)])], "keep": lambda b, name: name != "large" or b["T"] in ("int64", "uint64", "int32", "uint32")}


@spec("Gemm")
def _(v):
    given = [X(2, 3), X(3, 4, seed=1)] + [X(2, 4, seed=2)]
    return {"inputs": given, "vary": {"alpha": [{"alpha": 0.5}], "beta": [{"beta": 0.25}], "transA": [({"transA": 1}, [X(3, 2), X(3, 4, seed=1), X(2, 4, seed=2)])],
            "transB": [({"transB": 1}, [X(2, 3), X(4, 3, seed=1), X(2, 4, seed=2)])], "broadcast": [({"broadcast": 1}, [X(2, 3), X(3, 4, seed=1), X(4, seed=2)])]},
            "more": [("no batch", {}, [X(0, 3), X(3, 4), X(4)])] if v >= 7 else [], "prefer": "onnx", "expect": gemm if v < 7 else None}


def gemm(a, b, c, alpha=1, beta=1, transA=0, transB=0, **_):
    return [(alpha * ((a.T if transA else a).astype(np.float64) @ (b.T if transB else b).astype(np.float64)) + beta * c.astype(np.float64)).astype(a.dtype)]


@spec("Einsum")
def _(v):
    e = lambda t: {"equation": t}
    return {"inputs": [X(2, 3), X(3, 4, seed=1)], "attrs": e("ij,jk->ik"), "vary": {"equation": [e("ij,jk->ki"), e("ij,jk->i"), ({"equation": "...ij,...jk->...ik"}, [X(2, 2, 3), X(3, 2, seed=1)]), ({"equation": "ii->i"}, [X(3, 3)]), ({"equation": "ij->"}, [X(2, 3)])]}}


@spec("Det")
def _(v):
    return {"inputs": [X(2, 3, 3)], "more": [("singular", {}, [np.array([[1, 2], [2, 4]], F)])], "keep": lambda b, name: name != "singular" or b["T"] == "float"}


def windows(kernel=True):
    k = [{"kernel_shape": [2, 3]}] if kernel else []
    return {"auto_pad": [{"auto_pad": "SAME_UPPER", "strides": [2, 2]}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]}], "pads": [{"pads": [1, 0, 1, 1]}, {"pads": [0, 1, 0, 0]}],
            "strides": [{"strides": [2, 1]}], "dilations": [{"dilations": [2, 1]}], "kernel_shape": k}


@spec("Conv")
def _(v):
    x, w = X(1, 2, 5, 5), X(2, 2, 2, 3, seed=1)
    return {"inputs": [x, w, X(2, seed=2)], "vary": {**windows(False), "group": [({"group": 2}, [x, X(2, 1, 2, 3, seed=1), X(2, seed=2)])]}, "attrs": {},
            "more": [("kernel_shape", {"kernel_shape": [2, 3]}, [x, w]), ("1", {"strides": [2]}, [X(1, 2, 7), X(3, 2, 3)]), ("3", {}, [X(1, 1, 3, 3, 3), X(1, 1, 2, 2, 2)]), ("no batch", {}, [X(0, 2, 5, 5), w])]}


@spec("ConvTranspose")
def _(v):
    x, w = X(1, 2, 3, 3), X(2, 2, 2, 3, seed=1)
    vary = windows(False)
    vary.update({"group": [({"group": 2}, [x, X(2, 1, 2, 3, seed=1)])], "output_padding": [{"output_padding": [1, 0], "strides": [2, 2]}],
                 "output_shape": [{"output_shape": [5, 6], "strides": [2, 2]}], "pads": [{"pads": [1, 0, 0, 1]}]})
    return {"inputs": [x, w], "vary": vary, "more": [("bias", {}, [x, w, X(2, seed=2)]), ("kernel_shape", {"kernel_shape": [2, 3]}, [x, w])]}


@spec("ConvInteger")
def _(v):
    x, w = X(1, 2, 5, 5), X(2, 2, 2, 3, seed=1)
    return {"inputs": [x, w], "types": {"T1": "uint8", "T2": "uint8"}, "vary": {**windows(False), "group": [({"group": 2}, [x, X(2, 1, 2, 3, seed=1)])]},
            "more": [("zero", {}, [x, w, X(kind="positive"), X(kind="positive")]), ("many", {}, [X(1, 40, 3, 3, kind="large"), X(1, 40, 3, 3, kind="large")])]}


@spec("QLinearConv")
def _(v):
    f = lambda *x: np.array(x, F) if len(x) > 1 else np.array(x[0], F)
    x, w = X(1, 2, 5, 5), X(2, 2, 2, 3, seed=1)
    given = lambda w: [x, f(0.5), X(kind="positive"), w, f(0.25), X(kind="unit"), f(0.75), X(kind="positive", seed=3)]
    return {"inputs": given(w), "types": {"T1": "uint8", "T2": "uint8", "T3": "uint8"}, "vary": {**windows(False), "group": [({"group": 2}, given(X(2, 1, 2, 3, seed=1)))]},
            "keep": lambda b, name: b["T1"] == b["T3"], "more": [("bias", {}, given(w) + [np.array([7, -9], np.int32)]), ("each", {}, [x, f(0.5), X(kind="positive"), w, f(0.25, 0.125), X(2, kind="unit"), f(0.75), X(kind="positive", seed=3)])]}


@spec("MatMulInteger")
def _(v):
    a, b = X(2, 3), X(3, 4, seed=1)
    return {"inputs": [a, b], "types": {"T1": "uint8", "T2": "uint8"}, "more": [("zero", {}, [a, b, X(kind="positive"), X(kind="positive")]), ("each", {}, [a, b, None, X(4, kind="positive")]),
            ("many", {}, [X(1, 400, kind="large"), X(400, 1, kind="large")])]}


@spec("QLinearMatMul")
def _(v):
    f = lambda x: np.array(x, F)
    scale = lambda x: X(kind="positive", seed=x)
    a, b = X(2, 3), X(3, 4, seed=1)
    s = (lambda x: f(x)) if v < 21 else (lambda x: f(x))
    return {"inputs": [a, s(0.5), X(kind="positive"), b, s(0.25), X(kind="unit"), s(0.75), X(kind="positive", seed=3)], "types": {"T1": "uint8", "T2": "uint8", "T3": "uint8", "TS": "float"},
            "keep": lambda b, name: b.get("TS", "float") == "float"}


@spec("DynamicQuantizeLinear")
def _(v):
    return {"inputs": [X(2, 3)], "outputs": 3, "more": [("positive", {}, [X(2, 3, kind="positive")]), ("zeros", {}, [np.zeros((2, 2), F)])]}


@spec("QuantizeLinear")
def _(v):
    x = X(3, 4, kind="large")
    s = (lambda *n: X(*n, kind="positive", seed=1)) if v >= 19 else (lambda *n: X(*n, kind="positive", seed=1))
    zero = "T2" if v < 23 else "T3"
    more = [("zero", {}, [x, s(), X(kind="positive")])]
    if v >= 13:
        more.append(("axis", {"axis": 1}, [x, s(4), X(4, kind="positive")]))
    return {"inputs": [x, s()], "more": more, "types": {zero: "uint8"}, "keep": lambda b, name: b.get("T1") != "int32", "vary": {
        "axis": [({"axis": 0}, [X(3, 3, kind="large"), s(3)])], "output_dtype": [{"output_dtype": t} for t in (3, 4, 5)],
        "block_size": [({"block_size": 2, "axis": 1}, [x, s(3, 2)]), ({"block_size": 2, "axis": 0}, [X(4, 3, kind="large"), s(2, 3)])], "precision": [({"precision": 10}, [np.array([0.35, 1.05, 7.77, 20.04999, 3.2501], F), np.array(0.1, F)])]}}


@spec("DequantizeLinear")
def _(v):
    x = X(3, 4)
    s = lambda *n: np.array([0.5, 0.25, 2, 0.125, 1, 4][:int(np.prod(n))], F).reshape(n)
    more = [("zero", {}, [x, s(), X(kind="positive")])]
    if v >= 13:
        more.append(("axis", {"axis": 1}, [x, s(4), X(4, kind="positive")]))
    if v >= 10:
        more.append(("large", {}, [X(8, kind="large"), s()]))
    return {"inputs": [x, s()], "more": more, "types": {"T": "uint8", "T1": "uint8", "T2": "float", "T3": "float"}, "keep": lambda b, name: (b.get("T") or b.get("T1")) != "int32" or name != "zero", "vary": {
        "axis": [({"axis": 0}, [X(3, 3), s(3)])], "block_size": [({"block_size": 2, "axis": 1}, [x, s(3, 2)]), ({"block_size": 2, "axis": 0}, [X(4, 3), s(2, 3), X(2, 3, kind="positive")])],
        "output_dtype": [{"output_dtype": 10}, {"output_dtype": 16}]}}


@spec("MaxPool")
def _(v):
    x = X(1, 2, 5, 5)
    vary = {**windows(), "ceil_mode": [{"ceil_mode": 1, "strides": [2, 2]}], "storage_order": [{"storage_order": 1}]}
    bad = np.arange(9, dtype=F).reshape(1, 1, 3, 3)
    bad[0, 0, 1, 1] = np.nan
    return {"inputs": [x], "attrs": {"kernel_shape": [2, 2]}, "vary": vary, "outputs": 1 if v < 8 else 2, "more": [("1", {"kernel_shape": [3]}, [X(1, 2, 7)]), ("3", {"kernel_shape": [2, 2, 2]}, [X(1, 1, 3, 3, 3)])],
            "keep": lambda b, name: True}


@spec("AveragePool")
def _(v):
    vary = windows()
    if v < 7:  # said nothing of whether padding counts
        vary.update({"pads": [], "auto_pad": [{"auto_pad": "VALID", "strides": [2, 2]}]})
    return {"inputs": [X(1, 2, 5, 5)], "attrs": {"kernel_shape": [2, 2]}, "vary": {**vary, "ceil_mode": [{"ceil_mode": 1, "strides": [2, 2]}], "count_include_pad": [{"count_include_pad": 1, "pads": [1, 1, 1, 1]}]},
            "more": [("1", {"kernel_shape": [3]}, [X(1, 2, 7)])]}


@spec("LpPool")
def _(v):
    return {"inputs": [X(1, 2, 5, 5)], "attrs": {"kernel_shape": [2, 2]}, "vary": {**windows(), "ceil_mode": [{"ceil_mode": 1, "strides": [2, 2]}], "p": [{"p": 3.0 if v < 2 else 3}, {"p": 1.0 if v < 2 else 1}]}}


@spec("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _(v):
    return {"inputs": [X(2, 2, 3, 3)], "vary": {"p": [{"p": 3.0 if v < 2 else 3}]}}


# Norms.
@spec("BatchNormalization")
def _(v):
    given = [X(2, 3, 4), X(3, seed=1), X(3, seed=2), X(3, seed=3), X(3, kind="positive", seed=4)]
    vary = {"epsilon": [{"epsilon": 0.5}]}
    if v >= 14:
        vary["training_mode"] = [{"training_mode": 1, "outputs": 3}]
        vary["momentum"] = [{"training_mode": 1, "momentum": 0.5, "outputs": 3}]
    return {"inputs": given, "vary": vary, "attrs": {"is_test": 1} if v < 7 else {}, "outputs": 1}


@spec("InstanceNormalization")
def _(v):
    return {"inputs": [X(2, 3, 4), X(3, seed=1), X(3, seed=2)], "vary": {"epsilon": [{"epsilon": 0.5}]}}


@spec("LayerNormalization")
def _(v):
    given = [X(2, 3, 4), X(4, seed=1), X(4, seed=2)]
    return {"inputs": given, "outputs": 3, "vary": {"epsilon": [{"epsilon": 0.5}], "axis": [({"axis": 1}, [X(2, 3, 4), X(3, 4, seed=1), X(3, 4, seed=2)])], "stash_type": [{"stash_type": 16}]}}


@spec("GroupNormalization")
def _(v):
    n = 2 if v < 21 else 4
    return {"inputs": [X(2, 4, 3), X(n, seed=1), X(n, seed=2)], "attrs": {"num_groups": 2}, "vary": {"epsilon": [{"epsilon": 0.5}], "num_groups": [{"num_groups": 4}] if v >= 21 else [], "stash_type": [{"stash_type": 10}]}}


@spec("RMSNormalization")
def _(v):
    return {"inputs": [X(2, 3, 4), X(4, seed=1)], "keep": lambda b, name: b["T"] == b["V"], "vary": {"epsilon": [{"epsilon": 0.5}], "axis": [({"axis": 1}, [X(2, 3, 4), X(3, 4, seed=1)])], "stash_type": [{"stash_type": 16}]}}


def lrn(x, size, alpha=1e-4, beta=0.75, bias=1.0, **_):
    kind, x = x.dtype, x.astype(np.float64)
    squares = np.zeros_like(x)
    for i in range(x.shape[1]):
        squares[:, i] = (x[:, max(0, i - (size - 1) // 2):i + size // 2 + 1] ** 2).sum(1)
    return [(x / (bias + alpha / size * squares) ** beta).astype(kind)]


@spec("LRN")
def _(v):
    return {"expect": lrn, "inputs": [X(1, 5, 2, 2)], "attrs": {"size": 3}, "vary": {"size": [{"size": 2}], "alpha": [{"alpha": 0.5}], "beta": [{"beta": 0.5, "alpha": 0.5}], "bias": [{"bias": 2.0}]}}


@spec("LpNormalization")
def _(v):
    zero = np.array([[0, 0], [3, 4]], F)
    return {"inputs": [X(2, 3)], "vary": {"axis": [{"axis": 0}], "p": [{"p": 1}]}, "more": [("zero", {}, [zero])], "keep": lambda b, name: name != "zero" or b["T"] == "float", "prefer": "onnx"}


@spec("MeanVarianceNormalization")
def _(v):
    return {"inputs": [X(2, 3, 2, 2)], "vary": {"axes": [{"axes": [0, 1]}, {"axes": [2, 3]}]}}


@spec("Dropout")
def _(v):
    if v < 12:
        return {"inputs": [X(2, 3)], "attrs": {"is_test": 1} if v < 7 else {}, "outputs": 1}
    return {"inputs": [X(2, 3)], "outputs": 2}


@spec("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def _(v):
    given = [X(3, 4), c(1, 3, 0), X(4, kind="positive", seed=2)]
    return {"inputs": given, "vary": {"reduction": [{"reduction": "sum"}, {"reduction": "none"}], "ignore_index": [{"ignore_index": 3}, ({"ignore_index": -5}, [X(3, 4), c(1, -5, 0), X(4, kind="positive", seed=2)])]},
            "more": [("plain", {}, [X(3, 4), c(1, 3, 0)]), ("map", {}, [X(2, 3, 2), c(1, 2, 0, 2, shape=(2, 2))])]}


# Resize.
@spec("Resize")
def _(v):
    x = X(1, 1, 4, 4, kind="bit")
    scales = lambda *s: np.array((1, 1) + s, F)
    none = np.array([], F)
    if v < 11:
        return {"inputs": [x, scales(2, 1.5)], "vary": {"mode": [{"mode": "linear"}]}}
    if v < 13:
        up, down = [x, none, scales(1.5, 2)], [x, none, scales(0.6, 0.5)]
    else:
        up, down = [x, None, scales(1.5, 2)], [x, None, scales(0.6, 0.5)]
    modes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"] + (["half_pixel_symmetric"] if v >= 19 else [])
    region = np.array([0, 0, 0.2, 0.1, 1, 1, 0.8, 1.4], F)
    small = [x, none if v < 13 else None, scales(0.25, 0.25)]
    cropped = [x, region, none if v < 13 else None, c(1, 1, 5, 6)]
    where = [({"coordinate_transformation_mode": m, "mode": k}, given) for m in modes[1:] for k in ("nearest", "linear", "cubic") for given in (up, down)]
    where.append(({"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "linear"}, cropped))
    where += [({"coordinate_transformation_mode": "pytorch_half_pixel", "mode": k}, small) for k in ("linear", "cubic")]
    crop = ({"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "linear", "extrapolation_value": 9.5}, cropped)
    sizes = [x, None, None, c(3, 7)]
    vary = {"mode": [({"mode": m}, g) for m in ("linear", "cubic") for g in (up, down)], "coordinate_transformation_mode": where,
            "cubic_coeff_a": [({"mode": "cubic", "cubic_coeff_a": -0.5}, up)], "exclude_outside": [({"mode": "cubic", "exclude_outside": 1}, up), ({"mode": "cubic", "exclude_outside": 1}, down)],
            "nearest_mode": [({"nearest_mode": m, "coordinate_transformation_mode": "asymmetric"}, g) for m in ("floor", "ceil", "round_prefer_ceil") for g in (up, down)],
            "extrapolation_value": [crop], "antialias": [({"antialias": 1, "mode": m}, g) for m in ("linear", "cubic") for g in (down, [x, None, scales(0.7, 1.5)])] if v >= 18 else [],
            "axes": [({"axes": [2, 3]}, sizes), ({"axes": [3, 2]}, sizes)], "keep_aspect_ratio_policy": [({"axes": [2, 3], "keep_aspect_ratio_policy": p, "mode": m}, sizes) for p in ("not_larger", "not_smaller") for m in ("nearest", "linear")]}
    more = [(m + name, {"mode": m}, g) for m in ("linear", "cubic") for name, g in (("", up), (" down", down))]
    def prefer(attributes):  # onnxruntime has other rules for the sizes of these
        return "onnx" if attributes.get("coordinate_transformation_mode") in ("align_corners", "tf_crop_and_resize") else None
    return {"inputs": up, "more": more, "vary": vary, "prefer": prefer, "keep": lambda b, name: b.get("T2", "float") == "float" and (not name.startswith("cubic") or b["T1"].startswith("float")) and (
        not name.startswith("linear") or b["T1"] in ("float", "int32", "int8", "uint8", "float16", "double"))}


@spec("Upsample")
def _(v):
    x = X(1, 1, 2, 3)
    if v < 7:
        up = lambda a, h, w, mode="nearest", **_: [np.repeat(np.repeat(a, int(h), 2), int(w), 3)]
        return {"inputs": [x], "attrs": {"height_scale": 2.0, "width_scale": 3.0}, "vary": {"height_scale": [{"height_scale": 3.0}], "width_scale": [{"width_scale": 2.0}]},
                "expect": lambda a, height_scale, width_scale, **_: [np.repeat(np.repeat(a, int(height_scale), 2), int(width_scale), 3)]}
    if v < 9:
        return {"inputs": [x], "attrs": {"scales": [1.0, 1.0, 2.0, 3.0]}, "vary": {"scales": [{"scales": [1.0, 1.0, 3.0, 2.0]}], "mode": [{"mode": "linear"}]}}
    return {"inputs": [x, np.array([1, 1, 2, 3], F)], "vary": {"mode": [{"mode": "linear"}]}}


# Recurrent networks.
def recurrent(name, gates, functions):
    def f(v):
        if v < 7:
            return None
        h = 2
        w = lambda dirs: [X(3, 2, 2), X(dirs, gates * h, 2, seed=1), X(dirs, gates * h, h, seed=2), X(dirs, 2 * gates * h, seed=3)]
        other = ["HardSigmoid", "LeakyRelu", "Softsign"][:len(functions)]
        vary = {"hidden_size": [], "direction": [{"direction": "reverse"}, ({"direction": "bidirectional"}, w(2))], "clip": [{"clip": 2.0}],
                "activations": [{"activations": other}, {"activations": (["Relu", "Softsign"] if name == "GRU" else ["Softplus", "Softsign", "Elu"])[:len(functions)]}, {"activations": ["ScaledTanh", "Affine", "ThresholdedRelu"][:len(functions)], "activation_alpha": [1.5, 0.5, 0.25][:len(functions)], "activation_beta": [0.75, 0.25][:len(functions)]}],
                "activation_alpha": [{"activations": other, "activation_alpha": [0.5, 0.3][:len(functions)]}], "activation_beta": [{"activations": other, "activation_beta": [0.25]}],
                "input_forget": [{"input_forget": 1}], "linear_before_reset": [{"linear_before_reset": 1}],
                "layout": [({"layout": 1}, [X(2, 3, 2)] + w(1)[1:])]}
        more = [("lengths", {"hidden_size": h}, w(1) + [np.array([3, 1], np.int32)]), ("back", {"hidden_size": h, "direction": "reverse"}, w(1) + [np.array([3, 1], np.int32)]),
                ("start", {"hidden_size": h}, w(1) + [None, X(1, 2, h, seed=5)]), ("no bias", {"hidden_size": h}, w(1)[:3])]
        if name == "LSTM":
            more.append(("peepholes", {"hidden_size": h}, w(1) + [None, X(1, 2, h, seed=5), X(1, 2, h, seed=6), X(1, 3 * h, seed=7)]))
        return {"inputs": w(1), "attrs": {"hidden_size": h}, "outputs": 3 if name == "LSTM" else 2, "vary": vary, "more": more}
    SPECS[name] = f


recurrent("RNN", 1, ["Tanh"])
recurrent("GRU", 3, ["Sigmoid", "Tanh"])
recurrent("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"])


# Operators that are not element by element, of newer opsets.
@spec("GridSample")
def _(v):
    grid = np.array([[[[-1, -1], [0.25, -0.5], [1.2, 0.7]], [[0.5, 0.5], [-0.3, 1.0], [-1.4, 0.1]]]], F)
    modes = [{"mode": "nearest"}, {"mode": "bicubic"}] if v < 20 else [{"mode": "nearest"}, {"mode": "cubic"}]
    return {"inputs": [X(1, 2, 3, 4), grid], "keep": lambda b, name: "int" not in b["T1"] and b["T1"] != "bool", "prefer": "onnx", "vary": {  # of integers onnx multiplies weights of 0
        "mode": modes, "padding_mode": [{"padding_mode": "border"}, {"padding_mode": "reflection"}], "align_corners": [{"align_corners": 1}]}}


@spec("ReverseSequence")
def _(v):
    return {"inputs": [X(4, 3, kind="large"), c(3, 1, 4)], "vary": {"batch_axis": [({"batch_axis": 0, "time_axis": 1}, [X(3, 4), c(3, 1, 4)])], "time_axis": [({"batch_axis": 0, "time_axis": 1}, [X(3, 4), c(3, 1, 4)])]}}


@spec("Compress")
def _(v):
    keep = np.array([True, False, True])
    return {"inputs": [X(3, 4, kind="large"), keep], "vary": {"axis": [{"axis": 0}, ({"axis": 1}, [X(3, 4), keep])]}}


@spec("Unique")
def _(v):
    x = np.array([[2, 1, 1], [3, 4, 3], [2, 1, 1]], F)
    return {"inputs": [X(8)], "outputs": 4, "prefer": "onnx", "vary": {"axis": [({"axis": 0}, [x])], "sorted": [({"sorted": 0}, [x])]}}


@spec("CenterCropPad")
def _(v):
    return {"inputs": [X(3, 4), c(5, 3)], "vary": {"axes": [({"axes": [1]}, [X(3, 4), c(7)])]}}


@spec("Col2Im")
def _(v):
    return {"inputs": [X(1, 5, 5), c(5, 5), c(1, 5)], "vary": {"dilations": [({"dilations": [1, 2]}, [X(1, 4, 12), c(4, 5), c(2, 2)])], "pads": [({"pads": [0, 1, 0, 1]}, [X(1, 5, 15), c(5, 5), c(1, 5)])],
            "strides": [({"strides": [2, 2]}, [X(1, 4, 4), c(4, 4), c(2, 2)])]}}


@spec("MaxUnpool")
def _(v):
    return {"inputs": [X(1, 1, 2, 2), c(5, 7, 13, 15, shape=(1, 1, 2, 2))], "attrs": {"kernel_shape": [2, 2], "strides": [2, 2]}, "vary": {
        "pads": [({"pads": [0, 0, 1, 1]}, [X(1, 1, 2, 2), c(0, 2, 6, 8, shape=(1, 1, 2, 2))])], "strides": [({"strides": [1, 1]}, [X(1, 1, 2, 2), c(0, 2, 6, 8, shape=(1, 1, 2, 2))])],
        "kernel_shape": [({"kernel_shape": [3, 3], "strides": [3, 3]}, [X(1, 1, 2, 2), c(0, 4, 20, 30, shape=(1, 1, 2, 2))])]}}


@spec("NonMaxSuppression")
def _(v):
    boxes = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11], [0, 10.1, 1, 11.1], [0, 100, 1, 101]]], F)
    scores = np.array([[[0.9, 0.75, 0.6, 0.95, 0.5, 0.3]]], F)
    return {"inputs": [boxes, scores, c(3), c(0.5, dtype=F), c(0.0, dtype=F)], "vary": {"center_point_box": [{"center_point_box": 1}]}, "more": [("none", {}, [boxes, scores]), ("score", {}, [boxes, scores, c(9), c(0.5, dtype=F), c(0.7, dtype=F)])]}


@spec("RoiAlign")
def _(v):
    rois = np.array([[0, 0, 4, 4], [1, 1, 3, 5]], F)
    return {"inputs": [X(1, 2, 6, 6), rois, c(0, 0)], "attrs": {"output_height": 2, "output_width": 2}, "keep": lambda b, name: b["T1"] == "float", "vary": {
        "mode": [{"mode": "max"}], "output_height": [{"output_height": 3}], "output_width": [{"output_width": 1}], "sampling_ratio": [{"sampling_ratio": 2}, {"sampling_ratio": 3}],
        "spatial_scale": [{"spatial_scale": 0.5}], "coordinate_transformation_mode": [{"coordinate_transformation_mode": "output_half_pixel"}]}}


@spec("Attention")
def _(v):
    q, k, w = X(1, 2, 3, 4), X(1, 2, 5, 4, seed=1), X(1, 2, 5, 4, seed=2)
    flat = [X(1, 3, 8), X(1, 5, 8, seed=1), X(1, 5, 8, seed=2)]
    return {"inputs": [q, k, w], "prefer": "onnx", "vary": {"is_causal": [{"is_causal": 1}], "scale": [{"scale": 0.25}], "softcap": [{"softcap": 1.5}], "qk_matmul_output_mode": [], "softmax_precision": [],
            "q_num_heads": [({"q_num_heads": 2, "kv_num_heads": 2}, flat), ({"q_num_heads": 4, "kv_num_heads": 2}, [X(1, 3, 16), X(1, 5, 8, seed=1), X(1, 5, 8, seed=2)])],
            "kv_num_heads": [({"q_num_heads": 2, "kv_num_heads": 2}, flat)]}, "more": [("mask", {}, [q, k, w, X(3, 5, seed=4)])]}


@spec("RotaryEmbedding")
def _(v):
    return {"inputs": [X(1, 2, 3, 4), X(1, 3, 2, seed=1), X(1, 3, 2, seed=2)], "vary": {"interleaved": [{"interleaved": 1}], "num_heads": [({"num_heads": 2}, [X(1, 3, 8), X(1, 3, 2, seed=1), X(1, 3, 2, seed=2)])],
            "rotary_embedding_dim": [({"rotary_embedding_dim": 2}, [X(1, 2, 3, 4), X(1, 3, 1, seed=1), X(1, 3, 1, seed=2)])]}, "prefer": "onnx"}


@spec("HannWindow", "HammingWindow", "BlackmanWindow")
def _(v):
    return {"inputs": [one(7)], "vary": {"periodic": [{"periodic": 0}], "output_datatype": [{"output_datatype": 11}]}, "keep": lambda b, name: b["T1"] == "int64" and b["T2"] == "float", "types": {"T1": "int64"}}


@spec("DFT")
def _(v):
    if v < 20:
        return {"inputs": [X(1, 6, 1)], "prefer": "onnx", "vary": {"axis": [({"axis": 2}, [X(1, 2, 6, 1)])], "inverse": [({"inverse": 1}, [X(1, 6, 2)])], "onesided": [{"onesided": 1}]}}
    return {"inputs": [X(1, 6, 1), None, one(1)], "prefer": "onnx", "vary": {"inverse": [({"inverse": 1}, [X(1, 6, 2), None, one(1)])], "onesided": [{"onesided": 1}]}}


@spec("STFT")
def _(v):
    return {"inputs": [X(1, 16, 1), one(4), X(8, kind="positive", seed=1)], "prefer": "onnx", "keep": lambda b, name: b["T2"] == "int64", "types": {"T2": "int64"}, "vary": {"onesided": [{"onesided": 0}]}}


@spec("AffineGrid")
def _(v):
    return {"inputs": [X(1, 2, 3), c(1, 1, 2, 3)], "vary": {"align_corners": [{"align_corners": 1}]}}


@spec("SwiGLU")
def _(v):
    return {"inputs": [X(2, 4)], "vary": {"alpha": [{"alpha": 0.5}]}}
