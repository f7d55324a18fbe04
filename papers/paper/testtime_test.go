package paper

import (
	"math"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/data"
)

// TestImages: shifts clip, leave the images they are made of alone, and depend on their seed; orders hold every image once.
func TestImages(t *testing.T) {
	set, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewImages(set, set.Len()+1); err == nil {
		t.Error("more images than there are")
	}
	m, err := NewImages(set, 100)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(m.x)
	for _, shift := range MildShifts() {
		a, b := m.Shifted(shift, 1), m.Shifted(shift, 2)
		if slices.Equal(a.x, m.x) || slices.Equal(a.x, b.x) != (shift.Noise == 0) {
			t.Errorf("%s: the seed does not say what is drawn", shift.Name)
		}
		if low, high := slices.Min(a.x), slices.Max(a.x); low < 0 || high > 1 {
			t.Errorf("%s: values from %v to %v", shift.Name, low, high)
		}
	}
	if !slices.Equal(before, m.x) {
		t.Error("the images have changed")
	}
	half := m.Shifted(Shift{Contrast: 0.5, Light: 0.125}, 1)
	for i, v := range m.x {
		if math.Abs(float64(half.x[i])-(float64(v)/2+0.375)) > 1e-6 {
			t.Fatalf("value %d of %v becomes %v", i, v, half.x[i])
		}
	}
	sorted, iid := m.Sorted(), m.IID(3)
	if !slices.IsSortedFunc(sorted, func(a, b int32) int { return int(m.Label(int(a)) - m.Label(int(b))) }) {
		t.Error("the sorted order is not")
	}
	for _, order := range [][]int32{sorted, iid} {
		all := slices.Sorted(slices.Values(order))
		for i, place := range all {
			if int(place) != i {
				t.Fatalf("an order lacks image %d", i)
			}
		}
	}
	if slices.Equal(sorted, iid) || slices.Equal(iid, m.IID(4)) {
		t.Error("the random order is not")
	}
}
