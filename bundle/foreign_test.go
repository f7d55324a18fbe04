package bundle_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
)

// A foreign model is opened as what it is: the error names kind, architecture, what is missing and the fix.
func TestOpenForeign(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	named := func(names ...string) (list []safetensors.Tensor) {
		for _, name := range names {
			list = append(list, safetensors.FromFloat32s(name, []int{2}, []float32{1, 2}))
		}
		return list
	}
	raw := binary.LittleEndian.AppendUint32(nil, 0)
	err := errors.Join(
		os.Mkdir(path("folder"), 0o755), os.Mkdir(path("shards"), 0o755), os.Mkdir(path("web"), 0o755),
		safetensors.WriteFile(path("folder/model.safetensors"), named("a"), nil),
		os.WriteFile(path("folder/config.json"), []byte(`{"architectures": ["BertModel"], "model_type": "bert"}`), 0o644),
		os.WriteFile(path("folder/tokenizer.json"), []byte(`{}`), 0o644),
		os.WriteFile(path("folder/README.md"), []byte("---\nlicense: mit\n---\n"), 0o644),
		safetensors.WriteSharded(path("shards"), named("model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.gate_proj.weight"), nil, 8),
		npy.WriteArchiveFile(path("x.npz"), []npy.Member{{Name: "w", DType: npy.Float32, Open: func() (io.Reader, error) { return bytes.NewReader(raw), nil }}}, false),
		os.WriteFile(path("web/s.bin"), raw, 0o644),
		os.WriteFile(path("web/model.json"), []byte(`{"weightsManifest":[{"paths":["s.bin"],"weights":[{"name":"w","shape":[],"dtype":"float32"}]}]}`), 0o644),
		os.WriteFile(path("text"), []byte("hello"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"folder": "folder: this is a safetensors file (BertModel) of 1 tensors and 2 parameters, not a Ballast bundle; for running it there is missing: " +
			`the network as a part of a bundle, the shape of its input, its preprocessing and labels; "ballast inspect `,
		"folder/model.safetensors": "a safetensors file (BertModel)",
		"shards":                   "a safetensors model in shards (llama) of 2 tensors and 4 parameters",
		"x.npz":                    "an archive of NumPy arrays of 1 tensors",
		"web":                      "a TensorFlow.js model of 1 tensors",
	} {
		_, err := bundle.Open(path(name))
		var foreign *bundle.ForeignError
		if !errors.As(err, &foreign) || !foreign.BadInput() || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", name, want, err)
		}
	}
	_, err = bundle.Open("../format/pytorch/testdata/old.pth")
	var foreign *bundle.ForeignError
	if !errors.As(err, &foreign) || foreign.Kind != weights.PyTorch || foreign.Types["float32"] != 3 {
		t.Errorf("got %v", err)
	}
	if _, err := bundle.Open("../format/pytorch/testdata/calls.pt"); err == nil || !strings.Contains(err.Error(), "posix.system") {
		t.Errorf("got %v", err)
	}
	if _, err := bundle.Open(path("text")); !errors.Is(err, weights.ErrKind) || !strings.Contains(err.Error(), `it begins with "hello"`) {
		t.Errorf("got %v", err)
	}

	in, err := bundle.Inspect(t.Context(), path("shards"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Files) != 3 || len(in.List) != 2 || in.Runs || in.Because != "tensor model.layers.0.self_attn.q_proj.weight" || len(in.Files[1].SHA256) != 64 {
		t.Errorf("inspection is %+v", in)
	}
	in, err = bundle.Inspect(t.Context(), path("folder"), nil)
	if err != nil || !slices.Equal(in.Companions, []string{"config.json", "README.md", "tokenizer.json"}) || in.Licence != "mit" || in.Architecture != "BertModel" {
		t.Errorf("inspection is %+v (%v)", in, err)
	}
	in, err = bundle.Inspect(t.Context(), path("web"), nil)
	if err != nil || len(in.Files) != 2 || filepath.Base(in.Files[1].Path) != "s.bin" || in.Files[1].SHA256 != "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119" {
		t.Errorf("inspection is %+v (%v)", in, err)
	}
}

func TestInspectBundle(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := digits(t).Save(dir); err != nil {
		t.Fatal(err)
	}
	var seen int64
	in, err := bundle.Inspect(t.Context(), dir, func(done, _ int64) { seen = done })
	if err != nil {
		t.Fatal(err)
	}
	if in.Kind != bundle.KindBundle || !in.Runs || in.Architecture != "mlp" || in.Bundle.Name != "test" || len(in.Missing) != 0 || seen != in.Files[0].Bytes {
		t.Errorf("inspection is %+v", in)
	}
	if _, err := json.Marshal(in); err != nil {
		t.Error(err)
	}
	if _, err := bundle.Inspect(t.Context(), filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
