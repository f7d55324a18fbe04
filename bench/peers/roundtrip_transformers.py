"""Folders of models that Ballast writes, in transformers: see roundtrip.py.

What a folder should hold is computed here, from the file that transformers wrote, in float64, rounded once to the type of the output, and is saved by
the safetensors package; both folders are loaded by transformers as they are, and their outputs are compared in float64. A loaded model must
have all tensors of its class, none beside them, and the type that was asked for.
"""
import json
import os
import re
import shutil

import numpy as np
import peft
import safetensors.torch as st
import torch
import transformers as tf

from roundtrip import table

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
TEXT = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=40)
ROPE = dict(TEXT, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)

# Class, config, modules of the adapter, and what stands before the number of a layer.
MODELS = {
    "BERT": (tf.BertForMaskedLM, lambda: tf.BertConfig(**TEXT), ["query", "value", "dense"], "bert.encoder.layer."),
    "Llama": (tf.LlamaForCausalLM, lambda: tf.LlamaConfig(**ROPE, tie_word_embeddings=False), ["q_proj", "down_proj"], "model.layers."),
    "Mistral": (tf.MistralForCausalLM, lambda: tf.MistralConfig(**ROPE, sliding_window=8, head_dim=8), ["v_proj", "up_proj"], "model.layers."),
    "Qwen2": (tf.Qwen2ForCausalLM, lambda: tf.Qwen2Config(**ROPE, tie_word_embeddings=True), ["q_proj", "o_proj"], "model.layers."),
    "GPT-2": (tf.GPT2LMHeadModel, lambda: tf.GPT2Config(vocab_size=96, n_embd=32, n_layer=3, n_head=4, n_positions=40, bos_token_id=1, eos_token_id=2), ["c_attn", "c_proj"], "transformer.h."),
    "ViT": (tf.ViTForImageClassification, lambda: tf.ViTConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, image_size=16, patch_size=4,
                                                               num_labels=5), ["q_proj", "v_proj"], "vit.encoder.layer."),
    "ResNet": (tf.ResNetForImageClassification, lambda: tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic", num_labels=5), ["convolution"], None),
}
# Their kin, written in two forms alone.
MORE = {
    "RoBERTa": (tf.RobertaForSequenceClassification, lambda: tf.RobertaConfig(**TEXT, pad_token_id=1), ["query", "value"], "roberta.encoder.layer."),
    "DistilBERT": (tf.DistilBertForMaskedLM, lambda: tf.DistilBertConfig(vocab_size=96, dim=32, hidden_dim=48, n_layers=3, n_heads=4, max_position_embeddings=40), ["q_lin"], "distilbert.transformer.layer."),
    "T5": (tf.T5ForConditionalGeneration, lambda: tf.T5Config(vocab_size=96, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0), ["q", "wi"], None),
    "Gemma 2": (tf.Gemma2ForCausalLM, lambda: tf.Gemma2Config(**ROPE, head_dim=8, sliding_window=8, query_pre_attn_scalar=8), ["q_proj"], "model.layers."),
    "Gemma 3": (tf.Gemma3ForCausalLM, lambda: tf.Gemma3TextConfig(**ROPE, head_dim=8, sliding_window=8), ["q_proj"], "model.layers."),
    "Qwen3": (tf.Qwen3ForCausalLM, lambda: tf.Qwen3Config(**ROPE, head_dim=8), ["q_proj"], "model.layers."),
    "Mixtral": (tf.MixtralForCausalLM, lambda: tf.MixtralConfig(**ROPE, num_local_experts=2), ["q_proj"], "model.layers."),
    "Phi-3": (tf.Phi3ForCausalLM, lambda: tf.Phi3Config(**ROPE), ["qkv_proj"], "model.layers."),
    "GPT-NeoX": (tf.GPTNeoXForCausalLM, lambda: tf.GPTNeoXConfig(**TEXT), ["query_key_value"], "gpt_neox.layers."),
    "OPT": (tf.OPTForCausalLM, lambda: tf.OPTConfig(vocab_size=96, hidden_size=32, ffn_dim=48, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=40, word_embed_proj_dim=32), ["q_proj"], "model.decoder.layers."),
    "Falcon": (tf.FalconForCausalLM, lambda: tf.FalconConfig(vocab_size=96, hidden_size=32, num_hidden_layers=3, num_attention_heads=4), ["query_key_value"], "transformer.h."),
    "BLOOM": (tf.BloomForCausalLM, lambda: tf.BloomConfig(vocab_size=96, hidden_size=32, n_layer=3, n_head=4), ["query_key_value"], "transformer.h."),
    "Mamba": (tf.MambaForCausalLM, lambda: tf.MambaConfig(vocab_size=96, hidden_size=32, num_hidden_layers=3, state_size=4), ["in_proj"], "backbone.layers."),
    "ConvNeXt": (tf.ConvNextForImageClassification, lambda: tf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, num_labels=5), ["pwconv1"], None),
}
IMAGES = {"ViT": 16, "ResNet": 32, "ConvNeXt": 32}
FORMS = ["F32", "F16, shards", "BF16", "F32, pytorch_model.bin", "BF16, pytorch_model.bin in shards"]
WEIGHTS = 0.25, 0.75  # exact in binary, so that a value between two of a narrow type is rounded by its value and not by that of the weight
LEAST = dict(F32=2.0 ** -24, F16=2.0 ** -11, BF16=2.0 ** -8)


def randomise(model, seed):
    """weights of a size that every layer counts, and counters and statistics as training leaves them"""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight") or "ln_" in name and name.endswith("weight"):
                p.copy_(1 + 0.2 * torch.randn_like(p))
            else:
                p.copy_(torch.randn_like(p) * (0.1 if p.dim() < 2 else 0.15))
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.copy_(0.3 * torch.randn_like(b))
            elif name.endswith("running_var"):
                b.copy_(0.5 + torch.rand_like(b))
            elif name.endswith("num_batches_tracked"):
                b.fill_(100 + seed)


def stored(folder):
    """all tensors of a folder"""
    out = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".safetensors"):
            out.update(st.load_file(path))
        elif name.endswith(".bin"):
            out.update(torch.load(path, weights_only=True))
    return out


def save(model, folder, form):
    shutil.rmtree(folder, ignore_errors=True)
    model.to(DTYPES[form.split(",")[0]])
    model.save_pretrained(folder, max_shard_size="40KB" if form.endswith("shards") else "1GB")
    if "bin" not in form:
        return
    # As older versions of transformers did: what is tied stands there twice.
    state = stored(folder)
    state.update({n: t for n, t in model.state_dict().items() if n in (model._tied_weights_keys or ())})
    for name in os.listdir(folder):
        if "safetensors" in name:
            os.remove(os.path.join(folder, name))
    if not form.endswith("shards"):
        torch.save(state, os.path.join(folder, "pytorch_model.bin"))
        return
    names = list(state)
    parts = names[: len(names) // 2], names[len(names) // 2:]
    index = {}
    for i, part in enumerate(parts):
        file = "pytorch_model-%05d-of-%05d.bin" % (i + 1, len(parts))
        torch.save({n: state[n] for n in part}, os.path.join(folder, file))
        index.update({n: file for n in part})
    json.dump({"metadata": {"total_size": 0}, "weight_map": index}, open(os.path.join(folder, "pytorch_model.bin.index.json"), "w"))


def expect(folder, like, tensors, dtype, **config):
    """saves what should come out, with the config of another folder"""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    tensors = {n: (t.to(dtype) if t.is_floating_point() else t).clone().contiguous() for n, t in tensors.items()}
    st.save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    c = json.load(open(os.path.join(like, "config.json")))
    c.pop("torch_dtype", None)
    c["dtype"] = str(dtype).removeprefix("torch.")
    c.update(config)
    json.dump(c, open(os.path.join(folder, "config.json"), "w"))


def question(name):
    g = torch.Generator().manual_seed(9)
    if size := IMAGES.get(name):
        return dict(pixel_values=torch.randn(2, 3, size, size, generator=g, dtype=torch.float64))
    ids = torch.randint(3, 96, (2, 12), generator=g)
    return dict(input_ids=ids, **(dict(decoder_input_ids=ids) if name == "T5" else {}))


def answer(cls, name, folder):
    """a folder's outputs in float64, and the type that it loads in; anything missing or left over is an error"""
    model, info = cls.from_pretrained(folder, output_loading_info=True, **({} if name in ("ResNet", "ConvNeXt", "Mamba") else dict(attn_implementation="eager")), **(dict(experts_implementation="eager") if name == "Mixtral" else {}))
    dtype = model.dtype
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(key):
            raise ValueError("%s: %s" % (key, sorted(map(str, info[key]))[:3]))
    with torch.no_grad():
        return model.double().eval()(**question(name)).logits.numpy(), dtype


def compare(cls, name, want, got, dtype):
    """the largest difference of outputs by their root mean square, or what transformers said"""
    try:
        a, _ = answer(cls, name, want)
        b, loaded = answer(cls, name, got)
    except Exception as e:  # whatever transformers says
        return None, str(e).strip().splitlines()[0][:140]
    if loaded != dtype:
        return None, "loads as %s, not as %s" % (loaded, dtype)
    return float(np.abs(a - b).max() / np.sqrt((a ** 2).mean())), ""


def floats(a, b, f):
    return {n: f(a[n].double(), b[n].double()) if a[n].is_floating_point() else a[n] for n in a}


def great_circle(a, b, t=WEIGHTS[0]):
    x, y = a.flatten(), b.flatten()
    cos = (x / x.norm()) @ (y / y.norm())
    if cos.abs() > 0.9995:
        return a + t * (b - a)
    angle = torch.acos(cos)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def stack(tensors, prefix, parts):
    """layers of a model, some of them twice"""
    out = {}
    places = [i for first, end in parts for i in range(first, end)]
    for name, t in tensors.items():
        if not (m := re.fullmatch(re.escape(prefix) + r"(\d+)(\..*)", name)):
            out[name] = t
            continue
        for to, origin in enumerate(places):
            if int(m[1]) == origin:
                out["%s%d%s" % (prefix, to, m[2])] = t
    return out, len(places)


def adapt(cls, modules, folder, base):
    """saves an adapter for a folder, and returns the tensors with it, in float64"""
    torch.manual_seed(3)
    model = cls.from_pretrained(base, dtype=torch.float64)
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=6, target_modules=modules, fan_in_fan_out=cls is tf.GPT2LMHeadModel))
    for key, p in tuned.named_parameters():
        if "lora_" in key:  # values that float32 holds
            p.data = (torch.randn(p.shape) * 0.1).to(p.dtype)
    shutil.rmtree(folder, ignore_errors=True)
    tuned.save_pretrained(folder)
    whole = tuned.merge_and_unload()
    whole.save_pretrained(folder + "-whole")
    return whole.state_dict() | stored(folder + "-whole")


def section(b):
    tf.logging.set_verbosity_error()
    tf.logging.disable_progress_bar()
    head = ["model", "written by transformers as", "as it is", "F32", "F16", "BF16", "sharded", "npz", "linear", "slerp", "stacked", "LoRA"]
    rows = []
    for name, (cls, config, modules, layers) in (MODELS | MORE).items():
        for form in FORMS if name in MODELS else FORMS[:1] + FORMS[-1:]:
            rows.append([name, form] + one(b, cls, name, form, config(), modules, layers))
    said = ["The largest difference between the outputs of the folder that Ballast wrote and of what should be in it, both loaded by transformers " + tf.__version__ + " (torch " + torch.__version__.split("+")[0] +
            ", peft " + peft.__version__ + ")", "and run in float64, by the outputs' root mean square; 0 is equal bit for bit. What should be in a folder is computed in float64 and rounded once."]
    return "\n".join(said) + "\n\n" + table(head, rows)


def one(b, cls, name, form, config, modules, layers):
    kind = form.split(",")[0]
    dtype = DTYPES[kind]
    where = b.folder("transformers", name, form)
    path = lambda *p: os.path.join(where, *p)
    for i, folder in enumerate(("a", "c")):
        model = cls(config)
        randomise(model, 10 + i)
        save(model, path(folder), form)
    a, c = stored(path("a")), stored(path("c"))
    cells = []

    def cell(what, most, code, said, want, got, dtype):
        off, why = (None, "refused: " + said) if code else compare(cls, name, want, got, dtype)
        good = b.judge("%s, %s, %s" % (name, form, what), off is not None and off <= most, why or "off by %s" % off)
        cells.append("%.0e" % off if off else "0" if good else why)

    for to in ("", "F32", "F16", "BF16"):
        out, t = path("to" + to), DTYPES.get(to, dtype)
        code, said = b.run("convert", path("a"), "--to", "safetensors", *(["--type", to] if to else []), "--out", out, "--check", "--overwrite")
        expect(path("want"), path("a"), a, t)
        cell("convert " + to, 0, code, said, path("want"), out, t)
    expect(path("want"), path("a"), a, dtype)
    code, said = b.run("convert", path("a"), "--to", "sharded", "--max-shard", 30000, "--out", path("shards"), "--overwrite")
    cell("convert sharded", 0, code, said, path("want"), path("shards"), dtype)
    npz(b, cls, name, form, path, a, cell)

    expect(path("want"), path("a"), floats(a, c, lambda x, y: WEIGHTS[0] * x + WEIGHTS[1] * y), dtype)
    code, said = b.run("merge", path("a"), path("c"), "--method", "linear", "--weight", "%s,%s" % WEIGHTS, "--out", path("linear"), "--overwrite")
    cell("merge linear", 64 * LEAST[kind], code, said, path("want"), path("linear"), dtype)
    expect(path("want"), path("a"), floats(a, c, great_circle), dtype)
    code, said = b.run("merge", path("a"), path("c"), "--method", "slerp", "--t", WEIGHTS[0], "--out", path("slerp"), "--overwrite")
    cell("merge slerp", 64 * LEAST[kind], code, said, path("want"), path("slerp"), dtype)
    if layers:
        stacked(b, cls, name, form, path, a, layers, cell)
    else:
        json.dump({"slices": [{"sources": [{"model": path("a"), "layer_range": [0, 1]}]}], "merge_method": "passthrough"}, open(path("stack.yaml"), "w"))
        code, said = b.run("merge", path("stack.yaml"), "--out", path("stack"), "--overwrite")
        b.judge("%s, %s, stacks are refused" % (name, form), code == 3 and not os.path.exists(path("stack")), said)
        cells.append("refused")
    want = adapt(cls, modules, path("adapter"), path("a"))
    expect(path("want"), path("a"), {n: want[n] for n in a}, dtype)
    code, said = b.run("merge", path("a"), "--lora", path("adapter"), "--out", path("lora"), "--overwrite")
    cell("merge --lora", 64 * LEAST[kind], code, said, path("want"), path("lora"), dtype)
    return cells


def npz(b, cls, name, form, path, a, cell):
    """NumPy's arrays hold the same values, and come back"""
    code, said = b.run("convert", path("a"), "--to", "npz", "--out", path("a.npz"), "--overwrite")
    dtype = DTYPES[form.split(",")[0]]
    if not code:
        arrays = np.load(path("a.npz"), allow_pickle=False)
        for n, t in a.items():
            want = (t.float() if t.dtype == torch.bfloat16 else t).numpy()
            if arrays[n].dtype != want.dtype or not np.array_equal(arrays[n], want):
                code, said = 1, "%s differs in NumPy" % n
    shutil.rmtree(path("back"), ignore_errors=True)
    if not code:
        code, said = b.run("convert", path("a.npz"), "--to", "safetensors", "--out", path("back"))
    if not code:
        shutil.copy(path("a", "config.json"), path("back"))
    expect(path("want"), path("a"), a, dtype)
    cell("convert npz", 0, code, said, path("want"), path("back"), dtype)


def stacked(b, cls, name, form, path, a, layers, cell):
    parts = [(0, 2), (1, 3)]
    tensors, depth = stack(a, layers, parts)
    own = json.load(open(path("a", "config.json")))
    more = {k: depth for k in ("num_hidden_layers", "n_layer", "n_layers") if k in own}
    if own.get("layer_types"):
        more["layer_types"] = [own["layer_types"][i] for first, end in parts for i in range(first, end)]
    if own.get("max_window_layers") is not None:
        more["max_window_layers"] = own["max_window_layers"]
    dtype = DTYPES[form.split(",")[0]]
    expect(path("want"), path("a"), tensors, dtype, **more)
    json.dump({"slices": [{"sources": [{"model": path("a"), "layer_range": list(p)}]} for p in parts], "merge_method": "passthrough"}, open(path("stack.yaml"), "w"))
    code, said = b.run("merge", path("stack.yaml"), "--out", path("stack"), "--overwrite")
    cell("merge passthrough", 0, code, said, path("want"), path("stack"), dtype)
