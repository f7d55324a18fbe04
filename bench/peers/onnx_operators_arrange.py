"""Operators that move elements, and those of bits."""
import numpy as np

from onnx_operators import array


def add(f):
    for t in (np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64):
        a, b = array((2, 3), t), array((3,), t, 1)
        for op in ("And", "Or", "Xor"):
            if op == "And" or t in (np.int8, np.uint64):
                f.op(f"bit_{op}_{np.dtype(t)}", "Bitwise" + op, [a, b], opset=18, ref="onnx")
        f.op(f"bit_not_{np.dtype(t)}", "BitwiseNot", [a], opset=18)
    x = array((4, 5, 3))
    for name, sizes, axes in (("same", [4, 5, 3], None), ("crop", [3, 2, 3], None), ("pad", [7, 5, 6], None), ("both", [7, 2], [-1, 0]), ("odd", [2, 8], [1, 2])):
        f.op("center_" + name, "CenterCropPad", [x, np.array(sizes, np.int64)], opset=18, constant=(1,), axes=axes)
    f.op("center_int", "CenterCropPad", [array((3, 3), np.int64), np.array([2, 5], np.int64)], opset=18, constant=(1,), ref="onnx")
    f.op("center_bool", "CenterCropPad", [array((3, 3), np.bool_), np.array([2, 5], np.int64)], opset=18, constant=(1,), ref="onnx")
    t = array((4, 3, 2))
    f.op("reverse_time", "ReverseSequence", [t, np.array([4, 1, 3], np.int64)], opset=10)
    f.op("reverse_batch", "ReverseSequence", [t, np.array([1, 2, 3, 1], np.int64)], opset=10, time_axis=1, batch_axis=0)
    f.op("reverse_int", "ReverseSequence", [array((4, 3), np.int64), np.array([4, 0, 3], np.int64)], opset=10)
    cache, new = array((2, 2, 5, 3)), array((2, 2, 2, 3), seed=1)
    f.op("scatter_plain", "TensorScatter", [cache, new], opset=24, ref="onnx")
    f.op("scatter_at", "TensorScatter", [cache, new, np.array([1, 3], np.int64)], opset=24, ref="onnx")
    f.op("scatter_circular", "TensorScatter", [cache, new, np.array([4, 2], np.int64)], opset=24, ref="onnx", mode="circular")
    f.op("scatter_axis", "TensorScatter", [array((2, 5, 3)), array((2, 1, 3), seed=1), np.array([4, 2], np.int64)], opset=24, ref="onnx", axis=1)
    c = array((1, 8, 9))
    f.op("col2im", "Col2Im", [c, np.array([4, 4], np.int64), np.array([2, 2], np.int64)], opset=18)
    f.op("col2im_pads", "Col2Im", [array((2, 8, 25)), np.array([4, 4], np.int64), np.array([2, 2], np.int64)], opset=18, pads=[1, 1, 1, 1])
    f.op("col2im_strides", "Col2Im", [array((1, 4, 4)), np.array([5, 5], np.int64), np.array([2, 2], np.int64)], opset=18, strides=[2, 2], dilations=[2, 2])
    f.op("col2im_3d", "Col2Im", [array((1, 8, 8)), np.array([3, 3, 3], np.int64), np.array([2, 2, 2], np.int64)], opset=18)
    f.op("col2im_1d", "Col2Im", [array((1, 6, 4)), np.array([6], np.int64), np.array([3], np.int64)], opset=18, ref="onnx")
    for name, more in (("plain", {}), ("exclusive", {"exclusive": 1}), ("reverse", {"reverse": 1}), ("both", {"exclusive": 1, "reverse": 1})):
        f.op("cumprod_" + name, "CumProd", [array((2, 4)), np.array(1, np.int64)], opset=26, constant=(1,), ref="onnx", **more)
    f.op("cumprod_int", "CumProd", [np.array([3, -2, 5], np.int64), np.array(0, np.int64)], opset=26, constant=(1,), ref="onnx")
    f.op("bits_as_int", "BitCast", [array((2, 3))], opset=26, to=6, ref="onnx")
    f.op("bits_as_float", "BitCast", [array((2, 3), np.int32)], opset=26, to=1, ref="onnx")
