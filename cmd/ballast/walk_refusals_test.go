package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// refusing is a verb that writes o, and commands of it that are refused.
type refusing struct {
	makes   string   // writes o
	refused []string // whether o is there or not
	there   []string // where o is there
}

var refusals = []refusing{
	{
		makes: "train recipe.yaml --out o -q",
		refused: []string{
			"train recipe.yaml --data mnist --out o --overwrite", "train bad.yaml --out o --overwrite", "train recipe.yaml no-such-key=3 --out o --overwrite", "train recipe.yaml --engine xlaa --out o --overwrite",
			"train recipe.yaml --devices 2 --out o --overwrite", "train recipe.yaml --devices 2 --out o --resume", "train recipe.yaml weigh.examples=none.npy --out o --overwrite",
			"train recipe.yaml weigh.examples=good.npy --out o --resume", "train recipe.yaml batch_size=100000 --out o --overwrite", "train recipe.yaml network.hidden=[-1] --out o --overwrite",
			"train recipe.yaml --data npy:none,none --out o --resume", "train recipe.yaml objective.loss=arcface-none --out o --overwrite", "train recipe.yaml --seed 3 seed=4 --out o --overwrite",
			"train recipe.yaml validation.fraction=0.9999999 --out o --overwrite", "train recipe.yaml batch_size=100000 --out new/er", "train recipe.yaml batch_size=100000 --out new/er --resume",
			"train recipe.yaml batch_size=100000 name=new/er",
		},
		there: []string{
			"train recipe.yaml --out o", "train recipe.yaml batch_size=32 --out o --resume", "train other.yaml --out o --resume", "train recipe.yaml --data canvas-digits --out o --resume",
			"train recipe.yaml optimizer=adam --out o --resume", "train recipe.yaml --seed 9 --out o --resume", "compare --recipe recipe.yaml steps=2 seed=1 --out o", "calibrate run/model --data optdigits --out o",
		},
	},
	{
		makes: tinyHoles + " -q",
		refused: []string{
			strings.Replace(tinyHoles, "side=12", "side=40", 1) + " --overwrite", strings.Replace(tinyHoles, "slopes.npy", "none.npy", 1) + " --overwrite", tinyHoles + " --engine xlaa --overwrite",
			tinyHoles + " sid=3 --overwrite", tinyHoles + " steps=-1 --overwrite", tinyHoles + " generator.norm=none-such --overwrite",
		},
		there: []string{tinyHoles + " lr=0.5", tinyHoles + " --seed 4", strings.Replace(tinyHoles, "slopes.npy,slope_labels.npy", "digits.npy,good.npy", 1)},
	},
	{
		makes: "compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 --out o -q",
		refused: []string{
			"compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 --on mnist --out o --overwrite", "compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 --on mnist --out new/er",
			"compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 batch_size=100000 --out new/er", "compare --recipe bad.yaml steps=2 norm=batch,identity seed=1 --out o --overwrite",
			"compare --recipe recipe.yaml steps=2 norm=batch,identitty seed=1 --out o --overwrite", "compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 --engine xlaa --out o --overwrite",
			"compare --recipe recipe.yaml steps=2 batch_size=100000 norm=batch,identity seed=1 --out o --overwrite", "compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 --seed 2 --out o --overwrite",
		},
		there: []string{
			"compare --recipe recipe.yaml steps=3 norm=batch,identity seed=1 --out o", "compare --recipe recipe.yaml steps=2 norm=batch,identity seed=1 --metric nil --out o",
			"compare --recipe recipe.yaml steps=3 norm=group,batch seed=1 --out o", "train recipe.yaml --out o",
		},
	},
	{
		makes: "calibrate run/model --data optdigits --out o -q",
		refused: []string{
			"calibrate run/model --data mnist --out o --overwrite", "calibrate none --data optdigits --out o --overwrite", "calibrate run/model --data optdigits --out o --overwrite --engine xlaa",
			"calibrate run/model --data npy:slopes.npy,slope_labels.npy --out o --overwrite", "calibrate run/model --data dir:pics --out o --overwrite", "calibrate run/model --data optdigits --max-iterations 1 --out o --overwrite",
			"calibrate run/model --data optdigits --on optdigits --out o --overwrite", "calibrate run/model --data optdigits --on dir:none --out o --overwrite",
		},
		there: []string{"calibrate run/model --data optdigits --out o", "calibrate --logits z.npy --labels y.npy --out o --overwrite"},
	},
	{
		makes: "calibrate resnet-norms.onnx --data optdigits --out o.onnx -q",
		refused: []string{
			"calibrate resnet-norms.onnx --data optdigits --part train --out o.onnx --overwrite", "calibrate none.onnx --data optdigits --out o.onnx --overwrite",
			"calibrate resnet-norms.onnx --data dir:none --out o.onnx --overwrite", "adapt resnet-folded.onnx --data optdigits --export o.onnx --overwrite",
			"adapt resnet-norms.onnx --data optdigits --method tent --export o.onnx --overwrite", "convert resnet-folded.onnx --fold-norms --out o.onnx --overwrite",
		},
		there: []string{
			"calibrate resnet-norms.onnx --data optdigits --out o.onnx", "adapt resnet-norms.onnx --data optdigits --export o.onnx", "convert resnet-norms.onnx --fold-norms --out o.onnx",
			"calibrate o.onnx --data optdigits --out o.onnx --overwrite", "convert o.onnx --fold-norms --out o.onnx --overwrite",
		},
	},
	{
		makes: "adapt run/model --data optdigits --out o -q",
		refused: []string{
			"adapt none --data optdigits --out o --overwrite", "adapt run/model --data dir:none --out o --overwrite", "adapt run/model --data optdigits --out o --overwrite --engine xlaa",
			"adapt run/model --data mnist --out o --overwrite", "adapt run/model --data optdigits --batch 1 --out o --overwrite", "adapt run/model --data optdigits --batch 3 --out o --overwrite",
			"adapt run/model --data optdigits --set source_weight=2 --out o --overwrite",
		},
		there: []string{
			"adapt run/model --data optdigits --out o", "adapt run/model --data optdigits --method ema --out o --resume", "adapt run/model --data optdigits --batch 32 --out o --resume",
			"calibrate run/model --data optdigits --out o",
		},
	},
	{
		makes:   "calibrate --logits z.npy --labels y.npy --out o -q",
		refused: []string{"calibrate --logits z.npy --labels labels.npy --out o --overwrite", "calibrate --logits z.npy --labels y2.npy --out o --overwrite", "calibrate --logits logits.npy --labels good.npy --out o --overwrite"},
		there:   []string{"calibrate --logits z.npy --labels y.npy --out o", "calibrate run/model --data optdigits --out o --overwrite"},
	},
	{
		makes:   "convert a.safetensors --to npz --out o.npz -q",
		refused: []string{"convert bad.yaml --to npz --out o.npz --overwrite", "convert a.safetensors --to npz --type Q8_0 --out o.npz --overwrite", "convert overlap.safetensors --to npz --out o.npz --overwrite", "convert a.safetensors --to npz --max-shard 5 --out o.npz --overwrite"},
		there:   []string{"convert a.safetensors --to npz --out o.npz", "convert hf --to gguf --out o.npz --overwrite"},
	},
	{
		makes:   "convert hf --to sharded --out o -q",
		refused: []string{"convert overlap.safetensors --to sharded --out o --overwrite", "convert none --to sharded --out o --overwrite", "convert hf --to sharded --type Q8_0 --out o --overwrite"},
		there:   []string{"convert hf --to sharded --out o"},
	},
	{
		makes:   "convert cnn/model --fold-norms --out o -q",
		refused: []string{"convert hf --fold-norms --out o --overwrite", "convert cnn/model --fold-norms --data mnist --out o --overwrite", "convert cnn/model --fold-norms --engine xlaa --out o --overwrite", "convert cnn/model --fold-norms --data dir:photos --out o --overwrite", "convert run/model --fold-norms --type F16 --out o --overwrite"},
		there:   []string{"convert cnn/model --fold-norms --out o"},
	},
	{
		makes:   "merge merge.yaml --out o -q",
		refused: []string{"merge bad.yaml --out o --overwrite", "merge a.safetensors c.safetensors --method linear --out o --overwrite", "merge a.safetensors b.safetensors --method lineer --out o --overwrite", "merge merge.yaml --base a.safetensors --out o --overwrite", "merge a.safetensors overlap.safetensors --method linear --out o --overwrite", "merge huge.safetensors a.safetensors --method linear --dtype float16 --out o --overwrite"},
		there:   []string{"merge a.safetensors a.safetensors --method linear --out o"},
	},
	{
		makes:   "merge merge.yaml --out o.gguf -q",
		refused: []string{"merge a.safetensors c.safetensors --method linear --out o.gguf --overwrite", "merge merge.yaml --gguf-type Q9 --out o.gguf --overwrite"},
		there:   []string{"merge merge.yaml --out o.gguf"},
	},
	{
		makes:   "soup run/model run2/model --out o -q",
		refused: []string{"soup run/model cnn/model --out o --overwrite", "soup run/model none --out o --overwrite", "soup run/model run2/model --data mnist --out o --overwrite", "soup run/model run2/model --data dir:pics --out o --overwrite", "soup run/model run2/model --engine xlaa --out o --overwrite", "soup run/model run2/model --lr 3 --out o --overwrite"},
		there:   []string{"soup run/model run2/model --out o"},
	},
	{
		makes:   "soup a.safetensors b.safetensors --out o -q",
		refused: []string{"soup a.safetensors c.safetensors --out o --overwrite", "soup a.safetensors none --out o --overwrite"},
		there:   []string{"soup a.safetensors b.safetensors --out o", "soup run/model run2/model --out o --overwrite"},
	},
	{
		makes:   "signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out o -q",
		refused: []string{"signature extract --pre run/model --clean cnn/model --robust run3/model --layers all --out o --overwrite", "signature extract --pre run/model --clean none --robust run3/model --layers all --out o --overwrite", "signature extract --pre run/model --clean run2/model --robust run3/model --layers nothing* --out o --overwrite"},
		there:   []string{"signature extract --pre run/model --clean run2/model --robust run3/model --layers all --out o"},
	},
	{
		makes:   "signature apply run2/model noise.sig --out o -q",
		refused: []string{"signature apply patched noise.sig --out o --overwrite", "signature apply cnn/model noise.sig --out o --overwrite", "signature apply run2/model none.sig --out o --overwrite", "signature apply run2/model noise.sig=x --out o --overwrite", "signature apply run2/model noise.sig --data mnist --out o --overwrite"},
		there:   []string{"signature apply run2/model noise.sig --out o"},
	},
	{
		makes:   "signature remove patched noise.sig --out o -q",
		refused: []string{"signature remove run2/model noise.sig --out o --overwrite", "signature remove patched none.sig --out o --overwrite"},
		there:   []string{"signature remove patched noise.sig --out o"},
	},
	{
		makes:   "run run/model --input digits.npy --output o.npz -q",
		refused: []string{"run run/model --input z.npy --output o.npz --overwrite", "run none --input digits.npy --output o.npz --overwrite", "run run/model --input none.npy --output o.npz --overwrite", "run run/model --input digits.npy --output o.npz --engine xlaa --overwrite"},
		there:   []string{"run run/model --input digits.npy --output o.npz"},
	},
	{
		makes:   "evaluate --logits z.npy --labels y.npy --html o -q",
		refused: []string{"evaluate --logits z.npy --labels labels.npy --html o --overwrite", "evaluate run/model --data dir:none --html o --overwrite", "evaluate --logits z.npy --labels y.npy --require acc=3 --html o --overwrite", "evaluate run/model --data optdigits --suite clen --html o --overwrite", "evaluate --logits z.npy --labels y.npy --require accc>=0 --html o --overwrite"},
		there:   []string{"evaluate --logits z.npy --labels y.npy --html o"},
	},
	{
		makes:   "data show optdigits --png o.png -q",
		refused: []string{"data show optdigits --index 100000 --png o.png --overwrite", "data show dir:none --png o.png --overwrite", "data show optdigits --shift fgo:3 --png o.png --overwrite"},
		there:   []string{"data show optdigits --png o.png"},
	},
	{
		makes: "data corrupt pics --out o --corruption fog --severity 1 -q",
		refused: []string{
			"data corrupt none --out o --overwrite", "data corrupt pics --out o --corruption fgo --overwrite", "data corrupt pics --out pics/o --corruption fog", "data corrupt foreign --out o --overwrite",
			"data corrupt pics --out o --corruption zoom-blur --size 8x9 --overwrite", "data corrupt pics --out o --frost none --overwrite", "data corrupt pics --out o --frost foreign --corruption fog --overwrite",
		},
		there: []string{"data corrupt pics --out o --corruption fog --seed 3", "data corrupt pics --out o --corruption fog --table cifar-c", "data corrupt photos --out o --corruption fog", "data corrupt pics --out o --format jpeg"},
	},
	{
		makes:   "papers grokking --figures o -q",
		refused: []string{"papers none --figures o --overwrite", "papers grokking --recipe --figures o --overwrite"},
		there:   []string{"papers grokking --figures o", "papers --figures o"},
	},
	{
		refused: []string{"demo --quick --engine xlaa --out o", "demo --engine xlaa --out o", "reproduce grokking --engine xlaa --out o", "reproduce grokking --seeds 0 --out o", "reproduce grokking --ledger bad.yaml --out o", "bench data --engine xlaa --out o", "bench data --only ( --out o", "bench data --peer-results empty --out o"},
	},
}

// TestRefusedChangesNothing: what is refused leaves what is there byte for byte, and nothing where nothing was, so that the corrected command
// finds what it would have found.
func TestRefusedChangesNothing(t *testing.T) {
	type one struct{ makes, args string }
	var all []one
	for _, r := range refusals {
		for _, args := range r.refused {
			all = append(all, one{"", args})
			if r.makes != "" {
				all = append(all, one{r.makes, args})
			}
		}
		for _, args := range r.there {
			all = append(all, one{r.makes, args})
		}
	}
	for _, c := range sampled(all, 14) {
		t.Run(strings.ReplaceAll(c.args, "/", "|"), func(t *testing.T) {
			dir := walkPlace(t)
			if c.makes != "" {
				if got := came(t, dir, c.makes); !strings.HasPrefix(got, "exit 0\n") {
					t.Fatalf("ballast %s:\n%s", c.makes, cut(got))
				}
			}
			before := bytesOf(t, dir)
			if got := came(t, dir, c.args); strings.HasPrefix(got, "exit 0\n") {
				t.Fatalf("ballast %s is not refused:\n%s", c.args, cut(got))
			}
			if after := bytesOf(t, dir); !slices.Equal(after, before) {
				t.Errorf("ballast %s changes what is there:\n%s", c.args, changes(before, after))
			}
		})
	}
}

// bytesOf lists the files and folders of a folder, with the sums of the files.
func bytesOf(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || strings.HasPrefix(rel, ".home") {
			return err
		}
		line := filepath.ToSlash(rel)
		if e.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		list = append(list, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// changes are the lines that one list has and the other lacks.
func changes(before, after []string) string {
	var lines []string
	for _, line := range before {
		if !slices.Contains(after, line) {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			lines = append(lines, "+ "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// missing are commands that name a file or a folder that is not there, one for each place in which a verb takes one.
var missing = []string{
	"train none.yaml", "train some/none.yaml", "train no=ne/none.yaml", "train recipe.yaml --data dir:none --out o", "train recipe.yaml --data npy:none.npy,y.npy --out o", "train recipe.yaml --data npy:digits.npy,none.npy --out o",
	"train recipe.yaml data=dir:none --out o", "train recipe.yaml weigh.examples=none.npy --out o", "compare --recipe none.yaml epochs=1", "compare --recipe recipe.yaml --on dir:none epochs=1 seed=1 --out o",
	"inpaint --data dir:none --out o", "inpaint --data npy:none.npy,y.npy --out o",
	"evaluate none --data optdigits", "evaluate run/model none --data optdigits", "evaluate run/model --data dir:none", "evaluate run/model --data npy:none.npy,y.npy", "evaluate --logits none.npy --labels y.npy",
	"evaluate --logits z.npy --labels none.npy", "evaluate run/model --data optdigits --suite pairs --training dir:none",
	"calibrate none --data optdigits --out o", "calibrate run/model --data dir:none --out o", "calibrate run/model --data optdigits --on dir:none --out o", "calibrate --logits none.npy --labels y.npy",
	"calibrate --logits z.npy --labels none.npy", "calibrate --logits z.npy --labels y.npy --on none.npy,y.npy", "calibrate --logits z.npy --labels y.npy --on z.npy,none.npy",
	"adapt none --data optdigits", "adapt run/model --data dir:none", "adapt none.onnx --data optdigits --export o.onnx", "adapt resnet-norms.onnx --data dir:none --export o.onnx",
	"calibrate none.onnx --data optdigits --out o.onnx", "convert none.onnx --fold-norms --out o.onnx",
	"convert none --to gguf --out o.gguf", "convert none.safetensors --to npz --out o.npz", "convert none --fold-norms --out o", "convert run/model --fold-norms --data dir:none --out o",
	"merge none.yaml --out o", "merge none a.safetensors --method linear --out o", "merge a.safetensors none --method linear --out o", "merge a.safetensors b.safetensors --method task_arithmetic --base none --out o",
	"merge a.safetensors --lora none --out o", "merge diff none a.safetensors", "merge diff a.safetensors none", "verify none", "verify merged --inputs-in none",
	"soup none --out o", "soup run/model none --out o", "soup none.safetensors a.safetensors --out o", "soup run/model --data dir:none --out o",
	"signature extract --pre none --clean run2/model --robust run3/model --layers all --out o", "signature extract --pre run/model --clean none --robust run3/model --out o", "signature extract --pre run/model --clean run2/model --robust none --out o",
	"signature apply none noise.sig --out o", "signature apply run2/model none.sig --out o", "signature apply run2/model noise.sig --data dir:none --out o", "signature remove none noise.sig --out o",
	"signature remove patched none.sig --out o", "signature inspect none.sig", "signature inspect noise.sig none.sig",
	"inspect none", "inspect none.gguf", "inspect some/none.onnx", "run none --input digits.npy --output o.npz", "run none.onnx --input digits.npy --output o.npz", "run run/model --input none.npy --output o.npz",
	"data corrupt none --out o", "data corrupt pics --out o --frost none", "data show dir:none", "data show npy:none.npy,y.npy", "data get mnist --from none", "data get digit-nets --from none", "bench --compare none.json bench.json", "bench --compare bench.json none.json",
	"bench data --peer-results none.json", "engine install --from none", "clean none", "engine --engine xla:/none.so",
}

// TestMissingFileIsThree: a file that is not there is exit code 3 in every verb, by its name.
func TestMissingFileIsThree(t *testing.T) {
	for _, args := range sampled(missing, 6) {
		dir := walkPlace(t)
		if got := came(t, dir, args); !strings.HasPrefix(got, "exit 3\n") || !strings.Contains(got, "none") {
			t.Errorf("ballast %s:\n%s", args, cut(got[:strings.Index(got+"FILE", "FILE")]))
		}
	}
}
