package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// early are commands with a wrong value of a flag, or a wrong setting, whose models, data and files are not there: the value is refused
// first, so nothing was opened for it.
var early = map[string]string{
	"evaluate --require":             "evaluate none --data dir:none --require accc>=0.5",
	"evaluate --suite":               "evaluate none --data dir:none --suite clen",
	"evaluate --set":                 "evaluate none --data dir:none --set shots.fw=3 --suite shots",
	"evaluate --shifts":              "evaluate none --data dir:none --shifts imagenet-d",
	"evaluate --bins":                "evaluate none --data dir:none --bins 0",
	"evaluate --part":                "evaluate none --data dir:none --part tset",
	"evaluate --data":                "evaluate none --data mnst",
	"evaluate --training":            "evaluate none --data dir:none --suite pairs --training mnst",
	"evaluate --training-part":       "evaluate none --data dir:none --suite pairs --training dir:none --training-part tset",
	"evaluate --outputs":             "evaluate --logits none.npy --labels none.npy --outputs logit",
	"evaluate --preprocess":          "evaluate none --data dir:none --preprocess imagnet",
	"calibrate --preprocess":         "calibrate none --data dir:none --out o --preprocess {order:rbg}",
	"run --preprocess":               "run none none.png --preprocess imagnet",
	"run --top":                      "run none none.png --top 0",
	"evaluate --engine":              "evaluate none --data dir:none --engine xlaa",
	"evaluate --color":               "evaluate none --data dir:none --color blue",
	"evaluate --memory":              "evaluate none --data dir:none --memory lots",
	"calibrate --part":               "calibrate none --data dir:none --out o --part tset",
	"calibrate --data":               "calibrate none --data mnst --out o",
	"calibrate --on":                 "calibrate none --data dir:none --out o --on mnst",
	"calibrate --on-part":            "calibrate none --data dir:none --out o --on dir:nil --on-part tset",
	"calibrate --method":             "calibrate none --data dir:none --out o --method isotone",
	"calibrate --set":                "calibrate none --data dir:none --out o --method histogram --set bins=0",
	"calibrate --max-iterations":     "calibrate none --data dir:none --out o --max-iterations -1",
	"calibrate --outputs":            "calibrate --logits none.npy --labels none.npy --outputs logit",
	"adapt --data":                   "adapt none --data mnst",
	"adapt --part":                   "adapt none --data dir:none --part tset",
	"adapt --shift":                  "adapt none --data dir:none --shift contrst:3",
	"adapt --method":                 "adapt none --data dir:none --method tend",
	"adapt --stream":                 "adapt none --data dir:none --stream sortd",
	"adapt --set":                    "adapt none --data dir:none --set source_wait=1",
	"adapt --batch":                  "adapt none --data dir:none --batch 0",
	"adapt --export":                 "adapt none --data dir:none --export o.txt",
	"adapt --preprocess":             "adapt none --data dir:none --export o.onnx --preprocess imagnet",
	"adapt --outputs":                "adapt none --data dir:none --method lame --outputs logit",
	"adapt --save-every":             "adapt none --data dir:none --out o --save-every 0",
	"convert --to":                   "convert none --to guf --out o",
	"convert --type":                 "convert none --to gguf --type Q9 --out o",
	"convert --part":                 "convert none --fold-norms --out o --data dir:none --part tset",
	"convert --data":                 "convert none --fold-norms --out o --data mnst",
	"convert --examples":             "convert none --fold-norms --out o --examples 0",
	"convert --max-shard":            "convert none --to sharded --max-shard -1 --out o",
	"merge --method":                 "merge none none2 --method lineer --out o",
	"merge --dtype":                  "merge none.yaml --out o --dtype float61",
	"merge --allow-missing":          "merge none.yaml --out o --allow-missing onion",
	"merge --shard-size":             "merge none.yaml --out o --shard-size lots",
	"merge --threads":                "merge none.yaml --out o --threads -1",
	"merge --gguf-type":              "merge none.yaml --out o.gguf --gguf-type Q9",
	"merge --weight":                 "merge none none2 --method linear --weight 0.5 --out o",
	"soup --method":                  "soup none --method greedee --data dir:none --out o",
	"soup --data":                    "soup none --data mnst --out o",
	"soup --share":                   "soup none --method learned --share some --data dir:none --out o",
	"soup --validation":              "soup none --validation 2 --data dir:none --out o",
	"soup --lr":                      "soup none --method learned --lr -1 --data dir:none --out o",
	"soup --epochs":                  "soup none --method learned --epochs -1 --data dir:none --out o",
	"soup --scores":                  "soup none --scores 1,2 --data dir:none --out o",
	"signature extract --norms":      "signature extract --pre none --clean none --robust none --layers all --norms ptch --out o",
	"signature extract --quantizer":  "signature extract --pre none --clean none --robust none --layers all --levels 16 --quantizer linaer --out o",
	"signature extract --levels":     "signature extract --pre none --clean none --robust none --layers all --levels 1 --out o",
	"signature extract --layers":     "signature extract --pre none --clean none --robust none --layers first:x --out o",
	"signature apply --shift":        "signature apply none none.sig --data dir:none --shift fgo:3 --out o",
	"signature apply --data":         "signature apply none none.sig --data mnst --shift contrast:3 --out o",
	"signature apply --total":        "signature apply none none.sig --total 0 --out o",
	"run --output":                   "run none --input none.npy --output o.txt",
	"run --batch":                    "run none --input none.npy --output o.npz --batch 0",
	"evaluate --sample":              "evaluate none --data dir:none --sample 0",
	"calibrate --sample":             "calibrate none --data dir:none --out o --sample -3",
	"adapt --sample":                 "adapt none --data dir:none --sample 0",
	"data corrupt --corruption":      "data corrupt none --out o --corruption fgo",
	"data corrupt --severity":        "data corrupt none --out o --severity 6",
	"data corrupt --table":           "data corrupt none --out o --table imagenet",
	"data corrupt --size":            "data corrupt none --out o --size 224",
	"data corrupt --format":          "data corrupt none --out o --format gif",
	"data show --part":               "data show dir:none --part tset",
	"data show --shift":              "data show dir:none --shift contrst:3",
	"data show --index":              "data show dir:none --index -1",
	"data show --count":              "data show dir:none --count 0",
	"compare --metric":               "compare --on dir:none epochs=1,2 --metric accurac",
	"compare --on":                   "compare --on mnst epochs=1,2",
	"compare setting":                "compare --on dir:none lr=1,2",
	"train --data":                   "train --data mnst",
	"train --devices":                "train --data dir:none --devices 0",
	"train setting":                  "train --data dir:none lr=0.1",
	"inpaint setting":                "inpaint --data dir:none --out o sid=3",
	"inpaint --data":                 "inpaint --data mnst --out o",
	"reproduce --seeds":              "reproduce grokking --seeds 0",
	"reproduce --workers":            "reproduce grokking --workers 0",
	"bench --only":                   "bench data --only ( --peer-results none",
	"engine install --cuda":          "engine install --cuda=11",
	"signature apply --shift levels": "signature apply none none.sig --data dir:none --shift contrast:9 --out o",
}

// late are flags whose value can only be wrong beside what is in the files, or which take any.
var late = []string{
	"evaluate --exec", "calibrate --exec", "adapt --exec", "run --exec", "evaluate --logits", "evaluate --labels", "evaluate --ignore-label", "evaluate --html", "calibrate --html", "calibrate --logits", "calibrate --labels", "calibrate --ignore-label", "calibrate --out",
	"convert --out", "merge --out", "merge --base", "merge --t", "merge --lora", "merge --intermediate", "verify --inputs-in", "soup --out", "soup --trace", "soup --max-ingredients", "soup --batch",
	"signature extract --pre", "signature extract --clean", "signature extract --robust", "signature extract --name", "signature extract --out", "signature apply --out", "signature remove --out",
	"inspect --tensors", "run --input", "compare --recipe", "compare --out", "train --out", "inpaint --out", "reproduce --out", "reproduce --ledger", "papers --figures", "data get --from", "data get --mirror",
	"data show --png", "data corrupt --out", "data corrupt --frost", "engine install --from", "bench --out", "bench --peer-results", "bench --compare", "demo --out", "adapt --out",
}

// TestWrongValuesAreRefusedEarly walks the flags of all verbs: each that takes a value has one that is refused before a model is opened, data
// are read or a run is begun, or is on the list of those that have none.
func TestWrongValuesAreRefusedEarly(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("BALLAST_HOME", t.TempDir())
	t.Setenv("BALLAST_ENGINE", "xla:/none.so") // which opening would say
	everyVerb(func(c *cobra.Command) {
		path := verbOf(c)
		for _, f := range shownFlags(c, c.LocalNonPersistentFlags()) {
			key := path + " --" + f.Name
			switch kind := f.Value.Type(); {
			case kind == "bool" || path == "" || f.Name == "help":
			case early[key] == "" && !slices.Contains(late, key):
				t.Errorf("%s has no command with a wrong value", key)
			}
		}
	})
	for flag, args := range early {
		var out bytes.Buffer
		root := newRoot(&app{out: &out, err: &out})
		root.SetArgs(strings.Split(args, " "))
		err := execute(t.Context(), root)
		if err == nil || codeOf(err) != exitUsage || strings.Contains(err.Error(), "none.so") {
			t.Errorf("%s: ballast %s: got %v; want exit code 2", flag, args, err)
		}
	}
	left, err := filepath.Glob("*")
	if err != nil || len(left) > 0 {
		t.Errorf("%v are left (%v)", left, err)
	}
	if _, err := os.Stat("runs"); err == nil {
		t.Error("a run was begun")
	}
}
