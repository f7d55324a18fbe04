package corrupt_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
)

// pictures writes a folder of classes: grey and colour, PNG and JPEG, and what is no picture.
func pictures(t *testing.T, sizes ...int) string {
	t.Helper()
	dir := t.TempDir()
	for class, name := range []string{"2", "10"} {
		for i, size := range sizes {
			img := image.NewNRGBA(image.Rect(0, 0, size, 16))
			for p := range size * 16 {
				img.Set(p%size, p/size, color.NRGBA{uint8(37*p + 90*class), uint8(11 * p), uint8(50 * i), 255})
			}
			path := filepath.Join(dir, name, fmt.Sprintf("%d.png", i))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "2", ".hidden.png"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files are the content of a folder, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func table(t *testing.T, name string) corrupt.Table {
	t.Helper()
	found, err := corrupt.FindTable(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestCopyIsTheWrappedSet: what a copy holds is what Wrap makes of the same folder, to the byte.
func TestCopyIsTheWrappedSet(t *testing.T) {
	from, to := pictures(t, 16, 16, 16), filepath.Join(t.TempDir(), "out")
	c := corrupt.Copy{Table: table(t, corrupt.CIFARC), Severities: []int{5, 2}, Seed: 3}
	r, err := c.Folder(t.Context(), from, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Images != 6 || r.Written != 6*18*2 || r.Kept != 0 || !slices.Equal(r.Severities, []int{2, 5}) || !slices.Equal(r.Drawn, []string{"frost"}) {
		t.Errorf("%+v", r)
	}
	set, err := data.OpenFolder(from, "all")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Table.All() {
		wrapped, err := corrupt.Wrap(set, s, 5, 3)
		if err != nil {
			t.Fatal(err)
		}
		copied, err := data.OpenFolder(filepath.Join(to, s.Name(), "5"), "all")
		if err != nil {
			t.Fatal(err)
		}
		a, b := make([]float32, 16*16*3), make([]float32, 16*16*3)
		for i := range set.Len() {
			if err := errors.Join(wrapped.Read(i, a), copied.Read(i, b)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a, b) || wrapped.Label(i) != copied.Label(i) {
				t.Fatalf("%s: example %d of the copy is not that of Wrap", s.Name(), i)
			}
		}
	}
}

// TestCopyResumes: stopped anywhere it resumes to the same bytes, another shift is added, and another seed is refused.
func TestCopyResumes(t *testing.T) {
	from := pictures(t, 16, 16)
	whole, broken := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken")
	c := corrupt.Copy{Table: table(t, corrupt.ImageNetC), Severities: []int{3}, Seed: 1}
	fog, err := c.Table.Find("fog")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Folder(t.Context(), from, whole, nil); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var calls atomic.Int64
	stopped := c
	stopped.Progress = func(int, int) {
		if calls.Add(1) == 7 {
			stop()
		}
	}
	if _, err := stopped.Folder(ctx, from, broken, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	r, err := c.Folder(t.Context(), from, broken, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kept < 7 || r.Kept+r.Written != 4*18 {
		t.Errorf("%d kept, %d written", r.Kept, r.Written)
	}
	want, got := files(t, whole), files(t, broken)
	for path, text := range want {
		if got[path] != text {
			t.Errorf("%s differs", path)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}

	c.Shifts, c.Severities = []corrupt.Shift{fog}, []int{4}
	if r, err = c.Folder(t.Context(), from, broken, nil); err != nil || r.Written != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	var usage *fault.Usage
	c.Seed = 2
	if _, err := c.Folder(t.Context(), from, broken, nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "holds a copy with seed 1, not 2") {
		t.Errorf("got %v", err)
	}
	c.Seed = 1
	if err := os.WriteFile(filepath.Join(from, "2", "more.jpg"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Folder(t.Context(), from, broken, nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), "other images") {
		t.Errorf("got %v", err)
	}
}

// TestCopyScales: images of any proportions become those of the size, of their middle, and JPEG files where they are asked for.
func TestCopyScales(t *testing.T) {
	from, to := pictures(t, 40, 9), filepath.Join(t.TempDir(), "out")
	zoom, err := table(t, corrupt.ImageNetC).Find("zoom-blur")
	if err != nil {
		t.Fatal(err)
	}
	c := corrupt.Copy{Table: table(t, corrupt.ImageNetC), Shifts: []corrupt.Shift{zoom}, Severities: []int{1}, Height: 12, Width: 12, JPEG: true}
	if _, err := c.Folder(t.Context(), from, to, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(to, "zoom-blur", "1", "10", "1.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(f)
	if err := errors.Join(err, f.Close()); err != nil || img.Bounds().Dx() != 12 || img.Bounds().Dy() != 12 {
		t.Errorf("%v, %v", img.Bounds(), err)
	}
}

// TestCopyRefuses: what cannot be copied is refused before anything is written, and an image that does not fit is named.
func TestCopyRefuses(t *testing.T) {
	from, empty := pictures(t, 16, 9), t.TempDir()
	c := corrupt.Copy{Table: table(t, corrupt.ImageNetC), Severities: []int{1}}
	out := filepath.Join(t.TempDir(), "out")
	twice, damaged := pictures(t, 16), pictures(t, 16)
	if err := os.WriteFile(filepath.Join(twice, "2", "0.jpg"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "2", "0.png"), []byte("\x89PNG\r\n\x1a\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := pictures(t, 16)
	if err := os.WriteFile(filepath.Join(other, "2", "x.heic"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, call := range map[string]struct {
		from, to string
		c        corrupt.Copy
	}{
		"no image in it; give":                 {empty, out, c},
		"no such file":                         {filepath.Join(empty, "none"), out, c},
		"whose images are copied":              {from, filepath.Join(from, "out"), c},
		"have the name of that of":             {twice, out, c},
		"and no other pictures":                {other, out, c},
		"severity is 6":                        {from, out, corrupt.Copy{Table: c.Table, Severities: []int{6}}},
		"0.png":                                {damaged, out + "2", c},
		"it needs square ones":                 {from, out, corrupt.Copy{Table: c.Table, Height: 20, Width: 30}},
		"1.png: defocus-blur: images are 16x9": {from, out + "3", c},
	} {
		_, err := call.c.Folder(t.Context(), call.from, call.to, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("%s: %s was made", want, out)
		}
	}
}

func ExampleCopy_Folder() {
	dir, err := os.MkdirTemp("", "corrupt")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // of an example
	photo := image.NewGray(image.Rect(0, 0, 32, 32))
	f, err := os.Create(filepath.Join(dir, "photo.png"))
	if err == nil {
		err = errors.Join(png.Encode(f, photo), f.Close())
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := os.MkdirTemp("", "corrupted")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(out) //nolint:errcheck // of an example

	cifar, err := corrupt.FindTable("cifar-c")
	if err != nil {
		fmt.Println(err)
		return
	}
	copied, err := corrupt.Copy{Table: cifar, Severities: []int{1, 3, 5}, Seed: 1}.Folder(context.Background(), dir, out, nil)
	fmt.Println(copied.Written, err)
	_, err = os.Stat(filepath.Join(out, "fog", "3", "photo.png"))
	fmt.Println(err)
	// Output:
	// 54 <nil>
	// <nil>
}
