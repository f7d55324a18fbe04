package tuned_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/norm"
)

// onDisk writes untrained bundles of one network and returns their folders.
func onDisk(t *testing.T, e *engine.Engine, n int) (paths []string) {
	t.Helper()
	for i := range n {
		path := filepath.Join(t.TempDir(), "model")
		if err := digits(t, e, uint64(i+1), norm.NewBatch()).Save(path); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// A greedy soup keeps the best model, scores better than none of it, and says in its manifest what it is of.
func TestSoupOfBundles(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		paths := onDisk(t, e, 3)
		open := func() (*engine.Engine, error) { return engine.Open(engine.KindGo) }
		s := tuned.NewSoup(paths...)
		s.Method, s.Data, s.Validation = tuned.SoupGreedy, "optdigits", 0.1
		told := 0
		s.Progress = func(int, int) { told++ }
		out := filepath.Join(t.TempDir(), "soup")

		r, err := s.Run(t.Context(), out, open)
		if err != nil {
			t.Fatal(err)
		}
		if r.Score == nil || r.Examples == 0 || len(r.Scores) != 3 || *r.Score < slices.Max(r.Scores) || told == 0 {
			t.Errorf("score %v of %v on %d examples, told %d times", r.Score, r.Scores, r.Examples, told)
		}
		if best := paths[slices.Index(r.Scores, slices.Max(r.Scores))]; r.Ingredients[0] != best {
			t.Errorf("the first ingredient is %s, the best model %s", r.Ingredients[0], best)
		}
		b, err := bundle.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		derived := b.Manifest.Provenance.Derived
		if len(derived) != 1 || !strings.HasPrefix(derived[0], "soup: greedy of ") || !strings.HasSuffix(b.Manifest.Name, " soup") {
			t.Errorf("the soup is called %q, derived %q", b.Manifest.Name, derived)
		}
	})
}

func TestSoupOptions(t *testing.T) {
	for want, change := range map[string]func(s *tuned.Soup){
		`no method "gredy"; did you mean "greedy"?`: func(s *tuned.Soup) { s.Method = "gredy" },
		"learned needs data":                        func(s *tuned.Soup) { s.Method = tuned.SoupLearned },
		"name a data set":                           func(s *tuned.Soup) { s.Recalibrate = true },
		"1 scores for 2 models":                     func(s *tuned.Soup) { s.Scores = []float64{1} },
		"validation is 1":                           func(s *tuned.Soup) { s.Validation = 1 },
		"a is given twice":                          func(s *tuned.Soup) { s.Models[1] = "a" },
		"there is no model":                         func(s *tuned.Soup) { s.Models = nil },
	} {
		s := tuned.NewSoup("a", "b")
		change(&s)
		usage := new(fault.Usage)
		if err := s.Validate(); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Signatures go on and come off bundles and files, and are noted in them.
func TestPatchAndUnpatch(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		family := weightstest.Family(3, 3, 0.1)
		var files []string
		for _, w := range family {
			files = append(files, weightstest.Written(t, w, "F32", 1))
		}
		for _, paths := range [][]string{onDisk(t, e, 3), files} {
			x := tuned.NewExtraction()
			x.Pretrained, x.Clean, x.Robust, x.Name, x.Method.Layers = paths[0], paths[1], paths[2], "noise", "*kernel"
			s, err := x.Run()
			if err != nil {
				t.Fatal(err)
			}
			patch := tuned.Patch{Model: paths[1], Signatures: []signature.Scaled{{Signature: s, Scale: 0.5}}}
			patched, restored := filepath.Join(t.TempDir(), "patched"), filepath.Join(t.TempDir(), "restored")
			if _, err := patch.Run(t.Context(), patched, nil); err != nil {
				t.Fatal(err)
			}
			applied, err := tuned.AppliedTo(patched)
			if err != nil || len(applied) != 1 || applied[0].ID != s.ID || applied[0].Scale != 0.5 {
				t.Errorf("the patched model says %v, %v", applied, err)
			}

			left, _, err := tuned.Unpatch(patched, s, restored)
			if err != nil || len(left) != 0 {
				t.Fatal(left, err)
			}
			clean, err := tuned.Load(paths[1])
			if err != nil {
				t.Fatal(err)
			}
			again, err := tuned.Load(restored)
			if err != nil {
				t.Fatal(err)
			}
			between, err := tuned.Load(patched)
			if err != nil {
				t.Fatal(err)
			}
			if weightstest.Largest(clean, again) > 1e-6 || weightstest.Largest(clean, between) < 1e-3 {
				t.Errorf("patching moved values by %v, and left %v", weightstest.Largest(clean, between), weightstest.Largest(clean, again))
			}
		}
	})
}
