package evaluate_test

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// stubborn answers every image with its class, the surer the brighter the first pixel.
type stubborn struct{ echo }

func (stubborn) Answer(_ context.Context, x []float32, n int) ([]float32, error) {
	out := make([]float32, 4*n)
	for i := range n {
		out[4*i+1] = 1 + 3*x[i*len(x)/n]
	}
	return out, nil
}

// pictures is a set of grey images of 1 x 2 pixels that are some of a larger one.
type pictures struct{ rows }

func (p pictures) Info() data.Info {
	return data.Info{Name: "pictures", Examples: len(p.labels), Shape: []int{1, 2, 1}, Classes: []string{"a", "b", "c", "d"}, Images: true, Checksum: "c0ffee"}
}

func (p pictures) StableIndex(i int) int32 { return int32(100 + i) }

// TestWorst: the wrong answers, the surest first, with their places in the whole set, names and pictures.
func TestWorst(t *testing.T) {
	ds := pictures{rows{values: [][]float32{{0.2, 0}, {0.9, 1}, {0.5, 0.25}, {1, 0}}, labels: []int32{0, 2, 3, 1}}}
	r, err := evaluate.Run(t.Context(), stubborn{echo{task: zoo.Classify}}, ds, evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	clean, _ := r.Section("clean")
	var got []string
	for _, e := range clean.Content.(report.Clean).Worst {
		m, err := png.Decode(bytes.NewReader(e.Picture))
		if err != nil {
			t.Fatal(err)
		}
		grey, _, _, _ := m.At(0, 0).RGBA()
		got = append(got, fmt.Sprintf("%d %s %s %.3f %d", e.Index, e.Label, e.Predicted, e.Confidence, grey>>8))
	}
	if want := []string{"101 2 1 0.931 229", "102 3 1 0.802 128", "100 0 1 0.623 51"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.DataChecksum != "c0ffee" {
		t.Errorf("the data's checksum is %q", r.DataChecksum)
	}

	// The confidences under shift are the means of the same answers, and their mean is a number of the report.
	shift, _ := r.Section("shift")
	rows := shift.Content.(report.Shift).Rows
	sum := 0.0
	for _, row := range rows {
		for _, v := range row.Confidence {
			sum += v / float64(len(rows)*len(row.Confidence))
		}
	}
	if got := number(t, r, "shift.confidence"); len(rows) == 0 || got < sum-1e-12 || got > sum+1e-12 || got < 0.25 || got > 1 {
		t.Errorf("mean confidence under shift is %v, want %v", got, sum)
	}
}

// TestWorstOfSavedOutputs: rows are those of the file, whatever was left out.
func TestWorstOfSavedOutputs(t *testing.T) {
	dir := t.TempDir()
	z, y := filepath.Join(dir, "z.npy"), filepath.Join(dir, "y.npy")
	if err := npy.WriteFile(z, []int{4, 2}, []float32{3, 0, 0, 1, 5, 0, 0, 2}); err != nil {
		t.Fatal(err)
	}
	if err := npy.WriteFile(y, []int{4}, []int64{-100, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	saved, err := evaluate.SavedOptions{Ignore: []int64{-100}}.Open(z, y)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close() //nolint:errcheck // only read
	r, err := saved.Report(evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	clean, _ := r.Section("clean")
	worst := clean.Content.(report.Clean).Worst
	if len(worst) != 2 || worst[0].Index != 3 || worst[1].Index != 1 || worst[0].Label != "0" || worst[0].Predicted != "1" || worst[0].Picture != nil {
		t.Errorf("got %+v", worst)
	}

	// Divided by a temperature the answers stay and the confidences fall; the file's own outputs are not touched.
	scaled, err := saved.Scaled(4)
	if err != nil {
		t.Fatal(err)
	}
	cooler, err := scaled.Report(evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := saved.Report(evaluate.Options{})
	if err != nil || !slices.Equal(again.Values(), r.Values()) {
		t.Errorf("%v: scaling changed the outputs", err)
	}
	if number(t, cooler, "acc") != number(t, r, "acc") || number(t, cooler, "confidence") >= number(t, r, "confidence") {
		t.Errorf("scaled: %v", cooler.Values())
	}
}

// TestWhyTemperature: the text says what the numbers say.
func TestWhyTemperature(t *testing.T) {
	of := func(acc, confidence, shiftAcc, shiftConfidence float64) report.Report {
		return report.Report{Sections: []report.Section{{Suite: "all", Numbers: []metric.Number{
			{Name: "acc", Value: acc, Unit: metric.Share}, {Name: "confidence", Value: confidence, Unit: metric.Share},
			{Name: "shift.acc", Value: shiftAcc, Unit: metric.Share}, {Name: "shift.confidence", Value: shiftConfidence, Unit: metric.Share},
		}}}}
	}
	for _, c := range []struct {
		t             float64
		before, after report.Report
		want          []string
	}{
		{0.4, of(0.99, 0.89, 0.6, 0.65), of(0.99, 0.99, 0.6, 0.9), []string{"was not sure enough", "below 1 makes every answer surer", "too sure already became surer"}},
		{0.4, of(0.99, 0.89, 0.6, 0.5), of(0.99, 0.99, 0.6, 0.9), []string{"not sure enough became far too sure"}},
		{2, of(0.9, 0.99, 0.6, 0.9), of(0.9, 0.9, 0.6, 0.65), []string{"was too sure", "above 1 makes every answer less sure", "nearer to the truth"}},
		{2, of(0.9, 0.99, 0.6, 0.55), of(0.9, 0.9, 0.6, 0.4), []string{"not sure enough became less sure still"}},
		{2, of(0.9, 0.99, 0.6, 0.65), of(0.9, 0.9, 0.6, 0.3), []string{"too sure became far too little sure"}},
		{0.9, of(0.9, 0.95, 0.6, 0.65), of(0.9, 0.96, 0.6, 0.7), []string{"is best at a temperature below 1", "90.00 % of the answers are right"}},
		{1.1, of(0.9, 0.85, 0.6, 0.65), of(0.9, 0.8, 0.6, 0.6), []string{"is best at a temperature above 1"}},
	} {
		got := evaluate.WhyTemperature(c.t, c.before, c.after)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %q", want, got)
			}
		}
	}
	if got := evaluate.WhyTemperature(1, of(1, 1, 1, 1), of(1, 1, 1, 1)); got != "" {
		t.Errorf("a temperature of 1 did something: %q", got)
	}
	if got := evaluate.WhyTemperature(2, report.Report{}, report.Report{}); got != "" {
		t.Errorf("without numbers: %q", got)
	}
}
