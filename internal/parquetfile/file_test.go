package parquetfile_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/parquetfile"
)

type row struct {
	Text string `parquet:"text,plain,zstd"`
	Flat string `parquet:"flat,plain,gzip"`
	N    int32  `parquet:"n"`
}

// written is a file of rows, in groups of four.
func written(t *testing.T, rows []row) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(4), parquet.CreatedBy("test", "1", "1"))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.parquet")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// read reads a column in order, and then its rows from the last to the first.
func read(path, column string) (texts []string, err error) {
	f, err := parquetfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	c, ok := f.Find(column)
	if !ok {
		return nil, os.ErrNotExist
	}
	r, err := f.Reader(c)
	if err != nil {
		return nil, err
	}
	if err := r.Each(func(_ int, v parquet.Value) error { texts = append(texts, v.String()); return nil }); err != nil {
		return nil, err
	}
	for i := f.Rows() - 1; i >= 0; i-- {
		v, err := r.Value(i)
		if err != nil || v.String() != texts[i] {
			return nil, err
		}
	}
	return texts, nil
}

// TestReader reads columns of each kind over several row groups.
func TestReader(t *testing.T) {
	var rows []row
	for i := range 10 {
		rows = append(rows, row{strings.Repeat("a", i), "same", int32(-i)})
	}
	path := put(t, written(t, rows))
	for column, want := range map[string]string{"text": ",a,aa,aaa,aaaa,aaaaa,aaaaaa,aaaaaaa,aaaaaaaa,aaaaaaaaa", "flat": strings.Repeat("same,", 9) + "same", "n": "0,-1,-2,-3,-4,-5,-6,-7,-8,-9"} {
		if got, err := read(path, column); err != nil || strings.Join(got, ",") != want {
			t.Errorf("%s: got %v, %v", column, got, err)
		}
	}
}

// TestRefuses has headers that promise what is not there, which would take memory before it is missed.
func TestRefuses(t *testing.T) {
	whole := written(t, []row{{strings.Repeat("\x00", 1<<20), strings.Repeat("\x00", 1<<20), 1}})
	footer := int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	withFooter := func(footer string) []byte {
		b := append(append([]byte{}, whole[:100]...), footer...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
		return append(b, "PAR1"...)
	}
	// What a page decompresses to, as a zigzag varint of four bytes: 4 bytes of its length and its value.
	size := binary.AppendVarint(nil, 4+1<<20)
	smaller := bytes.ReplaceAll(whole[:len(whole)-footer-8], size, binary.AppendVarint(nil, 1<<20))
	if len(size) != 4 || bytes.Equal(smaller, whole[:len(smaller)]) {
		t.Fatal("the size of the page is not where it is looked for")
	}
	smaller = append(smaller, whole[len(smaller):]...)
	for name, c := range map[string]struct {
		content      []byte
		column, want string
	}{
		"no file":             {[]byte("PAR1 is the mark of a file, and not more"), "", "does not end as one"},
		"short":               {[]byte("PAR1PAR1"), "", "too short"},
		"encrypted":           {append(bytes.Clone(whole[:len(whole)-4]), "PARE"...), "", "it is encrypted"},
		"a footer of 4 GB":    {append(bytes.Clone(whole[:len(whole)-8]), "\xff\xff\xff\xffPAR1"...), "", "its footer has 4294967295 bytes"},
		"a list of 2 billion": {withFooter("\x15\x02\x19\xfc\xff\xff\xff\xff\x07\x00"), "", "2147483647 elements in"},
		"a text of 2 billion": {withFooter("\x15\x02\x48\xff\xff\xff\xff\x07\x00"), "", "2147483647 elements in"},
		"nested without end":  {withFooter(strings.Repeat("\x1c", 5000)), "", "nested too deep"},
		"lists without end":   {withFooter("\x19" + strings.Repeat("\x19", 5000)), "", "nested too deep"},
		"more than zstd says": {smaller, "text", "it decompresses to 1048577 bytes or more, and says 1048576"},
		"more than gzip says": {smaller, "flat", "it decompresses to 1048577 bytes or more, and says 1048576"},
		"a page that is gone": {append(append(bytes.Clone(whole[:4]), make([]byte, len(whole)-footer-12)...), whole[len(whole)-footer-8:]...), "n", "column n: "},
	} {
		path := put(t, c.content)
		_, err := read(path, c.column)
		if !fault.IsInput(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
