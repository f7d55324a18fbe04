package convert

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/go-huggingface/hub"
	second "github.com/gomlx/go-huggingface/models/safetensors"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/format/weights"
)

// repository shows a folder to go-huggingface as a repository that it has downloaded before.
func repository(t *testing.T, dir string) *hub.Repo {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := ""
	for _, e := range entries {
		files += fmt.Sprintf(`,{"rfilename": %q}`, e.Name())
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id": "a/b", "sha": "0123", "siblings": [%s]}`, files[1:])
	}))
	t.Cleanup(server.Close)
	cache := t.TempDir()
	snapshots := filepath.Join(cache, "models--a--b", "snapshots")
	if err := errors.Join(os.MkdirAll(snapshots, 0o755), os.Symlink(dir, filepath.Join(snapshots, "0123"))); err != nil {
		t.Fatal(err)
	}
	repo := hub.New("a/b").WithCacheDir(cache).WithEndpoint(server.URL).WithProgressBar(false)
	repo.Verbosity = 0
	return repo
}

// Files that are written here are read by go-huggingface's reader as by our own, bit for bit.
func TestSecondReaderOfSafetensors(t *testing.T) {
	in := modelFolder(t)
	for _, o := range []Options{{To: ToSafetensors}, {To: ToSharded, MaxShard: 100_000}, {To: ToSafetensors, Type: "F16"}, {To: ToSharded, Type: "BF16", MaxShard: 100_000}} {
		out := filepath.Join(t.TempDir(), "out")
		if _, err := Format(t.Context(), in, out, o); err != nil {
			t.Fatal(err)
		}
		ours, err := weights.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close() //nolint:errcheck // it was only read
		theirs, err := second.New(repository(t, out))
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		names := theirs.ListTensorNames()
		if len(names) != len(ours.Tensors()) {
			t.Errorf("%+v: %v", o, names)
		}
		for _, name := range names {
			if name == "eight" { // their library has no 8-bit floats
				continue
			}
			got, err := theirs.GetTensor(nil, name)
			if err != nil {
				t.Fatalf("%+v: %s: %v", o, name, err)
			}
			same(t, ours, name, got.Tensor)
		}
	}
}

// same compares a tensor of another library with ours.
func same(t *testing.T, ours weights.File, name string, theirs *tensors.Tensor) {
	t.Helper()
	info, ok := ours.Info(name)
	raw := make([]byte, info.Bytes)
	if err := ours.ReadBytes(name, 0, raw); err != nil || !ok || !slices.Equal(theirs.Shape().Dimensions, info.Shape) {
		t.Errorf("%s is %v there, %v here (%v)", name, theirs.Shape(), info.Shape, err)
		return
	}
	err := theirs.ConstBytes(func(b []byte) {
		if string(b) != string(raw) {
			t.Errorf("%s differs", name)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
