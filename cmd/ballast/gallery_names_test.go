package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// evil sets a terminal's title, its colour in two ways, turns the direction of text, begins a line of its own and hides a character.
// evilBytes holds what is not UTF-8 besides.
const (
	evil      = "\x1b]0;x\a\x1b[31m\u009b31m\u202e\r\nFORGED\u2066\u200b"
	evilBytes = evil + "\xff\x9b31m"
)

// inJSON is a text as JSON writes it; the characters of evil beyond ASCII stay as they are.
func inJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// galleryNames are every name that a file can carry, with escape sequences in it: the harness itself looks for them in the output.
func galleryNames() []hostile {
	var out []hostile
	add := func(name string, files map[string]text, verbs ...string) {
		for i, verb := range verbs {
			for _, more := range []string{"", " --json"} {
				out = append(out, hostile{
					kind: "escape", name: fmt.Sprintf("%s/%d-%s", name, i+1, strings.Fields(verb)[0]) + strings.ReplaceAll(more, " --", "-"), files: inFolder(files), run: strings.Fields(verb + more),
					exit: []int{exitOK, exitFailed, exitUsage, exitBadInput, exitUnmet}, writes: true, memory: 1 << 30,
				})
			}
		}
	}

	q := inJSON(evil)
	weights := func(path string) []string {
		return []string{"inspect " + path, "convert " + path + " --to gguf --out out.gguf --check", "merge diff " + path + " o.safetensors", "run " + path + " --input x=x.npy --output y.npz"}
	}
	with := func(path string, content text) map[string]text {
		return map[string]text{path: content, "o.safetensors": smallTensors("w"), "x.npy": smallArray("1, 2, 2, 1", 4)}
	}
	tensor := func(name, dtype, shape, offsets string) text {
		return rawTensors(16, fmt.Sprintf(`{%s:{"dtype":%s,"shape":%s,"data_offsets":%s}}`, name, dtype, shape, offsets))
	}
	const f32, shape, offsets = `"F32"`, "[2,2]", "[0,16]"
	for name, file := range map[string]text{
		"st-name":      tensor(q, f32, shape, offsets),
		"st-dtype":     tensor(`"w"`, q, shape, offsets),
		"st-bad-shape": tensor(q, f32, "[-1]", offsets),
		"st-size":      tensor(q, f32, "[3]", offsets),
		"st-twice":     rawTensors(16, `{`, q, `:{"dtype":"F32","shape":[4],"data_offsets":[0,16]},`, q, `:{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`),
		"st-overlap":   rawTensors(16, `{`, q, `:{"dtype":"U8","shape":[16],"data_offsets":[0,16]},`, inJSON(evil+"2"), `:{"dtype":"U8","shape":[8],"data_offsets":[8,16]}}`),
		"st-metadata":  rawTensors(16, `{"__metadata__":{`, q, `:`, q, `},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`),
		"st-key-twice": rawTensors(16, `{"__metadata__":{`, q, `:"",`, q, `:""},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`),
		"st-carried":   rawTensors(16, `{"__metadata__":{`, inJSON("gguf."+evil), `:`, inJSON(`{"type":"string","value":`+q+`}`), `},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`),
		"st-bytes":     rawTensors(16, `{"`, "\xff\x9b", `":{}}`),
		"st-raw":       as(evilBytes),
		"st-syntax":    rawTensors(0, `{"w":`, evil, `}`),
		"st-layer":     tensor(inJSON("model.layers.0.self_attn."+evil), f32, shape, offsets),
	} {
		add(name, with("m.safetensors", file), weights("m.safetensors")...)
	}
	index := func(tensor, shard string) map[string]text {
		return map[string]text{"d/model.safetensors.index.json": as(`{"metadata":{`, q, `:1},"weight_map":{`, tensor, `:`, shard, `}}`), "d/a.safetensors": smallTensors(evil)}
	}
	add("index-tensor", index(q, `"a.safetensors"`), "inspect d")
	add("index-missing", index(inJSON(evil+"2"), `"a.safetensors"`), "inspect d")
	add("index-shard", index(`"w"`, q), "inspect d")
	add("index-path", index(`"w"`, inJSON("../"+evil)), "inspect d")
	add("index-size", map[string]text{"d/model.safetensors.index.json": as(`{"metadata":{"total_size":`, q, `},"weight_map":{"w":"a.safetensors"}}`), "d/a.safetensors": smallTensors("w")}, "inspect d")
	add("index-key", map[string]text{"d/model.safetensors.index.json": as(`{`, q, `:1,`, q, `:1,"weight_map":{}}`)}, "inspect d")

	for name, file := range map[string]*ggufBytes{
		"gguf-tensor":       newGGUF(1, 0).tensor(evil, 0, 4).zeros(100),
		"gguf-tensor-bytes": newGGUF(1, 0).tensor("\xff"+evil, 0, 4).zeros(100),
		"gguf-tensor-twice": newGGUF(2, 0).tensor(evil, 0, 4).tensor(evil, 32, 4).zeros(200),
		"gguf-tensor-bad":   newGGUF(1, 0).tensor(evil, 7, 4).zeros(100),
		"gguf-key":          newGGUF(1, 1).value(evil, 4).u32(1).tensor("t", 0, 4).zeros(100),
		"gguf-key-bytes":    newGGUF(1, 1).value(evilBytes, 4).u32(1).tensor("t", 0, 4).zeros(100),
		"gguf-key-bad":      newGGUF(1, 1).value(evil, 99).zeros(100),
		"gguf-value":        newGGUF(1, 1).value("general.name", 8).text(evil).tensor("t", 0, 4).zeros(100),
		"gguf-value-bytes":  newGGUF(1, 1).value("general.name", 8).text(evilBytes).tensor("t", 0, 4).zeros(100),
		"gguf-architecture": newGGUF(1, 2).value("general.architecture", 8).text(evil).value("general.license", 8).text(evil).tensor("t", 0, 4).zeros(100),
		"gguf-tokens":       newGGUF(1, 1).array("tokenizer.ggml.tokens", 8, 2).text(evil).text("b").tensor("t", 0, 4).zeros(100),
		"gguf-alignment":    newGGUF(1, 1).value("general.alignment", 8).text(evil).tensor("t", 0, 4).zeros(100),
		"gguf-carried":      newGGUF(1, 1).value("safetensors."+evil, 8).text(evil).tensor("t", 0, 4).zeros(100),
		"gguf-magic":        {[]any{"GGUF", evilBytes}},
	} {
		add(name, with("m.gguf", as(file.pieces...)), "inspect m.gguf", "merge diff m.gguf o.safetensors", "convert m.gguf --to safetensors --out out.safetensors")
	}

	manifest := func(name, dtype, path, more string) map[string]text {
		return map[string]text{"d/model.json": as(`{`, more, `"weightsManifest":[{"paths":[`, path, `],"weights":[{"name":`, name, `,"dtype":`, dtype, `,"shape":[4]}]}]}`), "d/a.bin": repeated(16, "\x00")}
	}
	for name, files := range map[string]map[string]text{
		"tfjs-name":  manifest(q, `"float32"`, `"a.bin"`, ""),
		"tfjs-dtype": manifest(`"w"`, q, `"a.bin"`, ""),
		"tfjs-path":  manifest(`"w"`, `"float32"`, q, ""),
		"tfjs-out":   manifest(`"w"`, `"float32"`, inJSON("../"+evil), ""),
		"tfjs-meta":  manifest(`"w"`, `"float32"`, `"a.bin"`, `"format":`+q+`,`+q+`:`+q+`,`),
		"tfjs-twice": manifest(`"w"`, `"float32"`, `"a.bin"`, q+`:1,`+q+`:1,`),
		"tfjs-quant": {"d/model.json": as(`{"weightsManifest":[{"paths":["a.bin"],"weights":[{"name":"w","dtype":"float32","shape":[16],"quantization":{"dtype":`, q, `,"scale":1,"min":0}}]}]}`), "d/a.bin": repeated(16, "\x00")},
	} {
		add(name, files, "inspect d/model.json", "convert d/model.json --to npz --out out.npz")
	}

	config := func(content string) map[string]text {
		return map[string]text{"d/model.safetensors": smallTensors("w"), "d/config.json": as(content)}
	}
	for name, files := range map[string]map[string]text{
		"config-architecture": config(`{"architectures":[` + q + `]}`),
		"config-type":         config(`{"model_type":` + q + `,"dtype":` + q + `,"transformers_version":` + q + `}`),
		"config-bytes":        config("{\"model_type\":\"a\xff\x9b\"}"),
		"config-key":          config(`{` + q + `:` + q + `}`),
		"config-wrong":        config(`{"model_type":"llama","hidden_act":1,"vocab_size":` + q + `}`),
		"config-labels":       config(`{"id2label":{"0":` + q + `}}`),
		"config-layer-type":   config(`{"model_type":"resnet","layer_type":` + q + `}`),
		"config-syntax":       config(`{"a":` + evilBytes + `}`),
		"card-licence":        {"d/model.safetensors": smallTensors("w"), "d/README.md": as("---\nlicense: \"" + strings.ReplaceAll(evilBytes, "\n", "") + "\"\ntags:\n- " + strings.ReplaceAll(evilBytes, "\n", "") + "\n---\n")},
		"licence-name":        {"d/model.safetensors": smallTensors("w"), "d/LICENSE" + evilBytes: as("mit")},
		"file-names":          {"d/" + evilBytes + ".safetensors": smallTensors("w"), "d/b.safetensors": smallTensors("w")},
		"tokenizer":           {"d/model.safetensors": smallTensors("w"), "d/tokenizer.json": as(`{"model":{"type":"BPE","vocab":{` + q + `:0},"merges":[` + q + `]},"added_tokens":[{"id":1,"content":` + q + `}]}`)},
	} {
		add(name, files, "inspect d", "convert d --to gguf --out out.gguf", "convert d --to safetensors --out out")
	}
	add("tokenizer-row", map[string]text{"d/model.safetensors": smallTensors("w"), "e/model.safetensors": smallTensors("w"), "d/tokenizer.json": as(`{"model":{"vocab":{`, q, `:-1}}}`), "e/tokenizer.json": as(`{"model":{"vocab":{"a":0}}}`),
		"r.yaml": as("merge_method: linear\ntokenizer_source: union\nmodels:\n  - model: d\n    parameters: {weight: 1}\n  - model: e\n    parameters: {weight: 1}\n")}, "merge r.yaml --out out")

	for name, file := range map[string]text{"npz-name": zipped(map[string]text{evil + ".npy": smallArray("4", 4)}), "npz-bytes": zipped(map[string]text{evilBytes + ".npy": smallArray("4", 4)}), "npz-bad": zipped(map[string]text{evil + ".npy": as("x")})} {
		add(name, with("m.npz", file), "inspect m.npz", "convert m.npz --to safetensors --out out.safetensors", "merge diff m.npz o.safetensors")
	}
	add("npy-header", map[string]text{"m.npy": npyHeader(`{'descr': '` + evilBytes + `', 'fortran_order': False, 'shape': (4,), }`)}, "inspect m.npy", "evaluate --logits m.npy --labels m.npy")
	add("npy-key", map[string]text{"m.npy": npyHeader(`{'` + evilBytes + `': 1, 'fortran_order': False, 'shape': (4,), }`)}, "inspect m.npy")

	for name, pickle := range map[string]string{
		"pth-class":  "\x80\x02c" + strings.ReplaceAll(evilBytes, "\n", "") + "\n" + strings.ReplaceAll(evilBytes, "\n", "") + "\n)R.",
		"pth-key":    "\x80\x02}X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(evil)))) + evil + "K\x01s.",
		"pth-string": "\x80\x02X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(evil)))) + evil + ".",
		"pth-opcode": "\x80\x02\x1b\x9b.",
	} {
		add(name, map[string]text{"m.pth": zipped(map[string]text{"archive/data.pkl": as(pickle), "archive/version": as("3\n")})}, "inspect m.pth", "convert m.pth --to safetensors --out out.safetensors")
		add(name+"-alone", map[string]text{"m.pth": as(pickle)}, "inspect m.pth")
	}
	add("pth-entry", map[string]text{"m.pth": zipped(map[string]text{evilBytes + "/data.pkl": as("\x80\x02}."), evilBytes + "/version": as("3\n")})}, "inspect m.pth")

	for name, graph := range onnxNames() {
		add(name, map[string]text{"m.onnx": as(graph), "x.npy": smallArray("4", 4)}, "inspect m.onnx", "run m.onnx --input x=x.npy --output y.npz", "convert m.onnx --to safetensors --out out.safetensors")
	}

	label := smallBundle("d")
	label["d/ballast.json"] = as(`{"schema_version":1,"name":`, q, `,"network":{"name":"mlp","hidden":[],"classes":2},"input_shape":[2,2,1],"labels":[`, q, `,"b"],"calibration":{"temperature":1},"provenance":{"data":`, q, `,"derived":[`, q, `]}}`)
	label["x.npy"], label["y.npy"] = smallArray("2, 2, 2, 1", 8), as("\x93NUMPY\x01\x00\x76\x00", strings.TrimSuffix(fmt.Sprintf("%-117s\n", "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }"), ""), repeated(16, "\x00"))
	add("bundle-labels", label, "inspect d", "run d --input x.npy --output y.npz", "evaluate d --data npy:x.npy,y.npy --suite clean --html report.html", "calibrate d --data npy:x.npy,y.npy --out out", "convert d --to gguf --out out.gguf --check")
	for name, manifest := range map[string]text{
		"bundle-key":     as(`{"schema_version":1,`, q, `:1}`),
		"bundle-network": as(`{"schema_version":1,"network":{"name":`, q, `}}`),
		"bundle-field":   as(`{"schema_version":1,"network":{"name":"mlp",`, q, `:1}}`),
		"bundle-value":   as(`{"schema_version":`, q, `}`),
		"bundle-syntax":  as(`{`, evilBytes, `}`),
	} {
		files := smallBundle("d")
		files["d/ballast.json"] = manifest
		add(name, files, "inspect d", "run d --input x.npy --output y.npz")
	}

	for name, manifest := range map[string]text{
		"verify-output":  mergedManifestOf(`"inputs":[],"outputs":[{"file":` + q + `,"bytes":1,"sha256":` + q + `}]`),
		"verify-input":   mergedManifestOf(`"inputs":[{"model":` + q + `,"file":` + q + `,"bytes":1,"sha256":` + q + `}],"outputs":[]`),
		"verify-there":   mergedManifestOf(`"inputs":[],"outputs":[{"file":"a","bytes":16,"sha256":` + q + `}]`),
		"verify-key":     mergedManifestOf(q + `:1`),
		"verify-method":  mergedManifestOf(`"recipe":{` + q + `:` + q + `},"inputs":[],"outputs":[],"encoding":` + q),
		"verify-outside": mergedManifestOf(`"inputs":[],"outputs":[{"file":` + inJSON("../"+evil) + `,"bytes":1,"sha256":""}]`),
	} {
		add(name, map[string]text{"d/ballast-merge.json": manifest, "d/a": repeated(16, "\x00")}, "verify d", "verify d --inputs")
	}

	yaml := inJSON(evil) // a quoted text of YAML reads the same escapes
	for name, recipe := range map[string]string{
		"merge-key":    yaml + ": 1\n",
		"merge-method": "merge_method: " + yaml + "\nmodels: []\n",
		"merge-model":  "merge_method: linear\nmodels:\n  - model: " + yaml + "\n  - model: o.safetensors\n",
		"merge-dtype":  "merge_method: linear\ndtype: " + yaml + "\nmodels:\n  - model: o.safetensors\n  - model: p.safetensors\n",
		"merge-param":  "merge_method: linear\nmodels:\n  - model: o.safetensors\n    parameters: {" + yaml + ": 1}\n  - model: p.safetensors\n",
		"merge-syntax": evilBytes + ": [",
	} {
		add(name, map[string]text{"r.yaml": as(recipe), "o.safetensors": smallTensors("w"), "p.safetensors": smallTensors("w")}, "merge r.yaml --out out")
	}
	add("merge-tensors", map[string]text{"o.safetensors": smallTensors(evil), "p.safetensors": smallTensors("w")}, "merge diff o.safetensors p.safetensors",
		"merge --method linear o.safetensors p.safetensors --out out", "soup o.safetensors p.safetensors --out out")
	add("merge-shapes", map[string]text{"o.safetensors": tensor(q, f32, "[4]", offsets), "p.safetensors": tensor(q, f32, shape, offsets)}, "merge diff o.safetensors p.safetensors",
		"merge --method linear o.safetensors p.safetensors --out out", "soup o.safetensors p.safetensors --out out")
	add("merge-done", map[string]text{"o.safetensors": smallTensors(evil), "p.safetensors": smallTensors(evil)}, "merge --method linear o.safetensors p.safetensors --out out", "merge --method linear o.safetensors p.safetensors --out out --dry-run")
	for name, recipe := range map[string]string{
		"train-key":     yaml + ": 1\n",
		"train-data":    "data: " + yaml + "\n",
		"train-network": "network: {name: " + yaml + "}\n",
		"train-field":   "network: {name: mlp, " + yaml + ": 1}\n",
		"train-value":   "epochs: " + yaml + "\n",
		"train-syntax":  evilBytes + ": [",
	} {
		add(name, map[string]text{"r.yaml": as(recipe)}, "train r.yaml --out out", "compare norm=batch,layer --recipe r.yaml --out out2")
	}
	add("data-classes", map[string]text{"d/train/" + evilBytes + "/" + evilBytes + ".png": as("x"), "d/train/b/" + evilBytes + ".txt": as("x")}, "data show dir:d --part train")
	signature := rawTensors(16, `{"__metadata__":{"ballast.signature":`, inJSON(`{"schema_version":1,"name":`+q+`,"norms":`+q+`,"quantizer":`+q+`,`+q+`:1}`), `},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`)
	add("signature", map[string]text{"s.sig": signature}, "signature inspect s.sig")

	// Names that are given on the command line.
	for verb, args := range map[string][]string{
		"inspect": {evilBytes}, "convert": {evilBytes, "--to", "gguf", "--out", "out.gguf"}, "convert-to": {"o.safetensors", "--to", evilBytes, "--out", "out"}, "merge": {evilBytes, "--out", "out"},
		"verify": {evilBytes}, "run": {evilBytes, "--input", "x=x.npy", "--output", "y.npz"}, "evaluate": {evilBytes, "--data", evilBytes}, "calibrate": {evilBytes, "--data", "optdigits", "--out", "out"}, "data": {"show", evilBytes},
		"train": {evilBytes + "=1", "--out", "out"}, "soup": {evilBytes, evilBytes + "2", "--out", "out"}, "signature": {"inspect", evilBytes}, evilBytes: nil, "engine": {evilBytes}, "papers": {evilBytes}, "reproduce": {evilBytes},
	} {
		verb, _, _ = strings.Cut(verb, "-to")
		name := "argument/" + fmt.Sprintf("%.20q", verb) + fmt.Sprint(len(args))
		if len(args) > 2 && args[1] == "--to" && args[2] == evilBytes {
			name += "-format"
		}
		out = append(out, hostile{kind: "escape", name: name, files: inFolder(map[string]text{"o.safetensors": smallTensors("w")}), run: append([]string{verb}, args...),
			exit: []int{exitOK, exitFailed, exitUsage, exitBadInput}, writes: true, memory: 1 << 30})
	}
	for name, args := range map[string][]string{
		"inspect": {"inspect", evilBytes}, "inspect-json": {"inspect", evilBytes, "--json"}, "convert": {"convert", evilBytes, "--to", "gguf", "--out", "out.gguf"}, "diff": {"merge", "diff", evilBytes, "o.safetensors"},
		"out": {"convert", "o.safetensors", "--to", "gguf", "--out", evilBytes + "2"}, "merge": {"merge", "--method", "linear", evilBytes, "o.safetensors", "--out", "out"}, "soup": {"soup", evilBytes, "o.safetensors", "--out", "out"},
		"run": {"run", evilBytes, "--input", "x=x.npy", "--output", "y.npz"}, "evaluate": {"evaluate", evilBytes, "--data", "optdigits"}, "verify": {"verify", evilBytes}, "data": {"data", "show", "dir:" + evilBytes},
	} {
		out = append(out, hostile{kind: "escape", name: "folder/" + name, files: evilFolder, run: args, exit: []int{exitOK, exitFailed, exitUsage, exitBadInput}, writes: true, memory: 1 << 30})
	}
	return out
}

// mergedManifestOf is a manifest of a merge with those members.
func mergedManifestOf(members string) text {
	return as(`{"schema_version":1,"method":`, inJSON(evil), `,`, members, `}`)
}

// npyHeader is a .npy file with that header.
func npyHeader(header string) text {
	return as("\x93NUMPY\x01\x00", string(binary.LittleEndian.AppendUint16(nil, uint16(len(header)+1))), header, "\n", repeated(16, "\x00"))
}

// zipped is an archive of files that are stored as they are.
func zipped(files map[string]text) text {
	return func() string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for name, content := range files {
			f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
			if err == nil {
				_, err = f.Write([]byte(content()))
			}
			if err != nil {
				panic(err)
			}
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		return b.String()
	}
}

// onnxNames are graphs y = x + w with a name of evil in each place.
func onnxNames() map[string]string {
	field := func(id int, content ...string) string {
		return string(eventField(id, []byte(strings.Join(content, ""))))
	}
	number := func(id, v int) string { return string([]byte{byte(id << 3), byte(v)}) }
	graph := func(set func(place string) string) string {
		name := func(place, usual string) string {
			if n := set(place); n != "" {
				return n
			}
			return usual
		}
		value := func(id int, name string) string {
			return field(id, field(1, name), field(2, field(1, number(1, 1), field(2, field(1, number(1, 4)), field(1, field(2, evil))))))
		}
		x, y, w := name("input", "x"), name("output", "y"), name("initialiser", "w")
		tensor := field(5, number(1, 4), number(2, 1), field(8, w), field(9, strings.Repeat("\x00", 16)))
		if set("external") != "" {
			tensor = field(5, number(1, 4), number(2, 1), field(8, w), field(13, field(1, "location"), field(2, set("external"))), number(14, 1))
		}
		attribute := ""
		if set("attribute") != "" {
			attribute = field(5, field(1, set("attribute")), number(3, 1), number(20, 2))
		}
		node := field(1, field(1, x), field(1, w), field(2, y), field(3, name("node", "n")), field(4, name("operator", "Add")), attribute, field(7, name("domain", "")))
		g := field(7, node, field(2, name("graph", "g")), tensor, value(11, x), value(12, y))
		meta := field(14, field(1, name("meta", "k")), field(2, name("meta", "v")))
		return number(1, 8) + field(2, name("producer", "p")) + field(3, name("producer", "1")) + g + field(8, field(1, name("opset", "")), number(2, 17)) + field(8, field(1, ""), number(2, 17)) + meta
	}
	out := map[string]string{}
	for _, place := range []string{"input", "output", "initialiser", "external", "attribute", "node", "operator", "domain", "graph", "meta", "producer", "opset"} {
		for kind, bad := range map[string]string{"": evil, "-bytes": evilBytes} {
			out["onnx-"+place+kind] = graph(func(p string) string {
				if p == place {
					return bad
				}
				return ""
			})
		}
	}
	return out
}

// evilFolder is a folder of that name, where the system takes such names.
func evilFolder(dir string) error {
	return errors.Join(put(filepath.Join(dir, "o.safetensors"), []byte(smallTensors("w")())), os.MkdirAll(filepath.Join(dir, evilBytes), 0o755), put(filepath.Join(dir, evilBytes, "model.safetensors"), []byte(smallTensors("w")())))
}
