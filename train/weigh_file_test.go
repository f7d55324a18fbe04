package train_test

import (
	"maps"
	"path/filepath"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/train"
)

// Weights of examples from a file, of a type that is mapped and of one that is converted, give what the same numbers in memory give.
func TestWeightsFromAFile(t *testing.T) {
	e := goEngine(t)
	set, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	narrow, wide := make([]float32, set.Len()), make([]float64, set.Len())
	for i := range narrow {
		narrow[i], wide[i] = float32(i%3)/2, float64(i%3)/2
	}
	r := small(3)
	r.Test = ""
	want := weights(t, run(t, r, train.Options{Engine: e, Data: set, Weights: narrow}).Bundle)
	if maps.Equal(want, weights(t, run(t, r, train.Options{Engine: e}).Bundle)) {
		t.Fatal("the weights change nothing")
	}

	dir := t.TempDir()
	for name, write := range map[string]func(path string) error{
		"float32": func(path string) error { return npy.WriteFile(path, []int{len(narrow)}, narrow) },
		"float64": func(path string) error { return npy.WriteFile(path, []int{len(wide)}, wide) },
	} {
		r.Weigh.Examples = filepath.Join(dir, name+".npy")
		if err := write(r.Weigh.Examples); err != nil {
			t.Fatal(err)
		}
		if got := weights(t, run(t, r, train.Options{Engine: e}).Bundle); !maps.Equal(got, want) {
			t.Errorf("%s: a run with the weights of a file ends with other bits than one with them in memory", name)
		}
	}
}
