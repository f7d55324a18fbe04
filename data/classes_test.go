package data_test

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

// pictures makes a folder with a small grey picture for each path.
func pictures(t *testing.T, paths ...string) string {
	t.Helper()
	root := t.TempDir()
	for i, path := range paths {
		full := filepath.Join(root, filepath.FromSlash(path))
		if strings.HasSuffix(path, "/") {
			if err := os.MkdirAll(full, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		img := image.NewGray(image.Rect(0, 0, 2, 2))
		img.SetGray(0, 0, color.Gray{Y: uint8(i)})
		f, err := os.Create(full)
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return "dir:" + root
}

// each makes a path of every class in every part.
func each(parts, classes []string) (paths []string) {
	for _, part := range parts {
		for _, class := range classes {
			paths = append(paths, part+"/"+class+"/0.png")
		}
	}
	return paths
}

// TestFolderOrder: classes that are numbers are in their order, others as ever.
func TestFolderOrder(t *testing.T) {
	for want, names := range map[string][]string{
		"[0 1 2 10 11]": {"10", "2", "0", "11", "1"}, "[001 2 03 10]": {"10", "2", "001", "03"}, "[10 2 a]": {"a", "2", "10"}, "[c1 c10 c2]": {"c2", "c10", "c1"},
	} {
		var paths []string
		for _, name := range names {
			paths = append(paths, name+"/x.png")
		}
		ds, err := data.Open(pictures(t, paths...), "all")
		if err != nil || fmt.Sprint(ds.Info().Classes) != want {
			t.Errorf("%v: %v, want %s", names, err, want)
			continue
		}
		for i, class := range ds.Info().Classes {
			if ds.Label(i) != int32(i) {
				t.Errorf("%v: example %d of %s has label %d", names, i, class, ds.Label(i))
			}
		}
	}
}

// TestFolderParts: what people call their parts, and classes that are in some of them alone.
func TestFolderParts(t *testing.T) {
	abc := []string{"a", "b", "c"}
	for name, c := range map[string]struct {
		paths []string
		opens map[string]string // part -> "classes labels"; or an error
	}{
		"train and test": {each([]string{"train", "test"}, abc), map[string]string{"train": "[a b c] [0 1 2]", "test": "[a b c] [0 1 2]", "all": "has the parts test and train", "val": "has no part val"}},
		"train and val":  {each([]string{"train", "val"}, abc), map[string]string{"train": "[a b c] [0 1 2]", "test": "[a b c] [0 1 2]", "val": "[a b c] [0 1 2]"}},
		"validation":     {each([]string{"Train", "Validation"}, abc), map[string]string{"train": "[a b c] [0 1 2]", "test": "[a b c] [0 1 2]"}},
		"all three":      {append(each([]string{"train", "val", "test"}, abc), "val/b/1.png"), map[string]string{"train": "[a b c] [0 1 2]", "val": "[a b c] [0 1 1 2]", "test": "[a b c] [0 1 2]"}},
		"one lacks b":    {append(each([]string{"train"}, abc), each([]string{"test"}, []string{"a", "c"})...), map[string]string{"train": "[a b c] [0 1 2]", "test": "[a b c] [0 2]"}},
		"b empty":        {append(each([]string{"train"}, abc), "test/a/0.png", "test/b/", "test/c/0.png"), map[string]string{"train": "[a b c] [0 1 2]", "test": "[a b c] [0 2]"}},
		"train lacks b":  {append(each([]string{"test"}, abc), "train/a/0.png", "train/c/0.png"), map[string]string{"train": "[a b c] [0 2]", "test": "[a b c] [0 1 2]"}},
		"numbers":        {each([]string{"train", "test"}, []string{"10", "9", "8"}), map[string]string{"train": "[8 9 10] [0 1 2]"}},
		"b nowhere":      {append(each([]string{"train", "test"}, []string{"a", "c"}), "train/b/"), map[string]string{"train": "nor in the other parts; add some, or remove the folders"}},
		"classes":        {[]string{"train/0.png", "test/0.png"}, map[string]string{"train": "[test train] [0 1]", "test": "[test train] [0 1]"}},
		"something else": {append(each([]string{"train", "test"}, abc), "notes/x.png"), map[string]string{"train": "parts are called train, test and val"}},
		"an empty part":  {append(each([]string{"train"}, abc), "test/a/", "test/b/", "test/c/"), map[string]string{"train": "[a b c] [0 1 2]", "test": "add some, or use another part"}},
	} {
		dir := pictures(t, c.paths...)
		for part, want := range c.opens {
			got := ""
			if ds, err := data.Open(dir, part); err != nil {
				got = err.Error()
			} else {
				got = fmt.Sprint(ds.Info().Classes, " ", data.Labels(ds))
				if info := ds.Info(); info.Part != "" && info.Part != part {
					t.Errorf("%s: part %s says it is %s", name, part, info.Part)
				}
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s: part %s gives %s, want %s", name, part, got, want)
			}
		}
	}
	if _, err := data.Open("optdigits", "val"); err == nil || !strings.Contains(err.Error(), "has no part val") {
		t.Errorf("optdigits has a part val: %v", err)
	}
	dir := pictures(t, "a/0.png", "b/0.png")
	if err := os.WriteFile(filepath.Join(strings.TrimPrefix(dir, "dir:"), "b", "1.heic"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := data.Open(dir, "all"); err == nil || !strings.Contains(err.Error(), "and no other pictures") {
		t.Errorf("a picture that is not read: %v", err)
	}
}

// TestPairOfPathsWithCommas: the comma between two files that are there is the one that is meant.
func TestPairOfPathsWithCommas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a,b=c")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	x, y := filepath.Join(dir, "x,1.npy"), filepath.Join(dir, "y.npy")
	for path, content := range map[string]string{x: "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", y: "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }"} {
		for (10+len(content)+1)%64 != 0 {
			content += " "
		}
		content += "\n"
		text := "\x93NUMPY\x01\x00" + string([]byte{byte(len(content)), byte(len(content) >> 8)}) + content + "\x00\x01\x00\x01\x00\x01"
		if path == y {
			text = text[:len(text)-4]
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if ds, err := data.Open("npy:"+x+","+y, "all"); err != nil || ds.Len() != 2 {
		t.Errorf("%v", err)
	}
}

// TestMatch: by name where both sides have names, in any order; else by place, and said.
func TestMatch(t *testing.T) {
	abc := pictures(t, "a/0.png", "b/0.png", "c/0.png")
	for name, c := range map[string]struct {
		set     string
		labels  []string
		byPlace bool
		want    string // labels, notes or the error
	}{
		"the same":                {abc, []string{"a", "b", "c"}, false, "[0 1 2] []"},
		"another order":           {abc, []string{"c", "a", "b"}, false, "[1 2 0] []"},
		"more in the model":       {abc, []string{"x", "a", "b", "y", "c"}, false, "[1 2 4] [" + abc + " has no examples of the classes x, y, which net knows]"},
		"one lacking":             {abc, []string{"a", "b", "d"}, false, "the model net lacks the class c of " + abc + "; it knows the classes a, b, d; leave them out of the data"},
		"none there":              {abc, []string{"xy", "zu", "vw"}, false, "the model net lacks the classes a, b, c of " + abc + "; it knows the classes xy, zu, vw; no class has a match"},
		"another case":            {abc, []string{"A", "b", "c"}, false, "[0 1 2] [1 class is matched in another spelling: a is A]"},
		"underscores":             {pictures(t, "Golden_Retriever/0.png", "tabby-cat/0.png"), []string{"tabby cat", "golden retriever"}, false, "[1 0] [2 classes are matched in another spelling"},
		"synonyms":                {pictures(t, "tinca_tinca/0.png", "cock/0.png"), []string{"cock", "tench, Tinca tinca"}, false, "[0 1] [1 class is matched in another spelling: tinca_tinca is tench, Tinca tinca]"},
		"a synonym of two":        {pictures(t, "crane/0.png", "cock/0.png"), []string{"cock", "crane, bird", "crane, machine"}, false, "have one name, crane"},
		"synsets":                 {pictures(t, "n01440764/0.png", "n02102040/0.png"), []string{"n02102040", "n01440764", "n00000001"}, false, "[1 0] ["},
		"synsets before words":    {pictures(t, "n01440764/0.png", "n02102040/0.png"), []string{"n02102040 English springer", "n01440764 tench, Tinca tinca"}, false, "[1 0] ["},
		"words behind synsets":    {pictures(t, "tench/0.png", "english_springer/0.png"), []string{"n02102040 English springer", "n01440764 tench, Tinca tinca"}, false, "[0 1] ["},
		"synsets of some outputs": {pictures(t, "n01440764/0.png", "n02102040/0.png"), []string{"0", "1", "2"}, false, "write the synset of each output into labels.txt"},
		"synsets of all outputs":  {pictures(t, "n01440764/0.png", "n02102040/0.png"), []string{"0", "1"}, false, "[0 1] [classes are matched by their place"},
		"numbers of words":        {pictures(t, "2/0.png", "7/0.png"), []string{"a", "b", "c"}, false, "lacks the class 7"},
		"placeholders":            {pictures(t, "LABEL_2/0.png", "label 0/0.png"), []string{"a", "b", "c"}, false, "[2 0] [2 classes are matched by number: LABEL_2 is c, label 0 is a"},
		"both of one":             {pictures(t, "Cat/0.png", "cat/0.png"), []string{"cat", "dog"}, false, "[0 0] [1 class is matched in another spelling: Cat is cat"},
		"repeated, not asked for": {abc, []string{"a", "x", "x", "b", "c"}, false, "[0 3 4] ["},
		"by place":                {abc, []string{"x", "y", "z", "w"}, true, "[0 1 2] [classes are matched by their place, not by name: a of " + abc + " is x of net]"},
		"too many by place":       {abc, []string{"x", "y"}, true, "has 3 classes, the model net knows 2"},
		"the model counts":        {abc, []string{"0", "1", "2"}, false, "[0 1 2] [classes are matched by their place"},
		"the model counts fewer":  {abc, []string{"0", "1"}, false, "has 3 classes, the model net knows 2"},
		"repeated names":          {abc, []string{"a", "b", "b", "c"}, false, "several outputs of the model net have one name"},
		"no labels":               {abc, nil, false, "[0 1 2] []"},
		"both count":              {pictures(t, "0/0.png", "1/0.png"), []string{"0", "1", "2"}, false, "[0 1] []"},
		"numbers that are names":  {pictures(t, "3/0.png", "7/0.png"), []string{"0", "1", "2", "3", "4", "5", "6", "7"}, false, "[3 7] ["},
		"numbers beyond":          {pictures(t, "1/0.png", "2/0.png", "3/0.png"), []string{"0", "1", "2"}, false, "lacks the class 3"},
		"numbers of eleven":       {pictures(t, "0/0.png", "1/0.png", "10/0.png", "2/0.png", "3/0.png", "4/0.png", "5/0.png", "6/0.png", "7/0.png", "8/0.png", "9/0.png"), []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}, false, "[0 1 2 3 4 5 6 7 8 9 10] []"},
		"the offered flag exists": {abc, []string{"x", "y", "z"}, false, "--by-place"},
	} {
		ds, err := data.Open(c.set, "all")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		same, notes, err := data.Match("test", ds, "net", c.labels, c.byPlace)
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(data.Labels(same), " ", notes)
			if c.labels != nil && slices.Contains(c.labels, "a") && !slices.Equal(same.Info().Classes, c.labels) {
				t.Errorf("%s: the set says its classes are %v", name, same.Info().Classes)
			}
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestMatchSkips: examples of classes without a match are left out where that is asked for, and counted.
func TestMatchSkips(t *testing.T) {
	set := pictures(t, "cat/0.png", "catt/0.png", "catt/1.png", "dog/0.png")
	for want, labels := range map[string][]string{
		"[2 0] [2 of 4 examples are left out: the model net lacks the class catt of " + set + " (is catt its cat?)]": {"dog", "owl", "cat"},
		"no class has a match": {"x", "y"},
	} {
		ds, err := data.Open(set, "all")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := (data.Matching{Offer: "--skip"}).Match("test", ds, "net", []string{"dog", "cat"}); err == nil || !strings.Contains(err.Error(), "leave them out of the data (--skip leaves out 2 of 4 examples)") {
			t.Errorf("got %v", err)
		}
		same, notes, err := data.Matching{SkipUnmatched: true}.Match("test", ds, "net", labels)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(data.Labels(same), " ", notes[:1])
		}
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	numbers, err := data.Open(pictures(t, "1/0.png", "2/0.png", "3/0.png"), "all")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (data.Matching{SkipUnmatched: true}).Match("test", numbers, "net", []string{"0", "1", "2"}); err == nil {
		t.Error("a set that counts from 1 loses its last class, and the others are taken for their neighbours")
	}
}
