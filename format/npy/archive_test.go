package npy

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// member makes a member of values.
func member[T Element](name string, shape []int, values []T) Member {
	data, err := binary.Append(nil, binary.LittleEndian, values)
	return Member{Name: name, DType: dtypeOf[T](), Shape: shape, Open: func() (io.Reader, error) { return bytes.NewReader(data), err }}
}

func parseArchive(data []byte) (*Archive, error) {
	return NewArchive(bytes.NewReader(data), int64(len(data)))
}

// What is written is read in whole and in stretches, stored or compressed, and written to the same bytes again.
func TestArchiveRoundTrip(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		values := rapid.SliceOfN(rapid.Float32(), 0, 50).Draw(r, "values")
		labels := rapid.SliceOfN(rapid.Int64(), 1, 20).Draw(r, "labels")
		compressed := rapid.Bool().Draw(r, "compressed")
		members := []Member{member("layer.0/weight", []int{len(values), 1}, values), member("labels", []int{len(labels)}, labels), member("scalar", nil, []uint8{7})}
		path := filepath.Join(dir, "x.npz")
		if err := WriteArchiveFile(path, members, compressed); err != nil {
			r.Fatal(err)
		}
		a, err := OpenArchive(path)
		if err != nil {
			r.Fatal(err)
		}
		defer a.Close() //nolint:errcheck // it was only read
		if !slices.Equal(a.Names(), []string{"layer.0/weight", "labels", "scalar"}) || len(a.Others()) != 0 || a.Compressed("labels") != compressed {
			r.Fatalf("names are %v", a.Names())
		}
		array := a.Array("layer.0/weight")
		got, err := array.Float32s()
		if err != nil || !slices.Equal(array.Shape, []int{len(values), 1}) || !slices.Equal(got, values) {
			r.Fatalf("%v %v, want %v (%v)", array.Shape, got, values, err)
		}
		back, err := a.Array("labels").Int64s()
		if err != nil || !slices.Equal(back, labels) {
			r.Fatalf("%v, want %v (%v)", back, labels, err)
		}
		from := rapid.IntRange(0, 8*len(labels)).Draw(r, "from")
		raw := make([]byte, 8*len(labels)-from)
		want, err2 := binary.Append(nil, binary.LittleEndian, labels)
		if err := a.Array("labels").ReadRaw(raw, int64(from)); err != nil || err2 != nil || !bytes.Equal(raw, want[from:]) {
			r.Fatalf("%v, want %v (%v)", raw, want[from:], err)
		}
		var one, two bytes.Buffer
		if err := errors.Join(WriteArchive(&one, members, compressed), WriteArchive(&two, members, compressed)); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			r.Fatalf("two writes differ (%v)", err)
		}
	})
}

// An entry in Fortran order inside an archive, stored and compressed.
func TestArchiveFortran(t *testing.T) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.CreateHeader(&zip.FileHeader{Name: "a.npy", Method: method})
		if err == nil {
			_, err = w.Write(file(dict(">i2", "True", "(2, 3)"), 0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6))
		}
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		a, err := parseArchive(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Array("a").Int64s()
		if err != nil || !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%v (%v)", got, err)
		}
	}
}

func TestArchiveRefuses(t *testing.T) {
	pack := func(method uint16, entries ...string) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i := 0; i < len(entries); i += 2 {
			w, err := z.CreateHeader(&zip.FileHeader{Name: entries[i], Method: method})
			if err == nil {
				_, err = io.WriteString(w, entries[i+1])
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
	good := string(file(dict("<f4", "False", "(1,)"), 0, 0, 0, 0))
	for name, c := range map[string]struct {
		file []byte
		kind error
		text string
	}{
		"no archive": {[]byte("PK\x03\x04"), ErrArchive, "it has no list of its entries"},
		"twice":      {pack(zip.Store, "a.npy", good, "a.npy", good), ErrArchive, `"a.npy": archive is not of the right form: name occurs twice`},
		"objects":    {pack(zip.Store, "a.npy", string(file(dict("|O", "False", "(1,)"), 1))), ErrObject, "npy: a.npy: "},
		"no array":   {pack(zip.Deflate, "a.npy", "hello, this is no array"), ErrMagic, "npy: a.npy: magic"},
		"cut":        {pack(zip.Deflate, "a.npy", good[:len(good)-1]), ErrTruncated, "a.npy: data"},
	} {
		_, err := parseArchive(c.file)
		var typed *Error
		if !errors.Is(err, c.kind) || !errors.As(err, &typed) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: want %v with %q, got %v", name, c.kind, c.text, err)
		}
	}
	a, err := parseArchive(pack(zip.Store, "a.npy", good, "readme.txt", "x"))
	if err != nil || !slices.Equal(a.Others(), []string{"readme.txt"}) {
		t.Errorf("%v (%v)", a, err)
	}
	for want, m := range map[string]Member{
		"no type":       {Name: "a", DType: "bfloat16", Open: func() (io.Reader, error) { return nil, nil }},
		"shape [-1]":    {Name: "a", DType: Int8, Shape: []int{-1}},
		"takes 2 bytes": {Name: "a", DType: Int8, Shape: []int{2}, Open: func() (io.Reader, error) { return strings.NewReader("x"), nil }},
		"gives 3":       {Name: "a", DType: Int8, Shape: []int{2}, Open: func() (io.Reader, error) { return strings.NewReader("xyz..."), nil }},
		"empty":         {Name: "", DType: Int8},
	} {
		if err := WriteArchive(io.Discard, []Member{m}, false); !errors.Is(err, ErrWrite) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// FuzzArchive reads anything: no panic, typed errors, and memory within 64 MB and four times the file.
func FuzzArchive(f *testing.F) {
	for _, compressed := range []bool{false, true} {
		var b bytes.Buffer
		if err := WriteArchive(&b, []Member{member("a", []int{2, 2}, []float32{1, 2, 3, 4}), member("b", []int{3}, []int16{1, 2, 3})}, compressed); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a, err := parseArchive(data)
		if err == nil {
			piece := make([]float32, 1000)
			for _, name := range a.Names() {
				array := a.Array(name)
				n := min(array.Len(), len(piece))
				_ = array.ReadFloat32s(piece[:n], array.Len()-n) // what is packed may turn out to be damaged
			}
		}
		runtime.ReadMemStats(&after)
		if spent, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+4*len(data)); spent > most {
			t.Fatalf("%d bytes allocated for a file of %d, at most %d", spent, len(data), most)
		}
		if err != nil {
			if typed := new(Error); !errors.As(err, &typed) {
				t.Fatalf("want *Error, got %T: %v", err, err)
			}
		}
	})
}

func ExampleWriteArchive() {
	data := []byte{0, 0, 128, 63, 0, 0, 0, 64} // 1 and 2
	var file bytes.Buffer
	err := WriteArchive(&file, []Member{{Name: "bias", DType: Float32, Shape: []int{2}, Open: func() (io.Reader, error) { return bytes.NewReader(data), nil }}}, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := NewArchive(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	values, err := a.Array("bias").Float32s()
	fmt.Println(a.Names(), values, err)
	// Output: [bias] [1 2] <nil>
}
