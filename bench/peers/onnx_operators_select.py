"""Operators whose outputs' shapes depend on values."""
import numpy as np

from onnx_operators import array


def add(f):
    x = array((3, 4))
    keep = np.array([True, False, True])
    f.op("compress_0", "Compress", [x, keep], opset=11, axis=0)
    f.op("compress_1", "Compress", [x, np.array([False, True, True])], opset=11, axis=-1)
    f.op("compress_flat", "Compress", [x, np.array([False, True, False, False, True])], opset=11)
    f.op("compress_int", "Compress", [array((2, 3), np.int64), keep], opset=11, axis=1)
    f.op("compress_none", "Compress", [x, np.array([False, False, False])], opset=11, axis=0)
    f.op("compress_bool", "Compress", [array((3, 2), np.bool_), keep], opset=11, axis=0)
    f.op("nonzero", "NonZero", [np.array([[1, 0, 2], [0, 0, 3]], np.float32)], opset=13)
    f.op("nonzero_bool", "NonZero", [array((2, 3, 2), np.bool_)], opset=13)
    f.op("nonzero_int", "NonZero", [np.array([0, 5, 0, -1], np.int64)], opset=13)
    f.op("nonzero_none", "NonZero", [np.zeros((2, 2), np.float32)], opset=13)
    v = np.array([2.0, 1, 1, 3, 4, 3], np.float32)
    f.op("unique", "Unique", [v], outputs=4, opset=11)
    f.op("unique_order", "Unique", [v], outputs=4, opset=11, sorted=0)
    rows = np.array([[1, 0, 0], [1, 0, 0], [2, 3, 4]], np.float32)
    f.op("unique_rows", "Unique", [rows], outputs=4, opset=11, axis=0)
    f.op("unique_columns", "Unique", [rows], outputs=4, opset=11, axis=1, sorted=0)
    f.op("unique_int", "Unique", [np.array([[5, -3, 5], [-3, 0, 2 ** 40]], np.int64)], outputs=4, opset=11)
    f.op("unique_int8", "Unique", [np.array([5, -3, 5, 0], np.int8)], outputs=4, opset=11)
    f.op("unique_double", "Unique", [np.array([2.5, -1, 2.5], np.float64)], outputs=4, opset=11)
    f.op("unique_microsoft", "Unique", [np.array([3.0, 1, 3, 2, 1], np.float32)], outputs=3, domain="com.microsoft")
    rng = np.random.default_rng(5)
    a = rng.uniform(0, 0.7, (2, 12, 2))
    boxes = np.concatenate([a, a + rng.uniform(0.05, 0.4, (2, 12, 2))], 2).astype(np.float32)
    scores = rng.uniform(0, 1, (2, 3, 12)).astype(np.float32)
    number = lambda v, t: np.array([v], t)
    f.op("nms", "NonMaxSuppression", [boxes, scores, number(4, np.int64), number(0.3, np.float32), number(0.2, np.float32)], opset=11)
    f.op("nms_all", "NonMaxSuppression", [boxes, scores, number(20, np.int64), number(0.6, np.float32)], opset=11)
    f.op("nms_center", "NonMaxSuppression", [boxes, scores, number(3, np.int64), number(0.4, np.float32)], opset=11, center_point_box=1)
    f.op("nms_none", "NonMaxSuppression", [boxes, scores], opset=11)
    f.op("nms_flipped", "NonMaxSuppression", [boxes[:, :, [2, 3, 0, 1]], scores, number(4, np.int64), number(0.0, np.float32)], opset=11)
    words = np.array([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8]], np.int64)
    pool = dict(ngram_counts=[0, 4], ngram_indexes=[0, 1, 2, 3, 4, 5, 6], pool_int64s=[2, 3, 5, 4, 5, 6, 7, 8, 6, 7])
    for mode in ("TF", "IDF", "TFIDF"):
        f.op("tfidf_" + mode, "TfIdfVectorizer", [words], opset=9, mode=mode, min_gram_length=1, max_gram_length=2, max_skip_count=1,
             weights=[0.5, 2.0, 1.0, 3.0, 0.25, 1.5, 4.0], **pool)
    f.op("tfidf_skip5", "TfIdfVectorizer", [words.astype(np.int32)], opset=9, mode="TF", min_gram_length=2, max_gram_length=2, max_skip_count=5, **pool)
    f.op("tfidf_row", "TfIdfVectorizer", [words[1]], opset=9, mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, **pool)
