package adapter_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/adapter"
)

// tensorsOf makes tensors of lines "name dim dim ...", whose values are all alike; nil where they would not be small or two have a name.
func tensorsOf(text string, value byte) (out []safetensors.Tensor) {
	seen, total := map[string]bool{}, 0
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		x, n := safetensors.Tensor{Name: words[0], DType: safetensors.F32, Shape: []int{}}, 1
		for _, word := range words[1:] {
			dim, err := strconv.Atoi(word)
			if err != nil || dim < 0 || dim > 64 || len(words) > 6 {
				return nil
			}
			x.Shape, n = append(x.Shape, dim), n*max(dim, 0)
		}
		if total += n; seen[x.Name] || total > 1<<13 || len(out) > 50 {
			return nil
		}
		for range n {
			x.Data = append(x.Data, 0, 0, 0x80, value)
		}
		seen[x.Name] = true
		out = append(out, x)
	}
	return out
}

// FuzzOpen: whatever an adapter's configuration and tensors are, the adapter is refused, or every tensor of the base can be read with it, has its
// shape, and reads the same in one piece and in two.
func FuzzOpen(f *testing.F) {
	for _, name := range cases {
		dir := filepath.Join("testdata", name)
		config, err := os.ReadFile(filepath.Join(dir, "adapter", adapter.ConfigFile))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(config, listed(f, filepath.Join(dir, "adapter", "adapter_model.safetensors")), listed(f, filepath.Join(dir, "base.safetensors")))
	}
	f.Add([]byte(`{"peft_type": "LORA", "r": 0, "lora_alpha": 1e308, "rank_pattern": {"(": 1}, "alpha_pattern": {"x": -1}}`), "x.lora_A.weight 1 2\nx.lora_B.weight 2 1\n", "x.weight 2 2\n")
	f.Add([]byte(`{"peft_type": "LORA", "r": 1, "lora_alpha": 1, "rank_pattern": {"^.*(x|xx)*$": 9007199254740993}}`), "x.lora_A.weight 0 2\nx.lora_B.weight 2 0\n", "x.weight 2 2\nx.bias 2\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, config []byte, factors, tensors string) {
		own, base := tensorsOf(factors, 0x3e), tensorsOf(tensors, 0x3f)
		if own == nil || base == nil || len(config) > 1<<14 || !json.Valid(config) {
			return
		}
		basePath := filepath.Join(dir, "base.safetensors")
		for path, list := range map[string][]safetensors.Tensor{filepath.Join(dir, "adapter_model.safetensors"): own, basePath: base} {
			if safetensors.WriteFile(path, list, nil) != nil {
				return // a name that the format does not take
			}
		}
		if err := os.WriteFile(filepath.Join(dir, adapter.ConfigFile), config, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := adapter.Open(dir)
		if err != nil {
			return
		}
		file, err := weights.OpenStored(basePath)
		if err != nil {
			t.Fatal(err)
		}
		v, err := a.On(file)
		if err != nil {
			_, _ = a.Close(), file.Close()
			return
		}
		defer v.Close() //nolint:errcheck // it was only read
		readWhole(t, v)
	})
}

// readWhole reads every tensor in one piece and in two.
func readWhole(t *testing.T, v weights.File) {
	t.Helper()
	for _, info := range v.Tensors() {
		n := 1
		for _, dim := range info.Shape {
			n *= dim
		}
		if n != info.Elements {
			t.Fatalf("%s has shape %v and %d elements", info.Name, info.Shape, info.Elements)
		}
		values, pieces := make([]float32, n), make([]float32, n)
		if err := v.ReadFloat32s(info.Name, 0, values); err != nil {
			continue // values beyond float32, or the adapter's factors that do not fit: an error
		}
		for _, part := range [][2]int{{0, n / 3}, {n / 3, n}} {
			if err := v.ReadFloat32s(info.Name, part[0], pieces[part[0]:part[1]]); err != nil {
				t.Fatalf("%s reads as a whole, and from %d on: %v", info.Name, part[0], err)
			}
		}
		for i := range values {
			if values[i] != pieces[i] && (values[i] == values[i] || pieces[i] == pieces[i]) {
				t.Fatalf("%s: element %d is %v in one piece and %v in two", info.Name, i, values[i], pieces[i])
			}
		}
	}
}

// listed is the names and shapes of a file, as tensorsOf reads them.
func listed(f *testing.F, path string) string {
	f.Helper()
	file, err := safetensors.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	var b strings.Builder
	for info := range file.All() {
		b.WriteString(info.Name)
		for _, dim := range info.Shape {
			b.WriteString(" " + strconv.Itoa(dim))
		}
		b.WriteString("\n")
	}
	return b.String()
}
