package train_test

import (
	"maps"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/train"
)

// fading is digits that are drawn anew in each epoch: darker with every one, or always the same.
type fading struct {
	data.Dataset
	still bool
	epoch int
}

func (f fading) At(epoch int) data.Dataset {
	if !f.still {
		f.epoch = epoch
	}
	return f
}

func (f fading) Read(i int, dst []float32) error {
	err := f.Dataset.Read(i, dst)
	for k := range dst {
		dst[k] /= float32(1 + f.epoch)
	}
	return err
}

// TestFresh: a set that is drawn anew is so in each pass, from the device and from the host, also where a recipe trains on a part of it.
func TestFresh(t *testing.T) {
	e := goEngine(t)
	all, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	for name, bytes := range map[string]int64{"device": 0, "host": 1} {
		for part, examples := range map[string]int{"whole": all.Len(), "a part": 320} {
			end := func(passes int, still bool) map[string]string {
				t.Helper()
				r := small(passes * 5)
				r.BatchSize, r.Test, r.EvaluateEvery = examples/5, "", 0
				if examples < all.Len() {
					r.Prepare = subset(examples)
				}
				return weights(t, run(t, r, train.Options{Engine: e, Data: fading{Dataset: all, still: still}, DeviceBytes: bytes}).Bundle)
			}
			if !maps.Equal(end(1, false), end(1, true)) {
				t.Errorf("%s, %s: the first pass is not that of epoch 0", name, part)
			}
			if maps.Equal(end(2, false), end(2, true)) {
				t.Errorf("%s, %s: the second pass is drawn as the first", name, part)
			}
		}
	}
}
