package zipread_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// packed is one entry of a test's archive.
type packed struct {
	name   string
	method uint16
	data   []byte
}

// pack writes an archive as Go does: sizes and checksums behind the data.
func pack(entries ...packed) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: e.name, Method: e.method})
		if err == nil {
			_, err = w.Write(e.data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := errors.Join(z.SetComment("a comment"), z.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func open(archive []byte) (*zipread.Archive, error) {
	return zipread.Open(bytes.NewReader(archive), int64(len(archive)))
}

func whole(e *zipread.Entry) ([]byte, error) {
	p := make([]byte, e.Size)
	_, err := e.ReadAt(p, 0)
	return p, err
}

var methods = rapid.SampledFrom([]uint16{zip.Store, zip.Deflate})

// What archive/zip writes is read, in whole and in stretches of any order, whatever lies before the archive.
func TestReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []packed
		for i := range rapid.IntRange(0, 4).Draw(t, "entries") {
			data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
			data = bytes.Repeat(data, rapid.SampledFrom([]int{1, 1000}).Draw(t, "times"))
			want = append(want, packed{fmt.Sprintf("%d%s", i, rapid.StringMatching(`[a-zä]{0,9}`).Draw(t, "name")), methods.Draw(t, "method"), data})
		}
		archive := append(rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "before"), pack(want...)...)
		a, err := open(archive)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Entries() {
			e, want := &a.Entries()[i], want[i]
			if e.Name != want.name || e.Size != int64(len(want.data)) {
				t.Fatalf("got %q of %d bytes, want %q of %d", e.Name, e.Size, want.name, len(want.data))
			}
			for range rapid.IntRange(0, 12).Draw(t, "stretches") {
				at := rapid.IntRange(0, len(want.data)).Draw(t, "at")
				p := make([]byte, rapid.IntRange(0, len(want.data)-at).Draw(t, "n"))
				if n, err := e.ReadAt(p, int64(at)); err != nil && len(p) > 0 || n < len(p) || !bytes.Equal(p, want.data[at:at+len(p)]) {
					t.Fatalf("%d bytes at %d: %v", len(p), at, err)
				}
			}
			got, err := e.Whole()
			if err != nil || !bytes.Equal(got, want.data) {
				t.Fatalf("as a whole: %v", err)
			}
			if err := e.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// One bit that is flipped anywhere is noticed, or changes neither names nor data.
func TestNoticesEveryBit(t *testing.T) {
	entries := []packed{{"a", zip.Store, []byte("stored bytes")}, {"b", zip.Deflate, bytes.Repeat([]byte("packed bytes"), 20)}}
	archive := pack(entries...)
	for bit := range 8 * len(archive) {
		damaged := bytes.Clone(archive)
		damaged[bit/8] ^= 1 << (bit % 8)
		a, err := open(damaged)
		if err != nil {
			var typed *zipread.Error
			if !errors.As(err, &typed) || !typed.BadInput() {
				t.Errorf("bit %d: %v", bit, err)
			}
			continue
		}
		for i, e := range entries {
			if len(a.Entries()) != len(entries) {
				t.Fatalf("bit %d: %d entries", bit, len(a.Entries()))
			}
			got := &a.Entries()[i]
			if !got.Readable() {
				continue
			}
			if text, err := whole(got); err == nil && (!bytes.Equal(text, e.data) || got.Name != e.name) {
				t.Errorf("bit %d: %s is %q", bit, got.Name, text)
			}
		}
	}
}

// Reading back and forth takes a bounded number of passes over a packed entry: the rest comes from memory, within its limit.
func TestBackAndForth(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	r := &counted{r: bytes.NewReader(pack(packed{"a", zip.Deflate, data}))}
	a, err := zipread.Open(r, r.r.Size())
	if err != nil {
		t.Fatal(err)
	}
	r.bytes = 0
	p := make([]byte, 16)
	for at := int64(len(data)) - 16; at > 1<<17; at -= 1 << 10 {
		if _, err := a.Entries()[0].ReadAt(p, at); err != nil || string(p) != "0123456789abcdef" {
			t.Fatalf("at %d: %q, %v", at, p, err)
		}
	}
	if most := 8 * r.r.Size(); r.bytes > most {
		t.Errorf("%d bytes were read of a file of %d", r.bytes, r.r.Size())
	}
	memory.SetLimit(1000)
	defer memory.SetLimit(0)
	if a, err = open(pack(packed{"a", zip.Deflate, data})); err != nil {
		t.Fatal(err)
	}
	var missing *memory.Error
	if _, err := a.Entries()[0].Whole(); !errors.As(err, &missing) || missing.Need != int64(len(data)) {
		t.Errorf("got %v", err)
	}
}

// counted counts what is read.
type counted struct {
	r     *bytes.Reader
	bytes int64
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.r.ReadAt(p, at)
	c.bytes += int64(n)
	return n, err
}

// Many entries are read side by side from several goroutines, more than are unpacked at once.
func TestSideBySide(t *testing.T) {
	var entries []packed
	for i := range 60 {
		entries = append(entries, packed{fmt.Sprint(i), zip.Deflate, bytes.Repeat([]byte{byte(i), 1, 2, 3}, 1<<16)})
	}
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(path, pack(entries...), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	a, err := zipread.Open(file, stat.Size())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			p := make([]byte, 1<<14)
			for at := int64(0); at < 1<<18; at += 1 << 14 {
				for i := range entries {
					if (i+g)%2 == 0 {
						continue
					}
					if _, err := a.Entries()[i].ReadAt(p, at); err != nil || !bytes.Equal(p, entries[i].data[at:at+1<<14]) {
						t.Errorf("%d at %d: %v", i, at, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func() error{
		func() error { _, err := a.Entries()[0].ReadAt(make([]byte, 1), 0); return err },
		func() error { _, err := a.Entries()[0].Whole(); return err },
		func() error { return a.Entries()[1].Verify(context.Background()) },
	} {
		if err := read(); !errors.Is(err, zipread.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestRefuses(t *testing.T) {
	good := pack(packed{"a", zip.Store, []byte("some bytes")}, packed{"b", zip.Deflate, []byte("others")})
	list := bytes.Index(good, []byte("PK\x01\x02"))
	second := list + bytes.Index(good[list+1:], []byte("PK\x01\x02")) + 1
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	end := len(good) - 22 - len("a comment")
	long := binary.LittleEndian.AppendUint32(nil, 1<<31)
	for name, c := range map[string]struct {
		archive []byte
		kind    error
		text    string
	}{
		"nothing":             {nil, zipread.ErrForm, "no list"},
		"no list":             {good[:list], zipread.ErrForm, "no list"},
		"several parts":       {change(end+4, 1), zipread.ErrForm, "one part of several"},
		"more than listed":    {change(end+8, 9, 0, 9, 0), zipread.ErrForm, "9 entries in a list of"},
		"fewer than listed":   {change(end+8, 1, 0, 1, 0), zipread.ErrForm, "more than the 1 entries"},
		"list beyond":         {change(end+12, long...), zipread.ErrTruncated, "a list of 2147483648 bytes"},
		"no entry":            {change(second+42, 3), zipread.ErrForm, "no entry begins at byte 3"},
		"the same entry":      {change(second+42, 0), zipread.ErrForm, "its own header has another name"},
		"other method":        {change(8, 8), zipread.ErrForm, "its own header says method 8, the list 0"},
		"other checksum":      {change(14, 1), zipread.ErrForm, "its own header says checksum 1"},
		"stored of two":       {change(list+24, 11), zipread.ErrForm, "takes 10 bytes for 11"},
		"beyond the file":     {change(list+20, append(long, long...)...), zipread.ErrTruncated, "2147483648 bytes from byte"},
		"over its list":       {change(list+20, 200, 0, 0, 0, 200), zipread.ErrForm, `"a": the archive is not of the right form: it shares bytes with "b"`},
		"a lie about deflate": {change(second+24, long...), zipread.ErrForm, "2147483648 bytes of"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(c.archive)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("want %v with %q, got %v", c.kind, c.text, err)
			}
		})
	}
	for name, size := range map[string]byte{"holds more": 5, "holds less": 7} {
		a, err := open(change(second+24, size))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := whole(&a.Entries()[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := a.Entries()[1].Verify(t.Context()); err == nil {
			t.Errorf("%s: no error when it is verified", name)
		}
	}
}

// A checksum that does not fit is an error for every way to read, and once more for the next call.
func TestChecksum(t *testing.T) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		archive := pack(packed{"a", method, []byte("some bytes")})
		list := bytes.Index(archive, []byte("PK\x01\x02"))
		behind := bytes.Index(archive, []byte("PK\x07\x08"))
		archive[list+16] ^= 1
		archive[behind+4] ^= 1
		a, err := open(archive)
		if err != nil {
			t.Fatal(err)
		}
		e := &a.Entries()[0]
		for range 2 {
			_, err1 := whole(e)
			_, err2 := e.Whole()
			for _, err := range []error{err1, err2, e.Verify(t.Context())} {
				if !errors.Is(err, zipread.ErrChecksum) || !strings.Contains(err.Error(), `"a"`) {
					t.Errorf("method %d: got %v", method, err)
				}
			}
		}
		if p := make([]byte, 4); method == zip.Store {
			if _, err := e.Peek(p, 0); err != nil || string(p) != "some" {
				t.Errorf("a peek: %q, %v", p, err)
			}
		}
	}
}

// FuzzOpen: whatever the bytes, no panic, and what is given is what archive/zip gives.
func FuzzOpen(f *testing.F) {
	f.Add(pack(packed{"a", zip.Store, []byte("some bytes")}, packed{"b", zip.Deflate, []byte("others")}))
	f.Fuzz(func(t *testing.T, archive []byte) {
		a, err := open(archive)
		if err != nil {
			return
		}
		z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			return
		}
		for i := range a.Entries() {
			e := &a.Entries()[i]
			if e.Size > 1<<20 || !e.Readable() || i >= len(z.File) || z.File[i].Name != e.Name {
				continue
			}
			got, err := whole(e)
			if err != nil {
				continue
			}
			r, err := z.File[i].Open()
			if err != nil {
				continue
			}
			if want, err := io.ReadAll(r); err == nil && !bytes.Equal(got, want) {
				t.Errorf("%q is %q, want %q", e.Name, got, want)
			}
		}
	})
}
