package zoo_test

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/npy"
)

// TestOldBundles: bundles trained before the networks were lists of layers open, and answer as they did then.
func TestOldBundles(t *testing.T) {
	read := func(name string) []float32 {
		t.Helper()
		array, err := npy.Open(filepath.Join("testdata", "old", name+".npy"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = array.Close() }()
		values, err := array.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(values) // which end with the file
	}
	x := read("x")
	n := len(x) / 64
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, name := range []string{"mlp", "cnn", "convnet", "resnet"} {
			b, err := bundle.Open(filepath.Join("testdata", "old", name))
			if err != nil {
				t.Fatal(err)
			}
			forward, err := b.NewForward(e, 64)
			if err != nil {
				t.Fatal(err)
			}
			got, err := forward.Logits(x, n)
			forward.Close()
			if err != nil {
				t.Fatal(err)
			}

			want := read(name)
			if len(got) != len(want) {
				t.Fatalf("%s gives %d logits, it gave %d", name, len(got), len(want))
			}
			for i := range got {
				if !(math.Abs(float64(got[i]-want[i])) <= 1e-5) {
					t.Errorf("%s: logit %d is %v, it was %v", name, i, got[i], want[i])
					break
				}
			}
		}
	})
}
