package adapt_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/adapt/adapttest"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/norm"
)

// noise is an image of bytes.
func noise(seed uint64, size int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, size)
	for i := range x {
		x[i] = float32(r.IntN(256)) / 255
	}
	return x
}

// TestSameCropSameScore: a candidate has one score in every view that holds it, so that the crop moves only to one that came in or from one
// that went out.
func TestSameCropSameScore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		channels := rapid.SampledFrom([]int{1, 2, 3, 4}).Draw(t, "channels")
		rows, cols := rapid.IntRange(8, 14).Draw(t, "rows"), rapid.IntRange(8, 14).Draw(t, "cols")
		k := rapid.IntRange(1, 5).Draw(t, "k")
		s := adapt.Selector{
			Score: rapid.SampledFrom([]string{"hash", "filter", "edge", "mean"}).Draw(t, "score"), Rows: 6, Cols: 5, FilterSize: k,
			Filter: adapt.CropFilterOf(k, rapid.Uint64().Draw(t, "filter"), rapid.Bool().Draw(t, "zero mean")),
		}
		image := noise(rapid.Uint64().Draw(t, "image"), (rows+2)*(cols+2)*channels)
		whole, shape := []int{rows + 2, cols + 2, channels}, []int{rows, cols, channels}
		scores := map[[2]int]int64{}
		for dy := range 3 {
			for dx := range 3 {
				view := make([]float32, rows*cols*channels)
				adapt.Selector{Rows: rows, Cols: cols}.Cut(view, image, whole, adapt.Chosen{Row: dy, Col: dx})
				all, _, width := s.Scores(view, shape)
				for i, v := range all {
					at := [2]int{i/width + dy, i%width + dx}
					if known, ok := scores[at]; ok && known != v {
						t.Fatalf("the crop at %v has scores %d and %d", at, known, v)
					}
					scores[at] = v
				}
			}
		}
	})
}

// TestBoundHolds: over images of noise the crop stays as often as the bound says, for every score without a trend.
func TestBoundHolds(t *testing.T) {
	const n, crop, images = 9, 7, 400
	s := adapt.Selector{Score: adapt.CropHash, Rows: crop, Cols: crop, FilterSize: 5, Filter: adapt.CropFilterOf(5, 0, false)}
	side := n + crop - 1
	axis, all := 0, 0
	for i := range images {
		image := noise(uint64(i), (side+2)*(side+2))
		at := func(dy, dx int) [2]int {
			view := make([]float32, side*side)
			adapt.Selector{Rows: side, Cols: side}.Cut(view, image, []int{side + 2, side + 2, 1}, adapt.Chosen{Row: dy, Col: dx})
			c := s.Select(view, []int{side, side, 1})
			return [2]int{c.Row + dy, c.Col + dx}
		}
		middle, same := at(1, 1), true
		for dy := range 3 {
			for dx := range 3 {
				same = same && at(dy, dx) == middle
			}
		}
		if at(1, 2) == middle {
			axis++
		}
		if same {
			all++
		}
	}
	for kind, got := range map[string]int{adapt.ShiftAxis: axis, adapt.ShiftNeighbours: all} {
		bound, err := adapt.CropBound(n, 1, kind)
		if share := float64(got) / images; err != nil || share < bound-0.05 {
			t.Errorf("%s: the same crop in %.3f; the bound is %.3f (%v)", kind, share, bound, err)
		}
	}
}

// TestCandidates: so many reach the consistency, and one fewer does not.
func TestCandidates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s := rapid.Float64Range(0.01, 0.99).Draw(t, "p"), rapid.IntRange(1, 9).Draw(t, "s")
		n, err := adapt.CropCandidates(p, s)
		if err != nil {
			t.Fatal(err)
		}
		reached, _ := adapt.CropBound(n, s, adapt.ShiftAxis)
		below := -1.0
		if n > 1 {
			below, _ = adapt.CropBound(n-1, s, adapt.ShiftAxis)
		}
		if reached < p-1e-9 || below >= p+1e-9 {
			t.Fatalf("%d candidates reach %v, one fewer %v; want %v", n, reached, below, p)
		}
	})
}

// TestCropsAnswers: answers are those to the crops, of views larger than the input too; circular ones do not move with the image; what is
// flat is said.
func TestCropsAnswers(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		b := adapttest.NewBundle(t, e, adapttest.Network(norm.NewBatch()), []int{6, 6, 1})
		forward, err := b.NewForward(e, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()

		wide := adapt.NewCrops()
		wide.View, wide.FilterSize = 9, 3
		a, err := wide.Start(adapt.Model{Bundle: b, Engine: e, Batch: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		s, err := wide.Selector([]int{9, 9, 1}, []int{6, 6, 1})
		if err != nil {
			t.Fatal(err)
		}
		x := noise(3, 3*81)
		got := answer(t, a, x, 3)
		crop := make([]float32, 36)
		for i := range 3 {
			image := x[i*81 : (i+1)*81]
			s.Cut(crop, image, []int{9, 9, 1}, s.Select(image, []int{9, 9, 1}))
			want, err := forward.Logits(crop, 1)
			if err != nil || !near(got[i*3:i*3+3], want) {
				t.Errorf("image %d: %v, its crop %v (%v)", i, got[i*3:i*3+3], want, err)
			}
		}
		if v, ok := a.(adapt.Viewer); !ok || !slices.Equal(v.InputShape(), []int{9, 9, 1}) {
			t.Error("the adapter does not say that it takes larger images")
		}

		ring := adapt.NewCrops()
		ring.Circular, ring.FilterSize = true, 3
		c, err := ring.Start(adapt.Model{Bundle: b, Engine: e, Batch: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		whole := adapt.Selector{Rows: 6, Cols: 6, Circular: true}
		first, rolled := answer(t, c, x[:36], 1), make([]float32, 36)
		for dy := range 6 {
			whole.Cut(rolled, x[:36], []int{6, 6, 1}, adapt.Chosen{Row: dy, Col: 5 - dy})
			if !slices.Equal(answer(t, c, rolled, 1), first) {
				t.Errorf("rolled by %d the answer is another", dy)
			}
		}

		answer(t, c, make([]float32, 36), 1)
		if warnings := c.(adapt.Warner).Warnings(); len(warnings) != 2 || !strings.Contains(warnings[1], "1 of 8 images are flat") {
			t.Errorf("warnings of a flat image: %q", warnings)
		}
	})
}

func answer(t *testing.T, a adapt.Adapter, x []float32, n int) []float32 {
	t.Helper()
	y, err := a.Answer(t.Context(), x, n)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func near(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return x-y < 1e-5 && y-x < 1e-5 })
}

// TestCropsRefuses: what cannot be cropped, with the fix.
func TestCropsRefuses(t *testing.T) {
	with := func(change func(o *adapt.Crops)) adapt.Crops {
		o := adapt.NewCrops()
		change(&o)
		return o
	}
	for want, o := range map[string]adapt.Crops{
		"use a crop of 1 to 8 rows":        with(func(o *adapt.Crops) { o.Crop = 9 }),
		"use a filter that fits in":        with(func(o *adapt.Crops) { o.Crop = 4 }),
		"a smaller consistency":            with(func(*adapt.Crops) {}),
		"set consistency=0.9":              with(func(o *adapt.Crops) { o.Consistency = 0 }),
		`did you mean "hash"`:              with(func(o *adapt.Crops) { o.Score = "hashh" }),
		"no crop makes it certain":         with(func(o *adapt.Crops) { o.Consistency = 1 }),
		"the same at every position":       with(func(o *adapt.Crops) { o.Circular, o.Score = true, "edge" }),
		"use a number of pixels from 1":    with(func(o *adapt.Crops) { o.MaxShift = 0 }),
		"use 1 to 255 pixels":              with(func(o *adapt.Crops) { o.FilterSize = 0 }),
		"or 0 to choose it by consistency": with(func(o *adapt.Crops) { o.Crop = -1 }),
	} {
		err := o.Validate()
		if err == nil {
			var usage *fault.Usage
			if _, err = o.Selector([]int{8, 8, 1}, []int{8, 8, 1}); !errors.As(err, &usage) {
				t.Errorf("%+v: %v is not a usage error", o, err)
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if _, err := adapt.CropBound(9, 1, "sideways"); err == nil {
		t.Error("a kind of shift that there is not is taken")
	}
}

func BenchmarkSelect(b *testing.B) {
	image := noise(1, 256*256*3)
	for _, score := range []string{adapt.CropHash, adapt.CropEdge} {
		s := adapt.Selector{Score: score, Rows: 224, Cols: 224, FilterSize: 5, Filter: adapt.CropFilterOf(5, 0, false)}
		b.Run(score, func(b *testing.B) {
			for b.Loop() {
				s.Select(image, []int{256, 256, 3})
			}
		})
	}
}
