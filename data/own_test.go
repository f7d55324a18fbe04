package data_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// shaded is a PNG of one shade.
func shaded(shade uint8, height, width int) []byte {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = shade
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// folderOf writes files, by path.
func folderOf(t testing.TB, files map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		full := filepath.Join(root, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// noted is what a set says of one thing.
func noted(ds data.Dataset, what string) string {
	for _, n := range data.NotesOf(ds) {
		if n.What == what {
			return n.Is
		}
	}
	return ""
}

// firsts are the labels of a set, and the first value of each example as a byte.
func firsts(t *testing.T, ds data.Dataset) string {
	t.Helper()
	var text []string
	row := make([]float32, ds.Info().Size())
	for i := range ds.Len() {
		if err := ds.Read(i, row); err != nil {
			t.Fatal(err)
		}
		text = append(text, fmt.Sprintf("%d:%.0f", ds.Label(i), row[0]*255))
	}
	return strings.Join(text, " ")
}

// TestNestedFolder: the first level is the class, whatever lies below it; what is no picture is counted.
func TestNestedFolder(t *testing.T) {
	dir := folderOf(t, map[string][]byte{
		"cat/b.png": shaded(2, 2, 2), "cat/2020/a.png": shaded(3, 2, 2), "cat/10/deep/x.png": shaded(5, 2, 2), "cat/10/c.png": shaded(4, 2, 2),
		"dog/a.png": shaded(1, 2, 2), "dog/.DS_Store": nil, "dog/Thumbs.db": nil, "dog/notes.txt": nil, ".cache/x.png": nil, "readme.md": nil, "loose.png": shaded(9, 2, 2), "backup.tar": nil, "labels.csv": nil,
	})
	for _, name := range []string{dir, "dir:" + dir} {
		ds, err := data.Open(name, "test")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := firsts(t, ds), "0:2 0:4 0:5 0:3 1:1"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := noted(ds, "skipped"), "2 hidden files, 5 files that are not pictures, 1 picture beside the class folders"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if info := ds.Info(); info.Name != "dir:"+dir || fmt.Sprint(info.Classes) != "[cat dog]" {
			t.Errorf("%+v", info)
		}
	}
}

// TestDamaged leaves out what cannot be decoded where that is asked for, and else names it with what to do.
func TestDamaged(t *testing.T) {
	cut := shaded(9, 30, 30)
	dir := folderOf(t, map[string][]byte{
		"a/0.png": cut[:len(cut)-20], "a/1.png": shaded(1, 30, 30), "b/0.png": shaded(2, 30, 30), "b/1.png": nil, "b/2.png": []byte("text"), "b/3.png": shaded(3, 30, 30),
	})
	_, err := data.Open(dir, "all")
	if err == nil || !strings.Contains(err.Error(), "0.png: not a readable image") || !strings.Contains(err.Error(), "--skip-damaged, or ?damaged=skip") {
		t.Errorf("got %v", err)
	}
	var last int
	for name, o := range map[string]data.Opening{
		dir + "?damaged=skip": {}, dir: {SkipDamaged: true, Progress: func(done, total int) { last = done*100 + total }},
	} {
		ds, err := o.Open(name, "all")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := firsts(t, ds), "0:1 1:2 1:3"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := noted(ds, "damaged"); !strings.HasPrefix(got, "3 of 6 pictures are left out: ") || !strings.Contains(got, filepath.Join("b", "2.png")) {
			t.Errorf("got %q", got)
		}
		if i, ok := ds.(data.Indexed); !ok || i.StableIndex(0) != 1 {
			t.Error("the first example that is left does not keep its place")
		}
	}
	if last != 606 {
		t.Errorf("progress ends at %d", last)
	}
	none := folderOf(t, map[string][]byte{"a/0.png": nil, "b/0.png": nil})
	if _, err := (data.Opening{SkipDamaged: true}).Open(none, "all"); err == nil || !strings.Contains(err.Error(), "none of its 2 pictures can be decoded") {
		t.Errorf("got %v", err)
	}
	if _, err := (data.Opening{SkipDamaged: true}).Open("optdigits", "all"); err == nil || !strings.Contains(err.Error(), "leave --skip-damaged out") {
		t.Errorf("got %v", err)
	}
}

// TestChecksumAfterDamage: the checksum is of what is left, however the sums were made.
func TestChecksumAfterDamage(t *testing.T) {
	files := map[string][]byte{"a/1.png": shaded(1, 3, 3), "b/0.png": shaded(2, 3, 3)}
	whole, err := data.Open(folderOf(t, files), "all")
	if err != nil {
		t.Fatal(err)
	}
	files["b/1.png"] = []byte("text")
	left, err := data.Opening{SkipDamaged: true, Progress: func(int, int) {}}.Open(folderOf(t, files), "all")
	if err != nil || left.Info().Checksum != whole.Info().Checksum {
		t.Errorf("%v: %s, want %s", err, left.Info().Checksum, whole.Info().Checksum)
	}
}

// TestPictureForms reads what pictures come as: palettes, transparency on black, 16 bits, other formats.
func TestPictureForms(t *testing.T) {
	encode := func(write func(io.Writer) error) []byte {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	palette := image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{color.RGBA{51, 51, 51, 255}, color.White})
	clear := image.NewNRGBA(palette.Rect)
	clear.SetNRGBA(0, 0, color.NRGBA{255, 255, 255, 51})
	deep := image.NewGray16(palette.Rect)
	deep.SetGray16(0, 0, color.Gray16{Y: 51 * 257})
	ds, err := data.Open(folderOf(t, map[string][]byte{
		"a/0.png": encode(func(w io.Writer) error { return png.Encode(w, palette) }), "a/1.png": encode(func(w io.Writer) error { return png.Encode(w, clear) }),
		"b/2.png": encode(func(w io.Writer) error { return png.Encode(w, deep) }), "b/3.gif": encode(func(w io.Writer) error { return gif.Encode(w, palette, nil) }),
	}), "all")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := firsts(t, ds), "0:51 0:51 1:51 1:51"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCSV reads tables with and without a header, with quotes, tabs, other columns and a mark of the order of bytes.
func TestCSV(t *testing.T) {
	pictures := map[string][]byte{"p/1.png": shaded(1, 2, 2), "p/2, second.png": shaded(2, 2, 2), "3.png": shaded(3, 2, 2)}
	for name, c := range map[string]struct{ file, text, options, want string }{
		"a header":       {"x.csv", "path,label\np/1.png,dog\n\"p/2, second.png\",cat\n3.png,dog\n", "", "1:1 0:2 1:3"},
		"none":           {"x.csv", "p/1.png,dog\n3.png,cat\n", "", "1:1 0:3"},
		"other order":    {"x.csv", "\xef\xbb\xbfClass,width,File_Name\r\ncat,2,p/1.png\r\ndog,2,./p/../3.png\r\n", "", "0:1 1:3"},
		"numbers":        {"x.csv", "image,target\np/1.png,10\n3.png,9\n", "", "1:1 0:3"},
		"floats":         {"x.csv", "image,target\np/1.png,10.0\n3.png,9.0\n", "", "1:1 0:3"},
		"tabs":           {"x.tsv", "path\tlabel\np/2, second.png\tcat\n3.png\tdog\n", "", "0:2 1:3"},
		"named columns":  {"x.csv", "a,b,c\n1,p/1.png,cat\n2,3.png,dog\n", "?image=b&label=C", "0:1 1:3"},
		"metadata":       {"metadata.csv", "file_name,label\np/1.png,cat\n3.png,dog\n", "FOLDER", "0:1 1:3"},
		"no end of line": {"x.csv", "p/1.png,dog\n3.png,cat", "", "1:1 0:3"},
	} {
		files := map[string][]byte{c.file: []byte(c.text)}
		for path, content := range pictures {
			files[path] = content
		}
		dir := folderOf(t, files)
		path := filepath.Join(dir, c.file) + c.options
		if c.options == "FOLDER" {
			path = dir
		}
		ds, err := data.Open(path, "test")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := firsts(t, ds); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestCSVSkips leaves out rows whose pictures are gone or damaged.
func TestCSVSkips(t *testing.T) {
	dir := folderOf(t, map[string][]byte{"1.png": shaded(1, 2, 2), "2.png": []byte("text"), "4.png": shaded(4, 2, 2), "x.csv": []byte("1.png,a\n2.png,a\n3.png,b\n4.png,b\n")})
	ds, err := data.Open(filepath.Join(dir, "x.csv")+"?damaged=skip", "all")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := firsts(t, ds), "0:1 1:4"; got != want || !strings.HasPrefix(noted(ds, "damaged"), "2 of 4 pictures are left out") {
		t.Errorf("got %s, want %s; %s", got, want, noted(ds, "damaged"))
	}
}

// TestCSVRefuses has tables that cannot be understood, and paths that lead out of their folder.
func TestCSVRefuses(t *testing.T) {
	outside := folderOf(t, map[string][]byte{"secret.png": shaded(9, 2, 2)})
	for name, c := range map[string]struct{ text, want string }{
		"outside":        {"path,label\n1.png,a\n../x.png,b\n", "x.csv: line 3: ../x.png: it leads out of the file's folder; put the pictures beside"},
		"absolute":       {"path,label\n1.png,a\n" + outside + "/secret.png,b\n", "leads out of the file's folder"},
		"a link out":     {"path,label\n1.png,a\nlink.png,b\n", "leads out of the file's folder"},
		"missing":        {"path,label\n1.png,a\n2.png,b\n", "x.csv: line 3: 2.png: no such file or directory; correct the path"},
		"a short row":    {"path,label\n1.png,a\n1.png\n", "line 3: it has 1 columns"},
		"no label":       {"path,label\n1.png,a\n1.png,\n", "line 3: the label is empty"},
		"one class":      {"path,label\n1.png,a\n1.png,a\n", `column label: all 2 labels are "a"`},
		"other columns":  {"a,b,c\n1,2,3\n", "call them path and label, or name them"},
		"a quote":        {"path,label\n\"1.png,a\n", "line 2: extraneous or missing \" in quoted-field"},
		"empty":          {"", "it has no row"},
		"only a header":  {"path,label\n", "it has no row"},
		"no such column": {"a,b\n1.png,x\n", `has no column "zebra"; its first row is a, b`},
	} {
		dir := folderOf(t, map[string][]byte{"1.png": shaded(1, 2, 2), "x.csv": []byte(c.text)})
		if err := os.Symlink(filepath.Join(outside, "secret.png"), filepath.Join(dir, "link.png")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "x.csv")
		if strings.Contains(c.want, "zebra") {
			path += "?label=zebra"
		}
		if _, err := data.Open(path, "test"); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(c.want, ": line") && !fault.IsInput(err) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// TestArrayForms reads the layouts, types and labels that arrays come in.
func TestArrayForms(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	// Two images of 4x5 pixels with three channels: 10 i + c in channel c.
	var last, first []uint8
	for i := range 2 {
		for range 20 {
			last = append(last, uint8(10*i), uint8(10*i+1), uint8(10*i+2))
		}
		for c := range 3 {
			first = append(first, bytes.Repeat([]byte{uint8(10*i + c)}, 20)...)
		}
	}
	must(npy.WriteFile(at("nhwc.npy"), []int{2, 4, 5, 3}, last))
	must(npy.WriteFile(at("nchw.npy"), []int{2, 3, 4, 5}, first))
	floats := func(scale float32) (out []float32) {
		for _, v := range first {
			out = append(out, float32(v)/scale)
		}
		return out
	}
	must(npy.WriteFile(at("float.npy"), []int{2, 3, 4, 5}, floats(255)))
	must(npy.WriteFile(at("bright.npy"), []int{2, 3, 4, 5}, floats(1)))
	must(npy.WriteFile(at("features.npy"), []int{2, 3}, []float64{1, 2, 3, -4, 5, 6}))
	must(npy.WriteFile(at("y.npy"), []int{2}, []uint8{1, 0}))
	must(npy.WriteFile(at("column.npy"), []int{2, 1}, []int16{1, 0}))
	must(npy.WriteFile(at("onehot.npy"), []int{2, 4}, []int32{0, 1, 0, 0, 1, 0, 0, 0}))
	for name, c := range map[string]struct {
		shape, classes, second string
		images                 bool
	}{
		"nhwc.npy,y.npy":                    {"[4 5 3]", "[0 1]", "10 11 12", true},
		"nchw.npy,column.npy":               {"[4 5 3]", "[0 1]", "10 11 12", true},
		"nchw.npy,onehot.npy":               {"[4 5 3]", "[0 1 2 3]", "10 11 12", true},
		"float.npy,y.npy":                   {"[4 5 3]", "[0 1]", "10 11 12", true},
		"bright.npy,y.npy":                  {"[4 5 3]", "[0 1]", "2550 2805 3060", false},
		"bright.npy,y.npy?values=0-255":     {"[4 5 3]", "[0 1]", "10 11 12", true},
		"nhwc.npy,y.npy?layout=nchw":        {"[5 3 4]", "[0 1]", "10 10 10", true},
		"features.npy,y.npy?classes=7":      {"[3]", "[0 1 2 3 4 5 6]", "-1020 1275 1530", false},
		"features.npy,column.npy?classes=2": {"[3]", "[0 1]", "-1020 1275 1530", false},
	} {
		x, rest, _ := strings.Cut(name, ",")
		for _, prefix := range []string{"", "npy:"} {
			ds, err := data.Open(prefix+at(x)+","+at(rest), "test")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			info, row := ds.Info(), make([]float32, ds.Info().Size())
			must(ds.Read(1, row))
			got := fmt.Sprintf("%.0f %.0f %.0f", 255*row[0], 255*row[1], 255*row[2])
			if fmt.Sprint(info.Shape) != c.shape || fmt.Sprint(info.Classes) != c.classes || info.Images != c.images || !strings.HasPrefix(name, "nhwc.npy,y.npy?") && got != c.second || ds.Label(0) != 1 {
				t.Errorf("%s: %v %v %v %s", name, info.Shape, info.Classes, info.Images, got)
			}
		}
	}
	must(npy.WriteFile(at("bad.npy"), []int{2, 2}, []uint8{1, 1, 0, 1}))
	for name, want := range map[string]string{
		"nhwc.npy,bad.npy": "row 0: labels have shape [2 2], and the row is not one 1 and zeros", "features.npy,y.npy?layout=nchw": "which are no images",
		"nhwc.npy,y.npy?colour=1": `option "colour=1" is unknown`,
	} {
		x, rest, _ := strings.Cut(name, ",")
		if _, err := data.Open(at(x)+","+at(rest), "test"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
}

// TestNPZ finds examples and labels by what they are called, in parts or the whole.
func TestNPZ(t *testing.T) {
	dir := t.TempDir()
	member := func(name string, shape []int, values []uint8) npy.Member {
		return npy.Member{Name: name, DType: npy.Uint8, Shape: shape, Open: func() (io.Reader, error) { return bytes.NewReader(values), nil }}
	}
	for name, c := range map[string]struct {
		names         []string
		options, part string
		want          string // or the error
	}{
		"x and y":        {[]string{"x", "y"}, "", "test", "1:7 0:9"},
		"medmnist":       {[]string{"train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"}, "", "val", "1:7 0:9"},
		"keras":          {[]string{"x_train", "y_train", "x_test", "y_test"}, "", "test", "1:7 0:9"},
		"no val":         {[]string{"x_train", "y_train", "x_test", "y_test"}, "", "val", "has no part val; it has test and train"},
		"whole, val":     {[]string{"x", "y"}, "", "val", "has no part val"},
		"other names":    {[]string{"cats", "dogs"}, "?x=cats&y=dogs", "test", "1:7 0:9"},
		"not known":      {[]string{"cats", "dogs"}, "", "test", "it holds cats, dogs, and which of them are examples and labels is not known"},
		"one name":       {[]string{"cats", "dogs"}, "?x=cats", "test", "name both arrays"},
		"no such array":  {[]string{"x", "y"}, "?x=x&y=z", "test", "has no array z"},
		"unnamed arrays": {[]string{"arr_0", "arr_1"}, "", "all", "1:7 0:9"},
	} {
		for _, compressed := range []bool{false, true} {
			var members []npy.Member
			for i, array := range c.names {
				if i%2 == 0 {
					members = append(members, member(array, []int{2, 1, 1}, []uint8{7, 9}))
				} else {
					members = append(members, member(array, []int{2, 1}, []uint8{1, 0}))
				}
			}
			path := filepath.Join(dir, fmt.Sprint(name, compressed)+".npz")
			if err := npy.WriteArchiveFile(path, members, compressed); err != nil {
				t.Fatal(err)
			}
			ds, err := data.Open(path+c.options, c.part)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || strings.Contains(c.want, ":") {
					t.Errorf("%s: got %v, want %s", name, err, c.want)
				}
				continue
			}
			if got := firsts(t, ds); got != c.want {
				t.Errorf("%s: got %s, want %s", name, got, c.want)
			}
		}
	}
}

// TestForms: what a name is, and what is said of those that are nothing.
func TestForms(t *testing.T) {
	dir := folderOf(t, map[string][]byte{"photos/a/0.png": shaded(1, 2, 2), "photos/b/0.png": shaded(1, 2, 2), "set.zip": nil, "set.h5": nil, "x.npy": nil})
	t.Chdir(dir)
	for name, want := range map[string]string{
		"photos": "", "./photos": "", filepath.Join(dir, "photos"): "", "photos/": "", "optdigits": "", "photo": "there are optdigits", "fotos/x": "fotos/x: no such file or directory; correct the path",
		"set.zip": "it is packed; unpack it", "set.h5": "it is not a file of data that is read; give a folder", "x.npy": "name their labels too: x.npy,LABELS.npy", "none.csv": "none.csv: no such file",
		"none.npz": "none.npz", "none.parquet": "none.parquet", "none-{0..3}.tar": "none-0.tar", "opdigits": `did you mean "optdigits"?`,
	} {
		_, err := data.Open(name, "all")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
		if isFile := strings.Contains(want, "no such file") || strings.HasPrefix(want, "it is"); err != nil && isFile != fault.IsInput(err) && !strings.HasPrefix(name, "none") {
			t.Errorf("%s: %v is of another kind", name, err)
		}
	}
	if !slices.Contains(data.Names(), "optdigits") {
		t.Error("optdigits is gone")
	}
}
