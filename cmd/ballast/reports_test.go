package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ballast-ml/ballast/format/gguf"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// TestReports runs a script for each of the public reports of other tools, and of differences to them, that this command once got wrong: what
// is right is done, or refused by name. The inputs are those of the reports where they are small (testdata/reports/files, and the test data of
// the packages that read them), else of their kind.
func TestReports(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "reports"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("BALLAST_ENGINE", "go")
			e.Setenv("BALLAST_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("HOME", e.WorkDir)
			for name, dir := range map[string]string{
				"FILES": "testdata/reports/files", "GRAPHS": "../../onnxrun/testdata/faults", "PICKLES": "../../format/pytorch/testdata/reports",
				"ARRAYS": "../../format/npy/testdata/reports",
			} {
				path, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				e.Setenv(name, path)
			}
			return errors.Join(reportDecoders(e.WorkDir), reportOthers(e.WorkDir), reportLinks(e.WorkDir), reportPictures(e.WorkDir))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "values": wantValues},
	})
}

// wantValues demands the first elements of a tensor of a file, or those from a place on: values FILE TENSOR[@PLACE] 1 2.5 ...
func wantValues(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: values FILE TENSOR NUMBERS...")
	}
	f, err := weights.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close() //nolint:errcheck // it was only read
	got := make([]float32, len(args)-2)
	name, place, found := strings.Cut(args[1], "@")
	at := 0
	if found {
		at, err = strconv.Atoi(place)
		ts.Check(err)
	}
	ts.Check(f.ReadFloat32s(name, at, got))
	for i, text := range args[2:] {
		want, err := strconv.ParseFloat(text, 64)
		ts.Check(err)
		if v := float64(got[i]); !(math.Abs(v-want) <= 1e-5*(1+math.Abs(want))) && !(math.IsNaN(v) && math.IsNaN(want)) && v != want {
			ts.Fatalf("%s of %s begins with %v, want %v", args[1], args[0], got, args[2:])
		}
	}
}

// decoder is a folder with a small model of llama's kind: every element of a tensor is 0.01 times its place, plus a number.
type decoder struct {
	plus   float32
	dtype  safetensors.DType // F32 unless it says BF16
	prefix string            // of its names; model. unless it says another
	tied   bool
	layers int    // 2 unless it says so
	vocab  int    // 16 unless it says so
	kind   string // model_type; llama unless it says so
	more   string // of its config
	extra  []safetensors.Tensor
}

// tensors of the model.
func (d decoder) tensors() (list []safetensors.Tensor) {
	add := func(name string, shape ...int) {
		n := 1
		for _, s := range shape {
			n *= s
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i%100)*0.01 + d.plus
		}
		t := safetensors.FromFloat32s(name, shape, v)
		if d.dtype == safetensors.BF16 {
			t.DType = d.dtype
			var half []byte
			for _, x := range v {
				half = binary.LittleEndian.AppendUint16(half, uint16(math.Float32bits(x)>>16))
			}
			t.Data = half
		}
		list = append(list, t)
	}
	add(d.prefix+"embed_tokens.weight", d.vocab, 64)
	for i := range d.layers {
		p := fmt.Sprintf("%slayers.%d.", d.prefix, i)
		add(p+"input_layernorm.weight", 64)
		add(p+"self_attn.q_proj.weight", 64, 64)
		add(p+"self_attn.k_proj.weight", 32, 64)
		add(p+"self_attn.v_proj.weight", 32, 64)
		add(p+"self_attn.o_proj.weight", 64, 64)
		add(p+"post_attention_layernorm.weight", 64)
		add(p+"mlp.gate_proj.weight", 32, 64)
		add(p+"mlp.up_proj.weight", 32, 64)
		add(p+"mlp.down_proj.weight", 64, 32)
	}
	add(d.prefix+"norm.weight", 64)
	if !d.tied {
		add("lm_head.weight", d.vocab, 64)
	}
	return append(list, d.extra...)
}

// write puts the model into a folder.
func (d decoder) write(dir string) error {
	if d.prefix == "" {
		d.prefix = "model."
	}
	if d.layers == 0 {
		d.layers = 2
	}
	if d.vocab == 0 {
		d.vocab = 16
	}
	if d.kind == "" {
		d.kind = "llama"
	}
	dtype := "float32"
	if d.dtype == safetensors.BF16 {
		dtype = "bfloat16"
	}
	config := fmt.Sprintf(`{"architectures": ["LlamaForCausalLM"], "model_type": %q, "hidden_size": 64, "intermediate_size": 32,
 "num_hidden_layers": %d, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": %d, "max_position_embeddings": 128,
 "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": %v, "torch_dtype": %q%s}`,
		d.kind, d.layers, d.vocab, d.tied, dtype, d.more)
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644),
		safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), d.tensors(), map[string]string{"format": "pt"}))
}

// reportDecoders writes the models that reports are about.
func reportDecoders(dir string) error {
	fp8 := safetensors.Tensor{Name: "x.weight", DType: safetensors.F8E4M3, Shape: []int{1, 2}, Data: []byte{0x38, 0x40}}
	packed := safetensors.Tensor{Name: "x.qweight", DType: safetensors.I32, Shape: []int{1, 2}, Data: make([]byte, 8)}
	var errs []error
	for name, d := range map[string]decoder{
		"base32": {}, "a32": {plus: 1}, "b32": {plus: -0.5}, "c32": {plus: 2}, "base16": {dtype: safetensors.BF16}, "tied32": {plus: 3, tied: true},
		"mistral": {kind: "mistral"}, "fill/base32": {vocab: 300}, "fill/av": {plus: 1, vocab: 303}, "fill/bv": {plus: 2, vocab: 300},
		"llama3": {more: `, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}`},
		"spm":    {vocab: 300},
		"fp8": {extra: []safetensors.Tensor{fp8, safetensors.FromFloat32s("x.weight_scale_inv", []int{1, 1}, []float32{0.0125})},
			more: `, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}`},
		"gptq": {extra: []safetensors.Tensor{packed}, more: `, "quantization_config": {"quant_method": "gptq", "bits": 4}`},
	} {
		errs = append(errs, d.write(filepath.Join(dir, filepath.FromSlash(name))))
	}

	// A tokenizer of SentencePiece's kind as transformers writes it: BPE, with a token for each byte.
	words := []string{`"<unk>": 0`, `"<s>": 1`, `"</s>": 2`}
	for b := range 256 {
		words = append(words, fmt.Sprintf(`"<0x%02X>": %d`, b, 3+b))
	}
	for i, w := range []string{"▁", "a", "b", "▁a"} {
		words = append(words, fmt.Sprintf(`%q: %d`, w, 259+i))
	}
	tokenizer := `{"added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}, {"id": 2, "content": "</s>", "special": true}],
 "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
 "pre_tokenizer": null, "model": {"type": "BPE", "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>", "vocab": {` + strings.Join(words, ", ") + `}, "merges": ["▁ a"]}}`
	return errors.Join(append(errs, os.WriteFile(filepath.Join(dir, "spm", "tokenizer.json"), []byte(tokenizer), 0o644))...)
}

// reportOthers writes a model in three GGUF files, one whose index omits tensors, one with towers, encoders and a config of Python's.
func reportOthers(dir string) error {
	var errs []error
	put := func(path, text string) {
		path = filepath.Join(dir, filepath.FromSlash(path))
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
	}
	store := func(path string, list ...safetensors.Tensor) {
		path = filepath.Join(dir, filepath.FromSlash(path))
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), safetensors.WriteFile(path, list, map[string]string{"format": "pt"}))
	}
	one := func(name string, v float32) safetensors.Tensor {
		return safetensors.FromFloat32s(name, []int{2}, []float32{v, v + 1})
	}

	errs = append(errs, os.Mkdir(filepath.Join(dir, "split"), 0o755))
	for i := range 3 {
		t, err := gguf.FromFloat32s(fmt.Sprintf("t%d", i), gguf.F32, []int{2}, []float32{float32(i), 1})
		path := filepath.Join(dir, "split", fmt.Sprintf("m-%05d-of-00003.gguf", i+1))
		keys := []gguf.KeyValue{{Key: "split.no", Value: uint16(i)}, {Key: "split.count", Value: uint16(3)}, {Key: "split.tensors.count", Value: int32(3)}}
		errs = append(errs, err, gguf.WriteFile(path, keys, []gguf.Tensor{t}))
	}

	store("omits/model-00001-of-00001.safetensors", one("a.weight", 1), one("mtp.weight", 5))
	put("omits/model.safetensors.index.json", `{"metadata": {"total_size": 8}, "weight_map": {"a.weight": "model-00001-of-00001.safetensors"}}`)
	put("omits/config.json", `{"model_type": "x"}`)

	for i, name := range []string{"mamba1", "mamba2"} {
		store(name+"/model.safetensors", one("a.weight", float32(i)))
		put(name+"/config.json", "{\n  \"model_type\": \"mamba2\",\n  \"time_step_limit\": [\n    0.0,\n    Infinity\n  ],\n  \"torch_dtype\": \"float32\"\n}\n")
	}

	// Encoders: one with positions that networks compute, one with a prefix before its names.
	for i, e := range []struct{ name, prefix string }{{"bert", ""}, {"bert1", ""}, {"bert2", ""}, {"bertp", "bert."}} {
		var list []safetensors.Tensor
		list = append(list, one(e.prefix+"embeddings.word_embeddings.weight", float32(i)))
		for l := range 4 {
			list = append(list, one(fmt.Sprintf("%sencoder.layer.%d.output.dense.weight", e.prefix, l), float32(i*l)))
		}
		if e.name == "bert1" {
			list = append(list, safetensors.FromInt64s("embeddings.position_ids", []int{1, 2}, []int64{0, 1}))
		}
		store(e.name+"/model.safetensors", list...)
		put(e.name+"/config.json", `{"model_type": "bert", "num_hidden_layers": 4, "torch_dtype": "float32"}`)
	}

	// A model of two towers.
	var list []safetensors.Tensor
	for l := range 6 {
		list = append(list, one(fmt.Sprintf("language_model.model.layers.%d.self_attn.q_proj.weight", l), float32(l)))
	}
	for l := range 4 {
		list = append(list, one(fmt.Sprintf("vision_tower.vision_model.encoder.layers.%d.self_attn.q_proj.weight", l), float32(l)))
	}
	store("towers/model.safetensors", append(list, one("language_model.model.embed_tokens.weight", 1))...)
	put("towers/config.json", `{"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "num_hidden_layers": 6},
 "vision_config": {"num_hidden_layers": 4}}`)
	return errors.Join(errs...)
}

// reportLinks writes the snapshots of a hub's cache: every file is a link to one of the blobs.
func reportLinks(dir string) error {
	var errs []error
	link := func(model, file, blob string, data []byte) {
		path := filepath.Join(dir, "hub", "models--x--"+model, "snapshots", "0123", filepath.FromSlash(file))
		blobs := filepath.Join(dir, "hub", "models--x--"+model, "blobs")
		up := strings.Repeat("../", strings.Count(file, "/")+2)
		errs = append(errs, os.MkdirAll(filepath.Dir(path), 0o755), os.MkdirAll(blobs, 0o755), os.WriteFile(filepath.Join(blobs, blob), data, 0o644),
			os.Symlink(up+"blobs/"+blob, path))
	}
	pickle, err := os.ReadFile("../../format/pytorch/testdata/old.pth")
	errs = append(errs, err)
	link("torch", "pytorch_model.bin", "aa", pickle)
	link("torch", "config.json", "ab", []byte(`{"model_type": "x"}`))

	stored := filepath.Join(dir, "one.safetensors")
	errs = append(errs, safetensors.WriteFile(stored, []safetensors.Tensor{safetensors.FromFloat32s("w", []int{1}, []float32{1})}, nil))
	data, err := os.ReadFile(stored)
	errs = append(errs, err)
	link("diffusion", "diffusion_pytorch_model.safetensors", "ba", data)

	m := onnxtest.Model{
		Opset: 13, Tensors: []onnxtest.Tensor{{Name: "w", Type: onnxtest.Float, Shape: []int{2}, Location: "model.onnx_data"}},
		Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{2}}}, Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}},
		Nodes: []onnxtest.Node{{Op: "Add", Inputs: []string{"x", "w"}, Outputs: []string{"y"}}},
	}
	external := m.Bytes()
	link("net", "onnx/model.onnx", "ca", external)
	link("net", "onnx/model.onnx_data", "cb", binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, math.Float32bits(10)), math.Float32bits(20)))
	errs = append(errs, os.WriteFile(filepath.Join(dir, "out_data"), make([]byte, 8), 0o644), os.Mkdir(filepath.Join(dir, "plain"), 0o755),
		os.WriteFile(filepath.Join(dir, "plain", "model.onnx"), external, 0o644), os.Symlink("../out_data", filepath.Join(dir, "plain", "model.onnx_data")),
		npy.WriteFile(filepath.Join(dir, "x.npy"), []int{2}, []float32{1, 2}))
	return errors.Join(errs...)
}

// reportPictures writes folders of pictures of flat colours, one for each class: sets with all classes of a model, with some, with another.
func reportPictures(dir string) error {
	colours := map[byte]color.RGBA{'a': {140, 100, 100, 255}, 'b': {100, 140, 100, 255}, 'c': {100, 100, 140, 255}, 'd': {140, 140, 100, 255}}
	var errs []error
	put := func(folder string, class byte, n int) {
		path := filepath.Join(dir, filepath.FromSlash(folder), string(class))
		errs = append(errs, os.MkdirAll(path, 0o755))
		for i := range n {
			c := colours[class]
			c.R, c.G = c.R+uint8(i%5), c.G+uint8(i%7)
			m := image.NewRGBA(image.Rect(0, 0, 4, 4))
			for p := range 16 {
				m.Set(p%4, p/4, c)
			}
			f, err := os.Create(filepath.Join(path, fmt.Sprintf("%03d.png", i)))
			errs = append(errs, err)
			if err == nil {
				errs = append(errs, png.Encode(f, m), f.Close())
			}
		}
	}
	for set, classes := range map[string]string{"abc": "abc", "ac": "ac", "bc": "bc", "bcd": "bcd"} {
		for _, c := range []byte(classes) {
			put(set, c, 12)
		}
	}
	for _, c := range []byte("abc") {
		for _, folder := range []string{"trainval/train", "trainval/val", "trainvaltest/train", "trainvaltest/val", "trainvaltest/test", "lack/train", "lack_empty/train"} {
			put(folder, c, 1)
		}
	}
	for _, c := range []byte("ac") {
		put("lack/test", c, 1)
		put("lack_empty/test", c, 1)
	}
	return errors.Join(append(errs, os.MkdirAll(filepath.Join(dir, "lack_empty", "test", "b"), 0o755))...)
}
