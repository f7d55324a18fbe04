"""Runs merge recipes by mergekit 0.1.5 and by ballast on the same small random models, and compares every tensor.

    python3 bench/peers/roundtrip_merge.py --ballast ./ballast [--only WORD] [--markdown]

Needs mergekit 0.1.5 with PyTorch for the CPU. Recipes and models are in merge_recipes.py.

    equal        every tensor has the same bits, or differs by rounding: at most 8 steps of the output type at the size of the value and of its tensor
    better       tensors that differ by more are nearer to the same recipe in float64 (by mergekit, dtype float64, equal magnitudes in our order)
    mended       mergekit's config contradicts its tensors: an output layer that the config ties away, or one that it wants and that is not there
    refused      ours says why; mergekit runs
    different    none of these
    both refuse  neither runs it
    ours alone   mergekit refuses, ours runs

Random drops are drawn by our generator in mergekit too: what is compared is what is done with them.
"""
import argparse, collections, contextlib, io, json, logging, os, shutil, subprocess, sys, tempfile, warnings

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
warnings.filterwarnings("ignore")
import numpy as np, torch, yaml
from safetensors import safe_open

import merge_recipes

logging.disable(logging.CRITICAL)
import mergekit.merge_methods.generalized_task_arithmetic as gta
import mergekit.sparsify
from mergekit.config import MergeConfiguration
from mergekit.io.tasks import LoaderCache
from mergekit.merge import run_merge
from mergekit.options import MergeOptions

# --- our draws in place of torch's


def mix(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def draws(name, which, n, seed=1):
    """The 32 bits of each element: a function of seed, model and tensor name."""
    h = 14695981039346656037
    for byte in seed.to_bytes(8, "little") + which.to_bytes(8, "little") + name.encode():
        h = ((h ^ byte) * 1099511628211) & (2**64 - 1)
    with np.errstate(over="ignore"):
        key = mix(np.array([h], np.uint64))
        at = np.arange(n, dtype=np.uint64)
        m = mix(key + (at >> np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return (m >> ((at & np.uint64(1)) * np.uint64(32))) & np.uint64(0xFFFFFFFF)


current = []
merge_group, sparsify, bernoulli = gta.GeneralizedTaskArithmeticMerge.merge_group, gta.sparsify, torch.bernoulli


def our_merge_group(self, group, /, **parameters):
    current[:] = [(group.metadata.name, i) for i, e in enumerate(group.entries) if not e.is_base]
    return merge_group(self, group, **parameters)


def our_bernoulli(p, **more):
    name, which = current[0]
    keep = draws(name, which, p.numel()).astype(np.float64) < p.double().numpy().ravel() * 2.0**32
    return torch.tensor(keep, dtype=p.dtype).reshape(p.shape)


def our_sparsify(delta, **more):
    try:
        return sparsify(delta, **more)
    finally:
        current.pop(0)


gta.GeneralizedTaskArithmeticMerge.merge_group, gta.sparsify, torch.bernoulli = our_merge_group, our_sparsify, our_bernoulli

# --- equal magnitudes in our order, for the reference alone: the one with the lower index is the larger, in della the smaller
argsort, sort, topk = torch.argsort, torch.sort, torch.topk


def stable_argsort(x, dim=-1, descending=False):
    return argsort(x, dim=dim, descending=descending, stable=True)


def stable_sort(x, dim=-1, descending=False):
    flipped = sort(x.flip(dim), dim=dim, descending=descending, stable=True)
    return collections.namedtuple("sorted", "values indices")(flipped.values, x.shape[dim] - 1 - flipped.indices)


def stable_topk(x, k, **more):
    at = argsort(x, descending=True, stable=True)[:k]
    return collections.namedtuple("top", "values indices")(x[at], at)


@contextlib.contextmanager
def our_order():
    torch.argsort, torch.topk = stable_argsort, stable_topk
    torch.sort = lambda x, *a, **k: stable_sort(x, **k) if k.get("descending") is False and x.dim() == 1 else sort(x, *a, **k)
    try:
        yield
    finally:
        torch.argsort, torch.sort, torch.topk = argsort, sort, topk


# --- the two sides


def by_mergekit(text, out, **changed):
    LoaderCache().loaders.clear()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        config = MergeConfiguration.model_validate({**yaml.safe_load(text), **changed})
        run_merge(config, out, MergeOptions(quiet=True, write_model_card=False), config_source=text)


def by_ballast(ballast, text, out, dir):
    recipe = os.path.join(dir, "recipe.yaml")
    with open(recipe, "w") as f:
        f.write(text)
    p = subprocess.run([ballast, "merge", recipe, "--out", out, "--threads", "1"], capture_output=True, text=True)
    return p.returncode, p.stderr.strip()


def tensors(dir):
    out = {}
    for name in sorted(os.listdir(dir)):
        if name.endswith(".safetensors"):
            with safe_open(os.path.join(dir, name), "pt") as f:
                out.update({k: f.get_tensor(k) for k in f.keys()})
    return out


def rows(dir):
    """Token -> row."""
    with open(os.path.join(dir, "tokenizer.json")) as f:
        t = json.load(f)
    return {**t["model"]["vocab"], **{a["content"]: a["id"] for a in t["added_tokens"]}}


def template(dir):
    with contextlib.suppress(FileNotFoundError):
        with open(os.path.join(dir, "chat_template.jinja")) as f:
            return f.read()


VOCABULARY = ("model.embed_tokens.weight", "lm_head.weight")


def align(theirs, dir, ours_dir):
    """Rows of embeddings in the order of our tokens."""
    a, b = rows(ours_dir), rows(dir)
    if a == b:
        return theirs, None
    if a.keys() != b.keys():
        return theirs, f"tokens {sorted(a.keys() ^ b.keys())[:4]}"
    order = [b[t] for t in sorted(a, key=a.get)]
    for name in VOCABULARY:
        if name in theirs:
            n = theirs[name].shape[0]
            theirs[name] = theirs[name][order + list(range(len(order), n))]
    return theirs, None


STEP = {torch.float64: 2.0**-52, torch.float32: 2.0**-23, torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}


def differ(ours, theirs, reference, wanted):
    """How one tensor differs: bits, rounding, better, or what is wrong. wanted is the type that the recipe asks for."""
    if theirs.dtype != ours.dtype == wanted:
        theirs = theirs.to(wanted)  # mergekit's arcee_fusion writes float32 whatever is asked for
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype} {list(ours.shape)}, mergekit {theirs.dtype} {list(theirs.shape)}"
    if torch.equal(ours, theirs):
        return "bits"
    a, b = ours.double(), theirs.double()
    size = torch.maximum(a.abs(), b.abs()) + b.square().mean().sqrt()
    if ((a - b).abs() <= 8 * STEP[ours.dtype] * size).all():
        return "rounding"
    if reference is not None:
        r = reference.double()
        mine, his = (a - r).abs(), (b - r).abs()
        step = STEP[ours.dtype] * (r.abs() + r.square().mean().sqrt())
        if mine.square().mean() <= his.square().mean() and (mine - step).max() <= his.max():
            return "better"
    return f"differs by up to {float((a - b).abs().max() / b.square().mean().sqrt()):.2g} of its rms"


def compare(name, text, dir, ballast):
    ours_dir, theirs_dir, wide_dir = (os.path.join(dir, d) for d in ("ours", "theirs", "wide"))
    for d in (ours_dir, theirs_dir, wide_dir):
        shutil.rmtree(d, ignore_errors=True)
    code, said = by_ballast(ballast, text, ours_dir, dir)
    try:
        by_mergekit(text, theirs_dir)
    except Exception as e:  # whatever it is, the recipe does not run there
        reason = str(e).strip().splitlines()
        return ("both refuse" if code else "ours alone"), (said if code else (reason[0] if reason else type(e).__name__)[:150])
    if code:
        return "refused", said.splitlines()[-1]

    ours, theirs = tensors(ours_dir), tensors(theirs_dir)
    theirs, wrong = align(theirs, theirs_dir, ours_dir)
    if wrong:
        return "different", wrong
    with open(ours_dir + "/config.json") as f, open(theirs_dir + "/config.json") as g:
        a, b = json.load(f), json.load(g)
    head, embeddings = theirs.get("lm_head.weight"), theirs["model.embed_tokens.weight"]
    if not b["tie_word_embeddings"] and head is None:
        return "mended", "mergekit: the config is untied, lm_head.weight is not there"
    if b["tie_word_embeddings"] and head is not None and not torch.equal(head, embeddings) and torch.allclose(ours["lm_head.weight"], head, rtol=1e-6):
        return "mended", "mergekit: the config ties lm_head.weight, which is there and differs"
    if ours.keys() != theirs.keys():
        return "different", f"ours alone has {sorted(ours.keys() - theirs.keys())}, mergekit alone {sorted(theirs.keys() - ours.keys())}"
    for key in ("num_hidden_layers", "vocab_size", "tie_word_embeddings"):
        if a.get(key) != b.get(key):
            return "different", f"config: {key} {a.get(key)}, mergekit {b.get(key)}"
    if template(ours_dir) != template(theirs_dir) and not same_template(ours_dir, theirs_dir):
        return "different", "chat template"

    recipe = yaml.safe_load(text)
    wanted = getattr(torch, recipe.get("out_dtype") or recipe.get("dtype") or "float32")
    found = collections.Counter(differ(ours[n], theirs[n], None, wanted) for n in ours)
    if found.keys() - {"bits", "rounding"}:
        with our_order():
            by_mergekit(text, wide_dir, dtype="float64", out_dtype="float64")
        wide, _ = align(tensors(wide_dir), wide_dir, ours_dir)
        found = collections.Counter(differ(ours[n], theirs[n], wide[n], wanted) for n in ours)
    wrong = [f for f in found if f not in ("bits", "rounding", "better")]
    notes = "; ".join(line.removeprefix("note: ") for line in said.splitlines() if line.startswith("note: "))
    if wrong:
        return "different", f"{sum(found[w] for w in wrong)} of {len(ours)} tensors: {wrong[0]}" + (f" ({notes})" if notes else "")
    kind = "better" if found["better"] else "equal, rounding" if found["rounding"] else "equal, bits"
    return kind, " ".join(f"{v} {k}" for k, v in found.items()) + (f" ({notes})" if notes else "")


def same_template(a, b):
    """Whether the templates of two folders say the same of a few talks, white space aside, of which mergekit's have some between messages."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    texts = [template(d) for d in (a, b)]
    if None in texts:
        return False
    talks = [[dict(role="user", content="Hi ")], [dict(role=r, content=c) for r, c in (("user", "one"), ("assistant", "two"), ("user", "three"))],
             [dict(role=r, content=c) for r, c in (("system", "be short"), ("user", "one"))]]
    made = []
    for text in texts:
        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        made.append([])
        for talk in talks:
            for prompt in (False, True):
                try:
                    made[-1].append(env.from_string(text).render(messages=talk, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>"))
                    made[-1][-1] = "".join(made[-1][-1].split())
                except Exception as e:
                    made[-1].append(type(e).__name__)
    if made[0] != made[1]:
        for x, y in zip(*made):
            if x != y:
                print(f"    ours {x!r}\n  theirs {y!r}", file=sys.stderr)
    return made[0] == made[1]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--ballast", required=True)
    args.add_argument("--only", default="", help="recipes whose names hold this word")
    args.add_argument("--markdown", action="store_true", help="print the table of docs/merge.md")
    args.add_argument("--list", default="", help="write what came of each recipe to this file")
    args = args.parse_args()
    torch.set_num_threads(1)
    results = {}
    with tempfile.TemporaryDirectory() as dir:
        merge_recipes.models(dir + "/m")
        for name, text in merge_recipes.recipes(dir + "/m"):
            if args.only in name:
                results[name] = (text.split("merge_method: ")[1].split()[0], *compare(name, text, dir, os.path.abspath(args.ballast)))
                kind, why = results[name][1:]
                if kind not in ("equal, bits", "equal, rounding"):
                    print(f"{kind:15} {name}: {why.replace(dir + '/m/', '')[:300]}", file=sys.stderr)
    if args.list:
        with open(args.list, "w") as f:
            for name, r in results.items():
                f.write("\t".join((name, *r)).replace("\n", " ") + "\n")

    kinds = ["equal, bits", "equal, rounding", "better", "mended", "refused", "different", "ours alone", "both refuse"]
    table = collections.defaultdict(collections.Counter)
    for method, kind, _ in results.values():
        table[method][kind] += 1
        table["all"][kind] += 1
    line = lambda cells: "| " + " | ".join(str(c) for c in cells) + " |" if args.markdown else "  ".join(f"{c!s:16}" for c in cells)
    print(line(["method", *kinds]))
    if args.markdown:
        print(line(["---"] * (1 + len(kinds))))
    for method in [m for m in table if m != "all"] + ["all"]:
        print(line([method, *(table[method][k] or "" for k in kinds)]))
    print(f"{len(results)} recipes")


main()
