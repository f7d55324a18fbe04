"""Writes what ONNX's own packages say of every operator, and cases of each with the values that other tools give.

    python -m venv peers && peers/bin/pip install onnx onnxruntime numpy ml_dtypes
    peers/bin/python bench/peers/onnx_schemas.py onnxrun

schemas.tsv has a line for each version of each operator: its name (domain.Name outside the standard domain), the opset it came with,
its attributes, inputs, outputs and types. Package onnxrun holds the attributes of models against it.

testdata/walk.bin.gz has graphs of one operator with inputs and the outputs of onnxruntime or, where it runs none, of ONNX's reference
evaluator: for each type of each operator, and for each attribute with values other than its default. TestWalk runs them.
"""
import sys

import onnx
import onnx.defs


# The letter of each kind of attribute, by its number in AttributeProto.
KINDS = "?fistgFISTGpPyY"


def default(value):
    """The default of an attribute as text, "" if there is none."""
    if isinstance(value, bytes):
        value = onnx.AttributeProto.FromString(value)
    if not value.name:
        return ""
    v = onnx.helper.get_attribute_value(value)
    if isinstance(v, bytes):
        v = v.decode()
    if isinstance(v, float):
        v = "%.9g" % v
    if isinstance(v, list):
        v = ",".join(str(x) for x in v)
    return "=" + str(v).replace(" ", "_")


def attributes(schema):
    """name:kind of each, with ! for those that must be there and =value for a default."""
    out = []
    for name in sorted(schema.attributes):
        a = schema.attributes[name]
        kind = KINDS[int(a.type.value if hasattr(a.type, "value") else a.type)]
        out.append(name + ":" + kind + ("!" if a.required else default(getattr(a, "default_value", None) or a._default_value)))
    return " ".join(out)


def type_of(p):
    return p.type_str if hasattr(p, "type_str") else p.typeStr


def parameters(list):
    """name:types of each, with ? for one that may be left out and * for one that may come often."""
    marks = {0: "", 1: "?", 2: "*"}
    return " ".join(p.name.replace(" ", "_") + ":" + type_of(p).replace(" ", "")
                    + marks[int(p.option.value if hasattr(p.option, "value") else p.option)] for p in list)


def constraints(schema):
    """name=types, those of tensors as their names alone."""
    out = []
    for c in schema.type_constraints:
        types = sorted(t.replace("tensor(", "").replace(")", "") if t.startswith("tensor(") else t.replace("tensor", "").replace("(", ".").replace(")", "")
                       for t in c.allowed_type_strs)
        out.append(c.type_param_str + "=" + ",".join(types))
    return " ".join(out)


def schemas():
    """Those of onnx, and of onnxruntime's own domain where its package is there."""
    every = [s for s in onnx.defs.get_all_schemas_with_history() if not s.domain.startswith("ai.onnx.preview")]
    try:
        from onnxruntime.capi import onnxruntime_pybind11_state as state
        every += [s for s in state.get_all_operator_schema() if s.domain == "com.microsoft"]
    except ImportError:
        print("without onnxruntime: no operators of com.microsoft", file=sys.stderr)
    return sorted(every, key=lambda s: (s.domain, s.name, s.since_version))


def write_table(path):
    with open(path, "w", encoding="utf-8") as f:
        for s in schemas():
            name = s.name if s.domain == "" else s.domain + "." + s.name
            f.write("\t".join([name, str(s.since_version) + ("-" if s.deprecated else ""), attributes(s), parameters(s.inputs),
                               parameters(s.outputs), constraints(s)]) + "\n")


if __name__ == "__main__":
    write_table(sys.argv[1] + "/schemas.tsv")
    if len(sys.argv) == 2:
        import onnx_walk
        onnx_walk.write(sys.argv[1] + "/testdata/walk.bin.gz")
