package lab

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tested is the pair with its verdict, one of so many.
func tested(a, b Variant, pairs int) Pair {
	p := paired(a, b, pairs)
	p.Verdict = p.words("accuracy", pairs)
	return p
}

// Differences 1, 2, 3: mean 2, sd 1, t = 2/(1/sqrt(3)) = 3.4641 with 2 degrees of freedom; p = 0.0742 and t_0.975 = 4.3027,
// t_0.8 = 1.0607 from tables.
func TestPaired(t *testing.T) {
	p := tested(Variant{Name: "a", Values: []float64{1, 1, 1}}, Variant{Name: "b", Values: []float64{2, 3, 4}}, 1)
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
	p = tested(Variant{Name: "a", Values: []float64{1, 1.1, 0.9}}, Variant{Name: "b", Values: []float64{0.5, 0.61, 0.4}}, 1)
	if p.P > 0.01 || !strings.Contains(p.Verdict, "b has 0.4967 less accuracy than a") {
		t.Errorf("%+v", p)
	}
	p = tested(Variant{Name: "a", Values: []float64{1}}, Variant{Name: "b", Values: []float64{2}}, 1)
	if p.P != 1 || !strings.Contains(p.Verdict, "one seed shows nothing") {
		t.Errorf("%+v", p)
	}
	p = tested(Variant{Name: "a", Values: []float64{1, 2}}, Variant{Name: "b", Values: []float64{1, 2}}, 1)
	if p.P != 1 || p.Difference != 0 || p.Verdict != "b and a are the same on every seed" {
		t.Errorf("equal variants: %+v", p)
	}
}

// TestHolm: with m tests the smallest p counts m times, the next m - 1 times, and none less than one before it. Numbers by hand.
func TestHolm(t *testing.T) {
	family := []Pair{{P: 0.04}, {P: 0.01}, {P: 0.03}, {P: 0.5}}
	holm(family)
	for i, want := range []float64{0.09, 0.04, 0.09, 0.5} {
		if math.Abs(family[i].PHolm-want) > 1e-12 {
			t.Errorf("p %v becomes %v, want %v", family[i].P, family[i].PHolm, want)
		}
	}
	family = []Pair{{P: 0.6}, {P: 0.7}}
	if holm(family); family[0].PHolm != 1 || family[1].PHolm != 1 {
		t.Errorf("no p is above 1: %+v", family)
	}
}

// TestSeveralVariantsAreCorrected: what one comparison would show, it does not show as one of many; and what could be seen is larger.
func TestSeveralVariantsAreCorrected(t *testing.T) {
	base, better := []float64{0, 0, 0, 0}, []float64{1, 1.5, 1, 2} // p = 0.0115
	c := Comparison{Metric: "accuracy", Seeds: []string{"1", "2", "3", "4"}}
	add := func(name string, values []float64) {
		c.Variants = append(c.Variants, Variant{Name: name, Overrides: []string{name}, varies: []string{name}, Values: values})
	}
	add("norm=a", base)
	add("norm=b", better)
	c.judge()
	one := c.Pairs[0]
	if one.P != one.PHolm || !one.shown() || c.Comparisons != 1 {
		t.Fatalf("%+v", one)
	}

	c.Pairs = nil
	for i := range 4 {
		add(fmt.Sprintf("norm={name: ghost, ghost_size: %d}", i), []float64{0.1 * float64(i), -0.2, 0.3, -0.1})
	}
	c.judge()
	of := c.Pairs[0]
	if of.P != one.P || math.Abs(of.PHolm-5*one.P) > 1e-12 || of.shown() || of.Detectable <= one.Detectable {
		t.Errorf("one of five pairs: %+v; alone %+v", of, one)
	}
	if !strings.Contains(of.Verdict, "after Holm's correction for 5 comparisons") {
		t.Error(of.Verdict)
	}

	c.choose()
	choice := c.Choices[0]
	if c.Comparisons != 5 || choice.Ranking[0].Value != "b" || len(choice.Ranking) != 6 {
		t.Fatalf("%d comparisons, %+v", c.Comparisons, choice.Ranking)
	}
	for _, r := range choice.Ranking[1:] {
		if r.PHolm < r.P || r.Tied != (r.PHolm >= 0.05) || r.Detectable <= 0 || r.pair.A != "norm=b" {
			t.Errorf("%+v", r)
		}
		if !strings.HasPrefix(r.Value, "{name: ghost") && r.Value != "a" {
			t.Errorf("the value is %q", r.Value)
		}
	}
}

// narrow is a terminal of 80 columns.
type narrow struct{ strings.Builder }

func (*narrow) Columns() int { return 80 }

// TestTextOfAComparison: p-values, the correction and what could be seen are in the terminal and in the report, in 80 columns.
func TestTextOfAComparison(t *testing.T) {
	c := Comparison{Metric: "accuracy"}
	for i := range 10 {
		c.Seeds = append(c.Seeds, fmt.Sprint(i))
	}
	for i, name := range []string{"norm=batch optimizer.lr=0.1", "norm={name: ghost, ghost_size: 8} optimizer.lr=0.1", "norm=layer optimizer.lr=0.1"} {
		v := Variant{Name: name, varies: []string{strings.TrimSuffix(name, " optimizer.lr=0.1"), "optimizer.lr=0.1"}}
		for k := range 10 {
			v.Values = append(v.Values, 0.9+0.01*float64(i)+0.001*float64(k*(i+1)%7))
		}
		c.Variants = append(c.Variants, v)
	}
	c.judge()
	c.choose()
	var text narrow
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Holm", "could see", "corrected for 2 comparisons", "against norm=layer"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(c.markdown(), want) {
			t.Errorf("no %q in\n%s\n%s", want, text.String(), c.markdown())
		}
	}
	for line := range strings.Lines(text.String()) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 80 {
			t.Errorf("over 80 columns: %q", line)
		}
	}
}

// TestPicturesCutNothing: every label, legend and title lies inside the picture, whatever it is called: nothing but white touches the
// edges.
func TestPicturesCutNothing(t *testing.T) {
	long := strings.Repeat("optimizer.schedule.large_batch.rule=sqrt ", 5)
	for name, c := range map[string]*Comparison{
		"two":                 compared("norm", []string{"batch", "ghost"}, nil),
		"long names":          compared("norm", []string{"batch", long, strings.Repeat("x", 300)}, nil),
		"a long metric":       {Metric: strings.Repeat("validation_accuracy_", 8), Seeds: []string{"1"}, Variants: []Variant{{Name: "a", Values: []float64{1}}}},
		"places":              compared("norm", []string{"batch", "{name: ghost, ghost_size: 8}", strings.Repeat("long value ", 9)}, []string{"2", "64", long}),
		"many values":         compared("norm", strings.Split(strings.Repeat("v,", 40)+"v", ","), []string{"2", "64"}),
		"one value of a seed": compared("norm", []string{"a"}, nil),
	} {
		c.judge()
		c.choose()
		var b bytes.Buffer
		if err := c.plot(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if dir := os.Getenv("BALLAST_PICTURES"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		picture, err := png.Decode(&b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		at := picture.Bounds()
		inked := func(x, y int) bool { r, g, b, _ := picture.At(x, y).RGBA(); return min(r, g, b) < 0xf000 }
		for x := at.Min.X; x < at.Max.X; x++ {
			if inked(x, at.Min.Y) || inked(x, at.Max.Y-1) {
				t.Errorf("%s: something is cut at the top or the bottom, at x = %d of %v", name, x, at)
				break
			}
		}
		for y := at.Min.Y; y < at.Max.Y; y++ {
			if inked(at.Min.X, y) || inked(at.Max.X-1, y) {
				t.Errorf("%s: something is cut at a side, at y = %d of %v", name, y, at)
				break
			}
		}
	}
}

// compared is a comparison of values of a setting, in places if there are any, over three seeds.
func compared(setting string, values, places []string) *Comparison {
	c := &Comparison{Metric: "accuracy", Seeds: []string{"1", "2", "3"}}
	if places == nil {
		places = []string{""}
	}
	for i, value := range values {
		for k, place := range places {
			v := Variant{varies: []string{fmt.Sprintf("%s=%s%d", setting, value, i)}}
			if place != "" {
				v.varies = append(v.varies, "batch_size="+place)
			}
			v.Name = strings.Join(v.varies, " ")
			for seed := range 3 {
				v.Values = append(v.Values, 0.7+0.02*float64(i)-0.01*float64(k)+0.01*float64(seed*(i+1)%3))
			}
			c.Variants = append(c.Variants, v)
		}
	}
	return c
}
