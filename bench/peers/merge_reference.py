"""Expected numbers for the merging methods sce, ram, ramplus_tl and arcee_fusion, by their formulas in float64, without any merging tool.

    python3 bench/peers/merge_reference.py merge/testdata

writes one file a method. merge's TestReference reads them. Needs numpy.
"""
import json, sys, numpy as np

rng = np.random.default_rng(20261130)


def draw(shape, models, spread, equal=0.0):
    """A base and models near it in float32; of some elements all models are equal, of some one differs."""
    base = rng.normal(size=shape).astype(np.float32)
    out = []
    same = rng.random(shape) < equal
    for _ in range(models):
        d = (rng.normal(size=shape) * spread).astype(np.float32)
        d[same] = 0
        d[rng.random(shape) < equal] = 0
        out.append((base + d).astype(np.float32))
    return base, out


def deltas(base, models):
    return [np.float32(m - base).astype(np.float64) for m in models]  # differences are rounded to float32, as values are kept


def sce(base, models, share):
    d = deltas(base, models)
    if share < 1:
        var = np.var(np.stack(d), axis=0).astype(np.float32).ravel()
        k = int(np.count_nonzero(var) * share)
        keep = np.zeros(var.size, bool)
        keep[sorted(range(var.size), key=lambda i: (-var[i], i))[:k]] = True
        d = [np.where(keep.reshape(base.shape), x, 0) for x in d]
    w = np.array([np.mean(x * x) for x in d])
    w = w / w.sum() if w.sum() >= 1e-6 else np.full(len(d), 1 / len(d))
    sign = np.where(sum(d) >= 0, 1, -1)
    num, den = np.zeros(base.shape), np.zeros(base.shape)
    for x, wi in zip(d, w):
        agrees = np.sign(x) == sign
        num += np.where(agrees, wi * x, 0)
        den += np.where(agrees, wi, 0)
    return base + num / np.maximum(den, 1e-6)


def ram(base, models, epsilon, r=0.0, alpha=0.0):
    d = deltas(base, models)
    has = [np.abs(x) > float(np.float32(epsilon)) for x in d]
    count = sum(h.astype(int) for h in has)
    out = base.astype(np.float64)
    for x, h in zip(d, has):
        shared, alone = (h & (count > 1)).sum(), (h & (count == 1)).sum()
        scale = 1 + r * min(alpha, shared / max(alone, epsilon)) if shared else 1
        out += np.where(h & (count == 1), scale * x, 0) + np.where(h & (count > 1), x / np.maximum(count, 1), 0)
    return out


def arcee(base, model):
    b, t = base.astype(np.float64), model.astype(np.float64)
    soft = lambda x: np.exp(x - x.max(-1, keepdims=True)) / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True) + 1e-8
    p, q = soft(t), soft(b)
    importance = (np.abs(t - b) * (p * np.log(p / q)).sum(-1, keepdims=True)).astype(np.float32)
    s = np.sort(importance.ravel()).astype(np.float64)
    at = lambda q: s[int(q * (s.size - 1))]
    least = at(0.5) + 1.5 * (at(0.75) - at(0.25))
    return np.where(importance.astype(np.float64) >= least, t, b)


def case(base, models, merged, **parameters):
    flat = lambda x: [float(v) for v in np.asarray(x).ravel()]
    return {"parameters": parameters, "shape": list(base.shape), "base": flat(base), "models": [flat(m) for m in models], "merged": flat(merged)}


files = {"sce": [], "ram": [], "ramplus_tl": [], "arcee_fusion": []}
for share in (1, 0.7, 0.1, 0.0):
    for spread, models, shape in ((0.5, 3, (5, 7)), (1e-4, 3, (6, 5)), (0.2, 2, (24,)), (0.3, 1, (4, 4))):
        base, list_ = draw(shape, models, spread, 0.2)
        files["sce"].append(case(base, list_, sce(base, list_, share), select_topk=share))
for epsilon in (1e-5, 0.1):
    for models, shape in ((1, (9,)), (2, (5, 6)), (4, (3, 4, 5))):
        base, list_ = draw(shape, models, 0.2, 0.4)
        files["ram"].append(case(base, list_, ram(base, list_, epsilon), epsilon=epsilon))
        for r, alpha in ((0.1, 0.2), (0.5, 5.0)):
            files["ramplus_tl"].append(case(base, list_, ram(base, list_, epsilon, r, alpha), epsilon=epsilon, r=r, alpha=alpha))
for shape, spread in (((8, 16), 0.3), ((40,), 0.5), ((3, 4, 8), 1.0), ((1,), 0.2), ((5, 1), 0.2)):
    base, list_ = draw(shape, 1, spread, 0.1)
    files["arcee_fusion"].append(case(base, list_, arcee(base, list_[0])))
for name, cases in files.items():
    with open(f"{sys.argv[1]}/{name}.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
