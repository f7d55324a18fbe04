"""Attention and rotary positions, of the standard and of onnxruntime."""
import numpy as np

from onnx_operators import array

MS = "com.microsoft"


def add(f):
    q, k, v = array((2, 4, 3, 8)), array((2, 4, 5, 8), seed=1), array((2, 4, 5, 6), seed=2)
    few = (array((2, 2, 5, 8), seed=3), array((2, 2, 5, 6), seed=4))
    f.op("plain", "Attention", [q, k, v])
    f.op("scale", "Attention", [q, k, v], scale=0.2)
    f.op("grouped", "Attention", [q, *few])
    f.op("causal", "Attention", [q, k, v], is_causal=1)
    f.op("softcap", "Attention", [q, k, v], softcap=0.5, opset=24, ref="onnx")
    f.op("mask_bool", "Attention", [q, k, v, array((3, 5), np.bool_, 7) | np.eye(3, 5, dtype=bool)])
    f.op("mask_float", "Attention", [q, k, v, array((2, 1, 3, 5), seed=8)])
    f.op("mask_short", "Attention", [q, k, v, array((3, 4), seed=8)], opset=24, ref="onnx")
    f.op("mask_causal", "Attention", [q, k, v, array((2, 4, 3, 5), seed=8)], is_causal=1)
    f.op("mask_nothing", "Attention", [q, k, v, np.array([[True] * 5, [False] * 5, [True] * 5])], opset=24, ref="onnx")
    f.op("mask_infinite", "Attention", [q, k, v, np.where(array((3, 5), np.bool_, 7) | np.eye(3, 5, dtype=bool), 0, -np.inf).astype(np.float32)])
    past = (array((2, 4, 2, 8), seed=5), array((2, 4, 2, 6), seed=6))
    f.op("past", "Attention", [q, k, v, None, *past], outputs=3)
    f.op("past_causal", "Attention", [q, q, array((2, 4, 3, 6), seed=2), None, *past], outputs=3, is_causal=1, opset=24, ref="onnx")
    three = (array((2, 3, 32)), array((2, 5, 16), seed=1), array((2, 5, 12), seed=2))
    f.op("three", "Attention", [*three], q_num_heads=4, kv_num_heads=2)
    f.op("three_past", "Attention", [*three, None, array((2, 2, 2, 8), seed=5), array((2, 2, 2, 6), seed=6)], outputs=3, q_num_heads=4, kv_num_heads=2)
    for mode in range(4):
        f.op(f"qk_{mode}", "Attention", [q, k, v, array((3, 5), seed=8)], outputs=["y", "", "", "qk"], qk_matmul_output_mode=mode, opset=24, ref="onnx", softcap=0.7 if mode else None)
    f.op("nonpad", "Attention", [q, k, v, None, None, None, np.array([3, 5], np.int64)], opset=24, ref="onnx")
    f.op("nonpad_causal", "Attention", [q, k, v, None, None, None, np.array([4, 5], np.int64)], opset=24, ref="onnx", is_causal=1)
    f.op("f16", "Attention", [q.astype(np.float16), k.astype(np.float16), v.astype(np.float16)], ref="onnx")
    f.op("precision", "Attention", [q, k, v], ref="onnx", softmax_precision=11)
    f.op("f64", "Attention", [q.astype(np.float64), k.astype(np.float64), v.astype(np.float64)], ref="onnx")

    cos, sin = np.cos(array((10, 8), seed=9)).astype(np.float32), np.sin(array((10, 8), seed=9)).astype(np.float32)
    at = np.array([[0, 3, 9], [1, 2, 5]], np.int64)
    long, cos, sin = (cos, sin), cos[:, :4], sin[:, :4]
    f.op("rotary", "RotaryEmbedding", [q, cos, sin, at])
    f.op("rotary_interleaved", "RotaryEmbedding", [q, cos, sin, at], interleaved=1)
    f.op("rotary_part", "RotaryEmbedding", [q, cos[:, :2], sin[:, :2], at], rotary_embedding_dim=4)
    f.op("rotary_three", "RotaryEmbedding", [array((2, 3, 32)), cos, sin, at], num_heads=4)
    f.op("rotary_rows", "RotaryEmbedding", [q, cos[at], sin[at]], interleaved=1)
    f.op("rotary_old", "RotaryEmbedding", [array((2, 3, 32)), at, cos, sin], domain=MS)
    f.op("rotary_old_start", "RotaryEmbedding", [array((2, 3, 32)), np.array([2], np.int64), cos, sin], domain=MS, interleaved=1)
    f.op("rotary_old_part", "RotaryEmbedding", [array((2, 3, 32)), at, cos[:, :2], sin[:, :2]], domain=MS, num_heads=4, rotary_embedding_dim=4)
    f.op("rotary_old_four", "RotaryEmbedding", [q, at, cos, sin], domain=MS)
    f.op("rotary_old_one", "RotaryEmbedding", [array((1, 1, 32)), np.array([[4]], np.int64), cos, sin], domain=MS)

    x, w, b = array((2, 3, 8)), array((8, 24), seed=1), array(24, seed=2)
    f.op("packed", "Attention", [x, w, b], domain=MS, num_heads=2)
    f.op("packed_causal", "Attention", [x, w, b], domain=MS, num_heads=2, unidirectional=1, scale=0.3)
    f.op("packed_mask2", "Attention", [x, w, b, np.array([[1, 1, 0], [1, 1, 1]], np.int32)], domain=MS, num_heads=2)
    f.op("packed_mask3", "Attention", [x, w, b, array((2, 3, 3), np.bool_, 3).astype(np.int32) | np.eye(3, dtype=np.int32)], domain=MS, num_heads=2, mask_filter_value=-50.0)
    f.op("packed_ends", "Attention", [x, w, b, np.array([2, 3], np.int32)], domain=MS, num_heads=2)
    f.op("packed_starts", "Attention", [x, w, b, np.array([3, 3, 1, 0], np.int32)], domain=MS, num_heads=2)
    f.op("packed_sizes", "Attention", [x, array((8, 28), seed=1), array(28, seed=2)], domain=MS, num_heads=2, qkv_hidden_sizes=[8, 8, 12])
    f.op("packed_past", "Attention", [x, w, b, None, array((2, 2, 2, 4, 4), seed=3)], outputs=2, domain=MS, num_heads=2, unidirectional=1)
    f.op("packed_bias", "Attention", [x, w, b, None, None, array((1, 2, 3, 3), seed=4)], domain=MS, num_heads=2)

    q, k, v = array((2, 3, 8)), array((2, 5, 8), seed=1), array((2, 5, 12), seed=2)
    f.op("multi", "MultiHeadAttention", [q, k, v], domain=MS, num_heads=2)
    f.op("multi_bias", "MultiHeadAttention", [q, k, v, array(28, seed=3)], domain=MS, num_heads=2, scale=0.4)
    f.op("multi_padding", "MultiHeadAttention", [q, k, v, None, np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)], domain=MS, num_heads=2)
    f.op("multi_lengths", "MultiHeadAttention", [q, k, v, None, np.array([2, 5], np.int32)], domain=MS, num_heads=2)
    f.op("multi_added", "MultiHeadAttention", [q, k, v, None, None, array((2, 2, 3, 5), seed=4)], domain=MS, num_heads=2)
    f.op("multi_heads", "MultiHeadAttention", [q, array((2, 2, 5, 4), seed=5), array((2, 2, 5, 4), seed=6)], domain=MS, num_heads=2)
    f.op("multi_past", "MultiHeadAttention", [q, array((2, 3, 8), seed=1), array((2, 3, 8), seed=2), None, None, None, array((2, 2, 2, 4), seed=7), array((2, 2, 2, 4), seed=8)],
         outputs=3, domain=MS, num_heads=2, unidirectional=1)
    packed = array((2, 3, 2, 3, 4))  # onnxruntime takes it on GPUs only
    f.op("multi_packed_parts", "MultiHeadAttention", [np.ascontiguousarray(packed[:, :, :, i]).reshape(2, 3, 8) for i in range(3)], domain=MS, num_heads=2)
    f.op("multi_packed", "MultiHeadAttention", [packed], domain=MS, num_heads=2, want=f.last())

    q, k, v = array((2, 1, 64)), array((2, 1, 32), seed=1), array((2, 1, 32), seed=2)
    past = (array((2, 2, 4, 16), seed=3), array((2, 2, 4, 16), seed=4))
    f.op("group_step", "GroupQueryAttention", [q, k, v, *past, np.array([4, 4], np.int32), np.array([5], np.int32)], outputs=3, domain=MS, num_heads=4, kv_num_heads=2)
    first = (array((2, 3, 64)), array((2, 3, 32), seed=1), array((2, 3, 32), seed=2))
    lengths = (np.array([2, 2], np.int32), np.array([3], np.int32))
    f.op("group_prompt", "GroupQueryAttention", [*first, None, None, *lengths], outputs=3, domain=MS, num_heads=4, kv_num_heads=2)
    angles = long
    f.op("group_rotary", "GroupQueryAttention", [*first, None, None, *lengths, *angles], outputs=3, domain=MS, num_heads=4, kv_num_heads=2, do_rotary=1)
    f.op("group_rotary_step", "GroupQueryAttention", [q, k, v, *past, np.array([4, 4], np.int32), np.array([5], np.int32), *angles], outputs=3, domain=MS, num_heads=4,
         kv_num_heads=2, do_rotary=1, rotary_interleaved=1)
    f.op("group_window", "GroupQueryAttention", [*first, None, None, *lengths], outputs=3, domain=MS, num_heads=4, kv_num_heads=2, local_window_size=2, softcap=0.6)
    f.op("group_packed", "GroupQueryAttention", [array((2, 3, 128)), None, None, None, None, *lengths, *angles], outputs=3, domain=MS, num_heads=4, kv_num_heads=2, do_rotary=1, scale=0.3)
    ragged = [q, k, v, *past, np.array([2, 4], np.int32), np.array([5], np.int32)]
    f.op("group_ragged_all", "GroupQueryAttention", ragged, outputs=3, domain=MS, num_heads=4, kv_num_heads=2)
    f.op("group_ragged", "GroupQueryAttention", ragged, outputs=["y"], domain=MS, num_heads=4, kv_num_heads=2, want=f.last()[:1])  # what is not cached yet may be anything
    f.op("group_added", "GroupQueryAttention", [*first, None, None, *lengths, None, None, None, array((2, 4, 3, 3), seed=5)], outputs=3, domain=MS, num_heads=4, kv_num_heads=2)
    f.op("group_smooth", "GroupQueryAttention", [*first, None, None, *lengths], outputs=3, domain=MS, num_heads=4, kv_num_heads=2, smooth_softmax=1)
