"""Models that torch.onnx and skl2onnx export, in `ballast run` on both engines and in onnxruntime: see roundtrip.py.

Ballast writes no ONNX; what others write is run. Floats may differ by 1e-4 of their root mean square, whole numbers and texts not at all.
"""
import os
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import skl2onnx
import sklearn
import torch
import transformers as tf
from sklearn import cluster, datasets, decomposition, ensemble, linear_model, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree
from torch import nn

from roundtrip import table

ENGINES = ["go", "xla:cpu"]
MOST = 1e-4


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.attention, self.out = nn.LayerNorm(32), nn.MultiheadAttention(32, 4, batch_first=True), nn.Linear(32, 32)

    def forward(self, x):
        y = self.norm(x)
        return x + self.out(self.attention(y, y, y, need_weights=False)[0])


class Scaled(nn.Module):
    """attention by the function that has an operator of its own in opset 23"""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(32, 96)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (4, 8)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


class Recurrent(nn.Module):
    def __init__(self, kind, **more):
        super().__init__()
        self.net = kind(16, 24, batch_first=True, **more)

    def forward(self, x):
        return self.net(x)[0]


class Hugging(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(ids).logits


def networks():
    cnn = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, stride=2, groups=2), nn.BatchNorm2d(16), nn.Hardswish(),
                        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
    upward = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(8, 4, 2, stride=2), nn.InstanceNorm2d(4, affine=True), nn.PixelShuffle(2))
    bert = tf.BertForSequenceClassification(tf.BertConfig(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=40))
    image, text = torch.randn(2, 3, 16, 16), torch.randn(2, 10, 32)
    return {
        "MLP": (nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Dropout(0.5), nn.LayerNorm(32), nn.Linear(32, 4), nn.LogSoftmax(-1)), torch.randn(3, 12)),
        "CNN with batch normalisation": (cnn, image),
        "CNN that upsamples": (upward, image),
        "attention block": (Attention(), text),
        "scaled dot product, causal": (Scaled(), text),
        "transformer encoder layer": (nn.TransformerEncoderLayer(32, 4, 48, batch_first=True, norm_first=True), text),
        "LSTM, two layers, both ways": (Recurrent(nn.LSTM, num_layers=2, bidirectional=True), torch.randn(2, 7, 16)),
        "GRU": (Recurrent(nn.GRU), torch.randn(2, 7, 16)),
        "RNN, relu": (Recurrent(nn.RNN, nonlinearity="relu"), torch.randn(2, 7, 16)),
        "BERT of transformers": (Hugging(bert), torch.randint(0, 96, (2, 9))),
    }


def exported(b):
    """torch.onnx's models by its two exporters, with what they got in torch"""
    torch.manual_seed(4)
    for name, (net, x) in networks().items():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(), m.running_var.uniform_(0.5, 1.5)
        net.eval()
        with torch.no_grad():
            want = net(x).numpy()
        for how, options in (("by torch.export", dict(dynamo=True)), ("by TorchScript", dict(dynamo=False, opset_version=17))):
            path = os.path.join(b.folder("onnx", name), how.split()[-1] + ".onnx")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], verbose=False, **options)
            except Exception as e:  # the exporter's own
                yield name, "torch.onnx " + how, None, str(e).splitlines()[0][:100], None
                continue
            yield name, "torch.onnx " + how, path, x.numpy(), {"y": want}


def estimators():
    d = datasets.load_iris()
    x, y = d.data, d.target
    number = x @ [0.3, -0.2, 1.0, 0.5] + np.sin(x[:, 0])
    classes = [
        linear_model.LogisticRegression(max_iter=500), svm.SVC(probability=True, random_state=0), svm.LinearSVC(), tree.DecisionTreeClassifier(random_state=0),
        ensemble.RandomForestClassifier(20, random_state=0), ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
        neural_network.MLPClassifier((8,), max_iter=400, random_state=0), naive_bayes.GaussianNB(), neighbors.KNeighborsClassifier(3), cluster.KMeans(3, n_init=2, random_state=0),
        pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(3), linear_model.LogisticRegression()),
        pipeline.make_pipeline(preprocessing.MinMaxScaler(), preprocessing.PolynomialFeatures(2), preprocessing.Normalizer(), linear_model.SGDClassifier(loss="log_loss", random_state=0)),
    ]
    numbers = [linear_model.LinearRegression(), svm.SVR(), ensemble.RandomForestRegressor(20, random_state=0), ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0), neighbors.KNeighborsRegressor(3),
               preprocessing.QuantileTransformer(n_quantiles=20)]
    for m in classes + numbers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield m.fit(x, y if m in classes else number), x.astype(np.float32)


def fitted(b):
    for m, x in estimators():
        name = " + ".join(type(s).__name__ for s in m) if isinstance(m, pipeline.Pipeline) else type(m).__name__
        named = sklearn.base.is_classifier(m) and hasattr(m, "predict_proba")
        for zipped in (False, True) if named else (False,):
            path = os.path.join(b.folder("onnx", name), "zipped.onnx" if zipped else "plain.onnx")
            options = {id(m): {"zipmap": zipped}} if named else None
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model = skl2onnx.convert_sklearn(m, initial_types=[("x", skl2onnx.common.data_types.FloatTensorType([None, x.shape[1]]))], options=options)
            except Exception as e:  # the exporter's own
                yield name, "skl2onnx", None, str(e).splitlines()[0][:100], None
                continue
            onnx.save(model, path)
            yield name, "skl2onnx" + (", probabilities by name" if zipped else ""), path, x[::7], None


def opsets(path):
    said = {o.domain: o.version for o in onnx.load(path, load_external_data=False).opset_import}
    return ", ".join(("%s %d" % (d, said[d])).strip() for d in sorted(said))


def flat(outputs):
    """onnxruntime's outputs by name; a list of dictionaries as the array that has a column for each key"""
    for name, v in outputs.items():
        if isinstance(v, list) and v and isinstance(v[0], dict):
            v = np.array([[row[k] for k in sorted(row)] for row in v])
        yield name, np.asarray(v)


def apart(want, got):
    if want.shape != got.shape:
        return float("inf"), "shapes %s and %s" % (list(want.shape), list(got.shape))
    if want.dtype.kind != "f":
        return (0.0 if np.array_equal(want, got) else float("inf")), "not equal"
    return float(np.abs(want.astype(np.float64) - got).max(initial=0) / max(np.sqrt((want.astype(np.float64) ** 2).mean()), 1e-30)), ""


def section(b):
    tf.logging.set_verbosity_error()
    ort.set_default_logger_severity(3)
    rows = []
    for source in (exported, fitted):
        for name, by, path, x, torchs in source(b):
            if path is None:
                rows.append([name, by, "not exported: " + x] + [""] * len(ENGINES))
                continue
            s = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
            names = [o.name for o in s.get_outputs()]
            want = dict(flat(dict(zip(names, s.run(names, {s.get_inputs()[0].name: x})))))
            if torchs:
                for n, v in torchs.items():
                    b.judge("onnx, %s, %s, onnxruntime beside torch" % (name, by), apart(v, want[n])[0] <= MOST)
            rows.append([name, by, opsets(path)])
            rows[-1] += [ours(b, name, by, path, s.get_inputs()[0].name, x, want, engine) for engine in ENGINES]
    said = ["The largest difference from onnxruntime %s by the outputs' root mean square; labels and other whole numbers are equal. torch %s, onnxscript, skl2onnx %s, scikit-learn %s."
            % (ort.__version__, torch.__version__.split("+")[0], skl2onnx.__version__, sklearn.__version__)]
    return "\n".join(said) + "\n\n" + table(["model", "exported by", "opset", *("engine " + e for e in ENGINES)], rows)


def ours(b, name, by, path, input_name, x, want, engine):
    """how far an engine is from onnxruntime, or what was said"""
    d = os.path.dirname(path)
    np.save(os.path.join(d, "x.npy"), x)
    code, said = b.run("run", path, "--input", "%s=%s" % (input_name, os.path.join(d, "x.npy")), "--output", os.path.join(d, "y.npz"), "--engine", engine, "--overwrite")
    off, why = float("inf"), "refused: " + said[:160]
    if not code:
        got, off, why = np.load(os.path.join(d, "y.npz"), allow_pickle=False), 0.0, ""
        for n, v in want.items():
            one, said = apart(v, got[n]) if n in got else (float("inf"), "lacks the output " + n)
            if one >= off:
                off, why = one, said
    good = b.judge("onnx, %s, %s, engine %s" % (name, by, engine), off <= MOST, why or "off by %s" % off)
    return ("%.0e" % off if off else "0") if good or not why else why
