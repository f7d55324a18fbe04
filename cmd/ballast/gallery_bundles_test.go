package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/safetensors"
)

// galleryBundles are bundles, run folders, checkpoints and manifests.
func galleryBundles() []hostile {
	return slices.Concat(bundleJSON(), bundleShapes(), bundleFiles(), runFolders(), mergeManifests())
}

// rename moves a file of a folder; both names are slashes from it.
func rename(dir, from, to string) error {
	return os.Rename(filepath.Join(dir, filepath.FromSlash(from)), filepath.Join(dir, filepath.FromSlash(to)))
}

// tinyBundle writes a bundle of a dense network 64 -> 4 -> 10 without norms into the folder b, its manifest as edit leaves it.
func tinyBundle(edit func(m map[string]any)) func(dir string) error {
	return func(dir string) error {
		labels := make([]string, 10)
		for i := range labels {
			labels[i] = fmt.Sprint(i)
		}
		m := map[string]any{
			"schema_version": 1, "name": "tiny", "network": map[string]any{"name": "mlp", "hidden": []int{4}, "norm": "identity"},
			"input_shape": []int{8, 8, 1}, "preprocessing": map[string]any{"mean": []float64{}, "std": []float64{}}, "labels": labels,
			"calibration": map[string]any{"temperature": 1}, "provenance": map[string]any{"seed": 1, "created": "2026-11-30T15:02:16Z"},
		}
		if edit != nil {
			edit(m)
		}
		text, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return errors.Join(put(filepath.Join(dir, "b", "ballast.json"), text), tinyWeights(filepath.Join(dir, "b", "model.safetensors")))
	}
}

func tinyWeights(path string) error {
	tensor := func(name string, shape ...int) safetensors.Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return safetensors.FromFloat32s(name, shape, make([]float32, n))
	}
	return safetensors.WriteFile(path, []safetensors.Tensor{
		tensor("model/layer_1/kernel", 64, 4), tensor("model/layer_1/bias", 4), tensor("model/output/kernel", 4, 10), tensor("model/output/bias", 10),
	}, nil)
}

var inspectBundle = []string{"inspect", "b"}

// bundleJSON are manifests of many keys, deep or long ones.
func bundleJSON() []hostile {
	numbers := func(n int) map[string]float64 {
		all := make(map[string]float64, n)
		for i := range n {
			all[fmt.Sprintf("k%06d", i)] = 1
		}
		return all
	}
	nested := func(n int) any {
		var v any
		for range n {
			v = map[string]any{"a": v}
		}
		return v
	}
	const escape = "\x1b]0;PWN\a\x1b[2J\u009b31m\u202e"
	add := func(name, want string, edit func(m map[string]any), exit ...int) hostile {
		return hostile{kind: "amplification", name: "bundle " + name, files: tinyBundle(edit), run: inspectBundle, want: want, exit: exit}
	}
	all := []hostile{
		add("as it should be", "runs +yes", nil, exitOK),
		add("metrics", "runs +yes", func(m map[string]any) { m["metrics"] = numbers(200_000) }, exitOK),
		add("too many metrics", "metrics: it has more than 262144 keys", func(m map[string]any) { m["metrics"] = numbers(270_000) }),
		add("unknown keys", "and 99992 more faults", func(m map[string]any) {
			for k := range numbers(100_000) {
				m[k] = 1
			}
		}),
		add("depth", "nested in more than 100 levels", func(m map[string]any) { m["provenance"].(map[string]any)["recipe"] = nested(5_000) }),
		add("a free value", "provenance.recipe: it has .* bytes", func(m map[string]any) {
			m["provenance"].(map[string]any)["recipe"] = make([][]int, 300_000)
		}),
		add("labels", "labels has 300000 names", func(m map[string]any) { m["labels"] = make([]string, 300_000) }),
		add("a long label", "labels has 1 names", func(m map[string]any) { m["labels"] = []string{strings.Repeat("x", 4_000_000)} }),
		add("a long name", "", func(m map[string]any) { m["name"] = strings.Repeat("x", 4_000_000) }, exitOK),
		add("too long", "larger than 8.4 MB", func(m map[string]any) { m["name"] = strings.Repeat("x", 9_000_000) }),
		add("wrong kinds", "and 99992 more faults", func(m map[string]any) { m["labels"] = make([]int, 100_000) }),
		add("layers", "hidden has 200000 numbers; use at most 2048", func(m map[string]any) {
			m["network"].(map[string]any)["hidden"] = slices.Repeat([]int{1}, 200_000)
		}),
		add("sides", "input_shape has 100000 sides", func(m map[string]any) { m["input_shape"] = slices.Repeat([]int{1}, 100_000) }),
	}
	for name, edit := range map[string]func(m map[string]any){
		"key":        func(m map[string]any) { m[escape] = 1 },
		"name":       func(m map[string]any) { m["name"] = escape },
		"label":      func(m map[string]any) { m["labels"].([]string)[3] = escape },
		"metric":     func(m map[string]any) { m["metrics"] = map[string]any{escape: 1} },
		"network":    func(m map[string]any) { m["network"] = escape },
		"norm":       func(m map[string]any) { m["network"].(map[string]any)["norm"] = map[string]any{"name": escape} },
		"activation": func(m map[string]any) { m["network"].(map[string]any)["activation"] = escape },
		"derived":    func(m map[string]any) { m["provenance"].(map[string]any)["derived"] = []string{escape} },
		"wrong kind": func(m map[string]any) { m["input_shape"] = escape },
	} {
		for verb, run := range map[string][]string{"inspect": inspectBundle, "inspect as JSON": {"inspect", "b", "--json"}} {
			all = append(all, hostile{kind: "escape", name: "bundle " + name + ", " + verb, files: tinyBundle(edit), run: run, exit: []int{exitOK, exitBadInput}})
		}
	}
	return all
}

// bundleShapes are sizes that the weights do not have, or nothing has.
func bundleShapes() []hostile {
	var all []hostile
	add := func(name, want string, edit func(m map[string]any), exit ...int) {
		all = append(all, hostile{kind: "overflow", name: "bundle " + name, files: tinyBundle(edit), run: inspectBundle, want: want, exit: exit})
	}
	network := func(name, want string, options map[string]any, exit ...int) {
		add("network "+name, want, func(m map[string]any) {
			options["norm"] = "identity"
			m["network"] = options
		}, exit...)
	}
	shape := func(name, want string, sides []int, exit ...int) {
		add("shape "+name, want, func(m map[string]any) { m["input_shape"] = sides }, exit...)
	}
	preprocess := func(name, want string, options map[string]any, exit ...int) {
		add("preprocessing "+name, want, func(m map[string]any) {
			options["mean"], options["std"] = []float64{}, []float64{}
			m["preprocessing"] = options
		}, exit...)
	}
	network("of 20,000 units", `model/layer_1/kernel: the tensor is F32 \[64 4\], the network needs F32 \[64 20000\]`, map[string]any{"name": "mlp", "hidden": []int{20_000, 20_000}})
	network("of 65,536 units", `needs F32 \[64 65536\]`, map[string]any{"name": "mlp", "hidden": []int{65_536, 65_536}})
	network("of 2^24 units", `needs F32 \[64 16777216\]`, map[string]any{"name": "mlp", "hidden": []int{1 << 24, 1 << 24}})
	network("of 10^9 units", "hidden.0 is 1000000000; use at most 16777216", map[string]any{"name": "mlp", "hidden": []int{1e9, 1e9}})
	network("of 2^62 units", "hidden.0 is", map[string]any{"name": "mlp", "hidden": []int{1 << 62}})
	network("of -1 units", "hidden.0 is -1", map[string]any{"name": "mlp", "hidden": []int{-1}})
	network("of no such tensors", "missing|the network needs", map[string]any{"name": "cnn", "filters": []int{1 << 20}})
	network("of 2048 layers", "the network needs", map[string]any{"name": "mlp", "hidden": slices.Repeat([]int{1}, 2048)})
	network("of deep blocks", "at most 2048 layers", map[string]any{"name": "digitnet", "depth": 1 << 30})
	shape("of 2 G pixels", "needs F32|of memory", []int{46_000, 46_000, 1}, tooMuch...)
	shape("of 2^64 pixels", "no array has the shape", []int{1 << 32, 1 << 32, 1})
	shape("of 2^62 features", "no array has the shape", []int{1 << 62})
	shape("of none", "every side must be at least 1", []int{0, 8, 1})
	shape("negative", "every side must be at least 1", []int{-8, -8, 1})
	shape("empty", "input_shape is empty", []int{})
	shape("of 65 features", "needs F32", []int{65})
	preprocess("resize", "preprocessing.resize is", map[string]any{"resize": []int{1 << 40, 1 << 40}})
	preprocess("resize to 16,384", "needs F32|of memory", map[string]any{"resize": []int{1 << 14, 1 << 14}}, tooMuch...)
	preprocess("crop", "preprocessing.crop is", map[string]any{"crop": []int{1 << 40, 8}})
	preprocess("crop of -1", "preprocessing.crop is", map[string]any{"crop": []int{-1, 8}})
	preprocess("channels", "no array|of memory|needs F32", map[string]any{"channels": 1 << 40}, tooMuch...)
	preprocess("channels of 2^62", "no array", map[string]any{"channels": 1 << 62})
	add("a temperature near 0", "calibration.temperature", func(m map[string]any) { m["calibration"] = map[string]any{"temperature": 1e-320} })
	add("a temperature that is none", "calibration.temperature", func(m map[string]any) { m["calibration"] = map[string]any{"temperature": "NaN"} })
	add("a version", "schema_version", func(m map[string]any) { m["schema_version"] = 1 << 40 })
	add("seed beyond 64 bits", "seed: want a whole number", func(m map[string]any) {
		m["provenance"].(map[string]any)["seed"] = json.RawMessage("99999999999999999999999")
	})
	for verb, run := range map[string][]string{
		"evaluate": {"evaluate", "b", "--data", "optdigits"}, "run": {"run", "b", "--input", "x.npy", "--output", "y.npz"}, "calibrate": {"calibrate", "b", "--data", "optdigits", "--out", "c"},
	} {
		all = append(all, hostile{
			kind: "overflow", name: "bundle network of 20,000 units, " + verb,
			files: tinyBundle(func(m map[string]any) { m["network"].(map[string]any)["hidden"] = []int{20_000, 20_000} }), run: run,
			exit: []int{exitBadInput, exitFailed},
		})
	}
	return all
}

// bundleFiles are files of a bundle that are none, or lie elsewhere.
func bundleFiles() []hostile {
	both := func(makers ...func(string) error) func(string) error {
		return func(dir string) error {
			for _, f := range makers {
				if err := f(dir); err != nil {
					return err
				}
			}
			return nil
		}
	}
	secret := file("secret", []byte(`{"token": "hunter2"}`))
	manifest := func(dir string) error { // a bundle without its weights
		return errors.Join(tinyBundle(nil)(dir), rename(dir, "b/model.safetensors", "weights"))
	}
	return []hostile{
		{kind: "pipe", name: "bundle manifest", files: namedPipe("b/ballast.json"), run: inspectBundle, want: "it is a pipe"},
		{kind: "pipe", name: "bundle weights", files: both(manifest, namedPipe("b/model.safetensors")), run: inspectBundle, want: "pipe"},
		{kind: "pipe", name: "bundle manifest is a device", files: recipeLink("b/ballast.json", "/dev/zero"), run: inspectBundle},
		{kind: "pipe", name: "bundle manifest is a folder", files: file("b/ballast.json/x", nil), run: inspectBundle},
		{kind: "outside", name: "bundle manifest elsewhere", files: both(secret, recipeLink("b/ballast.json", "../secret")), run: inspectBundle, want: "outside its folder"},
		{kind: "outside", name: "bundle weights elsewhere", files: both(manifest, recipeLink("b/model.safetensors", "../weights")), run: inspectBundle, want: "outside its folder"},
		{kind: "outside", name: "bundle weights in a circle", files: both(manifest, recipeLink("b/model.safetensors", "model.safetensors")), run: inspectBundle},
		{kind: "outside", name: "bundle is a link", files: both(tinyBundle(nil), recipeLink("a", "b")), run: []string{"inspect", "a"}, exit: []int{exitOK}},
	}
}

// runFolders are folders of runs from strangers that are to be gone on with.
func runFolders() []hostile {
	resume := []string{"train", "steps=1", "network={name: mlp, hidden: [4]}", "--out", "r", "--resume"}
	const at = "r/checkpoints/step-00000001/"
	checkpoint := func(state, sums string) func(dir string) error {
		return func(dir string) error {
			return errors.Join(
				put(filepath.Join(dir, at, "state.json"), []byte(state)), put(filepath.Join(dir, at, "SHA256SUMS"), []byte(sums)),
				tinyWeights(filepath.Join(dir, at, "model.safetensors")), put(filepath.Join(dir, "r", "meta.json"), []byte("{}")))
		}
	}
	broken := func(name string, files func(string) error) hostile {
		return hostile{kind: "outside", name: "checkpoint " + name, files: files, run: resume, exit: []int{exitOK, exitBadInput, exitUsage}, engine: true, writes: true, within: bigWithin}
	}
	with := func(name, target string) func(string) error {
		return func(dir string) error {
			return errors.Join(checkpoint("{}", "")(dir), rename(dir, at+name, "elsewhere"), recipeLink(at+name, target)(dir))
		}
	}
	return []hostile{
		broken("of no content", checkpoint("{}", "")),
		broken("with a long record", checkpoint(strings.Repeat("[", 20_000_000), "")),
		broken("with long sums", checkpoint("{}", strings.Repeat("x", 1_000_000))),
		broken("record elsewhere", with("state.json", "../../../elsewhere")),
		broken("sums from a device", with("SHA256SUMS", "/dev/zero")),
		broken("weights from a device", with("model.safetensors", "/dev/zero")),
	}
}

// mergeManifests are manifests of merged models for verify.
func mergeManifests() []hostile {
	const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of no bytes
	manifest := func(inputs, outputs any) func(dir string) error {
		return func(dir string) error {
			text, err := json.Marshal(map[string]any{
				"schema_version": 1, "method": "linear", "seed": 1, "recipe": map[string]any{}, "versions": map[string]string{}, "inputs": inputs, "outputs": outputs, "tensors": 0,
			})
			return errors.Join(err, put(filepath.Join(dir, "m", "ballast-merge.json"), text), put(filepath.Join(dir, "secret"), []byte("hunter2")))
		}
	}
	one := func(name string, bytes int, sum string) []map[string]any {
		return []map[string]any{{"model": "a", "file": name, "bytes": bytes, "sha256": sum}}
	}
	output := func(name string, bytes int, sum string) []map[string]any {
		return []map[string]any{{"file": name, "bytes": bytes, "sha256": sum}}
	}
	none := []any{}
	add := func(kind, name, want string, files func(string) error, exit ...int) hostile {
		return hostile{kind: kind, name: "verify " + name, files: files, run: []string{"verify", "m", "--inputs"}, want: want, exit: exit}
	}
	then := func(first, second func(string) error) func(string) error {
		return func(dir string) error { return errors.Join(first(dir), second(dir)) }
	}
	return []hostile{
		add("paths", "an output above", "outside|leads out", manifest(none, output("../secret", 7, sum))),
		add("paths", "an absolute output", "outside|leads out", manifest(none, output("/etc/passwd", 7, sum))),
		add("outside", "an output elsewhere", "outside", then(manifest(none, output("o", 7, sum)), recipeLink("m/o", "../secret"))),
		add("pipe", "an output", "no regular file", then(manifest(none, output("o", 0, sum)), namedPipe("m/o"))),
		add("pipe", "an input that is a device", "outside the current folder", manifest(one("/dev/zero", 0, sum), none)),
		add("pipe", "an input that is a folder", "no regular file", manifest(one("m", 0, sum), none)),
		add("paths", "an input of another size", "it has another size", manifest(one("secret", 8, sum), none)),
		add("paths", "an input of another sum", "it has another SHA-256", manifest(one("secret", 7, sum), none)),
		add("paths", "an input that is missing", "missing", manifest(one("nowhere", 7, sum), none), exitOK),
		add("malformed", "no sum", "has no SHA-256", manifest(none, output("o", 1, ""))),
		add("malformed", "a negative size", "has no SHA-256 or size", manifest(none, output("o", -1, sum))),
		add("malformed", "a size beyond 64 bits", "want a whole number", manifest(none, json.RawMessage(`[{"file": "o", "bytes": 99999999999999999999, "sha256": ""}]`))),
		add("escape", "an output", "", manifest(none, output("a\x1b]0;PWN\a\x1b[2J\u009b", 1, sum))),
		add("escape", "an input", "", manifest(one("a\x1b]0;PWN\a\x1b[2J\u009b", 1, sum), none), exitOK, exitBadInput),
		add("amplification", "outputs", "it has 300000 items", manifest(none, make([]struct{}, 300_000))),
		add("amplification", "a deep recipe", "nested in more than 100 levels", file("m/ballast-merge.json", []byte(`{"recipe": `+strings.Repeat("[", 9_000)+strings.Repeat("]", 9_000)+"}"))),
		add("pipe", "a manifest", "it is a pipe", namedPipe("m/ballast-merge.json")),
		add("amplification", "a manifest of a device", "", recipeLink("m/ballast-merge.json", "/dev/zero")),
	}
}
