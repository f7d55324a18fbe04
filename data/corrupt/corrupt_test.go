package corrupt_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
)

// picture is an image with every value from 0 to 1 in it, made of exact fractions.
func picture(shape []int) []float32 {
	x := make([]float32, shape[0]*shape[1]*shape[2])
	for i := range x {
		x[i] = float32((i*37)%257) / 256
	}
	return x
}

// TestBytesAreTheSameEverywhere pins what every shift makes of two pictures at every severity. The numbers were written down
// once; a machine that gives others computes differently.
func TestBytesAreTheSameEverywhere(t *testing.T) {
	for _, shift := range corrupt.All() {
		h := sha256.New()
		for _, shape := range [][]int{{8, 8, 1}, {9, 7, 3}} {
			src := picture(shape)
			for severity := 1; severity <= corrupt.Severities; severity++ {
				for index := range 3 {
					dst := make([]float32, len(src))
					shift.Apply(dst, src, shape, severity, 5, index)
					for _, v := range dst {
						if !(v >= 0 && v <= 1) {
							t.Fatalf("%s: value %v", shift.Name(), v)
						}
						_ = binary.Write(h, binary.LittleEndian, v)
					}
				}
			}
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != pinned[shift.Name()] {
			t.Errorf("%s: %s, want %s", shift.Name(), got, pinned[shift.Name()])
		}
	}
}

var pinned = map[string]string{
	"gaussian-noise": "dd327d270b7cbe5d",
	"contrast":       "0dacead8f046aa12",
	"brightness":     "65f34fdb53fa3942",
	"translation":    "a4bd7ad9009b56d6",
}

// TestShiftsDoWhatTheySay measures the effect.
func TestShiftsDoWhatTheySay(t *testing.T) {
	shape := []int{40, 40, 1}
	grey := make([]float32, 1600)
	for i := range grey {
		grey[i] = 0.5
	}
	apply := func(s corrupt.Shift, src []float32, shape []int, severity, index int) []float32 {
		dst := make([]float32, len(src))
		s.Apply(dst, src, shape, severity, 1, index)
		return dst
	}
	// Noise of 0.08: mean 0.5 and that deviation, but for chance.
	var mean, square float64
	for _, v := range apply(corrupt.GaussianNoise{}, grey, shape, 1, 0) {
		mean += float64(v) / 1600
		square += (float64(v) - 0.5) * (float64(v) - 0.5) / 1600
	}
	if math.Abs(mean-0.5) > 0.008 || math.Abs(math.Sqrt(square)-0.08) > 0.006 {
		t.Errorf("noise has mean %v and deviation %v", mean, math.Sqrt(square))
	}
	if a, b := apply(corrupt.GaussianNoise{}, grey, shape, 1, 0), apply(corrupt.GaussianNoise{}, grey, shape, 1, 1); a[0] == b[0] && a[1] == b[1] {
		t.Error("two examples have the same noise")
	}
	if got := apply(corrupt.Contrast{}, []float32{0, 1}, []int{1, 2, 1}, 3, 0); math.Abs(float64(got[0])-0.4) > 1e-7 || math.Abs(float64(got[1])-0.6) > 1e-7 {
		t.Errorf("contrast gives %v, want 0.4 and 0.6", got)
	}
	if got := apply(corrupt.Brightness{}, []float32{0.5, 0.25, 0}, []int{1, 1, 3}, 1, 0); fmt.Sprint(got) != "[0.6 0.3 0]" {
		t.Errorf("brightness gives %v, want 0.6 0.3 0", got)
	}
	spot := make([]float32, 28*28)
	spot[14*28+14] = 1
	ways := map[string]bool{}
	for index := range 100 {
		for severity, pixels := range []int{0, 1, 3, 4, 6, 7} {
			if severity == 0 {
				continue
			}
			at := -1
			for i, v := range apply(corrupt.Translation{}, spot, []int{28, 28, 1}, severity, index) {
				if v == 1 {
					at = i
				}
			}
			dy, dx := at/28-14, at%28-14
			if max(max(dy, -dy), max(dx, -dx)) != pixels || dy != 0 && dx != 0 && dy != dx && dy != -dx {
				t.Fatalf("severity %d moved by %d, %d", severity, dy, dx)
			}
			if severity == 1 {
				ways[fmt.Sprint(dy, dx)] = true
			}
		}
	}
	if len(ways) != 8 {
		t.Errorf("%d directions: %v", len(ways), ways)
	}
}

func TestWrap(t *testing.T) {
	ds, err := data.Open("optdigits", "all")
	if err != nil {
		t.Fatal(err)
	}
	shifted, err := corrupt.Wrap(ds, corrupt.GaussianNoise{}, 3, 7)
	if err != nil {
		t.Fatal(err)
	}
	// A part shifts as it does within the whole.
	part, err := corrupt.Wrap(data.Subset(ds, []int32{9, 4}), corrupt.GaussianNoise{}, 3, 7)
	if err != nil {
		t.Fatal(err)
	}
	a, b := make([]float32, 64), make([]float32, 64)
	for i, whole := range []int{9, 4} {
		if shifted.Read(whole, a) != nil || part.Read(i, b) != nil || fmt.Sprint(a) != fmt.Sprint(b) || part.Label(i) != ds.Label(whole) {
			t.Errorf("example %d differs in the part", whole)
		}
	}
	for severity, want := range map[int]string{0: "use 1 to 5", 6: "use 1 to 5"} {
		if _, err := corrupt.Wrap(ds, corrupt.Contrast{}, severity, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("severity %d: got %v", severity, err)
		}
	}
	if _, err := corrupt.Find("contrst"); err == nil || !strings.Contains(err.Error(), `did you mean "contrast"?`) {
		t.Errorf("got %v", err)
	}
}

func ExampleWrap() {
	ds, err := data.Open("optdigits", "test")
	if err != nil {
		fmt.Println(err)
		return
	}
	shifted, err := corrupt.Wrap(ds, corrupt.Translation{}, 2, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(shifted.Info().Name, shifted.Len())
	// Output: optdigits translation:2 517
}
