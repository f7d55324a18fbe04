package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// galleryPaths are pipes, devices, links and folders in place of files, wherever a verb opens one: none may keep it waiting, and none
// may make it read what lies outside a folder that a stranger filled.
func galleryPaths() []hostile {
	var out []hostile
	for _, p := range galleryPlaces() {
		for _, thing := range pathThings {
			if slices.Contains(p.without, thing.name) {
				continue
			}
			for _, verb := range p.verbs {
				exit := []int{exitBadInput}
				if thing.soft {
					exit = append(exit, exitUsage) // nothing is there, or a folder: a name given wrongly
				}
				if slices.Contains(p.passedOver, thing.name) {
					exit = append(exit, exitOK)
				}
				out = append(out, hostile{
					kind: thing.name, name: p.name + "-" + strings.ReplaceAll(verb[0], " ", "-"), run: strings.Fields(strings.Join(verb, " ")), exit: exit, writes: true,
					files: func(dir string) error {
						if err := p.files(dir); err != nil {
							return err
						}
						path := filepath.Join(dir, "d", filepath.FromSlash(p.path))
						if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.RemoveAll(path)); err != nil {
							return err
						}
						return thing.put(path, p.original)
					},
				})
			}
		}
	}
	return append(out, galleryLinks()...)
}

// pathThings are what lies in place of a file. put gets what the file should hold.
var pathThings = []struct {
	name string
	soft bool
	put  func(path string, original text) error
}{
	{"pipe", false, func(path string, _ text) error { return mkfifo(path) }},
	{"device", false, func(path string, _ text) error { return os.Symlink("/dev/zero", path) }},
	{"socket", false, func(path string, _ text) error { return socket(path) }},
	{"folder", true, func(path string, _ text) error { return os.MkdirAll(path, 0o755) }},
	{"dangling", true, func(path string, _ text) error { return os.Symlink("nothing", path) }},
	{"circle", true, func(path string, _ text) error { return os.Symlink(filepath.Base(path), path) }},
	{"empty-device", false, func(path string, _ text) error { return os.Symlink(os.DevNull, path) }},
}

// socket leaves a socket that nobody listens at. The path of one may have 100 bytes, so it is made elsewhere and moved.
func socket(path string) error {
	tmp, err := os.MkdirTemp("", "s")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(tmp, "s"), Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return errors.Join(l.Close(), os.Rename(filepath.Join(tmp, "s"), path))
}

// place is a file that verbs open: d/path.
type place struct {
	name       string
	path       string
	files      func(dir string) error // everything else
	original   text                   // what the file holds where all is well
	verbs      [][]string
	passedOver []string // things that verbs may leave aside
	without    []string // things that mean something else here
}

// smallBundle is a model of Ballast's own.
func smallBundle(dir string) map[string]text {
	return map[string]text{
		dir + "/ballast.json":      as(`{"schema_version":1,"name":"m","network":{"name":"mlp","hidden":[],"classes":2},"input_shape":[2,2,1],"labels":["a","b"],"calibration":{"temperature":1}}`),
		dir + "/model.safetensors": rawTensors(40, `{"model/output/kernel":{"dtype":"F32","shape":[4,2],"data_offsets":[0,32]},"model/output/bias":{"dtype":"F32","shape":[2],"data_offsets":[32,40]}}`),
	}
}

// smallArray is a .npy file of ones of type float32.
func smallArray(shape string, n int) text {
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape)
	header += strings.Repeat(" ", 117-len(header)) + "\n"
	return as("\x93NUMPY\x01\x00\x76\x00", header, repeated(n, "\x00\x00\x80\x3f"))
}

func galleryPlaces() []place {
	model := map[string]text{"d/model.safetensors": smallTensors("w"), "d/config.json": as(`{}`), "e/model.safetensors": smallTensors("w"), "x.npy": smallArray("1, 2, 2, 1", 4)}
	linear := as("merge_method: linear\nmodels:\n  - model: d\n    parameters: {weight: 1}\n  - model: e\n    parameters: {weight: 1}\n")
	verbs := func(path string) [][]string {
		return [][]string{{"inspect", path}, {"convert", path, "--to safetensors --out out"}, {"merge diff", path, "e"}, {"soup", path, "e --out out"}, {"run", path, "--input x=x.npy --output out.npz"}}
	}
	with := func(more map[string]text) func(dir string) error {
		return func(dir string) error { return errors.Join(inFolder(model)(dir), inFolder(more)(dir)) }
	}
	arrays := map[string]text{"x.npy": smallArray("1, 2, 2, 1", 4), "e.npy": smallArray("4, 2", 8)}
	places := []place{
		{name: "weights", path: "model.safetensors", files: with(map[string]text{"r.yaml": linear}), verbs: append(verbs("d"), []string{"merge", "r.yaml --out out"})},
		{name: "weights-by-name", path: "model.safetensors", files: with(nil), verbs: verbs("d/model.safetensors")},
		{name: "index", path: "model.safetensors.index.json", files: with(nil), verbs: verbs("d")[:3]},
		{name: "shard", path: "a.safetensors", files: with(map[string]text{"d/model.safetensors.index.json": as(`{"weight_map":{"w":"a.safetensors"}}`)}), verbs: verbs("d")[:3]},
		{name: "config", path: "config.json", files: with(map[string]text{"r.yaml": linear}), verbs: append(verbs("d")[:2], []string{"merge", "r.yaml --out out"}), passedOver: []string{"dangling", "folder"}},
		{name: "torch-index", path: "pytorch_model.bin.index.json", files: inFolder(map[string]text{"d/notes": as("x")}), verbs: [][]string{{"inspect", "d"}}},
		{name: "torch-shard", path: "a.bin", files: inFolder(map[string]text{"d/pytorch_model.bin.index.json": as(`{"weight_map":{"w":"a.bin"}}`)}), verbs: [][]string{{"inspect", "d"}}},
		{name: "tfjs-manifest", path: "model.json", files: inFolder(nil), verbs: [][]string{{"inspect", "d/model.json"}, {"convert", "d/model.json", "--to npz --out out.npz"}}},
		{name: "tfjs-shard", path: "a.bin", files: inFolder(map[string]text{"d/model.json": as(`{"weightsManifest":[{"paths":["a.bin"],"weights":[{"name":"a","dtype":"float32","shape":[4]}]}]}`)}),
			verbs: [][]string{{"inspect", "d/model.json"}, {"convert", "d/model.json", "--to npz --out out.npz"}}},
		{name: "bundle-manifest", path: "ballast.json", files: func(dir string) error { return errors.Join(inFolder(smallBundle("d"))(dir), inFolder(arrays)(dir)) }, verbs: [][]string{{"inspect", "d"}, {"run", "d", "--input x.npy --output out.npz"}, {"evaluate", "d --data npy:x.npy,x.npy"}, {"calibrate", "d --data npy:x.npy,x.npy --out out"}},
			passedOver: []string{"dangling", "circle"}},
		{name: "bundle-weights", path: "model.safetensors", files: func(dir string) error { return errors.Join(inFolder(smallBundle("d"))(dir), inFolder(arrays)(dir)) }, verbs: [][]string{{"inspect", "d"}, {"run", "d", "--input x.npy --output out.npz"}, {"evaluate", "d --data npy:x.npy,x.npy"}}},
		{name: "run-input", path: "x.npy", files: inFolder(smallBundle("d/m")), verbs: [][]string{{"run", "d/m --input d/x.npy --output out.npz"}}},
		{name: "logits", path: "x.npy", files: inFolder(arrays), verbs: [][]string{{"evaluate", "--logits d/x.npy --labels e.npy"}, {"calibrate", "--logits d/x.npy --labels e.npy --out out"}}},
		{name: "labels", path: "y.npy", files: inFolder(arrays), verbs: [][]string{{"evaluate", "--logits e.npy --labels d/y.npy"}}},
		{name: "data-arrays", path: "x.npy", files: inFolder(arrays), verbs: [][]string{{"data show npy:d/x.npy,e.npy", ""}}},
		{name: "data-image", path: "train/a/x.png", files: inFolder(map[string]text{"d/train/b/y.png": as("x")}), verbs: [][]string{{"data show dir:d", "--part train"}}},
		{name: "recipe-merge", path: "r.yaml", files: with(nil), verbs: [][]string{{"merge", "d/r.yaml --out out"}}},
		{name: "recipe-train", path: "r.yaml", files: with(nil), verbs: [][]string{{"train", "d/r.yaml --out out"}}},
		{name: "recipe-compare", path: "r.yaml", files: with(nil), verbs: [][]string{{"compare", "norm=batch,layer --recipe d/r.yaml --out out"}}},
		{name: "verify-manifest", path: "ballast-merge.json", files: inFolder(nil), verbs: [][]string{{"verify", "d"}}},
		{name: "verify-output", path: "out.safetensors", files: inFolder(map[string]text{"d/ballast-merge.json": mergedManifest("out.safetensors", "")}), verbs: [][]string{{"verify", "d"}}},
		{name: "verify-input", path: "in.safetensors", files: inFolder(map[string]text{"d/ballast-merge.json": mergedManifest("ballast.yaml", "d/in.safetensors"), "d/ballast.yaml": as("")}),
			verbs: [][]string{{"verify", "d --inputs"}}, passedOver: []string{"dangling"}},
		{name: "signature", path: "s.safetensors", files: with(nil), verbs: [][]string{{"signature inspect", "d/s.safetensors"}}},
		{name: "onnx-external", path: "a.bin", files: externalGraph, verbs: [][]string{{"inspect", "d/m.onnx"}, {"run", "d/m.onnx --input x=x.npy --output out.npz"}}},
		{name: "events", path: "events.out.tfevents.1", files: inFolder(nil), verbs: [][]string{{"read-scalars", "d"}, {"read-events", "d/events.out.tfevents.1"}}, passedOver: []string{"folder"}},
		{name: "wordpiece", path: "tokenizer.json", files: inFolder(nil), verbs: [][]string{{"read-wordpiece", "d/tokenizer.json"}}},
	}
	for _, name := range []string{"m.gguf", "m.npz", "m.npy", "m.pth", "m.onnx"} {
		places = append(places, place{name: name, path: name, files: with(nil), verbs: verbs("d/" + name)[:2]})
	}

	// Companions: a folder or a link to nothing of such a name is none, and inspect does without those it may not read.
	for _, name := range []string{"LICENSE", "README.md", "tokenizer.json", "vocab.txt", "chat_template.jinja", "1_Pooling/config.json"} {
		places = append(places, place{name: "companion-" + strings.ToLower(name), path: name, files: with(map[string]text{"r.yaml": linear}),
			verbs: [][]string{{"inspect", "d"}, {"convert", "d --to safetensors --out out"}, {"merge", "r.yaml --out out"}}, passedOver: []string{"dangling", "folder"}})
	}
	return places
}

// mergedManifest is the manifest of a merge with an output and an input.
func mergedManifest(output, input string) text {
	inputs := ""
	if input != "" {
		inputs = fmt.Sprintf(`{"model":"m","file":"%s","bytes":4,"sha256":"00"}`, input)
	}
	sum := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
	return as(fmt.Sprintf(`{"schema_version":1,"method":"linear","inputs":[%s],"outputs":[{"file":"%s","bytes":0,"sha256":"%s"}]}`, inputs, output, sum))
}

// externalGraph is an ONNX graph whose initialiser lies in d/a.bin: y = x + w.
func externalGraph(dir string) error {
	field := func(id int, content ...string) string {
		return string(eventField(id, []byte(strings.Join(content, ""))))
	}
	number := func(id, v int) string { return string([]byte{byte(id << 3), byte(v)}) }
	entry := func(key, value string) string { return field(13, field(1, key), field(2, value)) }
	w := field(5, number(1, 4), number(2, 1), field(8, "w"), entry("location", "a.bin"), entry("length", "16"), number(14, 1))
	value := func(id int, name string) string {
		return field(id, field(1, name), field(2, field(1, number(1, 1), field(2, field(1, number(1, 4))))))
	}
	node := field(1, field(1, "x"), field(1, "w"), field(2, "y"), field(4, "Add"))
	graph := field(7, node, field(2, "g"), w, value(11, "x"), value(12, "y"))
	model := number(1, 8) + graph + field(8, field(1, ""), number(2, 17))
	return inFolder(map[string]text{"d/m.onnx": as(model), "x.npy": smallArray("4", 4)})(dir)
}

// galleryLinks are links out of a folder that a stranger filled, to what its owner can read.
func galleryLinks() []hostile {
	secret := "secret: 7f3a"
	var out []hostile
	add := func(name string, files map[string]text, links map[string]string, exit []int, run ...string) {
		want := ""
		if exit == nil {
			want = "outside|leads out|is a link"
		}
		out = append(out, hostile{kind: "outside", want: want, name: "link-" + name, run: run, exit: exit, writes: true, files: func(dir string) error {
			if err := inFolder(files)(dir); err != nil {
				return err
			}
			if err := put(filepath.Join(dir, "secret"), []byte(secret)); err != nil {
				return err
			}
			for path, target := range links {
				path = filepath.Join(dir, filepath.FromSlash(path))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	model := map[string]text{"d/model.safetensors": smallTensors("w"), "e/model.safetensors": smallTensors("w"), "weights": smallTensors("w"),
		"r.yaml": as("merge_method: linear\nmodels:\n  - model: d\n    parameters: {weight: 1}\n  - model: e\n    parameters: {weight: 1}\n")}
	for _, name := range []string{"LICENSE", "NOTICE.txt", "README.md", "tokenizer.json", "tokenizer.model", "vocab.txt", "chat_template.jinja", "config.json", "generation_config.json", "1_Pooling/config.json"} {
		up := strings.Repeat("../", strings.Count(name, "/")+1)
		links := map[string]string{"d/" + name: up + "secret"}
		id := strings.ReplaceAll(name, "/", "-")
		add(id+"-convert", model, links, nil, "convert", "d", "--to", "safetensors", "--out", "out")
		add(id+"-merge", model, links, nil, "merge", "r.yaml", "--out", "out")
		add(id+"-inspect", model, links, nil, "inspect", "d")
	}
	absolute := map[string]string{"d/LICENSE": "/etc/passwd", "d/tokenizer.json": "/etc/shadow"}
	add("absolute-convert", model, absolute, nil, "convert", "d", "--to", "gguf", "--out", "out.gguf")
	add("absolute-shards", model, absolute, nil, "convert", "d", "--to", "sharded", "--out", "out")
	add("pooling-folder", model, map[string]string{"d/1_Pooling": "../e"}, []int{exitOK, exitBadInput}, "convert", "d", "--to", "safetensors", "--out", "out")
	add("root", model, map[string]string{"d/2_Dense": "/"}, []int{exitOK, exitBadInput}, "inspect", "d")

	only := map[string]text{"d/notes": as("x"), "weights": smallTensors("w"), "weights.index": as(`{"weight_map":{"w":"weights"}}`)}
	add("weights", only, map[string]string{"d/model.safetensors": "../weights"}, nil, "inspect", "d")
	add("any-weights", only, map[string]string{"d/other.safetensors": "../weights"}, nil, "inspect", "d")
	add("index", only, map[string]string{"d/model.safetensors.index.json": "../weights.index"}, nil, "inspect", "d")
	add("shard", map[string]text{"d/model.safetensors.index.json": as(`{"weight_map":{"w":"a.safetensors"}}`), "weights": smallTensors("w")},
		map[string]string{"d/a.safetensors": "../weights"}, nil, "inspect", "d")
	add("tfjs-shard", map[string]text{"d/model.json": as(`{"weightsManifest":[{"paths":["a.bin"],"weights":[{"name":"a","dtype":"uint8","shape":[12]}]}]}`)},
		map[string]string{"d/a.bin": "../secret"}, nil, "inspect", "d/model.json")
	add("verify-output", map[string]text{"d/ballast-merge.json": mergedManifest("a", "")}, map[string]string{"d/a": "../secret"}, nil, "verify", "d")
	add("verify-input", map[string]text{"d/ballast-merge.json": mergedManifest("ballast.yaml", "/etc/passwd"), "d/ballast.yaml": as("")}, nil, nil, "verify", "d", "--inputs")
	add("verify-parent", map[string]text{"d/ballast-merge.json": mergedManifest("../secret", "")}, nil, nil, "verify", "d")

	// What stays within the folder, and the blobs of a Hugging Face cache, is followed.
	add("within", map[string]text{"d/weights": smallTensors("w"), "d/licence-text": as("mit")}, map[string]string{"d/model.safetensors": "weights", "d/LICENSE": "licence-text"}, []int{exitOK},
		"convert", "d", "--to", "safetensors", "--out", "out")
	cache := map[string]text{"m/blobs/1": smallTensors("w"), "m/blobs/2": as("{}"), "m/blobs/3": as("mit")}
	blobs := map[string]string{"m/snapshots/r/model.safetensors": "../../blobs/1", "m/snapshots/r/config.json": "../../blobs/2", "m/snapshots/r/LICENSE": "../../blobs/3"}
	add("cache", cache, blobs, []int{exitOK}, "convert", "m/snapshots/r", "--to", "safetensors", "--out", "out")
	add("cache-other-name", cache, map[string]string{"m/snapshots/r/diffusion.safetensors": "../../blobs/1"}, []int{exitOK}, "inspect", "m/snapshots/r")
	add("cache-beyond", cache, map[string]string{"m/snapshots/r/model.safetensors": "../../blobs/1", "m/snapshots/r/LICENSE": "../../../secret"}, nil, "convert", "m/snapshots/r", "--to", "safetensors", "--out", "out")
	return out
}
