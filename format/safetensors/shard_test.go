package safetensors

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// model writes two shards with an index and returns the folder.
func model(t *testing.T) (dir string, tensors []Tensor) {
	t.Helper()
	tensors = []Tensor{
		FromFloat32s("b", []int{2}, []float32{1, 2}),
		FromFloat32s("a", []int{2}, []float32{3, 4}),
		FromFloat32s("large", []int{5}, []float32{5, 6, 7, 8, 9}),
		FromInt32s("n", nil, []int32{-1}),
	}
	dir = filepath.Join(t.TempDir(), "models--x", "snapshots", "0123")
	if err := WriteSharded(dir, tensors, map[string]string{"format": "pt"}, 16); err != nil {
		t.Fatal(err)
	}
	return dir, tensors
}

func TestWriteSharded(t *testing.T) {
	dir, tensors := model(t)
	m, err := OpenSharded(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "large", "n"}; !slices.Equal(m.Names(), want) || len(m.shards) != 3 || len(m.Warnings) != 0 {
		t.Errorf("want %v in 3 shards, got %v in %d, %v", want, m.Names(), len(m.shards), m.Warnings)
	}
	for _, want := range tensors {
		got, err := m.Bytes(want.Name)
		if err != nil || !slices.Equal(got, want.Data) {
			t.Errorf("%s: %v %v", want.Name, got, err)
		}
	}
	if m.Metadata()["format"] != "pt" {
		t.Errorf("metadata: %v", m.Metadata())
	}
	if _, err := m.Float32s("none"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("want ErrNoTensor, got %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := WriteSharded(dir, append(tensors, tensors[0]), nil, 16); !errors.Is(err, ErrTensor) {
		t.Errorf("a tensor twice: %v", err)
	}
}

func TestShardedIndex(t *testing.T) {
	dir, _ := model(t)
	const first = "model-00001-of-00003.safetensors"
	cases := []struct {
		name, index string
		kind        error
		text        string
	}{
		{"no map", `{"metadata":{}}`, ErrIndex, "weight_map is missing"},
		{"text after", `{"weight_map":{}}{`, ErrIndex, "want the end"},
		{"map twice", `{"weight_map":{},"weight_map":{}}`, ErrDuplicate, "weight_map"},
		{"number", `{"weight_map":{"a":3}}`, ErrIndex, "want a string"},
		{"absolute", `{"weight_map":{"a":"/etc/passwd"}}`, ErrPath, "/etc/passwd"},
		{"backslash", `{"weight_map":{"a":"..\\x"}}`, ErrPath, "only name files of its own folder"},
		{"drive", `{"weight_map":{"a":"c:x"}}`, ErrPath, "c:x"},
		{"dots", `{"weight_map":{"a":".."}}`, ErrPath, ".."},
		{"missing file", `{"weight_map":{"a":"none.safetensors"}}`, fs.ErrNotExist, "none.safetensors"},
		{"not UTF-8", "{\"weight_map\":{\"\xff\":\"x\"}}", ErrIndex, "not UTF-8"},
		{"other shard", `{"weight_map":{"large":"` + first + `"}}`, ErrMissing, `tensor "large"`},
	}
	for _, c := range cases {
		path := filepath.Join(dir, "case.safetensors.index.json")
		if err := os.WriteFile(path, []byte(c.index), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSharded(path)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: want %v with %q, got %v", c.name, c.kind, c.text, err)
		}
	}
	warned := `{"metadata":{"total_size":8.0,"x":[1]},"weight_map":{"a":"` + first + `"},"other":null}`
	if err := os.WriteFile(filepath.Join(dir, indexName), []byte(warned), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := OpenSharded(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // the test is over
	if len(m.Warnings) != 1 || m.Warnings[0].Field != "weight_map" || !slices.Equal(m.Unmapped, []string{first + ": b"}) {
		t.Errorf("got %v, %v", m.Warnings, m.Unmapped)
	}
}

// A link out of the folder is refused, one into the blobs of a Hugging Face cache is followed.
func TestShardedLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	dir, _ := model(t)
	const first = "model-00001-of-00003.safetensors"
	shard := filepath.Join(dir, first)
	for _, c := range []struct {
		target string
		kind   error
	}{
		{filepath.Join(dir, "other-name"), nil},
		{filepath.Join(filepath.Dir(filepath.Dir(dir)), "blobs", "abcdef"), nil},
		{filepath.Join(filepath.Dir(dir), "secret"), ErrPath},
	} {
		if err := os.MkdirAll(filepath.Dir(c.target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(shard, c.target); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(c.target, shard); err != nil {
			t.Fatal(err)
		}
		m, err := OpenSharded(dir)
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: want %v, got %v", c.target, c.kind, err)
		}
		if err == nil {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := errors.Join(os.Remove(shard), os.Rename(c.target, shard)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenShardedFolder(t *testing.T) {
	if _, err := OpenSharded(t.TempDir()); !errors.Is(err, ErrIndex) || !strings.Contains(err.Error(), "use Open") {
		t.Errorf("empty folder: %v", err)
	}
}

// FuzzIndex reads any index beside one real shard.
func FuzzIndex(f *testing.F) {
	for _, g := range goldens(f) {
		if g.Inputs.Index != "" {
			f.Add(g.Inputs.Index)
		}
	}
	dir := f.TempDir()
	if err := WriteFile(filepath.Join(dir, "model-00001-of-00002.safetensors"), []Tensor{FromFloat32s("a", nil, []float32{1})}, nil); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, index string) {
		m := &Sharded{path: filepath.Join(dir, indexName), shards: map[string]*File{}, of: map[string]string{}}
		total, err := m.parseIndex(index, NewOptions())
		if err == nil {
			err = m.openShards(NewOptions())
		}
		if err == nil {
			err = m.check(total)
		}
		if typed := new(Error); err != nil && !errors.As(err, &typed) {
			t.Errorf("want *Error, got %T %v", err, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
