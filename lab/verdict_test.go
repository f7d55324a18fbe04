package lab

import (
	"math"
	"strings"
	"testing"
)

// Differences 1, 2, 3: mean 2, sd 1, t = 2/(1/sqrt(3)) = 3.4641 with 2 degrees of freedom; p = 0.0742 and t_0.975 = 4.3027,
// t_0.8 = 1.0607 from tables.
func TestPaired(t *testing.T) {
	p := paired(Variant{Name: "a", Values: []float64{1, 1, 1}}, Variant{Name: "b", Values: []float64{2, 3, 4}}, "accuracy")
	se := 1 / math.Sqrt(3)
	for name, c := range map[string][2]float64{
		"difference": {p.Difference, 2}, "p": {p.P, 0.0742}, "low": {p.Interval[0], 2 - 4.3027*se}, "high": {p.Interval[1], 2 + 4.3027*se}, "detectable": {p.Detectable, (4.3027 + 1.0607) * se},
	} {
		if math.Abs(c[0]-c[1]) > 1e-4 {
			t.Errorf("%s is %v, want %v", name, c[0], c[1])
		}
	}
	if !strings.Contains(p.Verdict, "no difference between b and a that 3 seeds show") {
		t.Error(p.Verdict)
	}
	p = paired(Variant{Name: "a", Values: []float64{1, 1.1, 0.9}}, Variant{Name: "b", Values: []float64{0.5, 0.61, 0.4}}, "accuracy")
	if p.P > 0.01 || !strings.Contains(p.Verdict, "b has 0.4967 less accuracy than a") {
		t.Errorf("%+v", p)
	}
	p = paired(Variant{Name: "a", Values: []float64{1}}, Variant{Name: "b", Values: []float64{2}}, "accuracy")
	if p.P != 1 || !strings.Contains(p.Verdict, "one seed shows nothing") {
		t.Errorf("%+v", p)
	}
	p = paired(Variant{Name: "a", Values: []float64{1, 2}}, Variant{Name: "b", Values: []float64{1, 2}}, "accuracy")
	if p.P != 1 || p.Difference != 0 || p.Verdict != "b and a are the same on every seed" {
		t.Errorf("equal variants: %+v", p)
	}
}
