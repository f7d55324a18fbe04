package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// evil is a name that changes a terminal's title, rings, clears the screen, reverses what follows, and begins a line of its own, which
// no output may have. It is a line of its own in Markdown and HTML too.
const evil = "\x1b]0;PWNED\a\x1b[2J\u009b31mred\u202e\nFORGED | <b>[x](javascript:1)`"

// shown is how what is escaped looks: \u001b by us and by JSON, \x1b where an error quotes.
const shownEscaped = `(u001b|x1b)`

// quoted is text as a string of JSON, which YAML reads too.
func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// safetensorsText is a file of a header and as many zeros.
func safetensorsText(header string, data int) []byte {
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	return append(file, make([]byte, data)...)
}

// zipOf is an archive of stored entries.
func zipOf(entries map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = w.Write([]byte(entries[name]))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// trainedFiles are the manifest and the weights of a small bundle, made once by the command itself.
var trainedFiles = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "ballast-names-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)                                                                                     //nolint:errcheck // a temporary folder that stays does no harm
	cmd := exec.Command(os.Args[0], "train", "-q", "--out", "r", "steps=2", "network={name: mlp, hidden: [4]}") //nolint:gosec // the test itself
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	files := map[string][]byte{}
	for _, name := range []string{"ballast.json", "model.safetensors"} {
		if files[name], err = os.ReadFile(filepath.Join(dir, "r", "model", name)); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// bundleOf writes a bundle whose manifest was changed.
func bundleOf(name string, change func(manifest map[string]any)) func(dir string) error {
	return func(dir string) error {
		files, err := trainedFiles()
		if err != nil {
			return err
		}
		var manifest map[string]any
		if err := json.Unmarshal(files["ballast.json"], &manifest); err != nil {
			return err
		}
		change(manifest)
		text, err := json.Marshal(manifest)
		return errors.Join(err, put(filepath.Join(dir, name, "ballast.json"), text), put(filepath.Join(dir, name, "model.safetensors"), files["model.safetensors"]))
	}
}

// evilManifest has the name in all that a manifest says in words.
func evilManifest(m map[string]any) {
	labels, ok := m["labels"].([]any)
	for i := range labels {
		labels[i] = evil + fmt.Sprint(i)
	}
	if provenance, is := m["provenance"].(map[string]any); is && ok {
		for _, key := range []string{"data", "data_licence", "engine"} {
			provenance[key] = evil
		}
		provenance["versions"] = map[string]any{evil: evil}
		provenance["derived"] = []any{evil}
	}
	m["name"] = evil
	m["metrics"] = map[string]any{evil: 0.5}
}

// galleryNames are every name that a file can carry, with escape sequences in it.
func galleryNames() []hostile {
	var out []hostile
	anyway := []int{exitOK, exitFailed, exitUsage, exitBadInput, exitUnmet} // what the verb makes of it is not the point here
	add := func(name string, files func(dir string) error, want string, run ...string) {
		out = append(out, hostile{kind: "escape", name: name, files: files, run: run, exit: anyway, want: want, writes: true, memory: 1 << 30})
	}
	all := func(files ...func(dir string) error) func(dir string) error {
		return func(dir string) error {
			var errs []error
			for _, f := range files {
				errs = append(errs, f(dir))
			}
			return errors.Join(errs...)
		}
	}

	// Tensors, metadata and types of safetensors, by every verb that names them.
	named := safetensorsText(fmt.Sprintf(`{"__metadata__":{%s:%s,"licence":%[2]s},%[1]s:{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, quoted(evil), quoted(evil)), 16)
	other := safetensorsText(fmt.Sprintf(`{%s:{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},%s:{"dtype":"F32","shape":[0],"data_offsets":[16,16]}}`, quoted(evil), quoted(evil+"2")), 16)
	changed := safetensorsText(fmt.Sprintf(`{%s:{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, quoted(evil)), 12)
	changed = append(changed, 0, 0, 0x80, 0x3f)
	models := all(file("m.safetensors", named), file("o.safetensors", other), file("c.safetensors", changed))
	for name, run := range map[string]string{
		"inspect": "inspect m.safetensors", "inspect-json": "inspect m.safetensors --json", "inspect-tensors": "inspect m.safetensors --tensors *", "diff": "merge diff m.safetensors c.safetensors",
		"diff-shapes": "merge diff m.safetensors o.safetensors", "diff-json": "merge diff m.safetensors o.safetensors --json", "merge-shapes": "merge m.safetensors o.safetensors --method linear --out x",
	} {
		add("st-"+name, models, shownEscaped, strings.Fields(run)...)
	}
	for name, run := range map[string]string{
		"merge": "merge m.safetensors c.safetensors --method linear --out x", "merge-dry": "merge m.safetensors c.safetensors --method linear --out x --dry-run --json", "convert-npz": "convert m.safetensors --to npz --out x.npz", "convert-check": "convert m.safetensors --to gguf --out x.gguf --check",
		"signature": "signature inspect m.safetensors", "run": "run m.safetensors --input m.safetensors --output y.npz", "evaluate": "evaluate m.safetensors --data optdigits", "calibrate": "calibrate m.safetensors --data optdigits --out x",
		"soup": "soup m.safetensors c.safetensors --out s.safetensors", "verify": "verify m.safetensors",
	} {
		add("st-"+name, models, "", strings.Fields(run)...)
	}
	for name, header := range map[string]string{
		"dtype": `{"a":{"dtype":` + quoted(evil) + `,"shape":[4],"data_offsets":[0,16]}}`, "key": `{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],` + quoted(evil) + `:1}}`,
		"bad-offsets": `{` + quoted(evil) + `:{"dtype":"F32","shape":[4],"data_offsets":[0,99]}}`, "bad-shape": `{` + quoted(evil) + `:{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}`,
		"twice": `{` + quoted(evil) + `:{"dtype":"F32","shape":[4],"data_offsets":[0,16]},` + quoted(evil) + `:{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, "json": `{"` + evil + `":1}`,
	} {
		add("st-header-"+name, file("m.safetensors", safetensorsText(header, 16)), "", "inspect", "m.safetensors")
	}

	// What lies beside the weights in a folder.
	plain := safetensorsText(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 16)
	beside := func(name string, files map[string]string, want string, runs ...string) {
		writers := []func(dir string) error{file("d/model.safetensors", plain)}
		for _, path := range slices.Sorted(maps.Keys(files)) {
			writers = append(writers, file("d/"+path, []byte(files[path])))
		}
		for _, run := range runs {
			add(name+"-"+strings.Fields(run)[0], all(writers...), want, strings.Fields(run)...)
		}
	}
	const convertFolder = "convert d --to gguf --out x.gguf"
	beside("config-architecture", map[string]string{"config.json": `{"architectures":[` + quoted(evil) + `],"model_type":` + quoted(evil) + `}`}, "", "inspect d", convertFolder, "evaluate d --data optdigits")
	beside("config-key", map[string]string{"config.json": `{` + quoted(evil) + `:1,"model_type":3}`}, "", "inspect d", convertFolder)
	beside("config-type", map[string]string{"config.json": `{"model_type":"llama","hidden_size":` + quoted(evil) + `}`}, "", "inspect d", convertFolder)
	beside("card", map[string]string{"README.md": "---\nlicense: " + quoted(evil) + "\nbase_model: " + quoted(evil) + "\n---\n"}, shownEscaped, "inspect d")
	beside("card-key", map[string]string{"README.md": "---\n" + quoted(evil) + ": [\n---\n"}, "", "inspect d", convertFolder)
	beside("tokenizer", map[string]string{"config.json": `{"model_type":"llama"}`, "tokenizer.json": `{"model":{"type":` + quoted(evil) + `}}`}, "", convertFolder)
	beside("index-file", map[string]string{"model.safetensors.index.json": `{"weight_map":{"a":` + quoted(evil) + `}}`}, "", "inspect d")
	beside("index-name", map[string]string{"model.safetensors.index.json": `{"weight_map":{` + quoted(evil) + `:"model.safetensors"}}`}, "", "inspect d")
	beside("file-name", map[string]string{"x\x1b[2J\nFORGED.safetensors": string(plain), "\u202egnp.json": "{}"}, "", "inspect d", "merge d d --method linear --out x")

	// Arrays, archives and pickles.
	add("npz-member", file("a.npz", zipOf(map[string]string{evil + ".npy": "\x93NUMPY\x01\x00F\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }             \n\x00\x00\x00\x00"})), "", "inspect", "a.npz")
	add("npz-other", file("a.npz", zipOf(map[string]string{evil: "x", "b.npy": "x"})), "", "inspect", "a.npz")
	add("npy-descr", all(file("a.npy", []byte("\x93NUMPY\x01\x00\x46\x00{'descr': '\x1b[2J<f4', 'fortran_order': False, 'shape': (1,), '\x1b': 1}      \n")), file("b.npy", nil)), "", "evaluate", "--logits", "a.npy", "--labels", "b.npy")
	pickle := func(body string) func(dir string) error {
		return file("m.pth", zipOf(map[string]string{"archive/data.pkl": "\x80\x02" + body, "archive/version": "3\n"}))
	}
	text := func(s string) string {
		return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	oneLine := strings.ReplaceAll(evil, "\n", " ")
	add("pth-global", pickle("c"+oneLine+"\nsystem\n("+text("x")+"tR."), "", "inspect", "m.pth")
	add("pth-global-merge", pickle("c"+oneLine+"\nsystem\n("+text("x")+"tR."), "", "merge", "m.pth", "m.pth", "--method", "linear", "--out", "x")
	add("pth-key", pickle("}("+text(evil)+"K\x01u."), "", "inspect", "m.pth")
	add("pth-convert", pickle("}("+text(evil)+text(evil)+"u."), "", "convert", "m.pth", "--to", "safetensors", "--out", "x.safetensors")
	add("pth-persistent", pickle("}("+text(evil)+"("+text("storage")+text(evil)+"tQu."), "", "inspect", "m.pth")
	add("pth-entry", file("m.pth", zipOf(map[string]string{evil + "/data.pkl": "\x80\x02}.", evil + "/data/0": "x"})), "", "inspect", "m.pth")

	// GGUF, ONNX, TensorFlow.js.
	ggufOf := func(metadata []gguf.KeyValue, name string) func(dir string) error {
		return func(dir string) error {
			t, err := gguf.FromFloat32s(name, gguf.F32, []int{4}, make([]float32, 4))
			if err != nil {
				return err
			}
			return gguf.WriteFile(filepath.Join(dir, "m.gguf"), metadata, []gguf.Tensor{t})
		}
	}
	model := []gguf.KeyValue{{Key: "general.architecture", Value: evil}, {Key: "general.name", Value: evil}, {Key: "general.license", Value: evil}}
	for _, run := range []string{"inspect m.gguf", "inspect m.gguf --json", "convert m.gguf --to safetensors --out x.safetensors", "merge diff m.gguf m.gguf", "evaluate m.gguf --data optdigits"} {
		add("gguf-"+strings.ReplaceAll(run, " ", "-"), ggufOf(model, "t"+evil[:20]), "", strings.Fields(run)...)
	}
	graph := onnxtest.Model{
		Opset: 13, Tensors: []onnxtest.Tensor{onnxtest.Floats(evil+"w", []int{3, 2}, 1, 2, 3, 4, 5, 6)},
		Inputs: []onnxtest.Value{{Name: evil + "x", Type: onnxtest.Float, Shape: []any{evil, 3}}}, Outputs: []onnxtest.Value{{Name: evil + "y", Type: onnxtest.Float, Shape: []any{evil, 2}}},
		Nodes: []onnxtest.Node{{Op: "MatMul", Name: evil, Inputs: []string{evil + "x", evil + "w"}, Outputs: []string{evil + "y"}}},
	}
	strange := graph
	strange.Nodes = []onnxtest.Node{{Op: evil, Domain: evil, Name: evil, Inputs: []string{evil + "x"}, Outputs: []string{evil + "y"}, Attributes: map[string]any{evil: evil}}}
	wrong := graph
	wrong.Nodes = []onnxtest.Node{{Op: "MatMul", Name: evil, Inputs: []string{evil + "x", evil + "none"}, Outputs: []string{evil + "y"}, Attributes: map[string]any{evil: 1}}}
	input := func(dir string) error {
		return npy.WriteFile(filepath.Join(dir, "x.npy"), []int{2, 3}, make([]float32, 6))
	}
	for name, m := range map[string]onnxtest.Model{"names": graph, "operator": strange, "wrong": wrong} {
		files := all(file("m.onnx", m.Bytes()), input)
		add("onnx-"+name, files, shownEscaped, "inspect", "m.onnx")
		add("onnx-"+name+"-json", files, "", "inspect", "m.onnx", "--json")
		add("onnx-"+name+"-run", files, "", "run", "m.onnx", "--input", "x.npy", "--output", "y.npz")
		add("onnx-"+name+"-input", files, "", "run", "m.onnx", "--input", "other=x.npy", "--output", "y.npz")
		add("onnx-"+name+"-convert", files, "", "convert", "m.onnx", "--to", "safetensors", "--out", "x.safetensors")
	}
	for name, manifest := range map[string]string{
		"name": `{"format":` + quoted(evil) + `,"weightsManifest":[{"paths":["x.bin"],"weights":[{"name":` + quoted(evil) + `,"shape":[1],"dtype":"uint8"}]}]}`,
		"type": `{"weightsManifest":[{"paths":["x.bin"],"weights":[{"name":"a","shape":[1],"dtype":` + quoted(evil) + `}]}]}`,
		"path": `{"weightsManifest":[{"paths":[` + quoted(evil) + `],"weights":[{"name":"a","shape":[1],"dtype":"uint8"}]}]}`,
	} {
		add("tfjs-"+name, all(file("model.json", []byte(manifest)), file("x.bin", []byte{1})), "", "inspect", "model.json")
	}

	// Bundles, by every verb that opens one.
	bundled := bundleOf("b", evilManifest)
	for name, run := range map[string]string{
		"inspect": "inspect b", "inspect-json": "inspect b --json", "evaluate": "evaluate b --data optdigits --suite clean", "evaluate-two": "evaluate b b --data optdigits --suite clean", "evaluate-json": "evaluate b --data optdigits --suite clean --json",
		"require": "evaluate b --data optdigits --suite clean --require acc>=2", "calibrate": "calibrate b --data optdigits --out c", "convert": "convert b --to gguf --out x.gguf", "soup": "soup b b --out s", "run": "run b --input none.npy --output y.npz",
	} {
		add("bundle-"+name, bundled, "", strings.Fields(run)...)
	}
	for name, change := range map[string]func(m map[string]any){
		"key": func(m map[string]any) { m[evil] = 1 }, "network": func(m map[string]any) { m["network"] = map[string]any{"name": evil} },
		"layer": func(m map[string]any) { m["network"] = map[string]any{"name": "mlp", evil: 1} }, "schema": func(m map[string]any) { m["schema_version"] = evil },
		"few-labels": func(m map[string]any) { m["labels"] = []any{evil} },
	} {
		add("bundle-bad-"+name, bundleOf("b", change), "", "evaluate", "b", "--data", "optdigits")
	}

	// Recipes of trainings, comparisons and merges; results of benchmarks; a ledger; manifests of merges.
	for name, recipe := range map[string]string{
		"key": quoted(evil) + ": 1", "key-below": "optimizer: {" + quoted(evil) + ": 1}", "data": "data: " + quoted(evil), "network": "network: {name: " + quoted(evil) + "}", "norm": "norm: {name: " + quoted(evil) + "}",
		"optimizer": "optimizer: {name: " + quoted(evil) + "}", "schedule": "schedule: {name: " + quoted(evil) + "}", "number": "epochs: " + quoted(evil), "name": "name: " + quoted(evil) + "\nsteps: 1\nnetwork: {name: mlp, hidden: [4]}",
		"syntax": "a: [" + oneLine, "anchor": "a: *x" + evil[:9], "augment": "augment: [" + quoted(evil) + "]",
	} {
		add("recipe-"+name, file("r.yaml", []byte(recipe)), "", "train", "r.yaml")
		if name != "name" {
			add("recipe-"+name+"-compare", file("r.yaml", []byte(recipe)), "", "compare", "--recipe", "r.yaml", "norm=batch", "seed=1")
		}
	}
	for name, recipe := range map[string]string{
		"key": quoted(evil) + ": 1", "method": "merge_method: " + quoted(evil), "model": "merge_method: linear\nmodels: [{model: " + quoted(evil) + ", parameters: {weight: 1}}]",
		"parameter": "merge_method: linear\nmodels: [{model: m.safetensors, parameters: {" + quoted(evil) + ": 1}}]", "dtype": "merge_method: linear\ndtype: " + quoted(evil) + "\nmodels: [{model: m.safetensors, parameters: {weight: 1}}]",
		"base": "merge_method: linear\nbase_model: " + quoted(evil) + "\nmodels: [{model: m.safetensors, parameters: {weight: 1}}]", "filter": "merge_method: linear\nmodels: [{model: m.safetensors, parameters: {weight: [{filter: " + quoted(evil) + ", value: x}]}}]",
		"tokenizer": "merge_method: linear\ntokenizer_source: " + quoted(evil) + "\nmodels: [{model: m.safetensors, parameters: {weight: 1}}]",
	} {
		add("merge-recipe-"+name, all(file("r.yaml", []byte(recipe)), file("m.safetensors", named)), "", "merge", "r.yaml", "--out", "x")
	}
	results := `{"schema_version": 1, "machine": {"cpu": ` + quoted(evil) + `, "cores": 2, "memory_bytes": 1, "system": "linux"}, "lines": [{"suite": ` + quoted(evil) + `, "name": ` + quoted(evil) + `, "seconds": 1}]}`
	add("bench", all(file("a.json", []byte(results)), file("b.json", []byte(strings.Replace(results, "cores", evil[:3], 1)))), shownEscaped, "bench", "--compare", "a.json", "a.json")
	add("bench-key", file("a.json", []byte(`{`+quoted(evil)+`: 1}`)), "", "bench", "--compare", "a.json", "a.json")
	add("ledger", file("l.json", []byte(`{"schema_version": 2, `+quoted(evil)+`: 1, "entries": [{"slug": `+quoted(evil)+`}]}`)), "", "reproduce", "grokking", "--ledger", "l.json")
	for name, entry := range map[string]string{"file": `"file": ` + quoted(evil), "digest": `"file": "m.safetensors", "sha256": ` + quoted(evil), "key": `"file": "x", ` + quoted(evil) + `: 1`} {
		add("verify-"+name, all(file("ballast-merge.json", []byte(`{"schema_version": 1, "method": `+quoted(evil)+`, "seed": 1, "recipe": {}, "versions": {}, "inputs": [], "outputs": [{"bytes": 1, `+entry+`}], "tensors": 0}`)), file("m.safetensors", named)), "", "verify", ".")
	}
	add("signature", func(dir string) error {
		t := safetensors.FromFloat32s(evil, []int{2}, []float32{1, 2})
		return safetensors.WriteFile(filepath.Join(dir, "s.sig"), []safetensors.Tensor{t}, map[string]string{"ballast.signature": `{"name":` + quoted(evil) + `}`, evil: evil})
	}, "", "signature", "inspect", "s.sig")

	// Folders of pictures, whose classes are names of folders, and arguments that are names.
	pictures := func(dir string) error {
		var b bytes.Buffer
		err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)))
		for _, class := range []string{"\x1b[2Jred\nFORGED", "\u202edlog"} {
			for _, name := range []string{"a.png", "\x1b[31m\nFORGED.png"} {
				err = errors.Join(err, put(filepath.Join(dir, "p", class, name), b.Bytes()))
			}
		}
		return err
	}
	add("data-show", pictures, shownEscaped+"|u202e", "data", "show", "dir:p", "--part", "all")
	add("data-show-json", pictures, "", "data", "show", "dir:p", "--part", "all", "--json")
	add("data-evaluate", all(pictures, bundled), "", "evaluate", "b", "--data", "dir:p")
	add("data-broken", all(pictures, file("p/\x1b[2J\nFORGED/broken\x1b.png", []byte("none"))), "", "data", "show", "dir:p", "--part", "all")
	add("data-archive", file("x.zip", zipOf(map[string]string{evil: "x"})), "", "data", "get", "digit-nets", "--from", "x.zip")
	for name, run := range map[string][]string{
		"inspect": {"inspect", evil}, "train": {"train", evil[:3] + "\nFORGED.yaml"}, "setting": {"train", evil + "=1"}, "data": {"data", "show", evil}, "paper": {"papers", evil}, "verb": {evil}, "flag": {"--" + evil},
		"suite": {"bench", evil}, "evaluate": {"evaluate", evil, "--data", evil}, "get": {"data", "get", evil}, "compare": {"compare", evil + "=1,2"}, "inpaint": {"inpaint", evil + "=1"}, "memory": {"papers", "--memory", evil},
	} {
		add("argument-"+name, func(string) error { return nil }, shownEscaped, run...)
	}
	return out
}

// TestNamesInWrittenFiles: reports, cards and pages that are made of what files say hold no control character, no mark of direction, no
// HTML and no link of theirs.
func TestNamesInWrittenFiles(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(bundleOf("b", evilManifest)(dir), put(filepath.Join(dir, "r.yaml"), []byte("name: \"n<b>[x](javascript:1)\"\nsteps: 1\nnetwork: {name: mlp, hidden: [4]}\n"))); err != nil {
		t.Fatal(err)
	}
	written := []string{"page.html", "several.html", "c/README.md", "cmp/report.md", "r/model/README.md"}
	for _, run := range []string{
		"evaluate b --data optdigits --html page.html", "evaluate b b --data optdigits --html several.html --suite clean", "calibrate b --data optdigits --out c",
		"compare --recipe r.yaml norm=batch,identity seed=1 --out cmp --metric loss", "train r.yaml --out r",
	} {
		if r := runHostile(t, dir, "go", 1<<36, strings.Fields(run)...); r.code != 0 {
			t.Errorf("ballast %s: exit code %d\n%s", run, r.code, cut(r.text))
		}
	}
	for _, name := range written {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range string(content) {
			if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Errorf("%s holds %U", name, r)
				break
			}
		}
		live := []string{`(^|[^\\])<b>`, `(?m)^FORGED`}
		if strings.HasSuffix(name, ".md") { // a page of HTML knows no such links
			live = append(live, `(^|[^\\])\[x\]`)
		}
		for _, pattern := range live {
			if found := regexp.MustCompile(pattern).FindString(string(content)); found != "" {
				t.Errorf("%s holds %q", name, found)
			}
		}
	}
}
