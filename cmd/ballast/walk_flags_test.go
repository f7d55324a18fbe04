package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/papers/paper"
)

// proof shows that a flag has an effect, or is refused.
//
// with is a command that holds the flag, without one that does not, or nothing. Both are run after before, each in a folder of its own, and
// want, a regular expression, must match what came of the first, and must not match what came of the second: the exit code, the text, the
// files there are. With an empty want the two must differ.
type proof struct {
	flag          string // "verb --flag"
	with, without string
	want          string
	before        string // commands, separated by ;
	by            string // "folder TestName" of the test that shows it, where the command would need the network or minutes
}

const tinyHoles = "inpaint --data npy:slopes.npy,slope_labels.npy --out o side=12 patches=4 held=2 batch=2 steps=1 evaluate_every=1 generator.base=2 generator.blocks=1 " +
	"discriminator.base=2 discriminator.halves=1 holes.least=2 holes.most=4"

// proofs has one for each flag of each verb. Flags that verbs refuse by unused need none; --memory and --quiet have one for all.
var proofs = []proof{
	{flag: "train --out", with: "train recipe.yaml --out r", without: "train recipe.yaml", want: "FILE r/config.yaml"},
	{flag: "train --data", with: "train --print-recipe --data mnist", without: "train --print-recipe", want: "data: mnist"},
	{flag: "train --overwrite", with: "train other.yaml --out r --overwrite", without: "train other.yaml --out r", before: "train recipe.yaml --out r -q", want: "^exit 0\n"},
	{flag: "train --resume", with: "train recipe.yaml --out r --resume", without: "train recipe.yaml --out r", before: "train recipe.yaml --out r -q", want: "^exit 0\n"},
	{flag: "train --devices", with: "train recipe.yaml --out r --devices 2", without: "train recipe.yaml --out r", want: "2 devices; engine go has 1"},
	{flag: "train --print-recipe", with: "train recipe.yaml --print-recipe", without: "train recipe.yaml", want: "\nbatch_size: 64"},
	{flag: "train --seed", with: "train --print-recipe --seed 7", without: "train --print-recipe", want: "\nseed: 7\n"},
	{flag: "train --json", with: "train --print-recipe --json", without: "train --print-recipe", want: `"batch_size": 64`},

	{flag: "inpaint --data", with: "inpaint --data npy:none,none --out o", without: "inpaint --out o", want: "^exit 3\n"},
	{flag: "inpaint --out", with: "inpaint --data npy:none,none --out o", without: "inpaint --data npy:none,none", want: "^exit 3\n"},
	{flag: "inpaint --overwrite", with: tinyHoles + " lr=0.01 --overwrite", without: tinyHoles + " lr=0.01", before: tinyHoles + " -q", want: "^exit 0\n"},
	{flag: "inpaint --paper", with: "inpaint --print-config --paper", without: "inpaint --print-config", want: `"side": 256`},
	{flag: "inpaint --print-config", with: "inpaint --print-config", without: "inpaint", want: `"side": 32`},
	{flag: "inpaint --seed", with: "inpaint --print-config --seed 7", without: "inpaint --print-config", want: `"seed": 7`},
	{flag: "inpaint --json", with: tinyHoles + " --json", without: tinyHoles, want: `"psnr"`},

	{flag: "evaluate --data", with: "evaluate run/model --data optdigits --suite clean", without: "evaluate run/model --suite clean", want: "517 examples"},
	{flag: "evaluate --part", with: "evaluate run/model --data optdigits --part train --suite clean", without: "evaluate run/model --data optdigits --suite clean", want: "1280 examples"},
	{flag: "evaluate --logits", with: "evaluate --logits z.npy --labels y.npy", without: "evaluate --labels y.npy", want: "60 examples"},
	{flag: "evaluate --labels", with: "evaluate --logits z.npy --labels y.npy", without: "evaluate --logits z.npy", want: "60 examples"},
	{flag: "evaluate --outputs", with: "evaluate --logits p.npy --labels y.npy --outputs logits", without: "evaluate --logits p.npy --labels y.npy"},
	{flag: "evaluate --probabilities", with: "evaluate --logits z.npy --labels y.npy --probabilities", without: "evaluate --logits z.npy --labels y.npy", want: "the outputs are no probabilities"},
	{flag: "evaluate --ignore-label", with: "evaluate --logits z.npy --labels marked.npy --ignore-label=-100", without: "evaluate --logits z.npy --labels marked.npy", want: "59 examples"},
	{flag: "evaluate --by-place", with: "evaluate run/model --data dir:pics --suite clean --by-place", without: "evaluate run/model --data dir:pics --suite clean", want: "by their place"},
	{flag: "evaluate --sample", with: "evaluate run/model --data optdigits --suite clean --sample 100", without: "evaluate run/model --data optdigits --suite clean", want: "100 examples"},
	{flag: "evaluate --skip-damaged", with: "evaluate run/model --data own/torn --suite clean --skip-damaged --by-place", without: "evaluate run/model --data own/torn --suite clean --by-place", want: "1 of 5 pictures are left out"},
	{flag: "evaluate --skip-unmatched", with: "evaluate named.onnx --data own/owls --suite clean --skip-unmatched", without: "evaluate named.onnx --data own/owls --suite clean", want: "1 of 4 examples are left out"},
	{flag: "evaluate --suite", with: "evaluate run/model --data optdigits --suite shots", without: "evaluate run/model --data optdigits --suite clean", want: "mean of classes"},
	{flag: "evaluate --shifts", with: "evaluate run/model --data optdigits --suite shift --shifts cifar-c,fog,jpeg", without: "evaluate run/model --data optdigits --suite shift", want: "fog +[0-9]"},
	{flag: "evaluate --set", with: "evaluate run/model --data optdigits --suite shots --set shots.few=130", without: "evaluate run/model --data optdigits --suite shots"},
	{flag: "evaluate --bins", with: "evaluate --logits z.npy --labels y.npy --bins 3", without: "evaluate --logits z.npy --labels y.npy"},
	{flag: "evaluate --training", with: "evaluate run/model --data optdigits --suite pairs --training optdigits", without: "evaluate run/model --data optdigits --suite pairs", want: "utilization"},
	{flag: "evaluate --training-part", with: "evaluate run/model --data optdigits --suite pairs --training optdigits --training-part test", without: "evaluate run/model --data optdigits --suite pairs --training optdigits"},
	{flag: "evaluate --require", with: "evaluate --logits z.npy --labels y.npy --require acc>=2", without: "evaluate --logits z.npy --labels y.npy", want: "^exit 4\n"},
	{flag: "evaluate --html", with: "evaluate --logits z.npy --labels y.npy --html r.html", without: "evaluate --logits z.npy --labels y.npy", want: "FILE r.html"},
	{flag: "evaluate --overwrite", with: "evaluate --logits z.npy --labels y.npy --html r.html --overwrite", without: "evaluate --logits z.npy --labels y.npy --html r.html", before: "evaluate --logits z.npy --labels y.npy --html r.html -q", want: "^exit 0\n"},
	{flag: "evaluate --engine", with: "evaluate run/model --data optdigits --suite clean --engine xlaa", without: "evaluate run/model --data optdigits --suite clean", want: "no engine"},
	{flag: "evaluate --exec", with: "evaluate --exec true --data optdigits", without: "evaluate --data optdigits", want: "it ended without an answer"},
	{flag: "evaluate --preprocess", with: "evaluate digits.onnx --data optdigits --suite clean --preprocess 0-255", without: "evaluate digits.onnx --data optdigits --suite clean", want: `numbers in \[0,255\]`},
	{flag: "evaluate --seed", with: "evaluate run/model --data optdigits --suite shift --seed 9", without: "evaluate run/model --data optdigits --suite shift"},
	{flag: "evaluate --json", with: "evaluate --logits z.npy --labels y.npy --json", without: "evaluate --logits z.npy --labels y.npy", want: `"brier":`},

	{flag: "adapt --data", with: "adapt run/model --data optdigits", without: "adapt run/model", want: "517 examples"},
	{flag: "adapt --part", with: "adapt run/model --data optdigits --part train", without: "adapt run/model --data optdigits", want: "1280 examples"},
	{flag: "adapt --shift", with: "adapt run/model --data optdigits --shift contrast:3", without: "adapt run/model --data optdigits", want: "contrast:3"},
	{flag: "adapt --method", with: "adapt run/model --data optdigits --method tent", without: "adapt run/model --data optdigits", want: "method       tent"},
	{flag: "adapt --compare", with: "adapt run/model --data optdigits --sample 100 --compare", without: "adapt run/model --data optdigits --sample 100", want: "rotta"},
	{flag: "adapt --stream", with: "adapt run/model --data optdigits --stream sorted", without: "adapt run/model --data optdigits", want: "optdigits sorted"},
	{flag: "adapt --set", with: "adapt run/model --data optdigits --set source_weight=0.5", without: "adapt run/model --data optdigits", want: "source_weight=0.5"},
	{flag: "adapt --batch", with: "adapt run/model --data optdigits --batch 100", without: "adapt run/model --data optdigits", want: "steps of 100"},
	{flag: "adapt --by-place", with: "adapt run/model --data dir:pics --by-place", without: "adapt run/model --data dir:pics", want: "by their place"},
	{flag: "adapt --sample", with: "adapt run/model --data optdigits --sample 100", without: "adapt run/model --data optdigits", want: "100 examples"},
	{flag: "adapt --skip-damaged", with: "adapt run/model --data own/torn --skip-damaged --by-place", without: "adapt run/model --data own/torn --by-place", want: "1 of 5 pictures are left out"},
	{flag: "adapt --skip-unmatched", by: "cmd/ballast TestScripts"},
	{flag: "adapt --out", with: "adapt run/model --data optdigits --out o", without: "adapt run/model --data optdigits", want: "FILE o/adapter.json"},
	{flag: "adapt --save-every", with: "adapt run/model --data optdigits --save-every 2", without: "adapt run/model --data optdigits", want: "--save-every has no effect without --out"},
	{flag: "adapt --resume", with: "adapt run/model --data optdigits --out o --resume", without: "adapt run/model --data optdigits --out o", before: "adapt run/model --data optdigits --out o -q", want: "resumed at 517"},
	{flag: "adapt --overwrite", with: "adapt run/model --data optdigits --method ema --out o --overwrite", without: "adapt run/model --data optdigits --method ema --out o", before: "adapt run/model --data optdigits --out o -q", want: "^exit 0\n"},
	{flag: "adapt --export", with: "adapt resnet-norms.onnx --data optdigits --export m.onnx", without: "adapt resnet-norms.onnx --data optdigits", want: "FILE m.onnx"},
	{flag: "adapt --preprocess", with: "adapt resnet-norms.onnx --data optdigits --export m.onnx --preprocess 0-255", without: "adapt resnet-norms.onnx --data optdigits --export m.onnx"},
	{flag: "adapt --exec", with: "adapt --exec true --data optdigits --method lame", without: "adapt --data optdigits --method lame", want: "it ended without an answer"},
	{flag: "adapt --outputs", with: "adapt digits.onnx --data optdigits --method lame --outputs logits", without: "adapt digits.onnx --data optdigits --method lame"},
	{flag: "adapt --engine", with: "adapt run/model --data optdigits --engine xlaa", without: "adapt run/model --data optdigits", want: "no engine"},
	{flag: "adapt --seed", with: "adapt run/model --data optdigits --seed 5 --json", without: "adapt run/model --data optdigits --json", want: `"seed": 5`},
	{flag: "adapt --json", with: "adapt run/model --data optdigits --json", without: "adapt run/model --data optdigits", want: `"accuracy":`},

	{flag: "calibrate --data", with: "calibrate run/model --data optdigits --out m", without: "calibrate run/model --out m", want: "FILE m/ballast.json"},
	{flag: "calibrate --part", with: "calibrate run/model --data optdigits --part train --out m", without: "calibrate run/model --data optdigits --out m", want: "1280 examples"},
	{flag: "calibrate --on", with: "calibrate --logits z.npy --labels y.npy --on z2.npy,y2.npy", without: "calibrate --logits z.npy --labels y.npy", want: `judged on    z2.npy \(30\)`},
	{flag: "calibrate --on-part", with: "calibrate run/model --data optdigits --on optdigits --on-part train --out m", without: "calibrate run/model --data optdigits --on long-tail-optdigits --out m", want: `judged on    optdigits train \(1280\)`},
	{flag: "calibrate --logits", with: "calibrate --logits z.npy --labels y.npy", without: "calibrate --labels y.npy", want: "fitted to    60"},
	{flag: "calibrate --labels", with: "calibrate --logits z.npy --labels y.npy", without: "calibrate --logits z.npy", want: "fitted to    60"},
	{flag: "calibrate --outputs", with: "calibrate --logits p.npy --labels y.npy --outputs logits", without: "calibrate --logits p.npy --labels y.npy"},
	{flag: "calibrate --probabilities", with: "calibrate --logits z.npy --labels y.npy --probabilities", without: "calibrate --logits z.npy --labels y.npy", want: "the outputs are no probabilities"},
	{flag: "calibrate --ignore-label", with: "calibrate --logits z.npy --labels marked.npy --ignore-label=-100", without: "calibrate --logits z.npy --labels marked.npy", want: "fitted to    59"},
	{flag: "calibrate --by-place", with: "calibrate run/model --data dir:pics --out m --by-place", without: "calibrate run/model --data dir:pics --out m", want: "^exit [01]\n"},
	{flag: "calibrate --sample", with: "calibrate run/model --data optdigits --out m --sample 100", without: "calibrate run/model --data optdigits --out m", want: "100 of 517 examples"},
	{flag: "calibrate --skip-damaged", with: "calibrate run/model --data own/torn --out m --skip-damaged --by-place", without: "calibrate run/model --data own/torn --out m --by-place", want: "1 of 5 pictures are left out"},
	{flag: "calibrate --skip-unmatched", with: "calibrate named.onnx --data own/owls --skip-unmatched", without: "calibrate named.onnx --data own/owls", want: "^exit [01]\n"},
	{flag: "calibrate --method", with: "calibrate --logits z.npy --labels y.npy --method isotonic", without: "calibrate --logits z.npy --labels y.npy", want: `isotonic +[0-9]`},
	{flag: "calibrate --set", with: "calibrate --logits z.npy --labels y.npy --method histogram --set bins=2", without: "calibrate --logits z.npy --labels y.npy --method histogram"},
	{flag: "calibrate --compare", with: "calibrate --logits z.npy --labels y.npy --compare", without: "calibrate --logits z.npy --labels y.npy", want: "smallest NLL"},
	{flag: "calibrate --on-shifted", with: "calibrate run/model --data optdigits --out m --on-shifted", without: "calibrate run/model --data optdigits --out m", want: "fitted to the mixture"},
	{flag: "calibrate --out", with: "calibrate --logits z.npy --labels y.npy --out s.npy", without: "calibrate --logits z.npy --labels y.npy", want: "FILE s.npy"},
	{flag: "calibrate --html", with: "calibrate --logits z.npy --labels y.npy --on z2.npy,y2.npy --html r.html", without: "calibrate --logits z.npy --labels y.npy --on z2.npy,y2.npy", want: "FILE r.html"},
	{flag: "calibrate --overwrite", with: "calibrate --logits z.npy --labels y.npy --out s.npy --overwrite", without: "calibrate --logits z.npy --labels y.npy --out s.npy", before: "calibrate --logits z.npy --labels y.npy --out s.npy -q", want: "^exit 0\n"},
	{flag: "calibrate --max-iterations", with: "calibrate --logits z.npy --labels y.npy --max-iterations 1", without: "calibrate --logits z.npy --labels y.npy", want: "the search was not done"},
	{flag: "calibrate --engine", with: "calibrate run/model --data optdigits --out m --engine xlaa", without: "calibrate run/model --data optdigits --out m", want: "no engine"},
	{flag: "calibrate --exec", with: "calibrate --exec true --data optdigits", without: "calibrate --data optdigits", want: "it ended without an answer"},
	{flag: "calibrate --preprocess", with: "calibrate digits.onnx --data optdigits --preprocess 0-255", without: "calibrate digits.onnx --data optdigits", want: `numbers in \[0,255\]`},
	{flag: "calibrate --seed", with: "calibrate --logits z.npy --labels y.npy --seed 5", without: "calibrate --logits z.npy --labels y.npy"},
	{flag: "calibrate --json", with: "calibrate --logits z.npy --labels y.npy --json", without: "calibrate --logits z.npy --labels y.npy", want: `"temperature":`},

	{flag: "convert --fold-norms", with: "convert cnn/model --fold-norms --out m", without: "convert cnn/model --out m", want: "2 norms folded"},
	{flag: "convert --data", with: "convert cnn/model --fold-norms --data optdigits --out m", without: "convert cnn/model --fold-norms --out m"},
	{flag: "convert --part", with: "convert cnn/model --fold-norms --data optdigits --part train --out m", without: "convert cnn/model --fold-norms --data optdigits --out m"},
	{flag: "convert --examples", with: "convert cnn/model --fold-norms --examples 3 --out m", without: "convert cnn/model --fold-norms --out m", want: "on 3 examples"},
	{flag: "convert --out", with: "convert a.safetensors --to npz --out a.npz", without: "convert a.safetensors --to npz", want: "FILE a.npz"},
	{flag: "convert --to", with: "convert a.safetensors --to npz --out a.npz", without: "convert a.safetensors --out a.npz", want: "FILE a.npz"},
	{flag: "convert --type", with: "convert a.safetensors --to safetensors --type F16 --out o.safetensors", without: "convert a.safetensors --to safetensors --out o.safetensors"},
	{flag: "convert --max-shard", with: "convert hf --to sharded --max-shard 10000 --out o", without: "convert hf --to sharded --out o"},
	{flag: "convert --compress", with: "convert hf --to npz --compress --out o.npz", without: "convert hf --to npz --out o.npz"},
	{flag: "convert --keep-names", with: "convert hf --to gguf --keep-names --out o.gguf", without: "convert hf --to gguf --out o.gguf"},
	{flag: "convert --check", with: "convert a.safetensors --to npz --out a.npz --check", without: "convert a.safetensors --to npz --out a.npz", want: "check: 1 of 1"},
	{flag: "convert --overwrite", with: "convert a.safetensors --to npz --out a.npz --overwrite", without: "convert a.safetensors --to npz --out a.npz", before: "convert a.safetensors --to npz --out a.npz -q", want: "^exit 0\n"},
	{flag: "convert --engine", with: "convert cnn/model --fold-norms --out m --engine xlaa", without: "convert cnn/model --fold-norms --out m", want: "no engine"},
	{flag: "convert --seed", with: "convert cnn/model --fold-norms --out m --seed 9", without: "convert cnn/model --fold-norms --out m"},
	{flag: "convert --json", with: "convert a.safetensors --to npz --out a.npz --json", without: "convert a.safetensors --to npz --out a.npz", want: `"tensors":`},

	{flag: "merge --out", with: "merge merge.yaml --out m", without: "merge merge.yaml", want: "FILE m/model.safetensors"},
	{flag: "merge --shard-size", with: "merge hf hf --method linear --out m --shard-size 20KB", without: "merge hf hf --method linear --out m"},
	{flag: "merge --dtype", with: "merge merge.yaml --out m --dtype float16", without: "merge merge.yaml --out m"},
	{flag: "merge --threads", with: "merge merge.yaml --out m --threads -1", without: "merge merge.yaml --out m", want: "threads -1"},
	{flag: "merge --dry-run", with: "merge merge.yaml --out m --dry-run", without: "merge merge.yaml --out m", want: "free: "},
	{flag: "merge --overwrite", with: "merge merge.yaml --out m --overwrite", without: "merge merge.yaml --out m", before: "merge a.safetensors a.safetensors --method linear --out m -q", want: "^exit 0\n"},
	{flag: "merge --saturate", with: "merge huge.safetensors a.safetensors --method linear --dtype float16 --out m --saturate", without: "merge huge.safetensors a.safetensors --method linear --dtype float16 --out m", want: "^exit 0\n"},
	{flag: "merge --allow-missing", with: "merge a.safetensors more.safetensors --method linear --allow-missing union --out m", without: "merge a.safetensors more.safetensors --method linear --out m", want: "^exit 0\n"},
	{flag: "merge --verify", with: "merge merge.yaml --out m --verify", without: "merge merge.yaml --out m", want: "verified: "},
	{flag: "merge --method", with: "merge a.safetensors b.safetensors --method linear --out m", without: "merge a.safetensors b.safetensors --out m", want: "by linear"},
	{flag: "merge --base", with: "merge a.safetensors b.safetensors --method task_arithmetic --base a.safetensors --out m", without: "merge a.safetensors b.safetensors --method task_arithmetic --out m", want: "^exit 0\n"},
	{flag: "merge --weight", with: "merge a.safetensors b.safetensors --method linear --weight 0.9,0.1 --out m", without: "merge a.safetensors b.safetensors --method linear --out m"},
	{flag: "merge --t", with: "merge a.safetensors b.safetensors --method slerp --t 0.1 --base a.safetensors --out m", without: "merge a.safetensors b.safetensors --method slerp --base a.safetensors --out m"},
	{flag: "merge --intermediate", with: "merge merge.yaml --out m --intermediate i", without: "merge merge.yaml --out m", want: "there is one recipe, which makes the output"},
	{flag: "merge --lora", with: "merge a.safetensors --lora none --out m", without: "merge a.safetensors --method passthrough --out m", want: "^exit 3\n(.|\n)*none"},
	{flag: "merge --gguf-type", with: "merge merge.yaml --out m.gguf --gguf-type F16", without: "merge merge.yaml --out m.gguf"},
	{flag: "merge --seed", with: "merge dare.yaml --seed 9 --out m", without: "merge dare.yaml --out m"},
	{flag: "merge --json", with: "merge merge.yaml --out m --json", without: "merge merge.yaml --out m", want: `"tensors": 1`},
	{flag: "merge diff --json", with: "merge diff a.safetensors b.safetensors --json", without: "merge diff a.safetensors b.safetensors", want: `"cosine":`},
	{flag: "verify --inputs", with: "verify merged --inputs", without: "verify merged", want: "a.safetensors"},
	{flag: "verify --inputs-in", with: "verify merged --inputs-in .", without: "verify merged", want: "a.safetensors"},
	{flag: "verify --json", with: "verify merged --json", without: "verify merged", want: `"method": "linear"`},

	{flag: "soup --out", with: "soup run/model run2/model --out s", without: "soup run/model run2/model", want: "FILE s/ballast.json"},
	{flag: "soup --method", with: "soup run/model run2/model --data optdigits --method uniform --out s", without: "soup run/model run2/model --data optdigits --out s", want: "uniform soup"},
	{flag: "soup --data", with: "soup run/model run2/model --data optdigits --out s", without: "soup run/model run2/model --out s", want: "greedy soup"},
	{flag: "soup --validation", with: "soup run/model run2/model --data optdigits --validation 0.5 --out s", without: "soup run/model run2/model --data optdigits --out s", want: "640 held-out"},
	{flag: "soup --trace", with: "soup run/model run2/model --data optdigits --trace t.json --out s", without: "soup run/model run2/model --data optdigits --out s", want: "FILE t.json"},
	{flag: "soup --scores", with: "soup run/model run2/model --data optdigits --scores 0.125,0.0625 --out s", without: "soup run/model run2/model --data optdigits --out s", want: `0\.1250`},
	{flag: "soup --strict", with: "soup run/model merged2 --data optdigits --strict --out s", without: "soup run/model merged2 --data optdigits --out s", before: "soup run/model --out merged2 -q", want: "left out"},
	{flag: "soup --given-order", with: "soup run/model run3/model --data optdigits --given-order --out s", without: "soup run/model run3/model --data optdigits --out s"},
	{flag: "soup --max-ingredients", with: "soup run/model merged2 --data optdigits --max-ingredients 1 --out s", without: "soup run/model merged2 --data optdigits --out s", before: "soup run/model --out merged2 -q", want: "soup of 1 of 2"},
	{flag: "soup --share", with: "soup run/model run2/model --data optdigits --method learned --epochs 1 --share all --out s", without: "soup run/model run2/model --data optdigits --method learned --epochs 1 --out s"},
	{flag: "soup --learn-beta", with: "soup run/model run2/model --data optdigits --method learned --epochs 1 --learn-beta --out s --json", without: "soup run/model run2/model --data optdigits --method learned --epochs 1 --out s --json"},
	{flag: "soup --epochs", with: "soup run/model run2/model --data optdigits --method learned --epochs 2 --out s", without: "soup run/model run2/model --data optdigits --method learned --epochs 1 --out s"},
	{flag: "soup --lr", with: "soup run/model run2/model --data optdigits --method learned --epochs 1 --lr 0.5 --out s", without: "soup run/model run2/model --data optdigits --method learned --epochs 1 --out s"},
	{flag: "soup --batch", with: "soup run/model run2/model --data optdigits --method learned --epochs 1 --batch 16 --out s", without: "soup run/model run2/model --data optdigits --method learned --epochs 1 --out s"},
	{flag: "soup --by-place", with: "soup run/model --data dir:pics --by-place --out s", without: "soup run/model --data dir:pics --out s", want: "^exit 0\n"},
	{flag: "soup --recalibrate", with: "soup cnn/model --data optdigits --recalibrate --out s", without: "soup cnn/model --data optdigits --out s"},
	{flag: "soup --overwrite", with: "soup run/model run2/model --out s --overwrite", without: "soup run/model run2/model --out s", before: "soup run/model --out s -q", want: "^exit 0\n"},
	{flag: "soup --engine", with: "soup run/model run2/model --out s --engine xlaa", without: "soup run/model run2/model --out s", want: "no engine"},
	{flag: "soup --seed", with: "soup run/model run2/model --data optdigits --seed 5 --out s", without: "soup run/model run2/model --data optdigits --out s"},
	{flag: "soup --json", with: "soup run/model run2/model --out s --json", without: "soup run/model run2/model --out s", want: `"method": "uniform"`},

	{flag: "signature extract --pre", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", without: "signature extract --clean run2/model --robust run3/model --layers all --out s.sig", want: "FILE s.sig"},
	{flag: "signature extract --clean", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", without: "signature extract --pre run/model --robust run3/model --layers all --out s.sig", want: "FILE s.sig"},
	{flag: "signature extract --robust", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", without: "signature extract --pre run/model --clean run2/model --layers all --out s.sig", want: "FILE s.sig"},
	{flag: "signature extract --out", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all", want: "FILE s.sig"},
	{flag: "signature extract --layers", with: "signature extract --pre cnn/model --clean cnn2/model --robust cnn3/model --layers all --out s.sig", without: "signature extract --pre cnn/model --clean cnn2/model --robust cnn3/model --layers first:1 --out s.sig"},
	{flag: "signature extract --norms", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --norms none --out s.sig", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", want: "^exit 2\n"},
	{flag: "signature extract --quantizer", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --levels 8 --quantizer log --out s.sig", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --levels 8 --out s.sig"},
	{flag: "signature extract --levels", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --levels 8 --out s.sig", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", want: "8 levels"},
	{flag: "signature extract --name", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --name fog --out s.sig", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", want: `\(fog\)`},
	{flag: "signature extract --overwrite", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig --overwrite", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", before: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig -q", want: "^exit 0\n"},
	{flag: "signature extract --json", with: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig --json", without: "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out s.sig", want: `"fraction_removed":`},
	{flag: "signature apply --out", with: "signature apply run2/model noise.sig --out m", without: "signature apply run2/model noise.sig", want: "FILE m/ballast.json"},
	{flag: "signature apply --force", with: "signature apply patched noise.sig --out m --force", without: "signature apply patched noise.sig --out m", want: "^exit 0\n"},
	{flag: "signature apply --total", with: "signature apply run2/model noise.sig --total 0.5 --out m", without: "signature apply run2/model noise.sig --out m", want: "x 0.5"},
	{flag: "signature apply --data", with: "signature apply cnn/model cnn.sig --data optdigits --out m", without: "signature apply cnn/model cnn.sig --out m"},
	{flag: "signature apply --shift", with: "signature apply run2/model noise.sig --data optdigits --shift fogg:1 --out m", without: "signature apply run2/model noise.sig --data optdigits --out m", want: "^exit 2\n"},
	{flag: "signature apply --overwrite", with: "signature apply run2/model noise.sig --out m --overwrite", without: "signature apply run2/model noise.sig --out m", before: "signature apply run2/model noise.sig --out m -q", want: "^exit 0\n"},
	{flag: "signature apply --engine", with: "signature apply run2/model noise.sig --data optdigits --out m --engine xlaa", without: "signature apply run2/model noise.sig --data optdigits --out m", want: "no engine"},
	{flag: "signature apply --seed", with: "signature apply run2/model noise.sig --out m --seed 3", without: "signature apply run2/model noise.sig --out m", want: "--seed has no effect without --data"},
	{flag: "signature apply --json", with: "signature apply run2/model noise.sig --out m --json", without: "signature apply run2/model noise.sig --out m", want: `"applied":`},
	{flag: "signature remove --out", with: "signature remove patched noise.sig --out m", without: "signature remove patched noise.sig", want: "FILE m/ballast.json"},
	{flag: "signature remove --overwrite", with: "signature remove patched noise.sig --out m --overwrite", without: "signature remove patched noise.sig --out m", before: "signature remove patched noise.sig --out m -q", want: "^exit 0\n"},
	{flag: "signature remove --json", with: "signature remove patched noise.sig --out m --json", without: "signature remove patched noise.sig --out m", want: `"exact":`},
	{flag: "signature inspect --json", with: "signature inspect noise.sig --json", without: "signature inspect noise.sig", want: `"fraction_removed":`},

	{flag: "inspect --tensors", with: "inspect hf --tensors *mlp*", without: "inspect hf", want: "3 of 11 tensors match"},
	{flag: "inspect --json", with: "inspect hf --json", without: "inspect hf", want: `"kind":`},
	{flag: "run --input", with: "run run/model --input digits.npy --output o.npz", without: "run run/model --output o.npz", want: "FILE o.npz"},
	{flag: "run --output", with: "run run/model --input digits.npy --output o.npz", without: "run run/model --input digits.npy", want: "FILE o.npz"},
	{flag: "run --batch", with: "run run/model --input digits.npy --output o.npz --batch 0", without: "run run/model --input digits.npy --output o.npz", want: "at least 1 of --batch"},
	{flag: "run --overwrite", with: "run run/model --input digits.npy --output o.npz --overwrite", without: "run run/model --input digits.npy --output o.npz", before: "run run/model --input digits.npy --output o.npz -q", want: "^exit 0\n"},
	{flag: "run --top", with: "run named.onnx digit.png --top 1", without: "run named.onnx digit.png", want: `^exit 0\n[^%]*%  three\n[^%]*$`},
	{flag: "run --exec", with: "run --exec true digit.png", without: "run digit.png", want: "it ended without an answer"},
	{flag: "run --preprocess", with: "run named.onnx digit.png --preprocess 0-255", without: "run named.onnx digit.png", want: `numbers in \[0,255\]`},
	{flag: "run --engine", with: "run run/model --input digits.npy --output o.npz --engine xlaa", without: "run run/model --input digits.npy --output o.npz", want: "no engine"},
	{flag: "run --json", with: "run run/model --input digits.npy --output o.npz --json", without: "run run/model --input digits.npy --output o.npz", want: `"name": "logits"`},

	{flag: "compare --on", with: "compare --recipe recipe.yaml --on mnits epochs=1 seed=1 --out c", without: "compare --recipe recipe.yaml steps=2 seed=1 --out c", want: `no data set "mnits"`},
	{flag: "compare --recipe", with: "compare --recipe bad.yaml steps=2 seed=1 --out c", without: "compare --recipe recipe.yaml steps=2 seed=1 --out c", want: "^exit 3\n"},
	{flag: "compare --out", with: "compare --recipe recipe.yaml steps=2 seed=1 --out c", without: "compare --recipe recipe.yaml steps=2 seed=1", want: "FILE c/comparison.json"},
	{flag: "compare --print-recipe", with: "compare --print-recipe", without: "compare --recipe recipe.yaml steps=2 seed=1", want: "\noptimizer"},
	{flag: "compare --metric", with: "compare --recipe recipe.yaml steps=2,3 seed=1 --metric nll --out c --json", without: "compare --recipe recipe.yaml steps=2,3 seed=1 --out c --json", want: `"metric": "nll"`},
	{flag: "compare --overwrite", with: "compare --recipe recipe.yaml steps=2 batch_size=16 seed=1 --out c --overwrite", without: "compare --recipe recipe.yaml steps=2 batch_size=16 seed=1 --out c", before: "compare --recipe recipe.yaml steps=2 seed=1 --out c -q", want: "^exit 0\n"},
	{flag: "compare --seed", with: "compare --recipe recipe.yaml steps=2 --seed 7 --out c", without: "compare --recipe recipe.yaml steps=2 --out c", want: "seed-9"},
	{flag: "compare --keep-models", with: "compare --recipe recipe.yaml steps=2 seed=1 --out c --keep-models", without: "compare --recipe recipe.yaml steps=2 seed=1 --out c", want: "FILE c/all_alike/seed-1/model/ballast.json"},
	{flag: "compare --json", with: "compare --recipe recipe.yaml steps=2 seed=1 --out c --json", without: "compare --recipe recipe.yaml steps=2 seed=1 --out c", want: `"variants":`},
	{flag: "compare --engine", with: "compare --recipe recipe.yaml steps=2 seed=1 --out c --engine xlaa", without: "compare --recipe recipe.yaml steps=2 seed=1 --out c", want: "no engine"},

	{flag: "reproduce --seeds", with: "reproduce grokking --seeds 0", without: "reproduce grokking --ledger bad.yaml", want: "--seeds is 0"},
	{flag: "reproduce --workers", with: "reproduce grokking --workers 0", without: "reproduce grokking --ledger bad.yaml", want: "--workers 0"},
	{flag: "reproduce --out", with: "reproduce grokking --out foreign", want: "foreign/grokking is not a folder of ballast reproduce"},
	{flag: "reproduce --ledger", with: "reproduce grokking --ledger bad.yaml", want: "^exit 3\n"},
	{flag: "reproduce --engine", with: "reproduce grokking --engine xlaa", without: "reproduce grokking --ledger bad.yaml", want: "no engine"},
	{flag: "reproduce --seed", with: "reproduce grokking --seed 7 --seeds 2 --ledger bad.yaml", without: "reproduce grokking --seeds 2 --ledger bad.yaml", want: "seeds 7 to 8"},
	{flag: "reproduce --json", by: "cmd/ballast TestJSONOfWhatTakesLong"},
	{flag: "papers --recipe", with: "papers ghost-batch-norm --recipe", without: "papers ghost-batch-norm", want: "\nbatch_size: 32"},
	{flag: "papers --markdown", with: "papers --markdown", without: "papers", want: `\n# `},
	{flag: "papers --figures", with: "papers grokking --figures fig", without: "papers grokking", want: "FILE fig/"},
	{flag: "papers --overwrite", with: "papers grokking --figures f --overwrite", without: "papers grokking --figures f", before: "papers grokking --figures f -q", want: "^exit 0\n"},
	{flag: "papers --json", with: "papers --json", without: "papers", want: `"slug":`},
	{flag: "data list --json", with: "data list --json", without: "data list", want: `"name": "optdigits"`},
	{flag: "data get --from", with: "data get mnist --from empty", want: "^exit 3\n(.|\n)*empty"},
	{flag: "data get --mirror", with: "data get mnist --mirror http://127.0.0.1:1", want: "127.0.0.1"},
	{flag: "data get --force", by: "data TestGetFromHere"},
	{flag: "data get --json", by: "cmd/ballast TestJSONOfWhatTakesLong"},
	{flag: "data corrupt --out", with: "data corrupt pics --out o --corruption fog --severity 1", without: "data corrupt pics --corruption fog --severity 1", want: "FILE o/fog/1/11/0.png"},
	{flag: "data corrupt --corruption", with: "data corrupt pics --out o --severity 1 --corruption fog", without: "data corrupt pics --out o --severity 1 --corruption jpeg", want: "FILE o/fog/1/11/0.png"},
	{flag: "data corrupt --severity", with: "data corrupt pics --out o --corruption fog --severity 2-3", without: "data corrupt pics --out o --corruption fog --severity 1", want: "FILE o/fog/3/12/5.png"},
	{flag: "data corrupt --table", with: "data corrupt pics --out o --corruption fog --severity 1 --table cifar-c", without: "data corrupt pics --out o --corruption fog --severity 1", want: "severities of cifar-c"},
	{flag: "data corrupt --size", with: "data corrupt pics --out o --corruption defocus-blur --severity 1 --size 12x12", without: "data corrupt pics --out o --corruption defocus-blur --severity 1", want: "^exit 0\n"},
	{flag: "data corrupt --format", with: "data corrupt pics --out o --corruption fog --severity 1 --format jpeg", without: "data corrupt pics --out o --corruption fog --severity 1", want: "FILE o/fog/1/11/0.jpg"},
	{flag: "data corrupt --frost", with: "data corrupt pics --out o --corruption frost --severity 1 --frost none", without: "data corrupt pics --out o --corruption frost --severity 1", want: "^exit 3\n"},
	{flag: "data corrupt --overwrite", with: "data corrupt pics --out o --corruption fog --severity 1 --seed 4 --overwrite", without: "data corrupt pics --out o --corruption fog --severity 1 --seed 4", before: "data corrupt pics --out o --corruption fog --severity 1 -q", want: "^exit 0\n"},
	{flag: "data corrupt --seed", with: "data corrupt pics --out o --corruption fog --severity 1 --seed 4", without: "data corrupt pics --out o --corruption fog --severity 1"},
	{flag: "data corrupt --json", with: "data corrupt pics --out o --corruption fog --severity 1 --json", without: "data corrupt pics --out o --corruption fog --severity 1", want: `"written": 12`},

	{flag: "data show --part", with: "data show optdigits --part train --index 1000", without: "data show optdigits --index 1000", want: "optdigits 1000: "},
	{flag: "data show --index", with: "data show optdigits --index 7", without: "data show optdigits", want: "optdigits 7: "},
	{flag: "data show --count", with: "data show optdigits --count 2", without: "data show optdigits", want: "optdigits 1: "},
	{flag: "data show --shift", with: "data show optdigits --shift contrast:5", without: "data show optdigits"},
	{flag: "data show --png", with: "data show optdigits --png s.png", without: "data show optdigits", want: "FILE s.png"},
	{flag: "data show --overwrite", with: "data show optdigits --png s.png --overwrite", without: "data show optdigits --png s.png", before: "data show optdigits --png s.png -q", want: "^exit 0\n"},
	{flag: "data show --seed", with: "data show optdigits --shift gaussian-noise:5 --seed 9", without: "data show optdigits --shift gaussian-noise:5"},
	{flag: "data show --json", with: "data show optdigits --json", without: "data show optdigits", want: `"values":`},
	{flag: "engine --engine", with: "engine --engine xlaa", without: "engine", want: "no engine"},
	{flag: "engine --json", with: "engine --json", without: "engine", want: `"disk":`},
	{flag: "engine install --from", with: "engine install --from empty", want: "empty"},
	{flag: "engine install --cuda", with: "engine install --cuda=11 --from empty", without: "engine install --from empty"},
	{flag: "engine install --force", by: "engine TestAnInstallOfCUDAGoesOnWhereItWas"},
	{flag: "engine install --json", by: "cmd/ballast TestJSONOfWhatTakesLong"},
	{flag: "clean --dry-run", with: "clean --dry-run left", without: "clean left", want: "would be removed"},
	{flag: "clean --json", with: "clean --dry-run --json", without: "clean --dry-run", want: `"dry_run": true`},
	{flag: "bench --only", with: "bench --list --only norm", without: "bench --list"},
	{flag: "bench --list", with: "bench --list", without: "bench --compare bench.json bench.json", want: "limits "},
	{flag: "bench --compare", with: "bench --compare bench.json", want: "two files"},
	{flag: "bench --out", with: "bench data --out foreign.txt", want: "foreign.txt is a link"},
	{flag: "bench --overwrite", with: "bench --list --overwrite", without: "bench --list", want: "--overwrite has no effect with --list"},
	{flag: "bench --peer-results", with: "bench data --peer-results empty", want: "^exit 3\n"},
	{flag: "bench --quick", with: "bench --list --quick", without: "bench --list", want: "--quick has no effect with --list"},
	{flag: "bench --engine", with: "bench data --only nothing-of-this-name --engine xlaa", want: "no engine"},
	{flag: "bench --json", with: "bench --list --json", without: "bench --list", want: `\n\[\n`},
	{flag: "version --json", with: "version --json", without: "version", want: `"ballast":`},
	{flag: "demo --out", with: "demo --quick --out foreign", want: "foreign-quick is not a folder of ballast demo"},
	{flag: "demo --quick", with: "demo --quick --out foreign", want: "foreign-quick"},
	{flag: "demo --overwrite", with: "demo --quick --out begun --overwrite", want: "is not begun anew: it holds notes.txt"},
	{flag: "demo --engine", with: "demo --quick --out d --engine xlaa", want: "no engine"},
	{flag: "demo --seed", by: "cmd/ballast TestSeedOfTheDemo"},
	{flag: "demo --json", by: "cmd/ballast TestJSONOfWhatTakesLong"},
	{flag: "train --engine", with: "train recipe.yaml --out r --engine xlaa", without: "train recipe.yaml --out r", want: "no engine"},
	{flag: "inpaint --engine", with: tinyHoles + " --engine xlaa", want: "no engine"},
	{flag: " --version", with: "--version", without: "version", want: `\nballast \S+ \(commit`},
	{flag: "version --color", with: "verify none --color always", without: "verify none --color never", want: "\x1b\\[31mballast:\x1b\\[0m"},
	{flag: "version --quiet", with: "evaluate run/model --data optdigits --suite clean -q", without: "evaluate run/model --data optdigits --suite clean"},
	{flag: "version --memory", with: "evaluate run/model --data optdigits --suite clean --memory 1B", without: "evaluate run/model --data optdigits --suite clean", want: "^exit 5\n"},
}

// TestEveryFlag: every flag of every verb has an effect, which its proof shows, or is refused. A flag without a proof fails.
func TestEveryFlag(t *testing.T) {
	shown := map[string]bool{}
	for _, p := range proofs {
		if shown[p.flag] {
			t.Errorf("%s has two proofs", p.flag)
		}
		shown[p.flag] = true
	}
	have := map[string]bool{}
	for verb, flags := range tree() {
		for _, name := range flags {
			flag := verb + " --" + name
			have[flag] = true
			everywhere := slices.Contains([]string{"help", "memory", "quiet", "color", "no-descriptions"}, name)
			if !everywhere && !slices.Contains(unused[unusedPath(verb)], name) && !shown[flag] {
				t.Errorf("%s has no proof of an effect", flag)
			}
		}
	}
	for flag := range shown {
		if !have[flag] {
			t.Errorf("%s is proved and is no flag", flag)
		}
	}
	for _, p := range sampled(proofs, 12) {
		t.Run(p.flag, p.show)
	}
}

// unusedPath is the path by which unused knows a verb.
func unusedPath(verb string) string {
	if strings.HasPrefix(verb, "completion ") {
		return "completion"
	}
	return verb
}

// show runs a proof.
func (p proof) show(t *testing.T) {
	if p.by != "" {
		p.elsewhere(t)
		return
	}
	run := func(args string) string {
		dir := walkPlace(t)
		for _, before := range strings.Split(p.before, ";") {
			if before = strings.TrimSpace(before); before != "" {
				_ = came(t, dir, before) // some are refused, and the next does it
			}
		}
		return came(t, dir, args)
	}
	with := run(p.with)
	want := regexp.MustCompile(p.want)
	if p.want != "" && !want.MatchString(with) {
		t.Fatalf("ballast %s: want %q\n%s", p.with, p.want, cut(with))
	}
	if p.without == "" {
		return
	}
	without := run(p.without)
	switch {
	case p.want != "" && want.MatchString(without):
		t.Errorf("ballast %s: %q without the flag too\n%s", p.without, p.want, cut(without))
	case p.want == "" && with == without:
		t.Errorf("ballast %s does what it does without the flag\n%s", p.with, cut(with))
	case p.want == "":
		if again := run(p.with); again != with {
			t.Errorf("ballast %s does something else each time, which shows nothing\n%s\n%s", p.with, cut(with), cut(again))
		}
	}
}

// elsewhere looks for the test that shows it.
func (p proof) elsewhere(t *testing.T) {
	folder, name, _ := strings.Cut(p.by, " ")
	tests, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range tests {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+name+"(") {
			return
		}
	}
	t.Errorf("there is no test %s in %s", name, folder)
}

// needed are the arguments without which a verb is refused before its flags are looked at.
var needed = map[string]string{
	"merge": "merge.yaml", "merge diff": "a.safetensors b.safetensors", "verify": "merged", "signature remove": "patched noise.sig", "signature inspect": "noise.sig", "inspect": "hf",
	"run": "run/model", "data get": "mnist", "data show": "optdigits", "data corrupt": "pics --out o", "help": "merge",
}

// TestUnusedFlagsAreRefused: what a verb has no use for is refused, by name.
func TestUnusedFlagsAreRefused(t *testing.T) {
	values := map[string]string{"engine": "go", "seed": "3", "json": "true"}
	dir := walkPlace(t)
	var all []string
	for verb := range unused {
		if verb != "" && verb != "completion" && verb != "help" {
			all = append(all, verb)
		}
	}
	slices.Sort(all)
	for _, verb := range sampled(all, 4) {
		for _, name := range unused[verb] {
			args := strings.TrimSpace(verb+" "+needed[verb]) + " --" + name + "=" + values[name]
			if got := came(t, dir, args); !strings.HasPrefix(got, "exit 2\n") || !strings.Contains(got, "--"+name+" has no effect in ballast "+verb) {
				t.Errorf("ballast %s:\n%s", args, cut(got))
			}
		}
	}
}

// TestJSONOfWhatTakesLong: verbs that download, or work for minutes, print JSON where it is asked for.
func TestJSONOfWhatTakesLong(t *testing.T) {
	for name, show := range map[string]func(a *app) error{
		"data get":       func(a *app) error { return a.printGot("mnist", "there", true, nil) },
		"engine install": func(a *app) error { return a.printInstalled(engine.Installed{Path: "there"}) },
		"reproduce": func(a *app) error {
			return a.printReproduced(paper.Paper{}, paper.Entry{Slug: "grokking"}, paper.Evidence{})
		},
		"demo": func(a *app) error {
			return a.printDemo(demoResult{
				Accuracy: 0.5, Method: adapt.Choice{Method: demoMethod()},
				Mended: evaluate.Mended{Options: calibrate.Choice{Method: calibrate.NewTemperatureScaling()}, Fitted: calibrate.FittedChoice{Fitted: calibrate.TemperatureMap{T: 1}}},
			}, "there", 10, "go")
		},
	} {
		for _, asked := range []bool{true, false} {
			var out bytes.Buffer
			if err := show(&app{out: &out, err: &bytes.Buffer{}, json: asked}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if json.Valid(out.Bytes()) != asked {
				t.Errorf("%s, JSON %v:\n%s", name, asked, &out)
			}
		}
	}
}

// TestSeedOfTheDemo: the seed is that of the demo's recipe.
func TestSeedOfTheDemo(t *testing.T) {
	for _, seed := range []uint64{1, 9} {
		a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}, seed: seed}
		if r, err := a.demoSettings(t.Context(), demoFlags{quick: true}); err != nil || r.Seed != seed {
			t.Errorf("seed %d becomes %d (%v)", seed, r.Seed, err)
		}
	}
}
