package convert

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// eightBits writes the folder of a model whose one weight, [2, 32] of codes 1, has the scales 0.5 and 2 for its rows.
func eightBits(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, err := binary.Append(nil, binary.LittleEndian, []float32{0.5, 2})
	if err != nil {
		t.Fatal(err)
	}
	list := []safetensors.Tensor{
		{Name: "w.weight", DType: safetensors.F8E4M3, Shape: []int{2, 32}, Data: []byte(strings.Repeat("\x38", 64))},
		{Name: "w.weight_scale_inv", DType: safetensors.F32, Shape: []int{2, 1}, Data: data},
	}
	const config = "{\n  \"model_type\": \"x\",\n  \"quantization_config\": {\"quant_method\": \"fp8\"},\n  \"limit\": Infinity\n}\n"
	err = errors.Join(safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), list, nil), os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every format and type gives the values that codes stand for; where neither format nor type changes, the codes are copied with their scales.
func TestQuantisedInput(t *testing.T) {
	in := eightBits(t)
	for _, o := range []Options{
		{To: ToSafetensors, Type: "F32"}, {To: ToSafetensors, Type: "BF16"}, {To: ToSharded, Type: "F16"}, {To: ToNPZ}, {To: ToNPZ, Type: "F16"},
		{To: ToGGUF}, {To: ToGGUF, Type: "F16"}, {To: ToGGUF, Type: "Q8_0"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		r, err := Format(t.Context(), in, out, o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		if c, err := Check(t.Context(), in, out, o); err != nil || !c.Agrees || len(c.Tensors) != 1 {
			t.Errorf("%+v: check %+v (%v)", o, c, err)
		}
		if !strings.Contains(strings.Join(r.Remarks, " "), "1 tensors are dequantised, by fp8") {
			t.Errorf("%+v: remarks are %v", o, r.Remarks)
		}
		file, _ := outputPath(out, o.To)
		f, err := weights.OpenStored(file)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 64)
		if err := f.ReadFloat32s("w.weight", 0, got); err != nil || got[0] != 0.5 || got[63] != 2 || len(f.Tensors()) != 1 {
			t.Errorf("%+v: %v of %d tensors (%v)", o, got, len(f.Tensors()), err)
		}
		_ = f.Close()
		config, err := os.ReadFile(filepath.Join(out, "config.json"))
		if want := "{\n  \"model_type\": \"x\",\n  \"limit\": Infinity\n}\n"; err != nil || string(config) != want {
			t.Errorf("%+v: config is %s (%v)", o, config, err)
		}
	}
	for _, to := range []string{ToSafetensors, ToSharded} {
		out := filepath.Join(t.TempDir(), "out")
		if _, err := Format(t.Context(), in, out, Options{To: to}); err != nil {
			t.Fatal(err)
		}
		if c, err := Check(t.Context(), in, out, Options{To: to}); err != nil || !c.Agrees || c.Exact != 2 {
			t.Errorf("%s: check %+v (%v)", to, c, err)
		}
		before, err1 := os.ReadFile(filepath.Join(in, "config.json"))
		after, err2 := os.ReadFile(filepath.Join(out, "config.json"))
		if errors.Join(err1, err2) != nil || !slices.Equal(before, after) {
			t.Errorf("%s: config is %s", to, after)
		}
		f, err := weights.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 64)
		if err := f.ReadFloat32s("w.weight", 0, got); err != nil || got[63] != 2 {
			t.Errorf("%s: %v (%v)", to, got, err)
		}
		_ = f.Close()
	}
}

// A packed checkpoint is copied as it is or refused, whatever is asked for, before anything is written.
func TestPackedInput(t *testing.T) {
	in := t.TempDir()
	err := errors.Join(
		safetensors.WriteFile(filepath.Join(in, "model.safetensors"), []safetensors.Tensor{{Name: "w.qweight", DType: safetensors.I32, Shape: []int{1, 2}, Data: make([]byte, 8)}}, nil),
		os.WriteFile(filepath.Join(in, "config.json"), []byte(`{"quantization_config": {"quant_method": "gptq", "bits": 4}}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{To: ToSafetensors, Type: "F32"}, {To: ToSharded, Type: "BF16"}, {To: ToNPZ}, {To: ToGGUF}, {To: ToGGUF, Type: "Q4_0"}} {
		out := filepath.Join(t.TempDir(), "out")
		_, err := Format(t.Context(), in, out, o)
		var bad *fault.Input
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "quantised by gptq") {
			t.Errorf("%+v: %v", o, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%+v: something was written", o)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	if r, err := Format(t.Context(), in, out, Options{To: ToSafetensors}); err != nil || !strings.Contains(strings.Join(r.Remarks, " "), "quantised by gptq") {
		t.Errorf("a copy: %v, %v", r.Remarks, err)
	}
}

// What wrappers put before all names is taken off in a GGUF file, and stays elsewhere.
func TestWrappedNames(t *testing.T) {
	for _, prefix := range []string{"module.", "_orig_mod.", "_orig_mod.module."} {
		in := filepath.Join(t.TempDir(), "in.safetensors")
		list := []safetensors.Tensor{safetensors.FromFloat32s(prefix+"model.w", []int{1}, []float32{1}), safetensors.FromFloat32s(prefix+"head", []int{1}, []float32{2})}
		if err := safetensors.WriteFile(in, list, nil); err != nil {
			t.Fatal(err)
		}
		for to, want := range map[string]string{ToGGUF: "model.w", ToSafetensors: prefix + "model.w", ToNPZ: prefix + "model.w"} {
			out := filepath.Join(t.TempDir(), "out."+to)
			r, err := Format(t.Context(), in, out, Options{To: to})
			if err != nil {
				t.Fatal(err)
			}
			if c, err := Check(t.Context(), in, out, Options{To: to}); err != nil || !c.Agrees || c.Exact != 2 {
				t.Errorf("%s %s: %+v (%v)", prefix, to, c, err)
			}
			if r.Tensors[0].To != want && r.Tensors[1].To != want || (len(r.Remarks) > 0) != (to == ToGGUF) {
				t.Errorf("%s %s: %+v", prefix, to, r)
			}
		}
	}
}
