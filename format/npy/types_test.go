package npy

import (
	"archive/zip"
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bfloat16 is saved by JAX as two bytes without a type.
func TestBFloat16(t *testing.T) {
	a, err := Open("testdata/reports/bf16.npy")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // it was only read
	got, err := a.Float32s()
	if err != nil || a.DType != BFloat16 || !slices.Equal(got, []float32{0, 1, 2, 3}) {
		t.Errorf("%s %v (%v)", a.DType, got, err)
	}
	for order, raw := range map[string][]byte{"<": {0x80, 0xbf}, "|": {0x80, 0xbf}, ">": {0xbf, 0x80}} {
		a, err := Parse(file(dict(order+"V2", "False", "(1,)"), raw...))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Int64s(); err != nil || got[0] != -1 {
			t.Errorf("%s: %v (%v)", order, got, err)
		}
	}
}

// Complex numbers have bytes, each part in its order, and no values.
func TestComplex(t *testing.T) {
	for code, big := range map[string][]byte{"c8": {1, 2, 3, 4, 5, 6, 7, 8}, "c16": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}} {
		a, err := Parse(file(dict(">"+code, "False", "(1,)"), big...))
		if err != nil {
			t.Fatal(err)
		}
		raw, want := make([]byte, len(big)), slices.Clone(big)
		slices.Reverse(want[:len(want)/2])
		slices.Reverse(want[len(want)/2:])
		if err := a.ReadRaw(raw, 0); err != nil || !bytes.Equal(raw, want) {
			t.Errorf("%s: %v, want %v (%v)", code, raw, want, err)
		}
		if _, err := a.Float32s(); !errors.Is(err, ErrDType) || !strings.Contains(err.Error(), "complex") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// One array that cannot be read keeps no other from being read; it is named, with why.
func TestUnreadArrays(t *testing.T) {
	for name, c := range map[string]struct {
		readable, unread string
		kind             error
	}{
		"jax.npz":     {"params/dense/kernel params/dense/bias", "", nil},
		"objects.npz": {"w", "names", ErrObject},
		"strings.npz": {"w", "names", ErrDType},
		"complex.npz": {"w c", "", nil},
		"mixed.npz":   {"f be zero v3 half empty", "", nil},
	} {
		a, err := OpenArchive(filepath.Join("testdata/reports", name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var unread []string
		for _, u := range a.Unread() {
			unread = append(unread, u.Name)
			if !errors.Is(u.Err, c.kind) {
				t.Errorf("%s: %s: %v", name, u.Name, u.Err)
			}
		}
		if strings.Join(a.Names(), " ") != c.readable || strings.Join(unread, " ") != c.unread {
			t.Errorf("%s: %v, and unread %v", name, a.Names(), unread)
		}
		_ = a.Close()
	}

	// Every code of NumPy that is no number of a known type.
	for _, code := range []string{"'<U3'", "'|S4'", "'|O'", "'<M8[ns]'", "'<m8[s]'", "'<f16'", "'<c32'", "'|V1'", "'|V8'", "[('a', '<f4')]", "('<f4', (2,))"} {
		text := strings.Replace(dict("x", "False", "(1,)"), "'x'", code, 1)
		data := zipped(t, map[string][]byte{"a.npy": file(text, 0), "w.npy": file(dict("<i1", "False", "(1,)"), 7)})
		a, err := NewArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", code, err)
			continue
		}
		if got, err := a.Array("w").Int64s(); err != nil || got[0] != 7 || len(a.Unread()) != 1 || a.Unread()[0].Name != "a" {
			t.Errorf("%s: %v, %v (%v)", code, got, a.Unread(), err)
		}
	}
}

// zipped packs entries as they are.
func zipped(t *testing.T, entries map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(entries[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
