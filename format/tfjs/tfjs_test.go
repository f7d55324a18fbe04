package tfjs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const manifest = `{"format": "layers-model", "generatedBy": "keras v2", "convertedBy": null, "modelTopology": {"a": [1, 2]}, "weightsManifest": [
 {"paths": ["one.bin", "more/two.bin"], "weights": [
  {"name": "dense/kernel", "shape": [2, 2], "dtype": "float32"},
  {"name": "dense/bias", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1, "original_dtype": "float32"}},
  {"name": "count", "shape": [], "dtype": "int32", "quantization": {"dtype": "uint16", "scale": 0.1, "min": 3}}]},
 {"paths": ["three.bin"], "weights": [
  {"name": "words", "shape": [2], "dtype": "string"},
  {"name": "half", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
  {"name": "mask", "shape": [3], "dtype": "bool"}]}]}`

// shards are the bytes that the manifest asks for; the kernel crosses from the first file into the second.
func shards(t testing.TB) map[string][]byte {
	t.Helper()
	one, err := binary.Append(nil, binary.LittleEndian, []float32{1, -2, 3.5, 4})
	if err != nil {
		t.Fatal(err)
	}
	one = append(one, 0, 255, 44, 1)
	return map[string][]byte{"one.bin": one[:13], "more/two.bin": one[13:],
		"three.bin": {2, 0, 0, 0, 'h', 'i', 0, 0, 0, 0, 0, 0x3c, 1, 0, 1, 0, 1}}
}

// folder writes a model and returns the path of its manifest.
func folder(t testing.TB, manifest string, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, ManifestFile)
	if err := os.WriteFile(path, []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	path := folder(t, manifest, shards(t))
	for _, path := range []string{path, filepath.Dir(path)} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][]float32{
			"dense/kernel": {1, -2, 3.5, 4}, "dense/bias": {-1, 126.5}, "count": {33}, "half": {1, 0x1p-24}, "mask": {1, 0, 1},
		} {
			info, ok := f.Info(name)
			got := make([]float32, info.Elements)
			if err := f.ReadFloat32s(name, 0, got); err != nil || !ok || !slices.Equal(got, want) {
				t.Errorf("%s is %v, want %v (%v)", name, got, want, err)
			}
			one := make([]float32, 1)
			if err := f.ReadFloat32s(name, len(want)-1, one); err != nil || one[0] != want[len(want)-1] {
				t.Errorf("%s ends with %v, want %v (%v)", name, one, want, err)
			}
		}
		if m := f.Metadata(); m["format"] != "layers-model" || m["generatedBy"] != "keras v2" || !f.HasTopology() {
			t.Errorf("metadata is %v", m)
		}
		raw := make([]byte, 6)
		if err := f.ReadBytes("words", 0, raw); err != nil || string(raw[4:]) != "hi" {
			t.Errorf("got %q (%v)", raw, err)
		}
		if err := f.ReadFloat32s("words", 0, make([]float32, 1)); !errors.Is(err, ErrDType) {
			t.Errorf("got %v", err)
		}
		if err := f.ReadFloat32s("mask", 2, make([]float32, 2)); !errors.Is(err, ErrRange) || !strings.Contains(err.Error(), "elements 2 to 4 of 3") {
			t.Errorf("got %v", err)
		}
		if err := f.ReadBytes("kernel", 0, nil); !errors.Is(err, ErrNoTensor) {
			t.Errorf("got %v", err)
		}
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestRefuses(t *testing.T) {
	change := func(old, replacement string) string {
		if !strings.Contains(manifest, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(manifest, old, replacement, 1)
	}
	for name, c := range map[string]struct {
		manifest string
		kind     error
		text     string
	}{
		"parent":        {change("one.bin", "../one.bin"), ErrPath, `model.json: paths: shard lies outside the model's folder: "../one.bin"; paths must be relative and stay in the folder`},
		"absolute":      {change("one.bin", "/etc/passwd"), ErrPath, "/etc/passwd"},
		"link":          {change("one.bin", "link.bin"), ErrPath, "link.bin"},
		"folder":        {change("one.bin", "more"), ErrPath, "it is a folder"},
		"missing shard": {change("three.bin", "four.bin"), ErrShard, `"four.bin"`},
		"used twice":    {change("more/two.bin", "one.bin"), ErrDuplicate, `"one.bin"`},
		"too short":     {change("[2, 2]", "[2, 3]"), ErrSize, "from byte 0 on, the shards of its group have 20"},
		"too long":      {change("[2, 2]", "[2, 1]"), ErrSize, "the weights of group 1 take 12 bytes, its shards have 20"},
		"texts":         {change(`"shape": [2], "dtype": "string"`, `"shape": [9], "dtype": "string"`), ErrSize, "words"},
		"overflow":      {change("[2, 2]", "[4294967296, 4294967296]"), ErrManifest, "more than 2^63 bytes"},
		"negative":      {change("[2, 2]", "[-1]"), ErrManifest, "at least 0"},
		"fraction":      {change("[2, 2]", "[2.0]"), ErrManifest, "got 2.0"},
		"type":          {change(`"dtype": "bool"`, `"dtype": "boolean"`), ErrManifest, `weight "mask": dtype: manifest is not of the right form: unknown type "boolean"`},
		"quantisation":  {change(`"dtype": "uint16"`, `"dtype": "int4"`), ErrManifest, `type "int4", want uint8 or uint16`},
		"no scale":      {change(`"scale": 0.5, `, ""), ErrManifest, "want scale and min"},
		"twice":         {change("dense/bias", "dense/kernel"), ErrDuplicate, `weight "dense/kernel"`},
		"key twice":     {change(`"shape": [2, 2]`, `"shape": [1], "shape": [2, 2]`), ErrManifest, `key "shape" occurs twice`},
		"no manifest":   {`{"format": "x"}`, ErrManifest, "weightsManifest: manifest is not of the right form: it is missing"},
		"no JSON":       {`{"format": `, ErrManifest, "EOF"},
		"after":         {manifest + "x", ErrManifest, "after its end"},
		"number":        {"7", ErrManifest, "neither"},
	} {
		t.Run(name, func(t *testing.T) {
			path := folder(t, c.manifest, shards(t))
			if err := os.Symlink("/etc/hostname", filepath.Join(filepath.Dir(path), "link.bin")); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			var typed *Error
			if !errors.Is(err, c.kind) || !errors.As(err, &typed) || !typed.BadInput() || !strings.Contains(err.Error(), c.text) {
				t.Errorf("want %v with %q, got %v", c.kind, c.text, err)
			}
		})
	}
}

// FuzzManifest reads any manifest beside the same shards: no panic, typed errors, memory within bounds.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(manifest))
	f.Add([]byte(manifest[strings.Index(manifest, "["):]))
	f.Add([]byte(`[{"paths":[],"weights":[{"name":"a","shape":[0],"dtype":"float32"}]}]`))
	files := shards(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file := &File{}
		err := file.read(bytes.NewReader(data), int64(len(data)), func(name string) (io.ReaderAt, int64, error) {
			content, ok := files[name]
			if !ok {
				return nil, 0, os.ErrNotExist
			}
			return bytes.NewReader(content), int64(len(content)), nil
		})
		runtime.ReadMemStats(&after)
		if spent, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+4*len(data)); spent > most {
			t.Fatalf("%d bytes allocated for a file of %d, at most %d", spent, len(data), most)
		}
		if err != nil {
			if typed := new(Error); !errors.As(err, &typed) {
				t.Fatalf("want *Error, got %T: %v", err, err)
			}
			return
		}
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			raw := make([]byte, info.Bytes)
			if err := file.ReadBytes(name, 0, raw); err != nil {
				t.Fatal(err)
			}
			values := make([]float32, min(info.Elements, 1<<10))
			if err := file.ReadFloat32s(name, 0, values); err != nil && !errors.Is(err, ErrDType) {
				t.Fatal(err)
			}
		}
	})
}

func Example() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "group1-shard1of1.bin"), binary.LittleEndian.AppendUint32(nil, math.Float32bits(2.5)), 0o644),
		os.WriteFile(filepath.Join(dir, "model.json"), []byte(`{"weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": [{"name": "scale", "shape": [], "dtype": "float32"}]}]}`), 0o644))
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	value := make([]float32, 1)
	err = f.ReadFloat32s("scale", 0, value)
	fmt.Println(f.Names(), value, err)
	// Output: [scale] [2.5] <nil>
}
