package data_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
)

// tarOf packs members in order: name, content, name, content.
func tarOf(t testing.TB, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		h := &tar.Header{Name: members[i].(string), Mode: 0o644, Typeflag: tar.TypeReg}
		var content []byte
		switch c := members[i+1].(type) {
		case []byte:
			content = c
		case string:
			content = []byte(c)
		case int: // a link or a folder
			h.Typeflag, h.Linkname = byte(c), "/etc/passwd"
		}
		h.Size = int64(len(content))
		_, err := w.Write(nil)
		if err = errors.Join(err, w.WriteHeader(h)); err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestShards reads samples with labels of each kind, in patterns, folders and parts.
func TestShards(t *testing.T) {
	dir := folderOf(t, map[string][]byte{
		"a/x-000.tar":   tarOf(t, "000.png", shaded(1, 2, 2), "000.cls", "10\n", "001.cls", "9", "001.PNG", shaded(2, 2, 2), "d", int('5'), "l.png", int('2'), "002.txt", "no picture"),
		"a/x-001.tar":   tarOf(t, "sub/.hidden.png", "x", "sub/000.png", shaded(3, 2, 2), "sub/000.cls", "10"),
		"b/train-0.tar": tarOf(t, "0.jpg.png", shaded(4, 2, 2), "0.json", `{"label": "dog", "caption": "a dog"}`, "1.png", shaded(5, 2, 2), "1.json", `{"label": "cat"}`),
		"b/test-0.tar":  tarOf(t, "0.png", shaded(6, 2, 2), "0.txt", "cat", "1.png", shaded(7, 2, 2), "1.txt", "dog"),
		"two.tar":       tarOf(t, "0.a.png", shaded(1, 2, 2), "0.b.png", shaded(8, 2, 2), "0.kind", "x", "1.a.png", shaded(1, 2, 2), "1.b.png", shaded(9, 2, 2), "1.kind", "y"),
	})
	for name, c := range map[string]struct{ part, want string }{
		"a/x-{000..001}.tar":             {"test", "1:1 0:2 1:3"},
		"wds:a/*.tar":                    {"all", "1:1 0:2 1:3"},
		"a":                              {"test", "1:1 0:2 1:3"},
		"a/x-{000,001}.tar":              {"train", "1:1 0:2 1:3"},
		"a/x-000.tar":                    {"train", "1:1 0:2"},
		"b":                              {"test", "0:6 1:7"},
		"wds:b":                          {"train", "1:4 0:5"},
		"two.tar?image=b.png&label=kind": {"all", "0:8 1:9"},
	} {
		path := filepath.Join(dir, name)
		if rest, ok := strings.CutPrefix(name, "wds:"); ok {
			path = "wds:" + filepath.Join(dir, rest)
		}
		ds, err := data.Open(path, c.part)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := firsts(t, ds); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if again, err := data.Open(path, c.part); err != nil || again.Info().Checksum != ds.Info().Checksum || len(ds.Info().Checksum) != 64 {
			t.Errorf("%s: the checksum moves, %v", name, err)
		}
	}
	ds, err := data.Open(filepath.Join(dir, "a"), "all")
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{"format": "WebDataset: 2 tar files, labels of .cls", "classes": "2: 9, 10", "skipped": "1 sample without a picture"} {
		if got := noted(ds, what); got != want {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
}

// TestShardsRefuse has tar files that are cut, packed, or without labels.
func TestShardsRefuse(t *testing.T) {
	whole := tarOf(t, "0.png", shaded(1, 2, 2), "0.cls", "0", "1.png", shaded(2, 2, 2), "1.cls", "1")
	long := strings.Repeat("words ", 50)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"cut":            {whole[:3300], "not a whole tar file"},
		"cut content":    {whole[:530], "it ends within 0.png"},
		"packed":         {[]byte("\x1f\x8b\x08" + strings.Repeat("x", 600)), "must be unpacked"},
		"empty":          {nil, "the file is empty"},
		"no pictures":    {tarOf(t, "0.cls", "0"), "no sample with a picture"},
		"no label":       {tarOf(t, "0.png", shaded(1, 2, 2)), "0: it has no label; give each picture a label"},
		"a caption":      {tarOf(t, "0.png", shaded(1, 2, 2), "0.txt", long), "its .txt is not the name of a class"},
		"one class":      {tarOf(t, "0.png", shaded(1, 2, 2), "0.cls", "4"), `all 1 labels are "4"`},
		"two pictures":   {tarOf(t, "0.a.png", "x", "0.b.png", "x", "0.cls", "1"), "it has several pictures: a.png, b.png; name the one: ?image=a.png"},
		"another format": {tarOf(t, "0.heic", "x", "0.cls", "1"), "0.heic: PNG, JPEG, GIF, BMP, TIFF and WebP are read"},
		"a bomb":         {tarOf(t, "0.png", "no picture", "0.cls", "0", "1.png", "x", "1.cls", "1"), "x.tar:0.png: not a readable image"},
		"nested json":    {tarOf(t, "0.png", shaded(1, 2, 2), "0.json", `{"label": {"x": 1}}`), "it has no label"},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := data.Open(path, "all"); !fault.IsInput(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for pattern, want := range map[string]string{"x-{9..1}.tar": "is not a range", "x-{0..1000000}.tar": "names 1000001 files", "x-*.tar": "no file fits it", "x-{0..1}.tar": "x-0.tar: no such file"} {
		if _, err := data.Open(filepath.Join(t.TempDir(), pattern), "all"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", pattern, err)
		}
	}
}

// FuzzShards wants an error or a set whose pictures can be asked for, of every tar file.
func FuzzShards(f *testing.F) {
	f.Add(tarOf(f, "0.png", shaded(1, 2, 2), "0.cls", "0", "1.png", shaded(2, 2, 2), "1.json", `{"label": 1}`))
	f.Add(tarOf(f, "x/0.png", shaded(1, 2, 2), "x/0.txt", "cat"))
	path := filepath.Join(f.TempDir(), "x.tar")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		ds, err := data.Open(path, "all")
		if err != nil || ds.Info().Size() > 1<<20 {
			return
		}
		for i := range ds.Len() {
			_ = ds.Read(i, make([]float32, ds.Info().Size())) // an error or a picture
		}
	})
}
