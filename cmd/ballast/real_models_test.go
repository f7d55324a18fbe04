package main

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"testing"

	second "github.com/gomlx/go-huggingface/models/gguf"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/onnxrun"
)

// TestRealGGUF: SmolLM2-135M with its three types of tensors. The sums were computed by another program; go-huggingface's reader gives
// the same values bit for bit.
func TestRealGGUF(t *testing.T) {
	fetched(t, "smollm2-135m")
	path, err := data.ModelPath("smollm2-135m")
	if err != nil {
		t.Fatal(err)
	}
	var in bundle.Inspection
	if err := json.Unmarshal([]byte(command(t, "inspect", "smollm2-135m", "--json", "--quiet")), &in); err != nil {
		t.Fatal(err)
	}
	if in.Kind != weights.GGUF || in.Architecture != "llama" || in.Tensors != 272 || in.Parameters != 134515008 ||
		in.Types["Q4_1"] != 210 || in.Types["F32"] != 61 || in.Types["Q8_0"] != 1 || in.Metadata["llama.block_count"] != "30" {
		t.Errorf("%s %s, %d tensors of %d parameters, %v", in.Kind, in.Architecture, in.Tensors, in.Parameters, in.Types)
	}
	file := open(t, path)
	theirs, err := second.NewFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close() //nolint:errcheck // it was only read
	for name, want := range map[string]struct {
		kind         string
		shape        []int
		sum, squares float64
	}{
		"token_embd.weight":       {"Q8_0", []int{49152, 576}, -15353.04449415207, 520415.71544763993},
		"blk.7.ffn_down.weight":   {"Q4_1", []int{576, 1536}, -198.9853515625, 31404.29622159945},
		"blk.12.attn_norm.weight": {"F32", []int{576}, 161.914794921875, 52.810300052165985},
	} {
		info, ok := file.Info(name)
		if !ok || info.Type != want.kind || !slices.Equal(info.Shape, want.shape) {
			t.Fatalf("%s: %+v", name, info)
		}
		values := valuesOf(t, file, name)
		sum, squares := 0.0, 0.0
		for _, v := range values {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
		if math.Abs(sum-want.sum) > 1e-6 || math.Abs(squares-want.squares) > 1e-4 {
			t.Errorf("%s: sum %v, of squares %v; want %v, %v", name, sum, squares, want.sum, want.squares)
		}
		tensor, err := theirs.GetTensor(nil, name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tensors.MustCopyFlatData[float32](tensor.Tensor), values) {
			t.Errorf("%s: go-huggingface reads other values", name)
		}
	}
}

// TestRealGGUFThereAndBack: SmolLM2-135M becomes safetensors and GGUF again, with the names, keys and vocabulary it had, and each value
// as near as its two types allow.
func TestRealGGUFThereAndBack(t *testing.T) {
	fetched(t, "smollm2-135m")
	path, err := data.ModelPath("smollm2-135m")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	there, back := filepath.Join(dir, "there.safetensors"), filepath.Join(dir, "back.gguf")
	command(t, "convert", "smollm2-135m", "--to", "safetensors", "--type", "F16", "--out", there, "--check", "--quiet")
	command(t, "convert", there, "--to", "gguf", "--type", "Q8_0", "--out", back, "--check", "--quiet")
	before, after := open(t, path), open(t, back)
	if a, b := len(before.Tensors()), len(after.Tensors()); a != b {
		t.Fatalf("%d tensors became %d", a, b)
	}
	meta := after.Metadata()
	for key, want := range before.Metadata() {
		if got := meta[key]; got != want && key != "general.file_type" {
			t.Errorf("%s was %.80q and is %.80q", key, want, got)
		}
	}
	for _, info := range before.Tensors() {
		other, ok := after.Info(info.Name)
		if !ok || !slices.Equal(other.Shape, info.Shape) {
			t.Fatalf("%s: %v became %+v", info.Name, info.Shape, other)
		}
		a, b := valuesOf(t, before, info.Name), valuesOf(t, after, info.Name)
		for start := 0; start < len(a); start += 32 {
			end := min(start+32, len(a))
			largest, off := 0.0, 0.0
			for i := start; i < end; i++ {
				largest = max(largest, math.Abs(float64(a[i])))
				off = max(off, math.Abs(float64(a[i])-float64(b[i])))
			}
			// Half a step of F16, and of Q8_0 half a step and what its scale, 127 times over, is rounded by.
			bound := largest * 0x1p-11
			if other.Type == "Q8_0" {
				bound += largest * (0.5/127 + 2*0x1p-11)
			}
			if off > bound+1e-7 {
				t.Fatalf("%s from %d on: %v off, at most %v is right", info.Name, start, off, bound)
			}
		}
	}
}

// TestRealONNX: all-MiniLM-L6-v2 gives the same vectors as an ONNX graph and as safetensors in Ballast's own encoder.
func TestRealONNX(t *testing.T) {
	path := filepath.Join(fetched(t, "minilm-l6", "minilm-l6-onnx"), "all-minilm-l6-v2.onnx")
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := onnxrun.New(m)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := data.ModelPath("minilm-l6")
	if err != nil {
		t.Fatal(err)
	}
	enc, err := bundle.OpenEncoder(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Two batches: many short texts, padded to the longest, and a long one.
	short, long := [][]int{}, [][]int{}
	texts, order := readSentences(t).Texts, []string{}
	for _, text := range texts {
		if ids := enc.Tokenizer.Encode(text, enc.Most); len(ids) < 100 {
			short, order = append(short, ids), append(order, text)
		}
	}
	for _, text := range texts {
		if ids := enc.Tokenizer.Encode(text, enc.Most); len(ids) >= 100 {
			long, order = append(long, ids), append(order, text)
		}
	}
	if len(short) < 10 || len(long) != 1 || len(long[0]) != enc.Most {
		t.Fatalf("%d short texts and %d long ones", len(short), len(long))
	}
	e, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got := append(graphVectors(t, e, graph, short), graphVectors(t, e, graph, long)...)
	want := realVectors(t, e, order)
	largest := 0.0
	for i := range want {
		for j := range want[i] {
			largest = max(largest, math.Abs(float64(want[i][j])-float64(got[i][j])))
		}
	}
	if !(largest <= 1e-5) {
		t.Errorf("a number is %v off, at most 1e-5 is right", largest)
	}
	t.Logf("%d sentences, the largest difference of a number is %.2g", len(order), largest)
}

// graphVectors runs the graph on texts of any lengths and makes one vector of length 1 of each, the mean over its tokens.
func graphVectors(t *testing.T, e *engine.Engine, graph *onnxrun.Graph, texts [][]int) (vectors [][]float32) {
	t.Helper()
	time := 0
	for _, ids := range texts {
		time = max(time, len(ids))
	}
	tokens, counts := make([]int64, len(texts)*time), make([]int64, len(texts)*time)
	for i, ids := range texts {
		for j, id := range ids {
			tokens[i*time+j], counts[i*time+j] = int64(id), 1
		}
	}
	out, err := graph.Run(e.Backend, map[string]*tensors.Tensor{
		"input_ids":      tensors.FromFlatDataAndDimensions(tokens, len(texts), time),
		"attention_mask": tensors.FromFlatDataAndDimensions(counts, len(texts), time),
		"token_type_ids": tensors.FromFlatDataAndDimensions(make([]int64, len(texts)*time), len(texts), time),
	})
	if err != nil {
		t.Fatal(err)
	}
	hidden := tensors.MustCopyFlatData[float32](out["last_hidden_state"])
	dim := len(hidden) / (len(texts) * time)
	for i, ids := range texts {
		sum := make([]float64, dim)
		for j := range ids {
			for k := range sum {
				sum[k] += float64(hidden[(i*time+j)*dim+k])
			}
		}
		length := 0.0
		for _, v := range sum {
			length += v * v
		}
		v := make([]float32, dim)
		for k := range v {
			v[k] = float32(sum[k] / math.Sqrt(length))
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func open(t *testing.T, path string) weights.File {
	t.Helper()
	file, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return file
}

func valuesOf(t *testing.T, file weights.File, name string) []float32 {
	t.Helper()
	info, _ := file.Info(name)
	values := make([]float32, info.Elements)
	if err := file.ReadFloat32s(name, 0, values); err != nil {
		t.Fatal(err)
	}
	return values
}
