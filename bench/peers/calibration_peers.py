"""Holds calibrate's methods against scikit-learn and scipy on the same saved outputs.

    python3 calibration_peers.py BALLAST          # needs numpy, scipy, scikit-learn

It draws overconfident logits, fits each method with "ballast calibrate --out FILE.json", and fits the same with the peers:

    temperature, vector, matrix    scipy's BFGS on the same NLL (matrix: penalty l2 and odir)
    platt                          scipy on the same smoothed targets, class by class
    isotonic                       sklearn.isotonic.IsotonicRegression on the same log-odds
    histogram                      numpy counts

and prints the largest difference of the corrected probabilities. Exit code 1 if one is above its bound.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.isotonic import IsotonicRegression

N, K = 3000, 4


def draw():
    r = np.random.default_rng(1)
    z = 1.5 * r.standard_normal((N, K))
    y = np.array([r.choice(K, p=p) for p in softmax(z, 1)])
    return (2 + 0.5 * np.arange(K)) * z + 0.4 * np.arange(K), y


def nll(z, y):
    return -log_softmax(z, 1)[np.arange(len(y)), y].mean()


def best(f, x0):
    for _ in range(3):
        x0 = minimize(f, x0, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}).x
    return x0


def odds(z):
    s = np.empty_like(z)
    for k in range(K):
        s[:, k] = z[:, k] - logsumexp(np.delete(z, k, 1), axis=1)
    return np.clip(s, -80, 80)


def finish(p):
    p = np.maximum(p, 1e-6)
    return p / p.sum(1, keepdims=True)


def peers(z, y):
    one = np.eye(K)[y]
    yield "temperature", [], softmax(z * best(lambda b: nll(z * b, y), np.ones(1)), 1)
    w = best(lambda v: nll(z * v[:K] + v[K:], y), np.r_[np.ones(K), np.zeros(K)])
    yield "vector", [], softmax(z * w[:K] + w[K:], 1)
    off = ~np.eye(K, dtype=bool)
    for name, weigh in {
        "l2": lambda m: 0.1 / K**2 * (m**2).sum(),
        "odir": lambda m: 0.1 / (K * (K - 1)) * (m[off] ** 2).sum(),
    }.items():
        def f(v):
            m, b = v[: K * K].reshape(K, K), v[K * K :]
            return nll(z @ m.T + b, y) + weigh(m) + 0.1 / K * (b**2).sum()
        v = best(f, np.r_[np.eye(K).ravel(), np.zeros(K)])
        yield "matrix", ["--set", "penalty=" + name], softmax(z @ v[: K * K].reshape(K, K).T + v[K * K :], 1)
    s, q = odds(z), np.empty_like(z)
    for k in range(K):
        n1 = one[:, k].sum()
        t = np.where(one[:, k] == 1, (n1 + 1) / (n1 + 2), 1 / (N - n1 + 2))
        a, b = best(lambda v: (np.logaddexp(0, v[0] * s[:, k] + v[1]) - t * (v[0] * s[:, k] + v[1])).mean(), np.array([1.0, 0.0]))
        q[:, k] = 1 / (1 + np.exp(-(a * s[:, k] + b)))
    yield "platt", [], finish(q)
    iso = [IsotonicRegression(out_of_bounds="clip").fit(s[:, k], one[:, k]) for k in range(K)]
    yield "isotonic", [], finish(np.column_stack([iso[k].predict(s[:, k]) for k in range(K)]))
    p, h = softmax(z, 1), np.empty_like(z)
    for k in range(K):
        bins = np.clip(np.ceil(p[:, k] * 15).astype(int) - 1, 0, 14)
        share = np.array([one[bins == b, k].mean() if (bins == b).any() else (b + 0.5) / 15 for b in range(15)])
        h[:, k] = share[bins]
    yield "histogram", [], finish(h)


def main():
    ballast = sys.argv[1]
    folder = pathlib.Path(tempfile.mkdtemp())
    z, y = draw()
    np.save(folder / "z.npy", z)
    np.save(folder / "y.npy", y)
    failed = False
    for method, options, want in peers(z, y):
        out = folder / f"{method}{len(list(folder.iterdir()))}.npy"
        subprocess.run([ballast, "calibrate", "--logits", folder / "z.npy", "--labels", folder / "y.npy", "--method", method,
                        "--out", out, "-q", "--json", *options], check=True, stdout=subprocess.DEVNULL)
        far = np.abs(softmax(np.load(out), 1) - want).max()
        bound = 1e-5 if method != "isotonic" else 1e-9
        failed |= far > bound
        print(json.dumps({"method": method, "options": options, "largest_difference": far, "within": bool(far <= bound)}))
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
