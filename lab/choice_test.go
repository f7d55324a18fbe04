package lab

import "testing"

// TestChoiceKnowsWhichEndIsBetter: of errors the least is named, of shares the most, and of what no measure has the most.
func TestChoiceKnowsWhichEndIsBetter(t *testing.T) {
	for metric, want := range map[string]string{
		"accuracy": "3", "validation_accuracy": "3", "nll": "1", "validation_nll": "1", "loss": "1", "mae": "1", "sharpness": "3",
	} {
		c := Comparison{Metric: metric, Seeds: []string{"1"}}
		for i, name := range []string{"lr=2", "lr=1", "lr=3"} {
			v := []float64{0.2, 0.1, 0.3}[i]
			c.Variants = append(c.Variants, Variant{Name: name, Overrides: []string{name}, varies: []string{name}, Values: []float64{v}, Mean: v})
		}
		c.choose()
		if len(c.Choices) != 1 || c.Choices[0].Ranking[0].Value != want {
			t.Errorf("%s: %+v, want lr=%s first", metric, c.Choices, want)
		}
	}
}
