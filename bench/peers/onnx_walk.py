"""Cases of single operators for onnx_schemas.py: inputs, attributes, and what other tools make of them."""
import gzip
import json
import struct
import sys
import warnings

import ml_dtypes
import numpy as np
import onnx
import onnx.defs
from onnx import TensorProto, helper, numpy_helper

import onnx_walk_specs as onnx_specs

warnings.filterwarnings("ignore")

# The types that the engines know; of others a model is refused.
TYPES = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "bool": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}
NUMBERS = {name: TensorProto.DataType.Value(name.upper()) for name in TYPES}
NAMES = {np.dtype(t): name for name, t in TYPES.items()}


class Case:
    """One operator on one set of inputs."""

    def __init__(self, op, version, attributes, inputs, outputs, about):
        self.op, self.version, self.attributes, self.inputs, self.outputs, self.about = op, version, attributes, inputs, outputs, about

    def model(self, version=None):
        domain, _, name = self.op.rpartition(".")
        version = version or self.version
        names = ["x%d" % i if x is not None else "" for i, x in enumerate(self.inputs)]
        while names and names[-1] == "":
            names.pop()
        outs = ["y%d" % i for i in range(self.outputs)]
        node = helper.make_node(name, names, outs, domain=domain, **self.attributes)
        given = [helper.make_tensor_value_info(n, NUMBERS[NAMES[x.dtype]], x.shape) for n, x in zip(names, self.inputs) if x is not None]
        graph = helper.make_graph([node], "g", given, [onnx.ValueInfoProto(name=o) for o in outs])
        imports = [helper.make_opsetid(domain, version)]
        if domain:
            imports.append(helper.make_opsetid("", 18))
        m = helper.make_model(graph, opset_imports=imports, ir_version=8 if version < 19 else 10, producer_name="")
        return m

    def feeds(self):
        return {"x%d" % i: x for i, x in enumerate(self.inputs) if x is not None}


def by_runtime(case, version):
    """The outputs of onnxruntime."""
    import onnxruntime as ort
    if any(x is not None and x.dtype == ml_dtypes.bfloat16 for x in case.inputs):
        raise NotImplementedError("bfloat16 has no place in numpy")
    m = case.model(version)
    m = typed(m)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(m.SerializeToString(), options).run(None, case.feeds())


def typed(m):
    """The model with the types of its outputs, which onnxruntime wants."""
    return onnx.shape_inference.infer_shapes(m)


def by_reference(case, version):
    """The outputs of ONNX's own evaluator."""
    from onnx.reference import ReferenceEvaluator
    return ReferenceEvaluator(case.model(version)).run(None, case.feeds())


def arrays(list):
    return [None if y is None else np.asarray(y) for y in list]


def as_declared(case, version, outs):
    """The outputs in the types that the specification gives them: ONNX's evaluator has its own in places."""
    try:
        given = typed(case.model(version)).graph.output
    except Exception:  # no inference for it
        return outs
    kinds = {number: TYPES[name] for name, number in NUMBERS.items()}
    return [y if y is None or t.type.tensor_type.elem_type not in kinds else y.astype(kinds[t.type.tensor_type.elem_type]) for y, t in zip(outs, given)]


def same(a, b, loose=2e-3):
    """Whether two lists of outputs agree."""
    for x, y in zip(a, b):
        if x is None or y is None:
            continue
        if x.shape != y.shape or x.dtype != y.dtype:
            return False
        if x.dtype.kind in "iub":
            if not np.array_equal(x, y):
                return False
        elif not np.allclose(x.astype(np.float64), y.astype(np.float64), rtol=loose, atol=1e-5, equal_nan=True):
            return False
    return True


def later(schemas, case):
    """The versions after a case's that have its attributes and as many inputs."""
    for s in schemas:
        if s.since_version > case.version and not s.deprecated and set(case.attributes) <= set(s.attributes):
            yield s.since_version


def value(case, schemas, prefer=None, expect=None):
    """The outputs of a case and who says so; None if nobody does."""
    if expect is not None:
        return arrays(expect(*case.inputs, **case.attributes)), "numpy", None
    errors = []
    got = {}
    order = [("onnxruntime", by_runtime), ("onnx", by_reference)]
    for version in [case.version] + list(later(schemas, case)):
        for name, f in order:
            try:
                got[name] = as_declared(case, version, arrays(f(case, version)))
                if any(y is None or y.dtype not in NAMES for y in got[name]):
                    del got[name]
            except Exception as e:  # both have no other way to say that they do not have an operator
                errors.append("%s %d: %s" % (name, version, str(e).replace("\n", " ")[:160]))
        if got:
            break
    if not got:
        return None, None, errors
    note = None
    if len(got) == 2 and not same(got["onnxruntime"], got["onnx"]):
        note = "onnxruntime and onnx differ"
    who = prefer if prefer in got else ("onnxruntime" if "onnxruntime" in got else "onnx")
    return got[who], who, note


def in_floats(case, type, schemas, prefer):
    """The outputs for a type of 16 bits, or one that onnxruntime does not run, as float32 gives them: so sums are not rounded on the way."""
    wide = Case(case.op, case.version, case.attributes, [x.astype(np.float32) if x is not None and x.dtype == TYPES[type] else x for x in case.inputs],
                case.outputs, case.about)
    return value(wide, schemas, prefer)


def bindings(schema, default, only=None):
    """Default types, and each other type of each constraint in turn."""
    base = {}
    for c in schema.type_constraints:
        allowed = [t[7:-1] for t in c.allowed_type_strs if t.startswith("tensor(") and t[7:-1] in TYPES]
        wish = default.get(c.type_param_str)
        order = [wish, "float", "int64", "int32", "bool", "uint8", "int8"]
        base[c.type_param_str] = next((t for t in order if t in allowed), allowed[0] if allowed else None)
    yield base, None
    for c in schema.type_constraints:
        for t in c.allowed_type_strs:
            t = t[7:-1] if t.startswith("tensor(") else t
            if t in TYPES and t != base[c.type_param_str]:
                yield {**base, c.type_param_str: t}, (c.type_param_str, t)


def record(f, chunks):
    f.write(struct.pack("<I", len(chunks)))
    for c in chunks:
        f.write(struct.pack("<I", len(c)) + c)


def write(path):
    done, missing, differing, idle = {}, [], [], []
    import onnx_schemas
    by_name = {}
    for s in onnx_schemas.schemas():
        by_name.setdefault(s.name if s.domain == "" else s.domain + "." + s.name, []).append(s)
    wanted = sys.argv[2:]
    for op in sorted(by_name):
        if wanted and op not in wanted:
            continue
        spec = onnx_specs.find(op)
        if spec is None:
            missing.append(op + ": no spec")
            continue
        for schema in by_name[op]:
            if schema.deprecated:
                continue
            for plan in onnx_specs.plans(op, schema, spec, bindings):
                case = Case(op, schema.since_version, plan["attributes"], plan["inputs"], plan["outputs"], plan["about"])
                outs, who, note = value(case, by_name[op], plan.get("prefer"), plan.get("expect"))
                kind = plan["about"].get("type", ["", ""])[1]
                if outs is not None and (kind in ("float16", "bfloat16") or kind == "double" and who == "onnx" and op in ("RNN", "GRU", "LSTM", "LRN")):
                    wide, by, other = in_floats(case, kind, by_name[op], plan.get("prefer"))
                    if wide is not None and all(w.dtype == y.dtype or w.dtype == np.float32 and y.dtype == TYPES[kind] for w, y in zip(wide, outs)):
                        outs, who, note = [w.astype(y.dtype) for w, y in zip(wide, outs)], by, other
                if outs is None:
                    missing.append("%s-%d %s: %s" % (op, case.version, plan["about"], " | ".join(note[:2])))
                    continue
                if note:
                    differing.append("%s-%d %s %s" % (op, case.version, plan["about"], plan["attributes"]))
                effect = None
                if plan["about"].get("attribute"):
                    base = Case(op, schema.since_version, plan["base"], plan["inputs"], plan["outputs"], {})
                    b, _, _ = value(base, by_name[op], who)
                    effect = b is None or not same(b, outs, 1e-6) or plan["about"]["attribute"] == "broadcast"  # without it the shapes are wrong
                    if not effect:
                        idle.append("%s-%d %s" % (op, case.version, plan["attributes"]))
                put(done, case, outs, who, effect)
    with gzip.GzipFile(path, "wb", 9, mtime=0) as f:
        for r in done.values():
            head, chunks = r
            record(f, [json.dumps(head, sort_keys=True).encode()] + chunks)
    for title, list in (("without a value", missing), ("of two minds", differing), ("without effect", idle)):
        print("%d %s" % (len(list), title))
        with open("/tmp/onnx_cases_%s.txt" % title.replace(" ", "_"), "w") as f:
            f.write("\n".join(list))
    print(len(done), "cases")


def put(done, case, outs, who, effect):
    """Adds a case, or its version to one that is the same but for it."""
    m = case.model()
    for o in m.opset_import:
        o.version = 1
    m.ir_version = 8
    chunks = [m.SerializeToString()]
    chunks += [numpy_helper.from_array(x).SerializeToString() for x in case.inputs if x is not None]
    chunks += [numpy_helper.from_array(y).SerializeToString() for y in outs]
    key = tuple(chunks) + (json.dumps(case.about, sort_keys=True),)
    if key in done:
        done[key][0]["opsets"].append(case.version)
        return
    head = {"op": case.op, "opsets": [case.version], "from": who, "inputs": sum(x is not None for x in case.inputs), **case.about}
    if effect is not None:
        head["effect"] = bool(effect)
    done[key] = (head, chunks)
