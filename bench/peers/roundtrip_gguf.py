#!/usr/bin/env python3
"""Makes small random language models, converts them to GGUF and back with Ballast, and runs both in their home tools.

    pip install torch transformers sentencepiece protobuf gguf llama-cpp-python
    python roundtrip_gguf.py --ballast ./ballast [--work DIR] [--only llama] [--types F32,Q8_0] [--out table.md]

For each model: its logits in transformers, those of the GGUF file in llama.cpp (the largest difference by the root mean square of the logits,
and how many of the likeliest tokens are the same), the numbers of tokens that either gives some texts, and the logits in transformers of the folder
that Ballast makes of the GGUF file again. Prints a table in Markdown; exit code 1 where a model in F32 is off by more than 1e-4 (5e-3 with GELU, which llama.cpp
takes from a table of half precision), a number of a token differs, or something cannot be opened.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile

import numpy as np
import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = ["The quick brown fox jumps over 13 lazy dogs.", " two  spaces and\nlines\n\n", "Zażółć gęślą jaźń 日本語 🦙!", "x = [i**2 for i in range(10)]  # don't", "<s>inner</s>"]
CORPUS = ["The lazy dogs and the quick brown fox went over the hill, and they don't know that the day is done.", "range of numbers 1 2 3 10 2024 for i in x:",
          "return the values of a list, then print them one by one", "lines and spaces, words and other things that texts are made of"] * 40
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_pairs(d, split=None, bos=False, ignore_merges=False, size=512):
    """a byte-pair tokenizer, of GPT-2's way to cut texts or of the pattern split"""
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    if split:
        from tokenizers import Regex
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), level])
    else:
        t.pre_tokenizer = level
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if bos:
        t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])
    tf.PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>", pad_token="<pad>").save_pretrained(d)
    return t.get_vocab_size(), 0, 1


def pieces_json(d, size=700):
    """a tokenizer.json of SentencePiece's kind, as Llama 2 has it: merges of all the ways to make a token"""
    d2 = os.path.join(d, "spm")
    os.makedirs(d2)
    tokens = pieces(d2, size)
    tf.AutoTokenizer.from_pretrained(d2).save_pretrained(d)
    shutil.rmtree(d2)
    if os.path.exists(os.path.join(d, "tokenizer.model")):
        os.remove(os.path.join(d, "tokenizer.model"))
    t = json.load(open(os.path.join(d, "tokenizer.json")))  # the older form, which puts a space after special tokens too, as llama.cpp does
    t["pre_tokenizer"], t["normalizer"] = None, {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    json.dump(t, open(os.path.join(d, "tokenizer.json"), "w"))
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, open(os.path.join(d, "tokenizer_config.json"), "w"))
    return tokens


def pieces(d, size=700, prefix=True, legacy=True):
    """a tokenizer.model of SentencePiece"""
    import io, sentencepiece as sp
    out = io.BytesIO()
    sp.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS + ["Zażółć gęślą jaźń"] * 4), model_writer=out, vocab_size=size, model_type="bpe", byte_fallback=True, character_coverage=1.0,
                                  add_dummy_prefix=prefix, remove_extra_whitespaces=False, normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2)
    open(os.path.join(d, "tokenizer.model"), "wb").write(out.getvalue())
    size = sp.SentencePieceProcessor(model_proto=out.getvalue()).vocab_size()
    json.dump({"tokenizer_class": "LlamaTokenizer" if prefix else "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>",
               "legacy": legacy, "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}, open(os.path.join(d, "tokenizer_config.json"), "w"))
    return size, 1, 2


def small(cls, tokens, **more):
    size, bos, eos = tokens
    base = dict(vocab_size=size, bos_token_id=bos, eos_token_id=eos, pad_token_id=None, hidden_size=256, intermediate_size=512, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=4,
                max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=False)
    base.update(more)
    return cls(**base)


def rope(kind, **more):
    return {"rope_parameters": dict(rope_type=kind, rope_theta=10000.0, **more)}


def cases():
    llama3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
    gemma = dict(head_dim=32, hidden_activation="gelu_pytorch_tanh", hidden_act="gelu_pytorch_tanh", tie_word_embeddings=True)
    long = dict(rope_type="longrope", rope_theta=10000.0, long_factor=[1.0 + i / 4 for i in range(16)], short_factor=[1.0 + i / 9 for i in range(16)], original_max_position_embeddings=32)
    return {
        "llama, GPT-2's byte pairs": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d))),
        "llama, Llama 3's byte pairs, tied": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d, LLAMA3, True, True), tie_word_embeddings=True)),
        "llama, tokenizer.model": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, pieces(d))),
        "llama, tokenizer.json of pieces": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, pieces_json(d))),
        "llama, heads of 64, biases": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d), head_dim=64, attention_bias=True, mlp_bias=True)),
        "llama, llama3's positions": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d), **llama3)),
        "llama, linear positions": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d), **rope("linear", factor=4.0))),
        "llama, yarn": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d), **rope("yarn", factor=8.0, original_max_position_embeddings=32))),
        "llama, yarn, attention_factor": lambda d: (tf.LlamaForCausalLM, small(tf.LlamaConfig, byte_pairs(d), **rope("yarn", factor=8.0, original_max_position_embeddings=32, attention_factor=1.5))),
        "mistral, tokenizer.model": lambda d: (tf.MistralForCausalLM, small(tf.MistralConfig, pieces(d), sliding_window=4096, head_dim=32)),
        "mixtral": lambda d: (tf.MixtralForCausalLM, small(tf.MixtralConfig, byte_pairs(d), num_local_experts=4, num_experts_per_tok=2)),
        "qwen2": lambda d: (tf.Qwen2ForCausalLM, small(tf.Qwen2Config, byte_pairs(d, LLAMA3.replace("{1,3}", "")))),
        "qwen3": lambda d: (tf.Qwen3ForCausalLM, small(tf.Qwen3Config, byte_pairs(d, LLAMA3.replace("{1,3}", "")), head_dim=64)),
        "qwen2_moe": lambda d: (tf.Qwen2MoeForCausalLM, small(tf.Qwen2MoeConfig, byte_pairs(d), num_experts=4, num_experts_per_tok=2, moe_intermediate_size=128, shared_expert_intermediate_size=256)),
        "qwen3_moe": lambda d: (tf.Qwen3MoeForCausalLM, small(tf.Qwen3MoeConfig, byte_pairs(d), num_experts=4, num_experts_per_tok=2, moe_intermediate_size=128, head_dim=32, norm_topk_prob=True)),
        "gemma": lambda d: (tf.GemmaForCausalLM, small(tf.GemmaConfig, pieces(d, prefix=False), **gemma)),
        "gemma2": lambda d: (tf.Gemma2ForCausalLM, small(tf.Gemma2Config, pieces(d, prefix=False), query_pre_attn_scalar=32, sliding_window=16, attn_implementation="eager", **gemma)),
        "gemma3_text": lambda d: (tf.Gemma3ForCausalLM, small(tf.Gemma3TextConfig, pieces(d, prefix=False), num_hidden_layers=7, query_pre_attn_scalar=32, sliding_window=16, **gemma)),
        "phi3": lambda d: (tf.Phi3ForCausalLM, small(tf.Phi3Config, byte_pairs(d), original_max_position_embeddings=256)),
        "phi3, long positions": lambda d: (tf.Phi3ForCausalLM, small(tf.Phi3Config, byte_pairs(d), original_max_position_embeddings=32, rope_parameters=long)),
        "phi": lambda d: (tf.PhiForCausalLM, small(tf.PhiConfig, byte_pairs(d), num_key_value_heads=8, partial_rotary_factor=0.5)),
    }


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def in_llama_cpp(path, ids, texts):
    """logits and numbers of tokens, in a process of its own, since llama.cpp ends the process that gives it what it does not like"""
    code = """
import sys, json, numpy as np, llama_cpp
path, ids, texts = json.load(sys.stdin)
m = llama_cpp.Llama(path, n_ctx=256, logits_all=True, verbose=False, n_threads=2, type_k=0, type_v=0, flash_attn=False)
m.eval(ids)
np.save(sys.argv[1], m.scores[:len(ids)].copy())
numbers = []
for t in texts:
    raw = t.encode(); out = (llama_cpp.llama_token * 512)()
    n = llama_cpp.llama_tokenize(llama_cpp.llama_model_get_vocab(m.model), raw, len(raw), out, 512, True, True)
    numbers.append(list(out[:n]))
print("NUMBERS" + json.dumps(numbers))
"""
    with tempfile.NamedTemporaryFile(suffix=".npy") as f:
        r = subprocess.run([sys.executable, "-c", code, f.name], input=json.dumps([path, ids, texts]), capture_output=True, text=True)
        if r.returncode != 0:
            return None, (r.stderr.strip().splitlines() or ["?"])[-1][:160]
        line = [x for x in r.stdout.splitlines() if x.startswith("NUMBERS")][-1]
        return np.load(f.name), json.loads(line[7:])


def apart(a, b):
    return float(np.abs(a - b).max() / np.sqrt((a ** 2).mean())), float((a.argmax(-1) == b.argmax(-1)).mean())


def run(ballast, *args):
    r = subprocess.run([ballast, *args], capture_output=True, text=True)
    return r.returncode, (r.stderr + r.stdout).strip()


def randomise(model):
    torch.manual_seed(5)
    for name, p in model.named_parameters():
        with torch.no_grad():
            if name.endswith("norm.weight") or "layernorm.weight" in name:
                p.add_(torch.randn_like(p) * 0.2)
            elif name.endswith("bias"):
                p.copy_(torch.randn_like(p) * 0.1)
            else:
                p.copy_(torch.randn_like(p) * 0.06)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ballast", default="ballast")
    parser.add_argument("--work")
    parser.add_argument("--only", default="")
    parser.add_argument("--types", default="F32")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out")
    args = parser.parse_args()
    work = args.work or tempfile.mkdtemp(prefix="roundtrip-gguf-")
    rows, failed = [], 0
    tf.logging.set_verbosity_error()
    for name, make in cases().items():
        if args.only and args.only not in name:
            continue
        d = os.path.join(work, name.replace(" ", "_").replace(",", "").replace("'", "").replace(".", ""))
        shutil.rmtree(d, ignore_errors=True)
        os.makedirs(d)
        cls, config = make(d)
        model = cls(config).eval()
        randomise(model)
        model.to(getattr(torch, args.dtype)).save_pretrained(d)
        model = cls.from_pretrained(d, dtype=torch.float32).eval()
        tok = tf.AutoTokenizer.from_pretrained(d)
        ids = [config.bos_token_id] + tok(" ".join(CORPUS[:2]), add_special_tokens=False).input_ids[:40]
        want = logits(model, ids)
        texts = [tok(t).input_ids for t in TEXTS]
        for typ in args.types.split(","):
            g = d + "." + typ + ".gguf"
            code, said = run(args.ballast, "convert", d, "--to", "gguf", *(["--type", typ] if typ != "default" else []), "--out", g, "--overwrite")
            if code:
                rows.append((name, typ, "refused: " + said.splitlines()[-1][:120], "", "", "", ""))
                failed += 1
                continue
            got, numbers = in_llama_cpp(g, ids, TEXTS)
            if got is None:
                rows.append((name, typ, "llama.cpp: " + numbers, "", "", "", ""))
                failed += 1
                continue
            off, same = apart(want, got)
            equal = sum(a == b for a, b in zip(texts, numbers))
            if os.path.exists(os.path.join(d, "tokenizer.model")):  # transformers is no witness where SentencePiece itself agrees with llama.cpp
                import sentencepiece as sp
                itself = sp.SentencePieceProcessor(model_file=os.path.join(d, "tokenizer.model"))
                odd = sum(a != b and [config.bos_token_id] + itself.encode(t) != b for t, a, b in zip(TEXTS, texts, numbers))
            else:
                odd = len(TEXTS) - equal
            back = d + "." + typ + ".back"
            code, said = run(args.ballast, "convert", g, "--to", "safetensors", "--out", back, "--overwrite")
            returned, again = "", "refused: " + said.splitlines()[-1][:100] if code else ""
            if not code:
                try:
                    other = tf.AutoModelForCausalLM.from_pretrained(back, dtype=torch.float32, attn_implementation=config._attn_implementation).eval()
                    again = "%.1e" % apart(want, logits(other, ids))[0]
                    theirs = tf.AutoTokenizer.from_pretrained(back)
                    returned = "%d of %d" % (sum(a == theirs(t).input_ids for t, a in zip(TEXTS, texts)), len(TEXTS))
                except Exception as e:  # whatever transformers says
                    again = "transformers: " + str(e).splitlines()[0][:100]
            bad = typ in ("F32", "default") and (off > (5e-3 if name[:3] in ("gem", "phi") and config.model_type != "phi3" else 1e-4) * (1000 if args.dtype != "float32" else 1) or odd or not again[0].isdigit() or float(again) > 1e-4)
            failed += bad
            rows.append((name, typ, "%.1e" % off, "%.0f %%" % (100 * same), "%d of %d" % (equal, len(TEXTS)), again, returned))
            if equal < len(TEXTS):
                for t, a, b in zip(TEXTS, texts, numbers):
                    if a != b:
                        print("  %r: transformers %s, llama.cpp %s" % (t, a, b), file=sys.stderr)
            print(rows[-1], file=sys.stderr, flush=True)
    import llama_cpp
    lines = ["transformers %s, llama-cpp-python %s" % (tf.__version__, llama_cpp.__version__), "",
             "| model | type | logits in llama.cpp off by | same likeliest token | texts with the same tokens | back in transformers off by | texts with the same tokens |", "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(r) + " |" for r in rows]
    print("\n".join(lines))
    if args.out:
        open(args.out, "w").write("\n".join(lines) + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
