"""Normalisations and activations."""
import numpy as np

from onnx_operators import array

MS = "com.microsoft"


def add(f):
    x, s = array((2, 3, 8)), array(8, seed=1)
    f.op("rms_last", "RMSNormalization", [x, s])
    f.op("rms_axis1", "RMSNormalization", [x, array((3, 8), seed=2)], axis=1, epsilon=1e-3)
    f.op("rms_f16", "RMSNormalization", [x.astype(np.float16), s.astype(np.float16)], ref="onnx")
    f.op("rms_f64", "RMSNormalization", [x.astype(np.float64), s.astype(np.float64)])
    f.op("rms_far", "RMSNormalization", [x * 1e4, s], axis=-1)
    f.op("simplified", "SimplifiedLayerNormalization", [x, s], outputs=2, opset=16, axis=-1, epsilon=1e-6)
    for name, t in (("f32", np.float32),):
        f.op("skip_" + name, "SkipLayerNormalization", [x.astype(t), array((2, 3, 8), seed=3).astype(t), s.astype(t), array(8, seed=4).astype(t), array(8, seed=5).astype(t)],
             outputs=["y", "", "", "sum"], domain=MS, epsilon=1e-4)
    f.op("skip_plain", "SkipLayerNormalization", [x, array((2, 3, 8), seed=3), s], domain=MS)
    f.op("skip_broadcast", "SkipLayerNormalization", [x, array((1, 3, 8), seed=3), s, array(8, seed=4)], domain=MS)
    f.op("skip_simplified", "SkipSimplifiedLayerNormalization", [x, array((2, 3, 8), seed=3), s, array(8, seed=5)], outputs=["y", "", "", "sum"], domain=MS)
    ids = np.array([[1, 4, 2], [0, 3, 3]], np.int32)
    tables = [array((6, 8), seed=i) for i in (6, 7, 8)]
    f.op("embed", "EmbedLayerNormalization", [ids, np.array([[0, 0, 1], [1, 0, 0]], np.int32), tables[0], tables[1], tables[2][:2], s, array(8, seed=4),
         np.array([[1, 1, 0], [1, 1, 1]], np.int32)], outputs=3, domain=MS)
    f.op("embed_plain", "EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, s, array(8, seed=4)], outputs=2, domain=MS, epsilon=1e-3)
    f.op("embed_places", "EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, s, array(8, seed=4), None, np.array([[5, 4, 3]], np.int32)], outputs=["y", "", "sum"], domain=MS)
    g = array((2, 6, 3, 2))
    f.op("group_21", "GroupNormalization", [g, array(6, seed=1), array(6, seed=2)], opset=21, num_groups=3)
    f.op("group_18", "GroupNormalization", [g, array(3, seed=1), array(3, seed=2)], opset=18, num_groups=3, epsilon=1e-2)
    f.op("group_f16", "GroupNormalization", [g.astype(np.float16), array(6, seed=1).astype(np.float16), array(6, seed=2).astype(np.float16)], opset=21, num_groups=2)
    f.op("group_one", "GroupNormalization", [array((1, 4, 5)), array(4, seed=1), array(4, seed=2)], opset=21, num_groups=1)
    f.op("swish", "Swish", [x], opset=24, ref="onnx")
    f.op("swish_alpha", "Swish", [x], opset=24, alpha=0.5, ref="onnx")
    f.op("quick_gelu", "QuickGelu", [x], domain=MS)
    f.op("quick_gelu_alpha", "QuickGelu", [x], domain=MS, alpha=0.7)
    f.op("bias_gelu", "BiasGelu", [x, s], domain=MS)
    f.op("fast_gelu", "FastGelu", [x, s], domain=MS)
    f.op("fast_gelu_plain", "FastGelu", [x], domain=MS)
    f.op("gelu", "Gelu", [x], domain=MS)
    f.op("swiglu", "SwiGLU", [x, array((2, 3, 8), seed=7)], opset=28, alpha=0.5, ref="onnx")
    f.op("global_lp", "GlobalLpPool", [g], opset=13)
    f.op("global_lp3", "GlobalLpPool", [g], opset=13, p=3)
