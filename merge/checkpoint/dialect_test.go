package checkpoint_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// TestSpellings compares recipes as other tools read them with the same said plainly: their tensors are the same.
func TestSpellings(t *testing.T) {
	dir := t.TempDir()
	three(t, dir, tiny)
	t.Chdir(dir)
	linear := "merge_method: linear\nmodels: [{model: a, parameters: {weight: 0.5}}, {model: b, parameters: {weight: 0.25}}]\n"
	slerp := "merge_method: slerp\nbase_model: a\nmodels: [{model: a}, {model: b}]\nparameters: {t: 0.2}\n"
	both := func(more string) string {
		return "merge_method: ties\nbase_model: base\nparameters: {weight: 0.5, density: 0.5}\nslices: [{sources: [{model: a, layer_range: [0, 3]}, {model: b, layer_range: [0, 3]}]" + more + "}]\n"
	}
	for name, c := range map[string]struct{ plain, spelled string }{
		"one filter":       {linear, "merge_method: linear\nmodels: [{model: a, parameters: {weight: {filter: '*', value: 0.5}}}, {model: b, parameters: {weight: {value: 0.25}}}]\n"},
		"text":             {linear, "merge_method: linear\nmodels: [{model: a, parameters: {weight: '0.5'}}, {model: b, parameters: {weight: ['0.25', 2.5e-1]}}]\n"},
		"words":            {linear + "parameters: {normalize: false}\n", linear + "parameters: {normalize: no}\n"},
		"words in a list":  {linear + "parameters: {normalize: false}\n", linear + "parameters: {normalize: [off, 0]}\n"},
		"nothing":          {linear, linear + "base_model:\nslices:\nparameters:\ntokenizer:\nchat_template:\n"},
		"long reference":   {linear, strings.Replace(linear, "model: a", "model: {model: {path: a, revision: null}, lora: null}", 1)},
		"old reference":    {linear, strings.Replace(linear, "model: a", "model: 'model:a'", 1)},
		"anchors":          {linear, "where: &where a\nhalf: &half {parameters: {weight: 0.5}}\nmerge_method: linear\nmodels:\n- model: *where\n  <<: *half\n- {model: b, parameters: {weight: 0.25}}\n"},
		"torch dtype":      {linear + "dtype: float32", linear + "dtype: torch.float32"},
		"base of a slice":  {slerp, "merge_method: slerp\nbase_model: base\nslices: [{sources: [{model: b, layer_range: [0, 3]}, {model: a, layer_range: [0, 3]}], base_model: a, parameters: {t: 0.2}}]\n"},
		"base of slices":   {both(""), strings.Replace(both(", base_model: base"), "base_model: base\n", "base_model: b\n", 1)},
		"scale of a model": {"merge_method: passthrough\nmodels: [{model: a}]\nparameters: {scale: 0.5}", "merge_method: passthrough\nmodels: [{model: a, parameters: {scale: 0.5}}]"},
		"module":           {linear, "merge_method: linear\nmodules: {default: {models: [{model: a, parameters: {weight: 0.5}}, {model: b, parameters: {weight: 0.25}}]}}\n"},
		"base counted": {"merge_method: linear\nmodels: [{model: a}, {model: b}, {model: base}]\nparameters: {weight: 0.3}\n",
			"merge_method: linear\nbase_model: base\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 0.3}\n"},
	} {
		var got [2]map[string][]float32
		for i, recipe := range []string{c.plain, c.spelled} {
			out := filepath.Join(t.TempDir(), "out")
			mustRun(t, recipe, checkpoint.Options{Out: out})
			got[i] = read(t, out)
		}
		if diff := cmp.Diff(got[0], got[1]); diff != "" {
			t.Errorf("%s: other tensors", name)
		}
	}
}

// Filters of what holds for a model are compared with the names of that model, others with those of the output.
func TestFiltersNameTheModel(t *testing.T) {
	dir := t.TempDir()
	three(t, dir, tiny)
	out := filepath.Join(dir, "out")
	recipe := "merge_method: linear\nparameters: {normalize: false}\nslices:\n- sources:\n" +
		"  - {model: %s/a, layer_range: [0, 2], parameters: {weight: 0}}\n" +
		"  - {model: %s/b, layer_range: [1, 3], parameters: {weight: [{filter: layers.1., value: 1}, {value: 2}]}}\n"
	mustRun(t, fmt.Sprintf(recipe, dir, dir), checkpoint.Options{Out: out})
	b, got := read(t, dir+"/b"), read(t, out)
	for layer, scale := range []float32{1, 2} {
		const norm = "model.layers.%d.input_layernorm.weight"
		if got, want := got[fmt.Sprintf(norm, layer)][0], scale*b[fmt.Sprintf(norm, layer+1)][0]; got != want {
			t.Errorf("layer %d is %v, want %v", layer, got, want)
		}
	}
}

// TestTypes merges models of different types without naming one: the output has the smallest that holds the values of all.
func TestTypes(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []safetensors.DType{"F64", "F32", "F16", "BF16"} {
		l := tiny
		l.layers, l.dtype, l.shard = 1, d, 0
		l.write(t, filepath.Join(dir, string(d)), 1)
	}
	for _, c := range []struct{ a, b, dtype, want string }{
		{"BF16", "F32", "", "F32"}, {"F32", "BF16", "", "F32"}, {"F16", "BF16", "", "F32"}, {"BF16", "BF16", "", "BF16"}, {"F16", "F64", "", "F64"},
		{"F32", "BF16", "dtype: bfloat16", "BF16"}, {"F32", "F32", "dtype: float64", "F64"}, {"F32", "F32", "dtype: float16\nout_dtype: double", "F64"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		mustRun(t, fmt.Sprintf("merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: %s/%s}, {model: %s/%s}]\n%s", dir, c.a, dir, c.b, c.dtype), checkpoint.Options{Out: out})
		f, err := weights.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range f.Tensors() {
			if tensor.Type != c.want {
				t.Errorf("%s and %s %s: %s is %s, want %s", c.a, c.b, c.dtype, tensor.Name, tensor.Type, c.want)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWide merges values that float32 does not hold.
func TestWide(t *testing.T) {
	dir := t.TempDir()
	values := map[string][]float64{"a": {1 + 0x1p-40, -3, 0.1, 1e-300}, "b": {2, 0x1p-50, 0.2, 3}, "base": {0.5, 0.25, 0.7, 1}}
	for name, list := range values {
		raw := make([]byte, 0, 8*len(list))
		for _, v := range list {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		}
		writeTensors(t, filepath.Join(dir, name), []safetensors.Tensor{{Name: "w", DType: "F64", Shape: []int{4}, Data: raw}}, 0)
	}
	t.Chdir(dir)
	for name, c := range map[string]struct {
		recipe string
		want   func(a, b, base float64) float64
	}{
		"passthrough":     {"merge_method: passthrough\nmodels: [{model: a}]", func(a, _, _ float64) float64 { return a }},
		"linear":          {"merge_method: linear\nmodels: [{model: a, parameters: {weight: 0.25}}, {model: b, parameters: {weight: 0.75}}]", func(a, b, _ float64) float64 { return 0.25*a + 0.75*b }},
		"task_arithmetic": {"merge_method: task_arithmetic\nbase_model: base\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 0.25, lambda: 0.5}", func(a, b, base float64) float64 { return base + 0.125*(a-base) + 0.125*(b-base) }},
	} {
		out := filepath.Join(t.TempDir(), "out")
		mustRun(t, c.recipe, checkpoint.Options{Out: out})
		raw, err := os.ReadFile(filepath.Join(out, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[len(raw)-32:]
		for i := range 4 {
			got, want := math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])), c.want(values["a"][i], values["b"][i], values["base"][i])
			if math.Abs(got-want) > 0x1p-52*math.Abs(want) {
				t.Errorf("%s: value %d is %v, want %v", name, i, got, want)
			}
		}
	}

	result := mustRun(t, "merge_method: ties\nbase_model: base\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}", checkpoint.Options{Out: filepath.Join(t.TempDir(), "out")})
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, "ties merges in float32: values of float64 have its 24 bits") {
		t.Errorf("the notes are %q", notes)
	}
}

// TestHeads stacks layers of models of which one has an output layer and the other ties it to its embeddings.
func TestHeads(t *testing.T) {
	dir := t.TempDir()
	l := tiny
	l.write(t, dir+"/own", 0)
	l.tied = true
	l.write(t, dir+"/tied", 1)
	const head, embeddings = "lm_head.weight", "model.embed_tokens.weight"
	for _, c := range []struct{ first, last, head string }{{"own", "tied", embeddings}, {"tied", "own", head}} {
		out := filepath.Join(t.TempDir(), "out")
		mustRun(t, fmt.Sprintf("merge_method: passthrough\nslices:\n- sources: [{model: %s/%s, layer_range: [0, 2]}]\n- sources: [{model: %s/%s, layer_range: [2, 3]}]\n", dir, c.first, dir, c.last), checkpoint.Options{Out: out})
		got := read(t, out)
		if len(got[head]) == 0 || !cmp.Equal(got[head], read(t, dir+"/"+c.last)[c.head]) {
			t.Errorf("%s, then %s: the output layer is not that of the last", c.first, c.last)
		}
		if !cmp.Equal(got[embeddings], read(t, dir+"/"+c.first)[embeddings]) {
			t.Errorf("%s, then %s: the embeddings are not those of the first", c.first, c.last)
		}
		if !strings.Contains(contents(t, out)["config.json"], `"tie_word_embeddings": false`) {
			t.Errorf("%s, then %s: the config ties the output layer", c.first, c.last)
		}
	}
}

// TestPrefixes merges models whose names have more before them, and buffers that some of them lack.
func TestPrefixes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, prefix string, value float32, more ...safetensors.Tensor) {
		list := append(more, floats(prefix+"encoder.layer.0.w", []int{2}, value, value), floats(prefix+"embeddings.w", []int{2}, value, 3))
		writeTensors(t, filepath.Join(dir, name), list, 0)
	}
	write("plain", "", 1)
	write("bert", "bert.", 2, floats("cls.bias", []int{1}, 1))
	write("ids", "", 4, safetensors.Tensor{Name: "embeddings.position_ids", DType: "I64", Shape: []int{1}, Data: make([]byte, 8)})
	t.Chdir(dir)
	for recipe, want := range map[string]float32{
		"models: [{model: plain}, {model: ids}]":  2.5,
		"models: [{model: ids}, {model: plain}]":  2.5,
		"models: [{model: plain}, {model: bert}]": 1.5,
		"models: [{model: bert}, {model: plain}]": 1.5,
	} {
		out := filepath.Join(t.TempDir(), "out")
		result := mustRun(t, "merge_method: linear\nparameters: {weight: 1}\n"+recipe, checkpoint.Options{Out: out, AllowMissing: checkpoint.Intersection})
		for name, values := range read(t, out) {
			if values[0] != want {
				t.Errorf("%s: %s is %v, want %v", recipe, name, values, want)
			}
		}
		if result.Tensors != 2 {
			t.Errorf("%s: %d tensors", recipe, result.Tensors)
		}
	}
	if _, err := run(t, "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: plain}, {model: ids}]", checkpoint.Options{Out: filepath.Join(t.TempDir(), "out")}); err != nil {
		t.Errorf("a buffer that one model lacks: %v", err)
	}
}

// TestTemplates writes chat templates for the tokenizer of the output.
func TestTemplates(t *testing.T) {
	dir := t.TempDir()
	three(t, dir, tiny)
	const own, common = "{{ messages[0]['content'] }}", "{% for m in messages %}{{ m['content'] }}{% endfor %}"
	put(t, dir+"/base", "chat_template.jinja", own)
	put(t, dir+"/a", "tokenizer_config.json", `{"x": 1, "chat_template": "`+common+`"}`)
	put(t, dir+"/b", "tokenizer_config.json", `{"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "`+common+`"}]}`)
	for _, c := range []struct{ template, want string }{
		{"", ""}, {"auto", common}, {`"` + own + `"`, own}, {"chatml", "<|im_start|>"}, {"llama3", "<|eot_id|>"}, {"mistral", "[INST]"}, {"alpaca", "### Response:"}, {"exaone", "[|endofturn|]"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		recipe := fmt.Sprintf("merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: %s/a}, {model: %s/b}, {model: %s/base}]\nchat_template: %s\n", dir, dir, dir, c.template)
		mustRun(t, recipe, checkpoint.Options{Out: out})
		files := contents(t, out)
		if c.want == "" {
			if _, there := files["chat_template.jinja"]; there {
				t.Error("a template that nobody asked for")
			}
			continue
		}
		if got := files["chat_template.jinja"]; !strings.Contains(got, c.want) {
			t.Errorf("%s: the template is %s", c.template, got)
		}
		if config := files["tokenizer_config.json"]; !strings.Contains(config, `"chat_template": `) || !strings.Contains(config, `"x": 1`) {
			t.Errorf("%s: tokenizer_config.json is %s", c.template, config)
		}
	}
	for template, want := range map[string]string{
		"chatlm": `no template "chatlm"; did you mean "chatml"?`, "'no template at all, whatever it is'": "write one in Jinja, or use alpaca, chatml",
	} {
		_, err := run(t, "merge_method: linear\nmodels: [{model: a}]\nchat_template: "+template, checkpoint.Options{Out: "out"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", template, err)
		}
	}
}

// TestSeveral orders recipes of one file, and finds what is there already.
func TestSeveral(t *testing.T) {
	dir := t.TempDir()
	three(t, dir, tiny)
	t.Chdir(dir)
	one := func(name, models string) string {
		return name + "merge_method: linear\nparameters: {weight: 1}\nmodels: [" + models + "]\n"
	}
	for text, want := range map[string]string{
		one("", "{model: y}, {model: x}") + "---\n" + one("name: x\n", "{model: y}, {model: a}") + "---\n" + one("name: y\n", "{model: b}"): "y x ",
		one("name: x\n", "{model: a}") + "---\n" + one("name: y\n", "{model: x}"):                                                           "x y",
		one("name: x\n", "{model: y}") + "---\n" + one("name: y\n", "{model: x}"):                                                           "0 of them are used by no other",
		one("name: x\n", "{model: a}") + "---\n" + one("name: y\n", "{model: a}"):                                                           "2 of them are used by no other",
		one("", "{model: x}") + "---\n" + one("name: x\n", "{model: y}") + "---\n" + one("name: y\n", "{model: x}"):                         "x is merged from its own output",
		one("", "{model: a}") + "---\n" + one("", "{model: b}"):                                                                             "another recipe has no name either",
		one("", "{model: a}") + "---\n" + one("name: ../x\n", "{model: b}"):                                                                 `"../x" is not the name of a folder`,
	} {
		list, err := checkpoint.ParseRecipes("r.yaml", []byte(text))
		if err == nil {
			list, err = checkpoint.Order(list, "made")
		}
		got := ""
		for i, r := range list {
			got += map[bool]string{true: " "}[i > 0] + r.Name
		}
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || !strings.Contains(got, want) {
			t.Errorf("%s\ngives %q, want %q", text, got, want)
		}
	}

	r, err := checkpoint.ParseRecipe("r.yaml", []byte(one("", "{model: a}, {model: b}")))
	if err != nil {
		t.Fatal(err)
	}
	done := func() bool {
		p, err := checkpoint.NewPlan(r, checkpoint.Options{Out: "out"})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ok, err := p.Done(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if done() {
		t.Error("what is not there is done")
	}
	mustRun(t, one("", "{model: a}, {model: b}"), checkpoint.Options{Out: "out"})
	if !done() {
		t.Error("what is there is not done")
	}
	put(t, "out", "config.json", "{}")
	if done() {
		t.Error("what was changed is done")
	}
	if err := r.Missing(".", nil); err != nil {
		t.Error(err)
	}
	r.Models[0].Model = "z"
	if err := r.Missing(".", []string{"z"}); err != nil {
		t.Error(err)
	}
	if err := r.Missing(".", nil); err == nil || !strings.Contains(err.Error(), "z: there is no such file or folder") {
		t.Error(err)
	}
}
