"""Models of scikit-learn as skl2onnx writes them. Maps of scores are turned off where they would be outputs."""
import warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingClassifier, GradientBoostingRegressor, IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, MinMaxScaler, Normalizer, OneHotEncoder, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor


def add(f):
    warnings.filterwarnings("ignore")
    x2, y2 = make_classification(60, 4, n_informative=3, n_redundant=0, random_state=0)
    x3, y3 = make_classification(60, 4, n_informative=4, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=1)
    xr, yr = make_regression(60, 4, random_state=2, noise=3)
    classifiers = {
        "logistic": LogisticRegression(), "tree": DecisionTreeClassifier(max_depth=3), "forest": RandomForestClassifier(3, max_depth=3, random_state=0),
        "boosting": GradientBoostingClassifier(n_estimators=3, max_depth=2), "svc": SVC(), "svc_linear": SVC(kernel="linear"), "svc_poly": SVC(kernel="poly"),
        "nusvc": NuSVC(), "linear_svc": LinearSVC(), "mlp": MLPClassifier((5,), max_iter=30, random_state=0), "bayes": GaussianNB(), "neighbours": KNeighborsClassifier(3),
        "pipeline": make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
        "pipeline_forest": make_pipeline(RobustScaler(), Normalizer(), RandomForestClassifier(2, max_depth=2, random_state=0)),
    }
    for name, m in classifiers.items():
        for k, (x, y) in ((2, (x2, y2)), (3, (x3, y3))):
            m.fit(x, y)
            some = x[:6].astype(np.float32)
            options = None if "linear_svc" in name else {"zipmap": False}
            f.model(f"{name}_{k}", to_onnx(m, some, options=options, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
    some = x3[:6].astype(np.float32)
    for name, m in (("map", LogisticRegression().fit(x3, y3)), ("map_forest", RandomForestClassifier(2, max_depth=2, random_state=0).fit(x3, y3 + 5))):
        f.model(name + "_off", to_onnx(m, some, options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
        # A map for each row, there; a matrix of the same numbers here.
        f.model(name, to_onnx(m, some, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some}, want=f.last())
    columns = make_pipeline(ColumnTransformer([("a", StandardScaler(), [0, 2]), ("b", MinMaxScaler(), [1])]), LogisticRegression()).fit(x2, y2)
    f.model("columns", to_onnx(columns, x2[:6].astype(np.float32), options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": x2[:6].astype(np.float32)})
    regressors = {
        "linear": LinearRegression(), "ridge": Ridge(), "tree_r": DecisionTreeRegressor(max_depth=3), "forest_r": RandomForestRegressor(3, max_depth=3, random_state=0),
        "extra_r": ExtraTreesRegressor(3, max_depth=3, random_state=0), "boosting_r": GradientBoostingRegressor(n_estimators=3, max_depth=2), "svr": SVR(), "svr_poly": SVR(kernel="poly"),
        "poly_r": make_pipeline(MinMaxScaler(), PolynomialFeatures(2), LinearRegression()),
    }
    for name, m in regressors.items():
        m.fit(xr, yr)
        some = xr[:6].astype(np.float32)
        f.model(name, to_onnx(m, some, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
    both = np.stack([yr, 2 * yr + xr[:, 0]], 1)
    some = xr[:6].astype(np.float32)
    f.model("forest_both", to_onnx(RandomForestRegressor(2, max_depth=2, random_state=0).fit(xr, both), some, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
    f.model("one_class", to_onnx(OneClassSVM().fit(xr), some, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
    f.model("isolation", to_onnx(IsolationForest(n_estimators=3, max_samples=16, random_state=0).fit(xr), some, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
    f.model("bins", to_onnx(KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf").fit(xr), some, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": some})
    cats = np.array([[1, 2], [2, 3], [3, 2], [1, 3]], np.int64)
    f.model("onehot", to_onnx(OneHotEncoder(sparse_output=False).fit(cats), cats, target_opset={"": 18, "ai.onnx.ml": 3}), {"X": cats})
