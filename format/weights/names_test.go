package weights_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

func TestPrefix(t *testing.T) {
	plain := []string{"wte.weight", "h.0.ln.weight", "h.1.ln.weight", "ln_f.weight"}
	before := func(prefix string, names ...string) []string {
		out := slices.Clone(names)
		for i := range out {
			out[i] = prefix + out[i]
		}
		return out
	}
	for _, prefix := range []string{"module.", "transformer.", "model.", "_orig_mod.", "_orig_mod.module.", "base_model.model.", "net.encoder.", "bert."} {
		if got, ok := weights.Prefix(before(prefix, plain...), plain); !ok || got != prefix {
			t.Errorf("%s: got %q, %v", prefix, got, ok)
		}
		if got, ok := weights.Prefix(append(before(prefix, plain...), "lm_head.weight"), append(slices.Clone(plain), "h.0.attn.bias")); !ok || got != prefix {
			t.Errorf("%s with a head: got %q, %v", prefix, got, ok)
		}
	}
	for name, c := range map[string][2][]string{
		"the same":          {plain, plain},
		"nothing in common": {{"a.x", "b.y"}, plain},
		"two of them":       {append(before("student.", plain...), before("teacher.", plain...)...), plain},
		"both with it":      {append(before("a.", plain...), plain...), plain},
		"a name alone":      {{"a.ln_f.weight", "b.c", "d.e", "f.g"}, plain},
		"the other way":     {plain, before("module.", plain...)},
		"none":              {nil, plain},
		"no reference":      {plain, nil},
	} {
		if got, ok := weights.Prefix(c[0], c[1]); ok {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestLike(t *testing.T) {
	plain := weights.Set{{Name: "a.w"}, {Name: "a.b"}}
	parallel := weights.Set{{Name: "module.a.w"}, {Name: "module.a.b"}}
	other := weights.Set{{Name: "x"}, {Name: "y"}}
	for i, c := range [][3]weights.Set{{parallel, plain, plain}, {plain, parallel, parallel}, {plain, plain, plain}, {other, plain, other}} {
		if got := c[0].Like(c[1]).Names(); !slices.Equal(got, c[2].Names()) {
			t.Errorf("%d: got %v, want %v", i, got, c[2].Names())
		}
	}
}

func TestRenamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := safetensors.WriteFile(path, []safetensors.Tensor{floats("module.w", []int{2}, 1, 2), floats("head", []int{1}, 3)}, nil); err != nil {
		t.Fatal(err)
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	bare := weights.Without(f, "module.")
	back := weights.With(bare, "module.", []string{"module.w"})
	for name, view := range map[string]weights.File{"w": bare, "module.w": back} {
		got := make([]float32, 2)
		if err := view.ReadFloat32s(name, 0, got); err != nil || !slices.Equal(got, []float32{1, 2}) {
			t.Errorf("%s: %v (%v)", name, got, err)
		}
		if info, ok := view.Info(name); !ok || info.Name != name || len(view.Tensors()) != 2 {
			t.Errorf("%s: %+v", name, info)
		}
		if _, ok := view.Info("head"); !ok {
			t.Errorf("%s: the head is missing", name)
		}
		if err := view.ReadBytes(name, 0, make([]byte, 8)); err != nil {
			t.Error(err)
		}
		if files := weights.Files(view); !slices.Equal(files, []string{path}) {
			t.Errorf("files are %v", files)
		}
	}
	if err := bare.ReadFloat32s("module.w", 0, nil); err == nil {
		t.Error("a name that is not shown is read")
	}
	if _, apart := weights.Rename(f, func(string) string { return "w" }); apart {
		t.Error("two tensors of one name are apart")
	}
	if _, apart := weights.Rename(f, strings.ToUpper); !apart {
		t.Error("tensors of two names are not apart")
	}
}

func TestIsComputed(t *testing.T) {
	for name, c := range map[string]struct {
		shape []int
		want  bool
	}{
		"model.layers.0.self_attn.rotary_emb.inv_freq": {[]int{4}, true}, "embeddings.position_ids": {[]int{1, 512}, true}, "position_ids": {[]int{1, 512}, true},
		"h.0.attn.bias": {[]int{1, 1, 32, 32}, true}, "h.0.attn.masked_bias": {nil, true}, "blocks.0.attn.bias": {[]int{8}, false},
		"h.0.attn.c_attn.bias": {[]int{1, 1, 2, 2}, false}, "x.inv_freq_weight": {[]int{4}, false},
	} {
		if got := weights.IsComputed(weights.Info{Name: name, Shape: c.shape}); got != c.want {
			t.Errorf("%s %v: %v", name, c.shape, got)
		}
	}
}

// A folder is opened by the file that holds the weights, whatever a trainer left beside it, and what is not read is said.
func TestFolders(t *testing.T) {
	one := []safetensors.Tensor{floats("w", []int{1}, 1)}
	write := func(dir string, names ...string) {
		t.Helper()
		for _, name := range names {
			var err error
			switch {
			case strings.HasSuffix(name, ".safetensors"):
				err = safetensors.WriteFile(filepath.Join(dir, name), one, nil)
			case strings.Contains(name, "pytorch") || strings.HasSuffix(name, ".pt") || strings.HasSuffix(name, ".pth") || strings.HasSuffix(name, ".bin"):
				var data []byte
				if data, err = os.ReadFile("../pytorch/testdata/old.pth"); err == nil {
					err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
				}
			default:
				err = os.WriteFile(filepath.Join(dir, name), []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		files       []string
		opens, says string
	}{
		"a trainer's":      {[]string{"pytorch_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"}, "pytorch_model.bin", ""},
		"another name":     {[]string{"weights.pth", "optimizer.bin", "rng_state_0.pth"}, "weights.pth", ""},
		"both":             {[]string{"model.safetensors", "pytorch_model.bin"}, "model.safetensors", "pytorch_model.bin lies beside the model and is not read"},
		"another part":     {[]string{"model.safetensors", "model-mtp.safetensors"}, "model.safetensors", "model-mtp.safetensors lies beside the model and is not read, with 1 tensors: w"},
		"diffusion":        {[]string{"diffusion_pytorch_model.safetensors"}, "diffusion_pytorch_model.safetensors", ""},
		"an adapter alone": {[]string{"adapter_model.safetensors", "training_args.bin"}, "adapter_model.safetensors", ""},
		"an adapter":       {[]string{"model.safetensors", "adapter_model.safetensors"}, "model.safetensors", "an adapter lies beside the model"},
		"parts":            {[]string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}, "", "whose index is missing"},
		"two":              {[]string{"a.safetensors", "b.safetensors"}, "", "holds 2 model files"},
		"a pointer":        {[]string{"model.gguf"}, "", "Git LFS pointer to 12345 bytes"},
	} {
		dir := t.TempDir()
		write(dir, c.files...)
		f, err := weights.Open(dir)
		if c.opens == "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		notes := strings.Join(weights.Notes(f), "\n")
		if filepath.Base(f.Path()) != c.opens || c.says != "" && !strings.Contains(notes, c.says) || c.says == "" && strings.Contains(notes, "beside") {
			t.Errorf("%s: opens %s, notes %q", name, f.Path(), notes)
		}
		_ = f.Close()
	}

	// One part by its own name.
	dir := t.TempDir()
	write(dir, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
	f, err := weights.Open(filepath.Join(dir, "model-00001-of-00002.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if notes := weights.Notes(f); len(notes) != 1 || !strings.Contains(notes[0], "one of 2 files of a model") {
		t.Errorf("notes are %v", notes)
	}
}

// A pointer of Git LFS and an empty file say what they are, under every name.
func TestUnfetched(t *testing.T) {
	for _, name := range []string{
		"model.safetensors", "model.gguf", "model.onnx", "model.pth", "pytorch_model.bin", "model.npz", "model.npy", "model.json", "model.safetensors.index.json",
		"pytorch_model.bin.index.json", "consolidated.00.pth",
	} {
		for text, want := range map[string]string{
			"": "the file is empty", "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4081004224\n": "it is a Git LFS pointer to 4081004224 bytes",
		} {
			dir := t.TempDir()
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, at := range []string{path, dir} {
				if at == dir && strings.HasSuffix(name, ".json") && name == "model.json" {
					continue // a folder's JSON may be anything
				}
				if _, err := weights.Open(at); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: got %v, want %q", at, err, want)
				}
			}
		}
	}
}
