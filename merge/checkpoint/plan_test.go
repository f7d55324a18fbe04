package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// recipes are one of each method, on a base and two models.
func recipes(dir string) map[string]string {
	models := func(parameters string) string {
		return fmt.Sprintf("models:\n- {model: %s/a, parameters: {weight: 0.6%s}}\n- {model: %s/b, parameters: {weight: 0.3%s}}\n", dir, parameters, dir, parameters)
	}
	base := "base_model: " + dir + "/base\n"
	out := map[string]string{
		"linear":      "merge_method: linear\n" + models(""),
		"slerp":       fmt.Sprintf("merge_method: slerp\nbase_model: %s/a\nmodels: [{model: %s/a}, {model: %s/b}]\nparameters: {t: [{filter: mlp, value: [0, 0.5, 1]}, {value: 0.4}]}\n", dir, dir, dir),
		"karcher":     fmt.Sprintf("merge_method: karcher\nmodels: [{model: %s/a}, {model: %s/b}, {model: %s/base}]\n", dir, dir, dir),
		"nuslerp":     "merge_method: nuslerp\n" + base + models(""),
		"nuslerp row": "merge_method: nuslerp\n" + base + models("") + "parameters: {nuslerp_flatten: false}\n",
		"nuslerp col": "merge_method: nuslerp\n" + models("") + "parameters: {nuslerp_flatten: false, nuslerp_row_wise: true}\n",
		"nearswap":    fmt.Sprintf("merge_method: nearswap\n%smodels: [{model: %s/a}]\nparameters: {t: 0.001}\n", base, dir),
		"passthrough": fmt.Sprintf("merge_method: passthrough\nmodels: [{model: %s/a}]\n", dir),
	}
	out["arcee_fusion"] = fmt.Sprintf("merge_method: arcee_fusion\n%smodels: [{model: %s/a}]\n", base, dir)
	out["sce"] = "merge_method: sce\n" + base + models("") + "parameters: {select_topk: 0.3}\n"
	out["ram"] = "merge_method: ram\n" + base + models("") + "parameters: {epsilon: 0.004}\n"
	out["ramplus_tl"] = "merge_method: ramplus_tl\n" + base + models("") + "parameters: {epsilon: 0.004}\n"
	out["ties rescaled"] = "merge_method: ties\n" + base + models(", density: 0.4") + "parameters: {lambda: 0.9, rescale: true}\n"
	for _, name := range []string{"multislerp", "task_arithmetic", "model_stock"} {
		out[name] = "merge_method: " + name + "\n" + base + models("")
	}
	for _, name := range []string{"ties", "dare_linear", "dare_ties", "della", "della_linear", "breadcrumbs", "breadcrumbs_ties"} {
		out[name] = "merge_method: " + name + "\n" + base + models(", density: 0.4") + "parameters: {lambda: 0.9}\n"
	}
	out["dare_ties inverse"] = out["dare_ties"] + "dtype: float32\n"
	return out
}

// three writes a base and two models.
func three(t testing.TB, dir string, l llama) {
	for seed, name := range []string{"base", "a", "b"} {
		l.write(t, filepath.Join(dir, name), uint64(seed))
	}
}

func run(t testing.TB, recipe string, o checkpoint.Options) (*checkpoint.Result, error) {
	t.Helper()
	r, err := checkpoint.ParseRecipe("recipe.yaml", []byte(recipe))
	if err != nil {
		return nil, err
	}
	p, err := checkpoint.NewPlan(r, o)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Execute(context.Background(), nil)
}

func mustRun(t testing.TB, recipe string, o checkpoint.Options) *checkpoint.Result {
	t.Helper()
	result, err := run(t, recipe, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestEngineEqualsMemory compares every method's output with Values on whole tensors, for any memory, threads and sizes of shards.
func TestEngineEqualsMemory(t *testing.T) {
	dir := t.TempDir()
	l := tiny
	l.vocabulary = 3000 // several blocks
	three(t, dir, l)
	inputs := map[string]map[string][]float32{}
	for _, name := range []string{"base", "a", "b"} {
		inputs[name] = read(t, filepath.Join(dir, name))
	}
	names, shapes := l.shapes()
	weight, density := []float64{0.6, 0.3}, []float64{0.4, 0.4}
	methods := map[string]merge.Method{
		"linear":          merge.Linear{Weight: weight, Normalize: true},
		"task_arithmetic": merge.TaskArithmetic{Weight: weight, Lambda: 1},
		"ties":            merge.TIES{Weight: weight, Density: density, Normalize: true, Lambda: 0.9},
		"ties rescaled":   merge.TIES{Weight: weight, Density: density, Rescale: merge.RescaleL1, Normalize: true, Lambda: 0.9},
		"arcee_fusion":    merge.ArceeFusion{},
		"sce":             merge.SCE{SelectTopK: 0.3},
		"ram":             merge.RAM{Epsilon: 0.004},
		"ramplus_tl":      merge.RAMPlus{R: 0.1, Alpha: 0.2, Epsilon: 0.004},
		"dare_ties":       merge.DARE{Weight: weight, Density: density, Rescale: merge.RescaleL1, Lambda: 0.9, Elect: true},
		"della":           merge.DELLA{Weight: weight, Density: density, Epsilon: []float64{0.15, 0.15}, Rescale: merge.RescaleL1, Normalize: true, Lambda: 0.9, Elect: true},
		"breadcrumbs":     merge.Breadcrumbs{Weight: weight, Density: density, Gamma: []float64{0.01, 0.01}, Lambda: 0.9},
		"model_stock":     merge.ModelStock{},
		"multislerp":      merge.MultiSLERP{Weight: weight, NormalizeWeights: true, Eps: 1e-8},
		"nuslerp":         merge.NuSLERP{Weight: weight, Flatten: true},
		"nuslerp row":     merge.NuSLERP{Weight: weight},
		"nuslerp col":     merge.NuSLERP{Weight: weight, RowWise: true},
	}
	for name, recipe := range recipes(dir) {
		t.Run(name, func(t *testing.T) {
			var first map[string]string
			for i, o := range []checkpoint.Options{{}, {Threads: 1, Memory: 64 << 20}, {Threads: 5, SyncBytes: 1}} {
				o.Out, o.Seed = filepath.Join(dir, name+fmt.Sprint(i)), 7
				o.ShardSize = 100_000
				result := mustRun(t, recipe, o)
				got := contents(t, o.Out)
				if first == nil {
					first = got
				} else if diff := cmp.Diff(first, got); diff != "" {
					t.Fatalf("options %d change the output", i)
				}
				if len(result.Inputs) == 0 || len(result.Outputs) < 3 || result.Tensors != len(names) {
					t.Fatalf("the result is %+v", result)
				}
				_, list, err := checkpoint.Verify(t.Context(), o.Out, dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range list {
					if v.Status != "ok" {
						t.Errorf("%s: %s", v.File, v.Status)
					}
				}
			}
			m, ok := methods[name]
			if !ok {
				return
			}
			got := read(t, filepath.Join(dir, name+"0"))
			for i, tensor := range names {
				base := inputs["base"][tensor]
				target := merge.Target{Name: tensor, Shape: shapes[i], Seed: 7}
				if name == "linear" || name == "nuslerp col" {
					base = nil
				}
				models := [][]float32{inputs["a"][tensor], inputs["b"][tensor]}
				if name == "arcee_fusion" {
					models = models[:1]
				}
				want, err := merge.Values(m, target, base, models)
				if err != nil {
					t.Fatal(err)
				}
				raw := make([]byte, 2*len(want))
				if _, err := weights.Round(raw, "BF16", want); err != nil {
					t.Fatal(err)
				}
				weights.Decode(want, "BF16", raw)
				if !cmp.Equal(want, got[tensor]) {
					t.Fatalf("tensor %s differs", tensor)
				}
			}
		})
	}
}

// TestLinearReturnsTheFirst wants the bytes of the first model for weights 1 and 0.
func TestLinearReturnsTheFirst(t *testing.T) {
	dir := t.TempDir()
	l := tiny
	l.shard = 0
	three(t, dir, l)
	mustRun(t, fmt.Sprintf("merge_method: linear\nmodels: [{model: %s/a, parameters: {weight: 1}}, {model: %s/b, parameters: {weight: 0}}]", dir, dir), checkpoint.Options{Out: dir + "/out"})
	if contents(t, dir+"/a")["model.safetensors"] != contents(t, dir+"/out")["model.safetensors"] {
		t.Error("the merged file is not that of the first model")
	}
}

// TestErrors lists what recipes and models get wrong, with the words.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	three(t, dir, tiny)
	wide := tiny
	wide.inner = 64
	wide.write(t, dir+"/wide", 1)
	less := tiny
	less.layers = 2
	less.write(t, dir+"/less", 1)
	writeTensors(t, dir+"/nan", []safetensors.Tensor{floats("w", []int{2, 2}, 1, float32(math.NaN()), 3, float32(math.NaN()))}, 0)
	writeTensors(t, dir+"/ones", []safetensors.Tensor{floats("w", []int{2, 2}, 1, 1, 1, 1)}, 0)
	writeTensors(t, dir+"/huge", []safetensors.Tensor{floats("w", []int{2, 2}, 7e4, 1, -8e4, 1)}, 0)
	writeTensors(t, dir+"/ids", []safetensors.Tensor{{Name: "w", DType: safetensors.I64, Shape: []int{1}, Data: make([]byte, 8)}}, 0)
	writeTensors(t, dir+"/ids2", []safetensors.Tensor{{Name: "w", DType: safetensors.I64, Shape: []int{1}, Data: []byte{1, 0, 0, 0, 0, 0, 0, 0}}}, 0)
	three(t, dir+"/gone", tiny)
	if err := os.Remove(dir + "/gone/a/model-00002-of-00003.safetensors"); err != nil {
		t.Fatal(err)
	}
	two := func(method, a, b, more string) string {
		return fmt.Sprintf("merge_method: %s\nmodels:\n- {model: %s/%s, parameters: {weight: 1}}\n- {model: %s/%s, parameters: {weight: 1}}\n%s", method, dir, a, dir, b, more)
	}
	base := "base_model: " + dir + "/base\n"
	for name, c := range map[string]struct{ recipe, want string }{
		"shapes":         {two("linear", "a", "wide", ""), "wide/model.safetensors.index.json: model.layers.0.mlp.gate_proj.weight: the shape is [64 32], in " + dir + "/a/model.safetensors.index.json it is [48 32]"},
		"missing":        {two("linear", "a", "less", ""), "less/model.safetensors.index.json: model.layers.2.input_layernorm.weight: the tensor is missing in " + dir + "/less; " + dir + "/a has it"},
		"method":         {two("slurp", "a", "b", ""), `merge_method: no method "slurp"; did you mean "slerp"?`},
		"shard":          {two("linear", "gone/a", "gone/b", ""), `weight_map: shard cannot be read: "model-00002-of-00003.safetensors"`},
		"key":            {two("linear", "a", "b", "out_dtyp: float16"), `unknown key out_dtyp (did you mean out_dtype?)`},
		"parameter":      {two("linear", "a", "b", "parameters: {normalise: true}"), `parameters.normalise: unknown parameter; did you mean "normalize"?`},
		"both":           {two("linear", "a", "b", "slices: [{sources: [{model: a, layer_range: [0, 1]}]}]"), "models, slices, modules: 2 of them are given; give exactly one"},
		"dtype":          {two("linear", "a", "b", "dtype: bfloat61"), `dtype: no type "bfloat61"; did you mean "bfloat16"?`},
		"slerp of three": {"merge_method: slerp\n" + fmt.Sprintf("models: [{model: %s/a}, {model: %s/b}, {model: %s/base}]\nparameters: {t: 0.5}", dir, dir, dir), "models: slerp merges 2, the recipe gives 3"},
		"no base":        {two("ties", "a", "b", ""), "base_model: it is missing; ties merges differences from a base"},
		"no t":           {two("slerp", "a", "b", ""), "slerp: tensor model.embed_tokens.weight: t is NaN; give a number from 0"},
		"no weight":      {fmt.Sprintf("merge_method: linear\nmodels: [{model: %s/a}, {model: %s/b}]", dir, dir), "weight: model 1 has none for tensor model.embed_tokens.weight"},
		"density":        {two("ties", "a", "b", base+"parameters: {density: 1.5}"), "density of model 0 is 1.5; it must be from 0 to 1; and so for 29 more tensors"},
		"weights cancel": {fmt.Sprintf("merge_method: linear\nmodels: [{model: %s/a, parameters: {weight: 1}}, {model: %s/b, parameters: {weight: -1}}]", dir, dir), "weight [1 -1] sum to 0"},
		"not finite":     {two("linear", "ones", "nan", ""), "nan/model.safetensors: w: 2 of 4 values are infinite or NaN, the first is element 1"},
		"too large":      {two("linear", "ones", "huge", "dtype: float16\nparameters: {normalize: false}"), "w: 2 merged values of a block are too large for F16; use bfloat16 or float32, or let them saturate"},
		"infinite":       {fmt.Sprintf("merge_method: passthrough\nmodels: [{model: %s/huge}]\nparameters: {scale: 1e38}", dir), "w: 2 merged values of a block are infinite or NaN in float32"},
		"integers":       {two("linear", "ids", "ids2", ""), "ids2/model.safetensors: w: it differs from that of " + dir + "/ids/model.safetensors, and tensors of type I64 are not merged"},
		"types":          {two("linear", "ids", "ones", ""), "ones/model.safetensors: w: the type is F32, in " + dir + "/ids/model.safetensors it is I64"},
		"adapter":        {two("linear", "a", "b+c", ""), "model: c: there is no such file or folder"},
		"no adapter":     {two("linear", "a", "b+"+dir+"/a", ""), "/a: it is not an adapter: it has no adapter_config.json; name the folder"},
		"no model":       {two("linear", "a", "z", ""), dir + "/z: there is no such file or folder; download the model"},
		"layer range":    {fmt.Sprintf("merge_method: passthrough\nslices: [{sources: [{model: %s/a, layer_range: [0, 4]}]}]", dir), "layer_range: it is [0 4]; the model has 3 layers"},
		"unequal ranges": {fmt.Sprintf("merge_method: linear\nslices: [{sources: [{model: %s/a, layer_range: [0, 2]}, {model: %s/b, layer_range: [0, 3]}]}]", dir, dir), "sources of a slice have equally many"},
		"memory":         {two("linear", "a", "b", ""), "bytes are allowed; linear of 2 models"},
		"input":          {two("linear", "a", "b", ""), "the output is the input"},
		"there":          {two("linear", "a", "b", ""), "is there already and holds config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			o := checkpoint.Options{Out: filepath.Join(dir, "out")}
			switch name {
			case "memory":
				o.Memory = 1 << 20
			case "input":
				o.Out, o.Overwrite = filepath.Join(dir, "a"), true
			case "there":
				o.Out = filepath.Join(dir, "wide")
			}
			_, err := run(t, c.recipe, o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the error is %v\nwant %s", err, c.want)
			}
			var bad interface{ BadInput() bool }
			var usage *fault.Usage
			if name == "there" {
				if !errors.As(err, &usage) {
					t.Errorf("%v is not a usage error", err)
				}
			} else if !errors.As(err, &bad) || !bad.BadInput() {
				t.Errorf("%v is not bad input", err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
