package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// named writes a model of two tensors, a counter and what more is given, all values v, with a prefix before the names.
func named(t *testing.T, prefix string, v float32, counter int64, more ...safetensors.Tensor) string {
	t.Helper()
	list := append([]safetensors.Tensor{
		safetensors.FromFloat32s(prefix+"conv.weight", []int{2}, []float32{v, v}), safetensors.FromFloat32s(prefix+"bn.weight", []int{1}, []float32{v}),
		safetensors.FromInt64s(prefix+"bn.num_batches_tracked", nil, []int64{counter}),
	}, more...)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := safetensors.WriteFile(path, list, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

func linear(base string, models ...string) Recipe {
	r := Recipe{Method: "linear", BaseModel: Ref(base), Parameters: Parameters{}}
	for _, m := range models {
		r.Models = append(r.Models, Source{Model: Ref(m), Parameters: Parameters{"weight": Number(1)}})
	}
	return r
}

// The same network with a prefix before all its names is the same network, whichever model has it; counters are not merged.
func TestPrefixes(t *testing.T) {
	for _, prefix := range []string{"module.", "transformer.", "model.", "_orig_mod.module."} {
		for _, c := range [][2]string{{"", prefix}, {prefix, ""}, {prefix, prefix}} {
			a, b := named(t, c[0], 1, 10), named(t, c[1], 3, 20)
			out := filepath.Join(t.TempDir(), "out.safetensors")
			p, err := NewPlan(linear("", a, b), Options{Out: out})
			if err != nil {
				t.Errorf("%q: %v", c, err)
				continue
			}
			_, err = p.Execute(t.Context(), nil)
			_ = p.Close()
			if err != nil {
				t.Errorf("%q: %v", c, err)
				continue
			}
			f, err := weights.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			got, count := make([]float32, 2), make([]byte, 8)
			if err := f.ReadFloat32s(c[0]+"conv.weight", 0, got); err != nil || got[0] != 2 || len(f.Tensors()) != 3 {
				t.Errorf("%q: %v of %v (%v)", c, got, f.Tensors(), err)
			}
			if err := f.ReadBytes(c[0]+"bn.num_batches_tracked", 0, count); err != nil || count[0] != 10 {
				t.Errorf("%q: the counter is %v (%v)", c, count, err)
			}
			_ = f.Close()
			notes := strings.Join(p.Notes, "\n")
			if differ := c[0] != c[1]; (strings.Contains(notes, "begin with "+prefix) || strings.Contains(notes, "lack "+prefix)) != differ || !strings.Contains(notes, "counters of batches") {
				t.Errorf("%q: notes are %s", c, notes)
			}

			d, err := Diff(t.Context(), a, b)
			if err != nil || len(d.Tensors) != 3 || len(d.First)+len(d.Second) != 0 || (len(d.Notes) > 0) != (c[0] != c[1]) {
				t.Errorf("%q: diff is %+v (%v)", c, d, err)
			}
		}
	}
}

// Buffers that networks compute may be missing anywhere, and that is said.
func TestComputedBuffersAreOptional(t *testing.T) {
	mask := safetensors.FromFloat32s("h.0.attn.bias", []int{1, 1, 2, 2}, []float32{1, 0, 1, 1})
	ids := safetensors.FromInt64s("embeddings.position_ids", []int{1, 2}, []int64{0, 1})
	for _, c := range [][2]string{{named(t, "", 1, 1, mask, ids), named(t, "", 3, 1)}, {named(t, "", 1, 1), named(t, "", 3, 1, mask, ids)}} {
		p, err := NewPlan(linear("", c[0], c[1]), Options{Out: filepath.Join(t.TempDir(), "out.safetensors")})
		if err != nil {
			t.Error(err)
			continue
		}
		notes := strings.Join(p.Notes, "\n")
		if p.Tensors != 3 || !strings.Contains(notes, "h.0.attn.bias is left out") || !strings.Contains(notes, "embeddings.position_ids is left out") {
			t.Errorf("%d tensors, notes %s", p.Tensors, notes)
		}
		_ = p.Close()
	}
}

// What no merge can be is refused by name, before anything is written.
func TestRefusesWhatIsNoModel(t *testing.T) {
	dir := t.TempDir()
	lora := filepath.Join(dir, "adapter_model.safetensors")
	factors := []safetensors.Tensor{safetensors.FromFloat32s("base_model.model.conv.lora_A.weight", []int{1}, []float32{1})}
	if err := safetensors.WriteFile(lora, factors, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(`{"base_model_name_or_path": "someone/net"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.safetensors")
	if err := safetensors.WriteFile(other, []safetensors.Tensor{safetensors.FromFloat32s("x", []int{1}, []float32{1})}, nil); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		models  []string
		missing string
	}{
		"it is an adapter, not a model": {[]string{named(t, "", 1, 1), dir}, ""},
		"union merges nothing":          {[]string{named(t, "", 1, 1), other}, Union},
		"the tensor is missing":         {[]string{named(t, "", 1, 1), other}, ""},
	} {
		out := filepath.Join(t.TempDir(), "out")
		p, err := NewPlan(linear("", c.models...), Options{Out: out, AllowMissing: c.missing})
		if err == nil {
			_ = p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}

// A model may be named otherwise than by its path.
func TestFind(t *testing.T) {
	a, b := named(t, "", 1, 1), named(t, "", 3, 1)
	find := func(name string) (string, error) { return map[string]string{"one": a, "two": b}[name], nil }
	p, err := NewPlan(linear("", "one", "two"), Options{Out: filepath.Join(t.TempDir(), "out"), Find: find})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Inputs) != 2 || p.Inputs[0].Path != a {
		t.Errorf("inputs are %+v", p.Inputs)
	}
	_ = p.Close()
}
