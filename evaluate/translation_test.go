package evaluate_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/zoo"
)

// pixel is a classifier of 4 x 4 images: whether the pixel in row 1 and column 2 is bright.
type pixel struct{}

func (pixel) Name() string     { return "pixel" }
func (pixel) Task() zoo.Task   { return zoo.Classify }
func (pixel) Labels() []string { return nil }
func (pixel) Shape() []int     { return []int{4, 4, 1} }

func (pixel) Answer(_ context.Context, x []float32, n int) ([]float32, error) {
	var out []float32
	for i := range n {
		v := x[i*16+4+2]
		out = append(out, v, 1-v)
	}
	return out, nil
}

// dots are images of 7 x 7 pixels, black or white.
type dots struct{ pixels [][]float32 }

func newDots(n int) dots {
	r := rand.New(rand.NewPCG(1, 2))
	var d dots
	for range n {
		image := make([]float32, 49)
		for i := range image {
			image[i] = float32(r.IntN(2))
		}
		d.pixels = append(d.pixels, image)
	}
	return d
}

func (d dots) Info() data.Info {
	return data.Info{Name: "dots", Examples: len(d.pixels), Shape: []int{7, 7, 1}, Classes: []string{"0", "1"}, Images: true}
}
func (d dots) Len() int        { return len(d.pixels) }
func (d dots) Label(int) int32 { return 0 }

func (d dots) Read(i int, dst []float32) error {
	copy(dst, d.pixels[i])
	return nil
}

// TestTranslationMovesTheWindow: in larger images windows are parts of them as they are, around the middle.
func TestTranslationMovesTheWindow(t *testing.T) {
	ds := newDots(40)
	r, err := evaluate.Run(t.Context(), pixel{}, ds, evaluate.Options{Suites: []evaluate.Suite{evaluate.Translation{Shift: 1, Directions: 4}}, ByPlace: true})
	if err != nil {
		t.Fatal(err)
	}
	same, right, fooled := 0.0, 0.0, 0.0
	for _, image := range ds.pixels {
		at := func(dy, dx int) float32 { return image[(1+1+dy)*7+1+2+dx] } // the window in the middle begins at 1, 1
		moved := false
		for _, d := range [][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			if at(d[0], d[1]) == at(0, 0) {
				same++
			} else {
				moved = true
			}
		}
		if moved {
			fooled++
		}
		right += float64(at(0, 0))
	}
	for name, want := range map[string]float64{
		"translation.consistency": same / 160, "translation.fooled": fooled / 40, "translation.acc": right / 40,
	} {
		if got := number(t, r, name); got-want > 1e-9 || want-got > 1e-9 {
			t.Errorf("%s is %v; want %v", name, got, want)
		}
	}
	if section, _ := r.Section("translation"); len(section.Notes) != 0 || len(section.Tables[0].Rows) != 4 {
		t.Errorf("%+v", section)
	}
}

// TestTranslationRefuses: larger images are for suites that show parts of them alone, and settings are checked.
func TestTranslationRefuses(t *testing.T) {
	var usage *fault.Usage
	both := []evaluate.Suite{evaluate.NewTranslation(), evaluate.Clean{}}
	if _, err := evaluate.Run(t.Context(), pixel{}, newDots(3), evaluate.Options{Suites: both, ByPlace: true}); !errors.As(err, &usage) {
		t.Errorf("the suite clean on larger images: %v", err)
	}
	far := []evaluate.Suite{evaluate.Translation{Shift: 2, Directions: 8}}
	if _, err := evaluate.Run(t.Context(), pixel{}, newDots(3), evaluate.Options{Suites: far, ByPlace: true}); !errors.As(err, &usage) {
		t.Errorf("no room to move: %v", err)
	}
	for text, want := range map[string]string{
		`{"name":"translation","shift":0}`: "from 1", `{"name":"translation","directions":6}`: "use 4 or 8",
	} {
		var c evaluate.Choice
		if err := c.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTranslationStretches says that images of the model's size are enlarged.
func TestTranslationStretches(t *testing.T) {
	ds, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	r, err := evaluate.Run(t.Context(), brightest{}, data.Subset(ds, []int32{0, 1, 2, 3}), evaluate.Options{Suites: []evaluate.Suite{evaluate.NewTranslation()}, ByPlace: true})
	if err != nil {
		t.Fatal(err)
	}
	section, _ := r.Section("translation")
	if len(section.Notes) != 1 || !strings.Contains(section.Notes[0], "6 x 6 pixels were stretched to 8 x 8") || section.Numbers[0].Better == "" {
		t.Errorf("%+v", section.Notes)
	}
}

// brightest answers with the row, of eight, that is brightest.
type brightest struct{}

func (brightest) Name() string     { return "brightest" }
func (brightest) Task() zoo.Task   { return zoo.Classify }
func (brightest) Labels() []string { return nil }
func (brightest) Shape() []int     { return []int{8, 8, 1} }

func (brightest) Answer(_ context.Context, x []float32, n int) ([]float32, error) {
	out := make([]float32, n*10)
	for i, v := range x {
		out[i/64*10+i%64/8] += v
	}
	return out, nil
}
