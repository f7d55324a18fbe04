package data_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

// TestSampled: as many of each class as its share, the same for the same seed, and its images keep their own sizes.
func TestSampled(t *testing.T) {
	ds := open(t, "optdigits", "test")
	one, err := data.Sampled(ds, 100, 3)
	if err != nil {
		t.Fatal(err)
	}
	counts, all := make([]int, 10), make([]int, 10)
	for i := range one.Len() {
		counts[one.Label(i)]++
	}
	for i := range ds.Len() {
		all[ds.Label(i)]++
	}
	for k := range counts {
		if share := float64(all[k]) * 100 / float64(ds.Len()); float64(counts[k]) < share-1 || float64(counts[k]) > share+1 {
			t.Errorf("class %d: %d of %d", k, counts[k], all[k])
		}
	}
	if want := fmt.Sprintf("100 of 517 examples, seed 3: 0 %d, 1 %d, ", counts[0], counts[1]); one.Len() != 100 || noted(one, "sample")[:len(want)] != want {
		t.Errorf("%d: %s", one.Len(), noted(one, "sample"))
	}
	again, _ := data.Sampled(ds, 100, 3)
	other, _ := data.Sampled(ds, 100, 4)
	if one.Info().Checksum != again.Info().Checksum || one.Info().Checksum == other.Info().Checksum {
		t.Error("the seed does not say which examples they are")
	}
	if same, err := data.Sampled(ds, 517, 1); err != nil || same.Len() != 517 || data.NotesOf(same) != nil {
		t.Errorf("%v, %v", same.Len(), err)
	}
	if _, err := data.Sampled(ds, 0, 1); err == nil {
		t.Error("a sample of nothing")
	}

	files := map[string][]byte{}
	for i := range 20 {
		files[fmt.Sprintf("%d/%02d.png", i%2, i)] = shaded(uint8(i), i+1, 5)
	}
	folder, err := data.Open(folderOf(t, files), "all")
	if err != nil {
		t.Fatal(err)
	}
	few, err := data.Sampled(folder, 6, 1)
	if err != nil {
		t.Fatal(err)
	}
	matched, _, err := data.Match("test", few, "net", []string{"one", "0", "1"}, false)
	if err != nil {
		t.Fatal(err)
	}
	varied, ok := data.AsVaried(matched)
	if !ok {
		t.Fatal("images of a sample have no sizes of their own")
	}
	var heights []int
	for i := range few.Len() {
		x, err := varied.Pixels(i)
		if err != nil || x.Height != int(x.Bytes[0])+1 || x.Width != 5 {
			t.Errorf("%+v, %v", x, err)
		}
		heights = append(heights, x.Height)
	}
	if slices.Max(heights) == slices.Min(heights) {
		t.Error("all images are equally high")
	}
}
