"""Linear models, support vector machines and features of ai.onnx.ml."""
import numpy as np
from onnx import numpy_helper

from onnx_operators import array

ML = "ai.onnx.ml"
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]


def numbers(shape, seed=0):
    return [float(v) for v in array(shape, seed=seed).ravel()]


def add(f):
    x = array((5, 3))
    for t in TRANSFORMS:
        scale = 0.02 if t == "PROBIT" else 1.0
        base = 0.3 if t == "PROBIT" else 0.0
        f.op("linear3_" + t, "LinearClassifier", [x], outputs=2, domain=ML, ml=1, coefficients=[scale * v for v in numbers(9)], intercepts=[base, base + 0.1, base - 0.1],
             classlabels_ints=[4, 2, 7], post_transform=t)
        if t != "PROBIT":  # of one score for two classes onnxruntime writes half
            f.op("linear1_" + t, "LinearClassifier", [x], outputs=2, domain=ML, ml=1, coefficients=[scale * v for v in numbers(3)], intercepts=[base], classlabels_ints=[3, 8], post_transform=t)
        f.op("regress2_" + t, "LinearRegressor", [x], domain=ML, ml=1, coefficients=[scale * v for v in numbers(6)], intercepts=[base, base], targets=2, post_transform=t)
    f.op("regress1", "LinearRegressor", [x], domain=ML, ml=1, coefficients=numbers(3), intercepts=[0.25])
    f.op("regress_plain", "LinearRegressor", [x], domain=ML, ml=1, coefficients=numbers(3))
    for t in (np.float64, np.int32, np.int64):
        f.op(f"linear_{np.dtype(t)}", "LinearClassifier", [array((4, 3), t)], outputs=2, domain=ML, ml=1, coefficients=numbers(6), intercepts=[0.1, 0.2], classlabels_ints=[0, 1], post_transform="SOFTMAX")
    f.op("logistic", "LinearClassifier", [np.array([[-2.0], [3.0]], np.float32)], outputs=2, domain=ML, ml=1, coefficients=[-1.0, 1.0], intercepts=[0.0, 0.0], classlabels_ints=[0, 1], multi_class=1,
         post_transform="SOFTMAX")
    f.op("linear_multi", "LinearClassifier", [x], outputs=2, domain=ML, ml=1, coefficients=numbers(9), intercepts=[0.1, 0.2, 0.3], classlabels_ints=[0, 1, 2], multi_class=1)
    f.op("linear_row", "LinearClassifier", [x[0]], outputs=2, domain=ML, ml=1, coefficients=numbers(9), intercepts=[0.1, 0.2, 0.3], classlabels_ints=[0, 1, 2])

    for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        svm = dict(kernel_type=kernel, kernel_params=[0.5, 0.25, 3.0], support_vectors=numbers((4, 3)), rho=[0.2])
        f.op("svr_" + kernel, "SVMRegressor", [x], domain=ML, ml=1, coefficients=numbers(4, 1), n_supports=4, **svm)
        f.op("svc2_" + kernel, "SVMClassifier", [x], outputs=2, domain=ML, ml=1, coefficients=numbers(4, 1), vectors_per_class=[2, 2], classlabels_ints=[5, 9], **svm)
        f.op("svc2p_" + kernel, "SVMClassifier", [x], outputs=2, domain=ML, ml=1, coefficients=numbers(4, 1), vectors_per_class=[1, 3], classlabels_ints=[5, 9], prob_a=[-1.5], prob_b=[0.1], **svm)
    three = dict(kernel_type="RBF", kernel_params=[0.5, 0.0, 3.0], support_vectors=numbers((6, 3)), rho=[0.2, -0.1, 0.3], coefficients=numbers(12, 1), vectors_per_class=[2, 3, 1], classlabels_ints=[1, 2, 3])
    for t in TRANSFORMS[:4]:
        f.op("svc3_" + t, "SVMClassifier", [x], outputs=2, domain=ML, ml=1, post_transform=t, **three)
        f.op("svc3p_" + t, "SVMClassifier", [x], outputs=2, domain=ML, ml=1, post_transform=t, prob_a=[-1.0, -0.5, -2.0], prob_b=[0.1, 0.0, -0.2], **three)
        f.op("svc2_how_" + t, "SVMClassifier", [x], outputs=2, domain=ML, ml=1, post_transform=t, coefficients=numbers(4, 1), vectors_per_class=[2, 2], classlabels_ints=[5, 9], kernel_type="LINEAR",
             kernel_params=[0.5, 0.0, 3.0], support_vectors=numbers((4, 3)), rho=[0.2])
    f.op("svc_linear", "SVMClassifier", [x], outputs=2, domain=ML, ml=1, coefficients=numbers(9, 1), classlabels_ints=[1, 2, 3], rho=[0.1], kernel_params=[0.5, 0.0, 3.0], kernel_type="LINEAR")
    f.op("svr_linear", "SVMRegressor", [x], domain=ML, ml=1, coefficients=numbers(3, 1), rho=[0.1], n_supports=0, kernel_params=[0.5, 0.0, 3.0], kernel_type="LINEAR")
    f.op("svr_one_class", "SVMRegressor", [x], domain=ML, ml=1, coefficients=numbers(4, 1), n_supports=4, one_class=1, support_vectors=numbers((4, 3)), rho=[0.2], kernel_type="RBF", kernel_params=[0.5, 0.0, 3.0])

    f.op("scaler", "Scaler", [x], domain=ML, ml=1, offset=[0.5, 0.25, -1.0], scale=[2.0, 0.5, 3.0])
    f.op("scaler_one", "Scaler", [x], domain=ML, ml=1, offset=[0.5], scale=[2.0])
    f.op("scaler_int", "Scaler", [array((3, 2), np.int64)], domain=ML, ml=1, offset=[0.5, 1.0], scale=[2.0, 0.1])
    for norm in ("MAX", "L1", "L2"):
        f.op("normalizer_" + norm, "Normalizer", [np.concatenate([x, np.zeros((1, 3), np.float32)])], domain=ML, ml=1, norm=norm)
    f.op("normalizer_int", "Normalizer", [array((3, 3), np.int32)], domain=ML, ml=1, norm="L2")
    holes = np.array([[1, np.nan, 3], [np.nan, 5, -1]], np.float32)
    f.op("imputer_nan", "Imputer", [holes], domain=ML, ml=1, imputed_value_floats=[7.0, 8.0, 9.0], replaced_value_float=float("nan"))
    f.op("imputer_one", "Imputer", [holes], domain=ML, ml=1, imputed_value_floats=[7.0], replaced_value_float=-1.0)
    f.op("imputer_int", "Imputer", [np.array([[1, 2], [2, 4]], np.int64)], domain=ML, ml=1, imputed_value_int64s=[9, 10], replaced_value_int64=2)
    f.op("binarizer", "Binarizer", [x], domain=ML, ml=1, threshold=0.25)
    f.op("extract", "ArrayFeatureExtractor", [x, np.array([2, 0], np.int64)], domain=ML, ml=1)
    f.op("extract_int", "ArrayFeatureExtractor", [array((2, 2, 3), np.int64), np.array([1], np.int64)], domain=ML, ml=1)
    f.op("extract_row", "ArrayFeatureExtractor", [x[0], np.array([1, 1], np.int64)], domain=ML, ml=1)
    f.op("vectorizer", "FeatureVectorizer", [x, array((5, 2), seed=1)], domain=ML, ml=1, inputdimensions=[3, 2])
    f.op("onehot", "OneHotEncoder", [np.array([[1, 3], [5, 2]], np.int64)], domain=ML, ml=1, cats_int64s=[1, 2, 3])
    f.op("onehot_float", "OneHotEncoder", [np.array([1, 3], np.float32)], domain=ML, ml=1, cats_int64s=[3, 1])
    f.op("label_ints", "LabelEncoder", [np.array([[3, 1], [9, 2]], np.int64)], domain=ML, ml=2, keys_int64s=[1, 2, 3], values_int64s=[10, 20, 30], default_int64=-5)
    f.op("label_floats", "LabelEncoder", [np.array([1.5, np.nan, 7], np.float32)], domain=ML, ml=2, keys_floats=[1.5, float("nan")], values_int64s=[4, 5])
    f.op("label_nan", "LabelEncoder", [np.array([1.5, np.nan, 7], np.float32)], domain=ML, ml=4, keys_floats=[1.5, float("nan")], values_int64s=[4, 5])
    f.op("label_to_floats", "LabelEncoder", [np.array([1, 2, 3], np.int64)], domain=ML, ml=2, keys_int64s=[1, 2], values_floats=[0.1, 0.2], default_float=0.7)
    f.op("label_tensors", "LabelEncoder", [np.array([1, 2, 3], np.int64)], domain=ML, ml=4, keys_tensor=numpy_helper.from_array(np.array([1, 2], np.int64)),
         values_tensor=numpy_helper.from_array(np.array([5, 6], np.int64)), default_tensor=numpy_helper.from_array(np.array([8], np.int64)))
