package gguf_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/gguf"
)

// writeParts writes a model in parts as programs do: part i holds tensors named after it, the first has the model's keys.
func writeParts(t *testing.T, dir string, tensors ...[]string) (paths []string) {
	t.Helper()
	total := 0
	for _, names := range tensors {
		total += len(names)
	}
	for i, names := range tensors {
		keys := []gguf.KeyValue{{Key: gguf.SplitNumberKey, Value: uint16(i)}, {Key: gguf.SplitCountKey, Value: uint16(len(tensors))}, {Key: gguf.SplitTensorsKey, Value: int32(total)}}
		if i == 0 {
			keys = append([]gguf.KeyValue{{Key: "general.architecture", Value: "llama"}}, keys...)
		}
		var list []gguf.Tensor
		for _, name := range names {
			tensor, err := gguf.FromFloat32s(name, gguf.F32, []int{2}, []float32{float32(i), float32(len(name))})
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, tensor)
		}
		path := filepath.Join(dir, fmt.Sprintf("m-%05d-of-%05d.gguf", i+1, len(tensors)))
		if err := gguf.WriteFile(path, keys, list); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// A model in parts is the same whichever part is named, with all tensors, also where the first part has none.
func TestSplit(t *testing.T) {
	for _, tensors := range [][][]string{{{"a", "bb"}, {"ccc"}, {"d"}}, {{}, {"a", "bb", "ccc"}}} {
		paths := writeParts(t, t.TempDir(), tensors...)
		for _, path := range paths {
			s, err := gguf.OpenSplit(path)
			if err != nil {
				t.Fatal(err)
			}
			if want := slices.Concat(tensors...); !slices.Equal(s.Names(), want) || !slices.Equal(s.Paths(), paths) {
				t.Errorf("%s holds %v in %v, want %v", path, s.Names(), s.Paths(), want)
			}
			if name, err := s.Text("general.architecture"); err != nil || name != "llama" {
				t.Errorf("%q (%v)", name, err)
			}
			for i, names := range tensors {
				for _, name := range names {
					var got [2]float32
					raw := make([]byte, 8)
					if err := errors.Join(s.ReadFloat32s(name, 0, got[:]), s.ReadBytes(name, 0, raw)); err != nil || got != [2]float32{float32(i), float32(len(name))} {
						t.Errorf("%s is %v (%v)", name, got, err)
					}
					if info, ok := s.Info(name); !ok || info.Elements != 2 {
						t.Errorf("%s: %+v", name, info)
					}
				}
			}
			if err := s.ReadFloat32s("none", 0, nil); !errors.Is(err, gguf.ErrNoTensor) {
				t.Errorf("got %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is not all of a model is refused, and says what is missing.
func TestSplitRefused(t *testing.T) {
	for want, spoil := range map[string]func(dir string, paths []string) (open string, err error){
		"1 of its 3 parts are missing: m-00002-of-00003.gguf; put all parts into one folder": func(_ string, paths []string) (string, error) {
			return paths[2], os.Remove(paths[1])
		},
		"this is part 1 of 3, and the names of the others cannot be derived from its name": func(dir string, paths []string) (string, error) {
			return filepath.Join(dir, "x.gguf"), os.Rename(paths[0], filepath.Join(dir, "x.gguf"))
		},
		"it is part 2 of 3 by its keys, and 00001 of 00003 by its name": func(_ string, paths []string) (string, error) {
			return paths[0], errors.Join(os.Remove(paths[0]), os.Rename(paths[1], paths[0]))
		},
		`key "split.no": model is in several files: 0, by its name 1`: func(_ string, paths []string) (string, error) {
			data, err := os.ReadFile(paths[0])
			return paths[0], errors.Join(err, os.WriteFile(paths[1], data, 0o644))
		},
		`key "split.tensors.count": model is in several files: 4, its 3 parts hold 3`: func(dir string, paths []string) (string, error) {
			other := filepath.Join(dir, "other")
			err := os.Mkdir(other, 0o755)
			return paths[0], errors.Join(err, os.Rename(writeParts(t, other, []string{"x"}, []string{"ccc"}, []string{})[2], paths[2]))
		},
		`tensor "a": name occurs twice: it is in m-00001-of-00003.gguf too`: func(dir string, paths []string) (string, error) {
			other := filepath.Join(dir, "other")
			err := os.Mkdir(other, 0o755)
			return paths[0], errors.Join(err, os.Rename(writeParts(t, other, []string{"x"}, []string{"a"}, []string{"y"})[1], paths[1]))
		},
	} {
		dir := t.TempDir()
		open, err := spoil(dir, writeParts(t, dir, []string{"a", "bb"}, []string{"ccc"}, []string{"d"}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gguf.OpenSplit(open); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "one.gguf")
	if err := gguf.WriteFile(path, []gguf.KeyValue{{Key: gguf.SplitCountKey, Value: "two"}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := gguf.OpenSplit(path); !errors.Is(err, gguf.ErrKey) {
		t.Errorf("got %v", err)
	}
}
