package weights_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// stored is a tensor of a file under construction: codes of one byte, or float32 values.
func codes(name string, d safetensors.DType, shape []int, at func(i int) byte) safetensors.Tensor {
	n := 1
	for _, dim := range shape {
		n *= dim
	}
	data := make([]byte, n*d.Bits()/8)
	for i := range data {
		data[i] = at(i)
	}
	return safetensors.Tensor{Name: name, DType: d, Shape: shape, Data: data}
}

func floats(name string, shape []int, values ...float32) safetensors.Tensor {
	data, _ := binary.Append(nil, binary.LittleEndian, values)
	return safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape, Data: data}
}

// folder writes a model with a config.
func folder(t *testing.T, config string, list ...safetensors.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	if config != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := safetensors.WriteFile(filepath.Join(dir, "model.safetensors"), list, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ramp is 1, 2, 3 ...
func ramp(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i + 1)
	}
	return out
}

// Every layout of scales that is read: a value is (code - zero) scale, with the scale of its block.
func TestDequantised(t *testing.T) {
	const one = 0x38 // of F8_E4M3
	is := func(b byte) func(int) byte { return func(int) byte { return b } }
	config := func(method, more string) string {
		return fmt.Sprintf(`{"model_type": "x", "quantization_config": {"quant_method": %q%s}}`, method, more)
	}
	for name, c := range map[string]struct {
		config string
		list   []safetensors.Tensor
		tensor string
		want   func(i int) float32
	}{
		"blocks of the config": {
			config("fp8", `, "weight_block_size": [4, 2]`),
			[]safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{6, 5}, is(one)), floats("w.weight_scale_inv", []int{2, 3}, ramp(6)...)},
			"w.weight", func(i int) float32 { return float32(i/5/4*3 + i%5/2 + 1) },
		},
		"blocks of 128": {
			config("fp8", ""),
			[]safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{300, 200}, is(one)), floats("w.weight_scale_inv", []int{3, 2}, ramp(6)...)},
			"w.weight", func(i int) float32 { return float32(i/200/128*2 + i%200/128 + 1) },
		},
		"one scale": {
			config("compressed-tensors", ""), []safetensors.Tensor{codes("w.weight", safetensors.F8E5M2, []int{2, 2}, is(0x3c)), floats("w.weight_scale", nil, 0.5)},
			"w.weight", func(int) float32 { return 0.5 },
		},
		"one for each row": {
			config("fbgemm_fp8", ""), []safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{3, 2}, is(one)), floats("w.weight_scale", []int{3, 1}, ramp(3)...)},
			"w.weight", func(i int) float32 { return float32(i/2 + 1) },
		},
		"one for each row, flat": {
			config("modelopt", ""), []safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{3, 2}, is(one)), floats("w.weight_scale", []int{3}, ramp(3)...)},
			"w.weight", func(i int) float32 { return float32(i/2 + 1) },
		},
		"groups along a row": {
			config("compressed-tensors", ""), []safetensors.Tensor{codes("w.weight", safetensors.I8, []int{2, 6}, is(0xfe)), floats("w.weight_scale", []int{2, 3}, ramp(6)...)},
			"w.weight", func(i int) float32 { return -2 * float32(i/6*3+i%6/2+1) },
		},
		"experts": {
			config("fp8", ""), []safetensors.Tensor{codes("gate_up_proj", safetensors.F8E4M3, []int{2, 3, 4}, is(one)), floats("gate_up_proj_scale", []int{2, 1, 4}, ramp(8)...)},
			"gate_up_proj", func(i int) float32 { return float32(i/12*4 + i%4 + 1) },
		},
		"bitsandbytes": {
			config("bitsandbytes", `, "load_in_8bit": true`),
			[]safetensors.Tensor{
				codes("w.weight", safetensors.I8, []int{2, 2}, is(127)), floats("w.SCB", []int{2}, 3, 4), codes("w.weight_format", safetensors.U8, nil, is(0)),
			},
			"w.weight", func(i int) float32 { return float32(3 + i/2) },
		},
		"without a config": {
			"", []safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{1, 2}, is(one)), floats("w.weight_scale_inv", []int{1, 1}, 7)},
			"w.weight", func(int) float32 { return 7 },
		},
		"scaled, of ComfyUI": {
			"", []safetensors.Tensor{
				codes("w.weight", safetensors.F8E4M3, []int{1, 2}, is(one)), floats("w.scale_weight", []int{1}, 7), floats("w.scale_input", []int{1}, 2),
				codes("scaled_fp8", safetensors.F8E4M3, []int{2}, is(0)),
			}, "w.weight", func(int) float32 { return 7 },
		},
		"scales of 8 bits": {
			config("fp8", ""), []safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{1, 2}, is(one)), codes("w.weight_scale_inv", safetensors.F8E8M0, []int{1, 1}, is(128))},
			"w.weight", func(int) float32 { return 2 },
		},
		"zero points": {
			config("compressed-tensors", ""),
			[]safetensors.Tensor{
				codes("w.weight", safetensors.I8, []int{2, 2}, is(5)), floats("w.weight_scale", []int{2, 1}, 2, 3), codes("w.weight_zero_point", safetensors.I8, []int{2, 1}, func(i int) byte { return byte(i) }),
			},
			"w.weight", func(i int) float32 { return []float32{10, 12}[i/2] },
		},
		"in the part of a text": {
			`{"text_config": {"quantization_config": {"quant_method": "fp8", "weight_block_size": [1, 2]}}}`,
			[]safetensors.Tensor{codes("w.weight", safetensors.F8E4M3, []int{2, 3}, is(one)), floats("w.weight_scale_inv", []int{2, 2}, ramp(4)...)},
			"w.weight", func(i int) float32 { return float32(i/3*2 + i%3/2 + 1) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.config, append(c.list, floats("norm.weight", []int{2}, 1, 2))...)
			f, err := weights.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // it was only read
			info, ok := f.Info(c.tensor)
			if !ok || info.Type != "F32" || len(f.Tensors()) != 2 {
				t.Fatalf("%+v of %v", info, f.Tensors())
			}
			want := make([]float32, info.Elements)
			for i := range want {
				want[i] = c.want(i)
			}
			got := make([]float32, info.Elements)
			if err := f.ReadFloat32s(c.tensor, 0, got); err != nil || !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v (%v)", got, want, err)
			}
			// Any stretch, as values and as bytes, is the same.
			for _, cut := range [][2]int{{0, 1}, {1, 2}, {info.Elements - 1, info.Elements}, {info.Elements / 2, info.Elements}} {
				part := make([]float32, cut[1]-cut[0])
				if err := f.ReadFloat32s(c.tensor, cut[0], part); err != nil || !slices.Equal(part, want[cut[0]:cut[1]]) {
					t.Errorf("%v: got %v (%v)", cut, part, err)
				}
				raw := make([]byte, 4*len(part)-1)
				if err := f.ReadBytes(c.tensor, int64(4*cut[0]+1), raw[:min(len(raw), 3)]); err != nil {
					t.Error(err)
				}
				if bits := math.Float32bits(want[cut[0]]); raw[0] != byte(bits>>8) || raw[2] != byte(bits>>24) {
					t.Errorf("%v: bytes are %v, want those of %v", cut, raw[:3], want[cut[0]])
				}
			}
			notes := strings.Join(weights.Notes(f), "\n")
			if !strings.Contains(notes, "1 tensors are dequantised") {
				t.Errorf("notes are %s", notes)
			}
			if files := weights.Files(f); len(files) != 1 {
				t.Errorf("files are %v", files)
			}

			// What is stored can be looked at.
			s, err := weights.OpenStored(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // it was only read
			if len(s.Tensors()) != len(c.list)+1 || weights.Quantised(s) == nil || len(weights.Notes(s)) != 1 {
				t.Errorf("stored are %v, %v", s.Tensors(), weights.Notes(s))
			}
		})
	}
}

// Every method whose codes are packed, or read in a way that is not known here, is refused by name, whether a config or a name tells it.
func TestQuantisedIsRefused(t *testing.T) {
	u8 := func(name string) safetensors.Tensor {
		return codes(name, safetensors.U8, []int{2, 2}, func(int) byte { return 1 })
	}
	refused := func(t *testing.T, dir string, words ...string) {
		t.Helper()
		f, err := weights.Open(dir)
		if err == nil {
			_ = f.Close()
		}
		var bad *fault.Input
		if !errors.As(err, &bad) || bad.Fix == "" {
			t.Errorf("got %v", err)
			return
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("got %v, want %q", err, word)
			}
		}
		s, err := weights.OpenStored(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // it was only read
		if notes := strings.Join(weights.Notes(s), " "); !strings.Contains(notes, "quantised by") {
			t.Errorf("notes are %q", notes)
		}
	}
	for _, method := range []string{
		"gptq", "awq", "aqlm", "hqq", "quanto", "torchao", "bitnet", "mxfp4", "eetq", "higgs", "vptq", "spqr", "exl2", "exl3", "auto-round", "quip", "marlin",
		"fp_quant", "a new one", "bitsandbytes", "fp8", "compressed-tensors", "modelopt",
	} {
		config := fmt.Sprintf(`{"quantization_config": {"quant_method": %q, "load_in_4bit": true}}`, method)
		t.Run(method, func(t *testing.T) {
			refused(t, folder(t, config, u8("w.weight"), floats("w.other", []int{2}, 1, 2)), method, "quantization_config of config.json")
			// A config that was left behind by a model of plain types says nothing.
			f, err := weights.Open(folder(t, config, floats("w.weight", []int{2}, 1, 2)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // it was only read
			if len(f.Tensors()) != 1 {
				t.Error("a plain tensor is missing")
			}
		})
	}
	for _, ending := range []string{
		".qweight", ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4", ".weight_packed", ".W_q", ".weight._data", ".codebooks", ".Qidxs",
		"_blocks", ".q_weight", ".trellis", "_qdata", ".weight_scales",
	} {
		t.Run(ending, func(t *testing.T) { refused(t, folder(t, "", u8("layer"+ending)), "layer"+ending) })
	}

	f8 := func(shape ...int) safetensors.Tensor {
		return codes("w.weight", safetensors.F8E4M3, shape, func(int) byte { return 0x38 })
	}
	const fp8 = `{"quantization_config": {"quant_method": "fp8"}}`
	for name, list := range map[string][]safetensors.Tensor{
		"no scale":            {f8(2, 2)},
		"scales of no layout": {f8(5, 5), floats("w.weight_scale_inv", []int{3, 2}, 1, 2, 3, 4, 5, 6)},
		"a second scale":      {f8(2, 2), floats("w.weight_scale", nil, 1), floats("w.weight_scale_2", nil, 1)},
		"other zero points":   {f8(2, 2), floats("w.weight_scale", nil, 1), floats("w.weight_zero_point", []int{2}, 1, 1)},
		"packed with a scale": {u8("w.weight"), floats("w.weight_scale", nil, 1)},
	} {
		t.Run(name, func(t *testing.T) { refused(t, folder(t, fp8, list...), "w.weight") })
	}
	// Without a config, 8-bit floats without scales are values.
	f, err := weights.Open(folder(t, "", f8(2, 2)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if info, _ := f.Info("w.weight"); info.Type != "F8_E4M3" {
		t.Errorf("got %+v", info)
	}
	// Rows in the order of a processor.
	g, err := weights.Open(folder(t, "", codes("w.weight", safetensors.I8, []int{2, 2}, func(int) byte { return 1 }), floats("w.SCB", []int{2}, 1, 1),
		codes("w.weight_format", safetensors.U8, nil, func(int) byte { return 2 })))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // it was only read
	if err := g.ReadFloat32s("w.weight", 0, make([]float32, 4)); !errors.Is(err, weights.ErrQuantised) {
		t.Errorf("got %v", err)
	}
}
