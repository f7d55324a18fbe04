package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"strings"
	"testing"
)

func idx(magic uint32, dims []uint32, values []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	head := binary.BigEndian.AppendUint32(nil, magic)
	for _, d := range dims {
		head = binary.BigEndian.AppendUint32(head, d)
	}
	if _, err := z.Write(append(head, values...)); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestReadIDX(t *testing.T) {
	whole := idx(0x803, []uint32{2, 1, 2}, []byte{1, 2, 3, 4})
	values, dims, err := readIDX(bytes.NewReader(whole), 2, 1, 2)
	if err != nil || !bytes.Equal(values, []byte{1, 2, 3, 4}) || len(dims) != 3 {
		t.Errorf("got %v, %v, %v", values, dims, err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"no gzip":     {[]byte("text"), "gzip"},
		"cut gzip":    {whole[:len(whole)-12], ""},
		"wrong magic": {idx(0x802, []uint32{2, 1}, make([]byte, 8)), "magic"},
		"wrong axis":  {idx(0x803, []uint32{3, 1, 2}, make([]byte, 6)), "3"},
		"too short":   {idx(0x803, []uint32{2, 1, 2}, make([]byte, 3)), "want 20 bytes, got 19"},
		"too long":    {idx(0x803, []uint32{2, 1, 2}, make([]byte, 5)), "want 20 bytes, got more"},
		"no axes":     {idx(0x803, nil, nil), ""},
		"empty":       {nil, ""},
	} {
		if _, _, err := readIDX(bytes.NewReader(c.file), 2, 1, 2); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(idx(0x803, []uint32{2, 1, 2}, []byte{1, 2, 3, 4}))
	f.Add(idx(0x803, []uint32{1 << 31, 1 << 31, 2}, nil))
	f.Add(idx(0x803, []uint32{2, 1, 2}, make([]byte, 9)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		values, dims, err := readIDX(bytes.NewReader(file), 0, 0, 0)
		if err == nil && len(values) != dims[0]*dims[1]*dims[2] {
			t.Errorf("%d values for %v", len(values), dims)
		}
	})
}
