"""com.microsoft's operators of numbers in steps."""
import numpy as np

from onnx_operators import array

MS = "com.microsoft"
s = lambda v: np.array(v, np.float32)


def add(f):
    for t in (np.uint8, np.int8):
        n = np.dtype(t).name
        a, b = array((2, 3, 4), t), array((3, 4), t, 1)
        za, zb, zc = (np.array(v, t) for v in (3, 7, 12))
        f.op("add_" + n, "QLinearAdd", [a, s(0.0317), za, b, s(0.0213), zb, s(0.0419), zc], domain=MS)
        f.op("mul_" + n, "QLinearMul", [a, s(0.0317), za, b, s(0.0213), zb, s(0.0419), zc], domain=MS)
        f.op("sigmoid_" + n, "QLinearSigmoid", [a, s(0.0317), za, s(0.0041), zc], domain=MS, constant=(1, 2, 3, 4))
        f.op("leaky_" + n, "QLinearLeakyRelu", [a, s(0.0317), za, s(0.0219), zc], domain=MS, constant=(1, 2, 3, 4), alpha=0.2)
        f.op("concat_" + n, "QLinearConcat", [s(0.0417), zc, a, s(0.0317), za, array((2, 3, 2), t, 3), s(0.0213), zb], domain=MS, axis=2, constant=(0, 1, 3, 4, 6, 7))
        f.op("global_" + n, "QLinearGlobalAveragePool", [array((2, 3, 4, 5), t), s(0.0317), za, s(0.0119), zc], domain=MS, constant=(1, 2, 3, 4))
        f.op("where_" + n, "QLinearWhere", [array((3, 4), np.bool_), a, s(0.0317), za, b, s(0.0213), zb, s(0.0419), zc], domain=MS, constant=(2, 3, 5, 6, 7, 8))
        f.op("gemm_float_" + n, "QGemm", [array((3, 4), t), s(0.0317), za, array((4, 2), t, 1), s(0.0213), zb, array(2, np.int32, 2)], domain=MS, alpha=1.0, constant=(1, 2, 3, 4, 5, 6))
        f.op("to_float_" + n, "MatMulIntegerToFloat", [array((3, 4), t), array((4, 2), t, 1), s(0.0317), s([0.0213, 0.05]), za, np.array([3, 5], t), array(2, seed=2)], domain=MS, constant=(1, 2, 3, 4, 5, 6))
        f.op("dynamic_" + n, "DynamicQuantizeMatMul", [array((3, 4)), array((4, 2), t, 1), s([0.0213, 0.05]), np.array([3, 5], t), array(2, seed=2)], domain=MS, constant=(1, 2, 3, 4))
    u = array((2, 3, 4), np.uint8)
    f.op("global_last", "QLinearGlobalAveragePool", [array((2, 4, 5, 3), np.uint8), s(0.0317), np.array(3, np.uint8), s(0.0119), np.array(9, np.uint8)], domain=MS, constant=(1, 2, 3, 4), channels_last=1)
    f.op("softmax", "QLinearSoftmax", [u, s(0.0317), np.array(3, np.uint8), s(1 / 256), np.array(0, np.uint8)], domain=MS, constant=(1, 2, 3, 4), axis=-1, named={"opset": 13})
    f.op("average", "QLinearAveragePool", [array((1, 2, 5, 5), np.uint8), s(0.0317), np.array(3, np.uint8), s(0.0213), np.array(9, np.uint8)], domain=MS, constant=(1, 2, 3, 4), kernel_shape=[3, 3],
         strides=[2, 2], pads=[1, 1, 1, 1])
    f.op("average_pad", "QLinearAveragePool", [array((1, 2, 5, 5), np.uint8), s(0.0317), np.array(3, np.uint8), s(0.0213), np.array(9, np.uint8)], domain=MS, constant=(1, 2, 3, 4), kernel_shape=[2, 2],
         pads=[1, 0, 0, 1], count_include_pad=1)
    f.op("average_last", "QLinearAveragePool", [array((1, 5, 5, 2), np.uint8), s(0.0317), np.array(3, np.uint8), s(0.0213), np.array(9, np.uint8)], domain=MS, constant=(1, 2, 3, 4), kernel_shape=[2, 2],
         channels_last=1)
    f.op("gemm", "QGemm", [array((3, 4), np.uint8), s(0.0317), np.array(3, np.uint8), array((2, 4), np.int8, 1), s([0.0213, 0.031]), np.array([0, 0], np.int8), array(2, np.int32, 2), s(0.3), np.array(9, np.uint8)],
         domain=MS, transB=1, constant=(1, 2, 3, 4, 5, 6, 7, 8))
    f.op("qattention", "QAttention", [array((1, 3, 4), np.uint8), array((4, 12), np.int8, 1), array(12, seed=2), s(0.01), s(0.02), None, np.array(120, np.uint8), np.array(2, np.int8)], domain=MS, num_heads=2,
         constant=(1, 2, 3, 4, 6, 7))
    for name, dirs in (("forward", 1), ("bidirectional", 2)):
        f.op("lstm_" + name, "DynamicQuantizeLSTM", [array((3, 1, 4)), array((dirs, 4, 12), np.int8, 1), array((dirs, 3, 12), np.int8, 2), array((dirs, 24), seed=3, scale=0.5), None, None, None, None,
             np.full(dirs, 0.011, np.float32), np.zeros(dirs, np.int8), np.full(dirs, 0.013, np.float32), np.zeros(dirs, np.int8)], outputs=3, domain=MS, hidden_size=3, direction=name,
             constant=(1, 2, 3, 8, 9, 10, 11))
