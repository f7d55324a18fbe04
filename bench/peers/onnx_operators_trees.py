"""Tree ensembles by hand: every comparison, aggregation, transform, and form of labels."""
import numpy as np
from onnx import numpy_helper

from onnx_operators import array

ML = "ai.onnx.ml"
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def trees(mode="BRANCH_LEQ", missing=0):
    """Two trees of two features: 0 at the root, 1 on its true side."""
    return dict(nodes_treeids=[0] * 5 + [1] * 3, nodes_nodeids=[0, 1, 2, 3, 4, 0, 1, 2], nodes_featureids=[0, 1, 0, 0, 0, 1, 0, 0],
                nodes_modes=[mode, mode, "LEAF", "LEAF", "LEAF", mode, "LEAF", "LEAF"], nodes_values=[0.5, 0.25, 0, 0, 0, -0.5, 0, 0],
                nodes_truenodeids=[1, 3, 0, 0, 0, 1, 0, 0], nodes_falsenodeids=[2, 4, 0, 0, 0, 2, 0, 0], nodes_missing_value_tracks_true=[missing] * 8)


def leaves(kind, targets, weights):
    return {kind + "_treeids": [0, 0, 0, 1, 1], kind + "_nodeids": [2, 3, 4, 1, 2], kind + "_ids": targets, kind + "_weights": weights}


def add(f):
    x = np.array([[0.5, 0.25], [-1, 1], [2, -0.5], [0.25, -2], [1, 0.25], [np.nan, 0.1], [0.1, np.nan]], np.float32)
    f.op("stump", "TreeEnsembleRegressor", [np.array([[-2.0], [3.0]], np.float32)], domain=ML, ml=1, n_targets=1, nodes_falsenodeids=[2, 0, 0], nodes_featureids=[0, 0, 0], nodes_hitrates=[1.0, 1.0, 1.0],
         nodes_missing_value_tracks_true=[0, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_nodeids=[0, 1, 2], nodes_treeids=[0, 0, 0], nodes_truenodeids=[1, 0, 0], nodes_values=[0.0, 0.0, 0.0],
         target_ids=[0, 0], target_nodeids=[1, 2], target_treeids=[0, 0], target_weights=[-1.0, 1.0])
    one = leaves("target", [0] * 5, [1.0, 2.0, -3.0, 0.5, 0.25])
    for mode in MODES:
        f.op("mode_" + mode, "TreeEnsembleRegressor", [x], domain=ML, ml=3, n_targets=1, **trees(mode), **one)
    f.op("missing", "TreeEnsembleRegressor", [x], domain=ML, ml=3, n_targets=1, **trees(missing=1), **one)
    two, sparse = leaves("target", [0, 0, 0, 1, 1], [1.0, 2.0, -3.0, 0.5, 0.25]), leaves("target", [0, 1, 0, 1, 0], [1.0, 2.0, -3.0, 0.5, 0.25])
    # Where no leaf speaks of a target, onnxruntime leaves out its base value; the specification adds it.
    for how in ("SUM", "AVERAGE"):
        f.op("sparse_" + how, "TreeEnsembleRegressor", [x], domain=ML, ml=3, n_targets=2, aggregate_function=how, base_values=[10.0, 20.0], ref="onnx", **trees(), **sparse)
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        f.op("join_" + how, "TreeEnsembleRegressor", [x], domain=ML, ml=3, n_targets=1, aggregate_function=how, base_values=[10.0], **trees(), **one)
        f.op("join2_" + how, "TreeEnsembleRegressor", [x], domain=ML, ml=3, n_targets=2, aggregate_function=how, base_values=[10.0, 20.0], **trees(), **two)
    for t in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        f.op("regress_" + t, "TreeEnsembleRegressor", [x], domain=ML, ml=3, n_targets=2, post_transform=t, **trees(), **two)
    f.op("double", "TreeEnsembleRegressor", [x.astype(np.float64)], domain=ML, ml=3, n_targets=1, **trees(), **one)
    f.op("ints_as_floats", "TreeEnsembleRegressor", [array((4, 2), np.int64).astype(np.float32)], domain=ML, ml=3, n_targets=1, **trees(), **one)
    f.op("ints", "TreeEnsembleRegressor", [array((4, 2), np.int64)], domain=ML, ml=3, n_targets=1, want=f.last(), **trees(), **one)
    wide = trees()
    wide["nodes_values_as_tensor"] = numpy_helper.from_array(np.array(wide.pop("nodes_values"), np.float64))
    weights = dict(one)
    weights["target_weights_as_tensor"] = numpy_helper.from_array(np.array(weights.pop("target_weights"), np.float64) / 3)
    f.op("tensors", "TreeEnsembleRegressor", [x.astype(np.float64)], domain=ML, ml=3, n_targets=1, **wide, **weights)

    labels = dict(classlabels_int64s=[7, 3, 5])
    three = leaves("class", [0, 1, 2, 1, 0], [0.25, 0.5, 0.75, 0.125, 0.375])
    for t in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"):
        f.op("class3_" + t, "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, post_transform=t, **labels, **trees(), **three)
    f.op("class3_base", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, base_values=[0.1, 0.2, 0.3], **labels, **trees(), **three)
    # Where leaves speak of both of two classes, onnxruntime gives 1 and 0 in place of the labels; the specification has the largest.
    signs = {"positive": [0.25, 0.375, 0.125, 0.3, 0.4], "mixed": [0.25, -0.5, 0.75, -0.125, 0.375]}
    for sign, w in signs.items():
        for t in ("NONE", "LOGISTIC", "SOFTMAX"):
            f.op(f"class1_{sign}_{t}", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, post_transform=t, classlabels_int64s=[4, 9], **trees(), **leaves("class", [0] * 5, w))
            f.op(f"class1b_{sign}_{t}", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, post_transform=t, classlabels_int64s=[4, 9], **trees(), **leaves("class", [1] * 5, w))
            f.op(f"class2_{sign}_{t}", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, post_transform=t, classlabels_int64s=[4, 9], **trees(), **leaves("class", [0, 1, 1, 0, 1], w), ref="onnx")
        f.op(f"class1_{sign}_base1", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, base_values=[0.25], classlabels_int64s=[4, 9], **trees(), **leaves("class", [0] * 5, w))
        f.op(f"class1_{sign}_base2", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, base_values=[0.25, 0.125], classlabels_int64s=[4, 9], **trees(), **leaves("class", [0] * 5, w))
        f.op(f"class2_{sign}_base2", "TreeEnsembleClassifier", [x], outputs=2, domain=ML, ml=3, base_values=[0.25, 0.125], classlabels_int64s=[4, 9], **trees(), **leaves("class", [0, 1, 1, 0, 1], w), ref="onnx")

    as_tensor = lambda v, t: numpy_helper.from_array(np.array(v, t))
    for t in (np.float32, np.float64):
        for join in range(4):
            f.op(f"ensemble_{np.dtype(t)}_{join}", "TreeEnsemble", [x[:5].astype(t)], domain=ML, ml=5, aggregate_function=join, n_targets=2, tree_roots=[0, 2],
                 nodes_featureids=[0, 1, 1], nodes_modes=as_tensor([0, 3, 5], np.uint8), nodes_splits=as_tensor([0.5, 0.25, -0.5], t), nodes_truenodeids=[1, 0, 2], nodes_trueleafs=[0, 1, 1],
                 nodes_falsenodeids=[3, 1, 4], nodes_falseleafs=[1, 1, 1], leaf_targetids=[0, 1, 0, 1, 0], leaf_weights=as_tensor([1, 2, -3, 0.5, 0.25], t))
    f.op("ensemble_members", "TreeEnsemble", [np.array([[1.0], [2], [3], [4]], np.float32)], domain=ML, ml=5, n_targets=1, tree_roots=[0], nodes_featureids=[0],
         nodes_modes=as_tensor([6], np.uint8), nodes_splits=as_tensor([0], np.float32), membership_values=as_tensor([1, 3, np.nan], np.float32), nodes_truenodeids=[0], nodes_trueleafs=[1],
         nodes_falsenodeids=[1], nodes_falseleafs=[1], leaf_targetids=[0, 0], leaf_weights=as_tensor([5, 6], np.float32))
