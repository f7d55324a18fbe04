"""com.microsoft's fused products, and weights of a few bits."""
import numpy as np

from onnx_operators import array

MS = "com.microsoft"


def add(f):
    f.op("matmul", "FusedMatMul", [array((2, 3, 4)), array((2, 5, 4), seed=1)], domain=MS, transB=1, alpha=0.5)
    f.op("matmul_a", "FusedMatMul", [array((4, 3)), array((4, 5), seed=1)], domain=MS, transA=1)
    f.op("matmul_batch_a", "FusedMatMul", [array((3, 2, 4)), array((2, 4, 5), seed=1)], domain=MS, transBatchA=1)
    f.op("matmul_batch_b", "FusedMatMul", [array((2, 3, 4)), array((4, 2, 5), seed=1)], domain=MS, transBatchB=1)
    f.op("matmul_batch_both", "FusedMatMul", [array((3, 2, 4)), array((5, 2, 4), seed=1)], domain=MS, transBatchA=1, transBatchB=1, transB=1)
    f.op("transpose_matmul", "TransposeMatMul", [array((4, 3)), array((4, 5), seed=1)], domain=MS, transA=1, alpha=2.0)
    for name, more in (("Relu", {}), ("Sigmoid", {}), ("Tanh", {}), ("LeakyRelu", {"activation_alpha": 0.3}), ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4})):
        f.op("gemm_" + name, "FusedGemm", [array((3, 4)), array((4, 2), seed=1), array(2, seed=2)], domain=MS, alpha=0.5, beta=2.0, activation=name.split("_")[0], **more)
    x, w, b = array((1, 2, 5, 5)), array((3, 2, 3, 3), seed=1), array(3, seed=2)
    for name, p in (("Relu", None), ("Sigmoid", None), ("Tanh", None), ("LeakyRelu", [0.3]), ("Clip", [-0.5, 0.75]), ("HardSigmoid", [0.3, 0.4])):
        f.op("conv_" + name, "FusedConv", [x, w, b], domain=MS, activation=name, activation_params=p, pads=[1, 1, 1, 1], strides=[2, 2])
    f.op("conv_plus", "FusedConv", [x, w, b, array((1, 3, 3, 3), seed=4)], domain=MS, activation="Relu")
    for metric in ("euclidean", "sqeuclidean"):
        f.op("distances_" + metric, "CDist", [array((3, 4)), array((5, 4), seed=1)], domain=MS, metric=metric)
    f.op("inverse", "Inverse", [array((2, 3, 3)) + 3 * np.eye(3, dtype=np.float32)], domain=MS)
    f.op("expand_dims", "ExpandDims", [x, np.array(-1, np.int32)], domain=MS, constant=(1,))
    for bits in (4, 8, 2):
        n, k, block = 3, 40, 16
        blocks = (k + block - 1) // block
        q = array((n, blocks, block * bits // 8), np.uint8, 1)
        scales = np.abs(array((n, blocks), seed=2)) + 0.1
        zeros = array((n, (blocks * bits + 7) // 8), np.uint8, 3)
        more = dict(N=n, K=k, bits=bits, block_size=block, domain=MS, constant=(1, 2, 3, 5))
        f.op(f"bits{bits}", "MatMulNBits", [array((2, k)), q, scales.astype(np.float32)], **more)
        f.op(f"bits{bits}_zeros", "MatMulNBits", [array((2, 2, k)), q, scales.astype(np.float32), zeros], **more)
    f.op("bits_bias", "MatMulNBits", [array((2, 40)), array((3, 3, 8), np.uint8, 1), np.abs(array((3, 3), seed=2)).astype(np.float32) + np.float32(0.1), None, None, array(3, seed=4)], N=3, K=40, bits=4, block_size=16,
         domain=MS, constant=(1, 2, 5), accuracy_level=1)
    f.op("pad", "Pad", [array((2, 3)), np.array([1, 0, 0, 2], np.int64), np.array(1.5, np.float32)], domain=MS, constant=(1, 2))
    f.op("trilu", "Trilu", [array((3, 3)), np.array(1, np.int64)], domain=MS, constant=(1,), upper=0)
    f.op("quantize", "QuantizeLinear", [array((2, 3)), np.array(0.013, np.float32), np.array(100, np.uint8)], domain=MS, constant=(1, 2))
    f.op("dequantize", "DequantizeLinear", [array((2, 3), np.uint8), np.array([0.013, 0.5], np.float32), np.array([100, 3], np.uint8)], domain=MS, constant=(1, 2), axis=0)
