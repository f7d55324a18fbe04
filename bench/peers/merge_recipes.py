"""Small models and a list of merge recipes, for roundtrip_merge.py: every method, every parameter, and the spellings that recipes come in."""
import json, os, numpy as np, torch, yaml
from safetensors.torch import save_file

LAYERS, HIDDEN, INNER, VOCABULARY = 4, 64, 160, 300
CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu", bos_token_id=1, eos_token_id=2,
    attention_bias=False, mlp_bias=False)


def shapes(tied, vocabulary):
    yield "model.embed_tokens.weight", (vocabulary, HIDDEN)
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (HIDDEN,)
        for n, rows in (("q", HIDDEN), ("k", HIDDEN // 2), ("v", HIDDEN // 2), ("o", HIDDEN)):
            yield p + f"self_attn.{n}_proj.weight", (rows, HIDDEN)
        yield p + "post_attention_layernorm.weight", (HIDDEN,)
        yield p + "mlp.gate_proj.weight", (INNER, HIDDEN)
        yield p + "mlp.up_proj.weight", (INNER, HIDDEN)
        yield p + "mlp.down_proj.weight", (HIDDEN, INNER)
    yield "model.norm.weight", (HIDDEN,)
    if not tied:
        yield "lm_head.weight", (vocabulary, HIDDEN)


def draw(seed, name, shape):
    return np.random.default_rng([seed, *name.encode()]).normal(size=shape)


def model(dir, seed, dtype=torch.float32, tied=False, tokens=None, template=None):
    """A model near that of seed 0: its differences have a tenth of the size of its values."""
    tokens = tokens or ["<unk>", "<s>", "</s>"] + [f"w{i}" for i in range(3, VOCABULARY)]
    tensors = {}
    for name, shape in shapes(tied, len(tokens)):
        x = draw(0, name, shape) * 0.1 + (1 if "norm" in name else 0)
        if seed:
            x = x + draw(seed, name, shape) * 0.01
        tensors[name] = torch.tensor(x).to(dtype)
    os.makedirs(dir)
    save_file(tensors, dir + "/model.safetensors", metadata={"format": "pt"})
    word = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16", torch.float64: "float64"}[dtype]
    with open(dir + "/config.json", "w") as f:
        json.dump(dict(CONFIG, vocab_size=len(tokens), tie_word_embeddings=tied, torch_dtype=word), f, indent=1)
    special = [dict(id=i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) for i, t in enumerate(tokens) if t[0] == "<"]
    with open(dir + "/tokenizer.json", "w") as f:
        json.dump(dict(version="1.0", truncation=None, padding=None, added_tokens=special, normalizer=None, pre_tokenizer={"type": "Whitespace"},
                       post_processor=None, decoder=None, model=dict(type="WordLevel", vocab={t: i for i, t in enumerate(tokens)}, unk_token="<unk>")), f)
    with open(dir + "/tokenizer_config.json", "w") as f:
        config = dict(tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>", bos_token="<s>", eos_token="</s>", model_max_length=2048)
        json.dump(dict(config, **({"chat_template": template} if template else {})), f)


def models(dir):
    words = [f"w{i}" for i in range(3, VOCABULARY)]
    start = ["<unk>", "<s>", "</s>"]
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    model(dir + "/base", 0)
    for seed, name in enumerate("abcd", 1):
        model(dir + "/" + name, seed, template=template if name != "a" else None)
    for seed, name in enumerate(["base", "a", "b"]):
        model(f"{dir}/{name}16", seed, torch.bfloat16)
    model(dir + "/ah", 1, torch.float16)
    model(dir + "/a64", 1, torch.float64)
    model(dir + "/b64", 2, torch.float64)
    model(dir + "/tied", 3, tied=True)
    model(dir + "/av", 1, tokens=start + [w for w in words if w != "w20"] + ["x1", "x2"])
    model(dir + "/bv", 2, tokens=start + [w for w in words if w not in ("w10", "w250")] + ["x2", "<x3>", "x4"])


def recipes(dir):
    """(name, YAML) of each recipe."""
    M = lambda name: dir + "/" + name
    out = []

    def add(name, recipe, **more):
        out.append((name, recipe if isinstance(recipe, str) else yaml.safe_dump({**recipe, **more}, sort_keys=False)))

    def source(name, **parameters):
        return {"model": M(name), **({"parameters": parameters} if parameters else {})}

    def of(method, names, base=None, parameters=None, **per):
        """A recipe of models with the same parameters for each, or a list of them."""
        pick = lambda v, i: v[i] if isinstance(v, tuple) else v
        r = {"merge_method": method, "models": [source(n, **{k: pick(v, i) for k, v in per.items()}) for i, n in enumerate(names)]}
        if base:
            r["base_model"] = M(base)
        if parameters:
            r["parameters"] = parameters
        return r

    # linear
    for w in ((0.5, 0.5), (0.3, 0.7), (1.0, 0.0), (1.5, -0.5), (2, 1)):
        for normalize in (None, True, False):
            add(f"linear {w} normalize {normalize}", of("linear", "ab", parameters=None if normalize is None else {"normalize": normalize}, weight=w), dtype="float32")
    for names in ("abc", "abcd", ("base", "a", "b")):
        add(f"linear of {len(names)} {names[0]}", of("linear", names, weight=0.4), dtype="float32")
    for dtype in ("float32", "bfloat16", "float16", "float64", None):
        for names in ("ab", ("a16", "b16"), ("base16", "a"), ("a", "base16"), ("ah", "a16"), ("ah", "ah"), ("a64", "b64"), ("a64", "a16")):
            if names[0] == names[1]:
                names = ("ah", "b")
            add(f"linear {' '.join(names)} dtype {dtype}", of("linear", names, weight=(0.6, 0.4)), **({"dtype": dtype} if dtype else {}))
    for dtype, out_dtype in (("float32", "bfloat16"), ("bfloat16", "float32"), (None, "float16"), ("float64", "float32"), ("float32", "float64")):
        add(f"linear dtype {dtype} out_dtype {out_dtype}", of("linear", "ab", weight=(0.6, 0.4)), out_dtype=out_dtype, **({"dtype": dtype} if dtype else {}))
    add("linear gradient", of("linear", "ab", weight=([0, 0.5, 1], [1, 0.5, 0.1])), dtype="float32")
    add("linear gradient of text", of("linear", "ab", weight=(["0.1", "0.5", "1"], "1e-1")), dtype="float32")
    add("linear filters", of("linear", "ab", weight=([{"filter": "mlp", "value": 0.9}, {"filter": "self_attn", "value": [0.2, 0.8]}, {"value": 0.5}], 0.5)), dtype="float32")
    add("linear one filter", of("linear", "ab", weight=({"filter": "*", "value": 0.5}, 0.5)), dtype="float32")
    add("linear one filter that falls back", of("linear", "ab", parameters={"weight": 0.25}, weight=({"filter": "mlp", "value": 0.9}, 0.5)), dtype="float32")
    add("linear filter by layer", of("linear", "ab", weight=([{"filter": "layers.2.", "value": 0.9}, {"value": 0.5}], 0.5)), dtype="float32")
    add("linear weight for all", of("linear", "abc", parameters={"weight": 0.3}), dtype="float32")
    add("linear base listed", of("linear", "ab", base="b", weight=(0.3, 0.7)), dtype="float32")
    add("linear base counted", of("linear", "ab", base="base", parameters={"weight": 0.3}), dtype="float32")
    add("linear unused parameter", of("linear", "ab", parameters={"density": 0.3, "int8_mask": True}, weight=(0.3, 0.7)), dtype="float32")
    add("linear weight of true", of("linear", "ab", weight=(True, 0.5)), dtype="float32")

    # on the sphere
    for t in (0, 0.2, 0.5, 1, "0.3", [0, 0.5, 0.3, 1], [{"filter": "mlp", "value": [1, 0]}, {"filter": "self_attn", "value": 0.3}, {"value": 0.5}]):
        add(f"slerp {t}", of("slerp", "ab", base="a", parameters={"t": t}), dtype="float32")
    for dtype in ("bfloat16", "float16", None):
        add(f"slerp dtype {dtype}", of("slerp", ("a16", "b16"), base="a16", parameters={"t": 0.4}), **({"dtype": dtype} if dtype else {}))
    add("slerp base second", of("slerp", "ab", base="b", parameters={"t": 0.3}), dtype="float32")
    for flatten, rows in ((None, None), (True, None), (False, None), (False, True), (True, True)):
        for base in (None, "base"):
            p = {k: v for k, v in (("nuslerp_flatten", flatten), ("nuslerp_row_wise", rows)) if v is not None}
            add(f"nuslerp {p} base {base}", of("nuslerp", "ab", base=base, parameters=p, weight=(0.7, 0.2)), dtype="float32")
    add("nuslerp weights that cancel", of("nuslerp", "ab", weight=(0.5, -0.5)), dtype="float32")
    add("nuslerp gradient", of("nuslerp", "ab", weight=([0, 1], [1, 0.5])), dtype="float32")
    for p in (None, {"normalize_weights": False}, {"eps": 1e-6}, {"eps": "1e-6"}):
        for base in (None, "base"):
            add(f"multislerp {p} base {base}", of("multislerp", "abc", base=base, parameters=p, weight=(0.5, 0.3, 0.1)), dtype="float32")
    add("multislerp of one", of("multislerp", "a", weight=0.5), dtype="float32")
    for p in (None, {"max_iter": 1}, {"max_iter": 50, "tol": 1e-8}, {"tol": 0.1}):
        for names in ("ab", "abcd"):
            add(f"karcher {p} of {len(names)}", of("karcher", names, parameters=p), dtype="float32")
    add("karcher base counted", of("karcher", "ab", base="base"), dtype="float32")

    # differences from a base
    options = [dict(), dict(normalize=True), dict(normalize=False), {"lambda": 0.5}, {"lambda": "1.5", "int8_mask": True}, dict(rescale=True), dict(rescale=False)]
    for p in options:
        add(f"task_arithmetic {p}", of("task_arithmetic", "ab", base="base", parameters=p, weight=(0.6, 0.3)), dtype="float32")
        for density in (1, 0.5, (0.2, 0.7)):
            add(f"ties {density} {p}", of("ties", "abc", base="base", parameters=p, weight=(0.6, 0.3, 0.4), density=density if not isinstance(density, tuple) else (*density, 0.4)), dtype="float32")
        for method in ("breadcrumbs", "breadcrumbs_ties"):
            add(f"{method} {p}", of(method, "ab", base="base", parameters=p, weight=(0.6, 0.3), density=0.5, gamma=0.05), dtype="float32")
        for method in ("dare_linear", "dare_ties"):
            for density in (1, 0.4):
                add(f"{method} {density} {p}", of(method, "ab", base="base", parameters=p, weight=(0.6, 0.3), density=density), dtype="float32")
        for method in ("della", "della_linear"):
            for density in (1.0, 0.5):
                add(f"{method} {density} {p}", of(method, "ab", base="base", parameters=p, weight=(0.6, 0.3), density=density), dtype="float32")
    for method in ("task_arithmetic", "ties", "breadcrumbs", "breadcrumbs_ties", "dare_linear", "dare_ties", "della", "della_linear"):
        keep = {} if method == "task_arithmetic" else {"density": 0.6}
        add(f"{method} bfloat16", of(method, ("a16", "b16"), base="base16", weight=0.5, **keep), dtype="bfloat16")
        add(f"{method} base listed", of(method, ("base", "a", "b"), base="base", weight=0.5, **keep), dtype="float32")
        add(f"{method} gradients", of(method, "ab", base="base", weight=([0.1, 0.9], 0.4), **({"density": ([0.4, 0.6], 0.5)} if keep else {})), dtype="float32")
        if keep:
            add(f"{method} density 0", of(method, "ab", base="base", weight=0.5, density=(0, 1)), dtype="float32")
            add(f"{method} defaults", of(method, "ab", base="base", weight=0.5), dtype="float32")
    for density in (0.01, 0.001):
        add(f"ties {density} of small tensors", of("ties", "ab", base="base", weight=0.5, density=density), dtype="float32")
    for gamma in (0, 0.2, 0.9):
        add(f"breadcrumbs gamma {gamma}", of("breadcrumbs", "ab", base="base", weight=0.5, density=0.4, gamma=gamma), dtype="float32")
    for epsilon in (0.01, 0.2):
        add(f"della epsilon {epsilon}", of("della", "ab", base="base", weight=0.5, density=0.4, epsilon=epsilon), dtype="float32")
    for p in (None, {"filter_wise": True}, {"filter_wise": "yes"}):
        for names in ("ab", "abcd"):
            add(f"model_stock {p} of {len(names)}", of("model_stock", names, base="base", parameters=p), dtype="float32")
    add("model_stock bfloat16", of("model_stock", ("a16", "b16"), base="base16"), dtype="bfloat16")
    for t in (0, 0.001, 0.02, 1e-7, [0.001, 0.1]):
        add(f"nearswap {t}", of("nearswap", "a", base="base", parameters={"t": t}), dtype="float32")
    add("nearswap bfloat16", of("nearswap", ("a16",), base="base16", parameters={"t": 0.01}), dtype="bfloat16")
    for names, base, dtype in (("a", "base", "float32"), ("b", "a", "float32"), (("a16",), "base16", "float32"), (("a16",), "base16", "bfloat16")):
        add(f"arcee_fusion {names[0]} on {base} {dtype}", of("arcee_fusion", names, base=base), dtype=dtype)
    for k in (None, 1, 0.5, 0.1, 0.01, 0):
        add(f"sce select_topk {k}", of("sce", "abc", base="base", parameters=None if k is None else {"select_topk": k}), dtype="float32")
    add("sce of two, int8_mask", of("sce", "ab", base="base", parameters={"int8_mask": True, "select_topk": 0.3}), dtype="float32")
    add("sce bfloat16", of("sce", ("a16", "b16"), base="base16", parameters={"select_topk": 0.3}), dtype="bfloat16")
    for method in ("ram", "ramplus_tl"):
        for p in (None, {"epsilon": 0.01}, *([{"r": 0.5, "alpha": 1.0, "epsilon": 0.01}] if method == "ramplus_tl" else [])):
            for names in ("ab", "abcd"):
                add(f"{method} {p} of {len(names)}", of(method, names, base="base", parameters=p), dtype="float32")

    # layers
    def layers(*parts):
        return [{"sources": [{"model": M(n), "layer_range": list(r), **({"parameters": p} if p else {})} for n, r, p in sources], **more} for sources, more in parts]

    one = lambda n, first, end, **p: ([(n, (first, end), p)], {})
    two = lambda n, o, first, end, **more: ([(n, (first, end), {}), (o, (first, end), {})], more)
    stack = {"merge_method": "passthrough", "dtype": "float32"}
    add("passthrough", {"merge_method": "passthrough", "models": [source("a")], "dtype": "float32"})
    add("passthrough scale of a model", {"merge_method": "passthrough", "models": [source("a", scale=0.5)], "dtype": "float32"})
    add("passthrough float64", {"merge_method": "passthrough", "models": [source("a64")]})
    add("stack a b", {**stack, "slices": layers(one("a", 0, 3), one("b", 1, 4))})
    add("stack a a", {**stack, "slices": layers(one("a", 0, 3), one("a", 1, 4))})
    add("stack of types", {**stack, "slices": layers(one("a", 0, 3), one("b16", 1, 4))})
    add("stack without a type", {"merge_method": "passthrough", "slices": layers(one("a16", 0, 3), one("b16", 1, 4))})
    for value in (0.5, [{"filter": "q_proj", "value": 0.7}, {"filter": "o_proj", "value": [0, 1]}, {"value": 1.0}], [{"filter": "layers.2.", "value": 0.5}]):
        add(f"stack scale of a source {str(value)[:20]}", {**stack, "slices": layers(one("a", 0, 3), one("b", 1, 4, scale=value))})
        add(f"stack scale of a slice {str(value)[:20]}", {**stack, "slices": layers(one("a", 0, 3), (one("b", 1, 4)[0], {"parameters": {"scale": value}}))})
    add("stack scale of the recipe", {**stack, "slices": layers(one("a", 0, 3), one("b", 1, 4)), "parameters": {"scale": 0.9}})
    add("stack with a base", {**stack, "slices": layers(one("a", 0, 3), one("b", 1, 4)), "base_model": M("b")})
    add("stack with a base beside", {**stack, "slices": layers(one("a", 0, 3), one("b", 1, 4)), "base_model": M("base")})
    add("stack untied, then tied", {**stack, "slices": layers(one("a", 0, 2), one("tied", 2, 4)), "base_model": M("a")})
    add("stack tied, then untied", {**stack, "slices": layers(one("tied", 0, 2), one("a", 2, 4)), "base_model": M("tied")})
    add("stack tied", {**stack, "slices": layers(one("tied", 0, 3), one("tied", 1, 4)), "base_model": M("tied")})
    add("linear tied and untied", of("linear", ("tied", "a"), base="tied", weight=(0.4, 0.6)), dtype="float32")
    add("slerp slices", {"merge_method": "slerp", "base_model": M("a"), "dtype": "float32", "slices": layers(two("a", "b", 0, 2), two("a", "b", 2, 4)), "parameters": {"t": [0.1, 0.9]}})
    add("slerp slices of others", {"merge_method": "slerp", "base_model": M("a"), "dtype": "float32", "slices": [
        {"sources": [{"model": M("a"), "layer_range": [0, 3]}, {"model": M("b"), "layer_range": [1, 4]}], "parameters": {"t": [{"filter": "mlp", "value": 0.2}, {"value": 0.6}]}}]})
    add("slerp base of a slice", {"merge_method": "slerp", "base_model": M("base"), "dtype": "float32", "slices": layers(two("base", "a", 0, 4, base_model=M("a"), parameters={"t": 0.2}))})
    add("ties base of a slice", {"merge_method": "ties", "base_model": M("base"), "dtype": "float32", "parameters": {"weight": 0.5, "density": 0.5}, "slices": layers(
        two("base", "a", 0, 2), two("b", "a", 2, 4, base_model=M("b")))})
    add("linear slices by layer", {"merge_method": "linear", "dtype": "float32", "slices": [
        {"sources": [{"model": M("a"), "layer_range": [0, 2], "parameters": {"weight": [{"filter": "layers.1.", "value": 0.9}, {"value": 0.4}]}},
                     {"model": M("b"), "layer_range": [2, 4], "parameters": {"weight": [{"filter": "layers.3.", "value": 0.2}, {"value": 0.5}]}}]}]})
    add("residual_weight", {**stack, "slices": [{**layers(one("a", 0, 4))[0], "residual_weight": 0.5}]})
    for method in ("linear", "ties", "dare_linear", "breadcrumbs", "task_arithmetic", "sce", "multislerp"):
        p = {"weight": 0.5, "density": 1.0} if method not in ("sce",) else {"select_topk": 0.5}
        add(f"slices by {method}", {"merge_method": method, "base_model": M("a"), "dtype": "float32", "parameters": p, "slices": layers(two("a", "b", 0, 2), two("a", "c", 1, 4))})
    add("modules", {"merge_method": "linear", "dtype": "float32", "modules": {"default": {"models": [source("a", weight=0.3), source("b", weight=0.7)], "parameters": {"normalize": False}}}})
    add("modules with slices", {"merge_method": "passthrough", "dtype": "float32", "modules": {"default": {"slices": layers(one("a", 0, 2), one("b", 1, 4))}}})

    # tokens
    for base in (None, "base"):
        b = {"base_model": M(base)} if base else {}
        for tokens in ("union", "base", M("av"), M("bv")):
            if tokens == "base" and not base:
                continue
            names = ("base", "av", "bv")
            label = tokens if "/" not in tokens else tokens.rsplit("/", 1)[1]
            add(f"tokens {label} base {base}", of("linear", names, weight=(0.5, 0.3, 0.4)), dtype="float32", tokenizer_source=tokens, **b)
            if base:
                add(f"ties tokens {label}", of("ties", names, base="base", weight=0.5, density=0.5), dtype="float32", tokenizer_source=tokens)
    add("tokens padded", of("linear", ("av", "bv"), base="av", weight=0.5), dtype="float32", tokenizer={"source": "union", "pad_to_multiple_of": 64})
    add("tokens padded, base", of("linear", ("av", "bv"), base="av", weight=0.5), dtype="float32", tokenizer={"source": "base", "pad_to_multiple_of": 7})
    single = {"x1": {"source": M("av")}, "x4": {"source": {"kind": "zero"}}, "w10": {"source": {"kind": "model_token", "model": M("av"), "token": "w11"}, "force": True},
              "x9": {"source": {"kind": "model_token", "model": M("bv"), "token_id": 17}}}
    add("tokens one by one", of("linear", ("av", "bv"), base="av", weight=0.5), dtype="float32", tokenizer={"source": "union", "tokens": single})
    add("tokens one by one, slerp", of("slerp", ("av", "bv"), base="av", parameters={"t": 0.4}), dtype="float32", tokenizer={"source": "base", "tokens": {"x4": {"source": M("bv")}}})

    # chat templates and spellings
    for text in ("chatml", "llama3", "alpaca", "mistral", "exaone", "auto", "{% for m in messages %}{{ m['content'] }}{% endfor %}"):
        add(f"chat_template {text[:12]}", of("linear", "abc", base="a", weight=0.5), dtype="float32", chat_template=text)
    a, b = M("a"), M("b")
    add("yes and null", f"merge_method: linear\nbase_model:\nmodels:\n- model: {a}\n  parameters: {{weight: 0.5}}\n- model: {b}\n  parameters: {{weight: '0.25'}}\nparameters:\n  normalize: no\ndtype: float32\nslices:\n")
    add("empty parameters", f"merge_method: ties\nbase_model: {M('base')}\nmodels:\n- model: {M('base')}\n  parameters:\n- model: {a}\n  parameters: {{weight: 1, density: .5}}\ndtype: float32\n")
    add("long references", f"merge_method: linear\nmodels:\n- model: {{model: {{path: {a}, revision: null}}}}\n  parameters: {{weight: 1}}\n- model: {{model: {b}, lora: null}}\n  parameters: {{weight: 1}}\ndtype: float32\n")
    add("anchors", f"where: &a {a}\nhalf: &half\n  parameters: {{weight: 0.5}}\nmerge_method: linear\nmodels:\n- model: *a\n  <<: *half\n- model: {b}\n  <<: *half\ndtype: float32\n")
    add("list of true", of("linear", "ab", parameters={"normalize": [True, False]}, weight=(0.6, 0.9)), dtype="float32")
    add("one number for a gradient", of("linear", "ab", weight=([0.3], [0.7])), dtype="float32")
    add("t of a model", {"merge_method": "slerp", "base_model": a, "models": [source("a", t=0.1), source("b")], "parameters": {"t": 0.4}, "dtype": "float32"})
    add("normalize of a model", {"merge_method": "linear", "models": [source("a", weight=0.4, normalize=False), source("b", weight=0.3)], "dtype": "float32"})
    add("unknown key", f"merge_method: linear\nmodels:\n- model: {a}\n  parameters: {{weight: 1}}\n- model: {b}\n  parameters: {{weight: 1}}\nembed_slerp: true\ndtype: float32\n")
    return out
