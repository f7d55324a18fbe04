package data_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

// TestGlyphs holds the bytes of the drawn characters, and what the parts have in common.
func TestGlyphs(t *testing.T) {
	for part, want := range map[string]string{
		"train": "3a2dc43b885a23f180abc7a28a6843c0685b5980db1af315157a88527b7f47f8",
		"test":  "05dee41a8de4824c0ca9f970436c86691001a9c4bc86c5b91d534ec28812418a",
		"all":   "ee375785eac60bc92016a52ccd5fffe7b51b1d76c07df56d67d97bf082554866",
	} {
		ds := open(t, "glyphs", part)
		if got := ds.Info().Checksum; got != want {
			t.Errorf("%s: the checksum is %s, want %s", part, got, want)
		}
	}
	train, test := open(t, "glyphs", "train"), open(t, "glyphs", "test")
	if train.Len() != 62*8*6 || test.Len() != 62*4*6 || open(t, "glyphs", "all").Len() != 62*12*6 {
		t.Errorf("the parts have %d and %d examples", train.Len(), test.Len())
	}
	if i := test.(data.Indexed).StableIndex(0); int(i) != train.Len() {
		t.Errorf("the first test example has the index %d", i)
	}
}

func TestGlyphParts(t *testing.T) {
	for text, want := range map[string]struct{ trainFonts, testFonts, trainClasses, testClasses []int32 }{
		`{"name":"glyphs"}`: {between(0, 8), between(8, 12), between(0, 62), between(0, 62)},
		`{"name":"glyphs","fonts":12,"classes":"first"}`:  {between(0, 12), between(0, 12), between(0, 31), between(31, 62)},
		`{"name":"glyphs","fonts":12,"classes":"second"}`: {between(0, 12), between(0, 12), between(31, 62), between(0, 31)},
		`{"name":"glyphs","fonts":12,"images":1}`:         {between(0, 12), between(0, 12), between(0, 62), between(0, 62)},
	} {
		var c data.Choice
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for part, wanted := range map[string][2][]int32{"train": {want.trainFonts, want.trainClasses}, "test": {want.testFonts, want.testClasses}} {
			ds, err := c.Open(part)
			if err != nil {
				t.Fatal(err)
			}
			if fonts, classes := distinct(data.DomainsOf(ds)), distinct(data.Labels(ds)); !slices.Equal(fonts, wanted[0]) || !slices.Equal(classes, wanted[1]) {
				t.Errorf("%s, %s: fonts %v, classes %v", text, part, fonts, classes)
			}
			pixels := ds.(data.Byted).Bytes()
			for i := range ds.Len() {
				image := string(pixels[256*i : 256*i+256])
				if seen[image] {
					t.Fatalf("%s: an image is there twice", text)
				}
				seen[image] = true
			}
		}
	}

	for text, want := range map[string]string{
		`{"name":"glyphs","fonts":13}`:      "data: glyphs: fonts is 13; use 1 to 12",
		`{"name":"glyphs","images":0}`:      "data: glyphs: images is 0; use 1 to 1000",
		`{"name":"glyphs","classes":"odd"}`: `data: glyphs: classes is "odd"; use all, first or second`,
	} {
		var c data.Choice
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open("train"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func between(from, to int32) (all []int32) {
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

func distinct(all []int32) []int32 {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}
