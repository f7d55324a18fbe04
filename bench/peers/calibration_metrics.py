"""Holds the numbers of "ballast evaluate" and what "ballast calibrate" fits against netcal, torchmetrics, MAPIE, scikit-learn and scipy.

    pip install numpy scipy scikit-learn torch torchmetrics netcal mapie
    python3 calibration_metrics.py BALLAST

It draws overconfident logits, 2003 examples of 5 classes, so that no number of bins divides them, and prints a table: the number, what Ballast
says, what the peer says, and how far they are apart. Rows marked "convention" are where a peer defines the number otherwise, as it says; the
row after it computes the peer's definition by Ballast's or numpy's means. Exit code 1 if another row differs by more than 1e-6.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from mapie.classification import SplitConformalClassifier
from netcal.binning import HistogramBinning, IsotonicRegression
from netcal.metrics import ECE, MCE
from netcal.scaling import TemperatureScaling
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.isotonic import IsotonicRegression as Isotonic
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

warnings.filterwarnings("ignore")
N, K, BINS = 2003, 5, 15
BOUND = 1e-6


def draw():
    r = np.random.default_rng(3)
    z, y = 2 * r.standard_normal((N, K)), r.integers(0, K, N)
    right = r.random(N) < 0.7
    z[np.flatnonzero(right), y[right]] += 3
    return z, y


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are its probabilities."""

    classes_ = np.arange(K)
    is_fitted_ = True

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(1)


def curve(p, right, groups):
    """Size, mean confidence and accuracy of groups of examples that are not empty."""
    c = p.max(1)
    return np.array([(len(g), c[g].mean(), right[g].mean()) for g in groups if len(g)])


def rows(ballast, z, y, folder):
    np.save(folder / "z.npy", z)
    np.save(folder / "y.npy", y)
    logits = ["--logits", folder / "z.npy", "--labels", folder / "y.npy", "-q", "--json"]

    def say(*arguments):
        return json.loads(subprocess.run([ballast, *arguments, *logits], check=True, capture_output=True).stdout)

    def mended(*arguments):
        out = folder / f"{arguments[0]}.npy"
        say("calibrate", "--method", *arguments, "--out", out)
        return softmax(np.load(out), 1)

    ours = say("evaluate")["calibration"]
    p = softmax(z, 1)
    right = p.argmax(1) == y
    c = p.max(1)
    probabilities, labels = torch.from_numpy(p), torch.from_numpy(y)

    yield "NLL", "torch cross_entropy", ours["nll"], torch.nn.functional.cross_entropy(torch.from_numpy(z), labels).item(), ""
    yield "NLL", "scikit-learn log_loss", ours["nll"], log_loss(y, p), ""
    yield "Brier score", "scikit-learn brier_score_loss, scale_by_half=False", ours["brier"], brier_score_loss(y, p, scale_by_half=False), ""
    yield "Brier score", "scikit-learn brier_score_loss, scale_by_half=True", ours["brier"], brier_score_loss(y, p, scale_by_half=True), "half"
    yield "ECE", "torchmetrics, l1", ours["ece"], multiclass_calibration_error(probabilities, labels, K, BINS, "l1").item(), ""
    yield "ECE", "netcal ECE", ours["ece"], ECE(BINS).measure(p, y), ""
    yield "MCE", "torchmetrics, max", ours["mce"], multiclass_calibration_error(probabilities, labels, K, BINS, "max").item(), ""
    yield "MCE", "netcal MCE", ours["mce"], MCE(BINS).measure(p, y), ""
    groups = curve(p, right, np.array_split(np.argsort(c, kind="stable"), BINS))
    yield "AECE", "numpy array_split", ours["aece"], (groups[:, 0] * abs(groups[:, 1] - groups[:, 2])).sum() / N, ""
    yield "AECE", "netcal ECE, equal_intervals=False", ours["aece"], ECE(BINS, equal_intervals=False).measure(p, y), "edges between quantiles"
    bins = np.clip(np.ceil(c * BINS).astype(int) - 1, 0, BINS - 1)
    groups = curve(p, right, [np.flatnonzero(bins == b) for b in range(BINS)])
    over = groups[:, 1] - groups[:, 2]
    yield "OE", "numpy", ours["oe"], (groups[:, 0] * groups[:, 1] * np.maximum(over, 0)).sum() / N, ""
    yield "UE", "numpy", ours["ue"], (groups[:, 0] * groups[:, 1] * np.maximum(-over, 0)).sum() / N, ""
    one = np.eye(K)[y]
    classwise = 0.0
    for k in range(K):
        bins = np.clip(np.ceil(p[:, k] * BINS).astype(int) - 1, 0, BINS - 1)
        classwise += sum(abs((p[bins == b, k] - one[bins == b, k]).sum()) for b in range(BINS)) / N / K
    yield "classwise ECE", "numpy", ours["classwise_ece"], classwise, ""

    t = say("calibrate")["temperature"]
    nll = lambda t: -log_softmax(z / t, 1)[np.arange(N), y].mean()
    yield "T", "scipy minimize_scalar", t, minimize_scalar(nll, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-12}).x, ""
    netcal = TemperatureScaling()
    netcal.fit(p, y)
    yield "T", "netcal TemperatureScaling", t, 1 / float(np.ravel(netcal.temperature)[0]), "a fit that stops early"

    def apart(ours, theirs):
        return float(np.abs(ours - theirs).max())

    q = mended("histogram", "--set", f"bins={BINS}")
    netcal = HistogramBinning(bins=BINS)
    netcal.fit(p, y)
    yield "histogram, largest difference", "netcal HistogramBinning", apart(q, netcal.transform(p)), 0.0, ""
    q = mended("isotonic")
    netcal = IsotonicRegression()
    netcal.fit(p, y)
    yield "isotonic, largest difference", "netcal IsotonicRegression", apart(q, netcal.transform(p)), 0.0, "no floor of 1e-6 under a share of 0"
    iso = np.column_stack([Isotonic(out_of_bounds="clip").fit(p[:, k], one[:, k]).predict(p[:, k]) for k in range(K)])
    yield "isotonic, not floored", "netcal IsotonicRegression", apart(iso / iso.sum(1, keepdims=True), netcal.transform(p)), 0.0, ""
    iso = np.maximum(iso, 1e-6)
    yield "isotonic, largest difference", "scikit-learn on probabilities", apart(q, iso / iso.sum(1, keepdims=True)), 0.0, ""
    fit = say("calibrate", "--method", "conformal", "--set", "score=lac", "--set", "coverage=0.9")["sets"]["threshold"]
    mapie = SplitConformalClassifier(Given(), confidence_level=0.9, conformity_score="lac", prefit=True)
    mapie.conformalize(p, y)
    mapie.predict_set(p)  # finds the quantile
    yield "threshold of lac", "MAPIE", fit, float(np.ravel(mapie._mapie_classifier.quantiles_)[0]), ""


def main():
    z, y = draw()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, peer, ours, theirs, convention in rows(sys.argv[1], z, y, pathlib.Path(folder)):
            same = abs(ours - theirs) <= BOUND
            failed |= not same and not convention
            verdict = "same" if same else f"convention: {convention}" if convention else "DIFFERS"
            print(f"{name:30s} {peer:52s} {ours:12.8f} {theirs:12.8f} {abs(ours - theirs):9.1e}  {verdict}", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
