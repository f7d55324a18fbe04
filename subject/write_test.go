package subject_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/repair"
	"github.com/ballast-ml/ballast/subject"
)

// answersOf asks a file about the first examples of a set. see, if not nil, gets the opened model before it is closed.
func answersOf(t *testing.T, e *engine.Engine, path string, ds data.Dataset, see func(m *subject.Model, a subject.Answers, ds data.Dataset)) []float32 {
	t.Helper()
	m, err := subject.Open(path, subject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ds, err = m.Images(ds); err != nil {
		t.Fatal(err)
	}
	a, err := m.On(t.Context(), e, ds, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	const n = 37
	size := ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			t.Fatal(err)
		}
	}
	logits, err := a.Answer(t.Context(), x, n)
	if err != nil {
		t.Fatal(err)
	}
	if see != nil {
		see(m, a, ds)
	}
	return slices.Clone(logits)
}

// TestWriteCalibrated: whatever a classifier takes and gives, the file that is written answers as the fitted method says, with the same inputs
// and outputs; at a temperature of 1 to the bit.
func TestWriteCalibrated(t *testing.T) {
	d, set := newDigits(t), testSet(t)
	weights, bias := make([]float64, 10), make([]float64, 10)
	for k := range weights {
		weights[k], bias[k] = 0.5+0.1*float64(k), float64(k%3)
	}
	fitted := []calibrate.Fitted{calibrate.TemperatureMap{T: 1}, calibrate.TemperatureMap{T: 1.7}, calibrate.VectorMap{Weights: weights, Bias: bias}, calibrate.PlattMap{Slopes: weights, Offsets: bias}}
	for name, c := range map[string]struct {
		form form
		flat bool
	}{
		"nchw": {form{}, false}, "nhwc": {form{nhwc: true, end: "Softmax"}, false}, "fixed batch": {form{batch: 7, end: "LogSoftmax"}, false}, "batch of one": {form{batch: 1, nhwc: true}, false},
		"composed softmax": {form{end: "exp", unsaid: true}, false}, "features": {form{features: true}, true}, "bytes": {form{kind: onnxtest.Uint8, scale: 255}, false},
		"half": {form{kind: onnxtest.Float16}, false}, "half and softmax": {form{kind: onnxtest.Float16, end: "Softmax"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := d.write(t, filepath.Join(dir, "m.onnx"), c.form)
			ds := data.Dataset(set)
			if c.flat {
				ds = flat{set}
			}
			enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
				for i, f := range fitted {
					out := filepath.Join(dir, "out.onnx")
					before := answersOf(t, e, path, ds, func(m *subject.Model, a subject.Answers, ds data.Dataset) {
						feed, err := m.Feed(e, ds, 16, 100)
						if err != nil {
							t.Fatal(err)
						}
						w, err := m.WriteCalibrated(t.Context(), a, feed, f, out)
						if err != nil || w.Check.Examples != 100 || !w.Check.Same {
							t.Fatalf("method %d: %+v %v", i, w, err)
						}
						sameOutside(t, path, out)
					})
					compareFitted(t, i, f, before, answersOf(t, e, out, ds, nil), c.form.kind == onnxtest.Float16)
				}
			})
		})
	}
}

// sameOutside holds the inputs and outputs of two files against each other.
func sameOutside(t *testing.T, path, out string) {
	t.Helper()
	a, err1 := onnx.Open(path)
	b, err2 := onnx.Open(out)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	name := func(v onnx.Value) string { return v.Name }
	for _, lists := range [][2][]onnx.Value{{a.Graph.Inputs, b.Graph.Inputs}, {a.Graph.Outputs, b.Graph.Outputs}} {
		var names [2][]string
		for i, list := range lists {
			for _, v := range list {
				names[i] = append(names[i], name(v))
			}
		}
		if !slices.Equal(names[0], names[1]) {
			t.Errorf("%v became %v", names[0], names[1])
		}
	}
}

// compareFitted holds the answers of the file that was written against those of the original, corrected.
func compareFitted(t *testing.T, method int, f calibrate.Fitted, before, after []float32, half bool) {
	t.Helper()
	if method == 0 && !half && !slices.Equal(before, after) { // logits of logarithms of probabilities may move together
		for at := 0; at < len(before); at += 10 {
			shift := after[at] - before[at]
			for k := range 10 {
				if d := float64(after[at+k] - before[at+k] - shift); math.Abs(d) > 1e-4 {
					t.Fatalf("a temperature of 1 turns %v into %v", before[at:at+10], after[at:at+10])
				}
			}
		}
	}
	tolerance := 1e-5
	if half {
		tolerance = 2e-2
	}
	for at := 0; at < len(before); at += 10 {
		want, got := make([]float64, 10), make([]float64, 10)
		for k := range 10 {
			want[k], got[k] = float64(before[at+k]), float64(after[at+k])
		}
		if err := f.Apply(want); err != nil {
			t.Fatal(err)
		}
		p, err1 := metric.Softmax(want, 10)
		q, err2 := metric.Softmax(got, 10)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		for k := range p {
			if math.Abs(p[k]-q[k]) > tolerance {
				t.Fatalf("method %d: probabilities %v, want %v", method, q, p)
			}
		}
	}
}

// TestWriteRefuses: what was calibrated, what is one of the model's files, and scores that no calibration of all classes makes right.
func TestWriteRefuses(t *testing.T) {
	d, set := newDigits(t), testSet(t)
	dir := t.TempDir()
	path, out := d.write(t, filepath.Join(dir, "m.onnx"), form{}), filepath.Join(dir, "out.onnx")
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		write := func(path, out string, f calibrate.Fitted) (err error) {
			answersOf(t, e, path, set, func(m *subject.Model, a subject.Answers, ds data.Dataset) {
				var feed *subject.Feed
				if feed, err = m.Feed(e, ds, 16, 10); err == nil {
					_, err = m.WriteCalibrated(t.Context(), a, feed, f, out)
				}
			})
			return err
		}
		t2 := calibrate.TemperatureMap{T: 2}
		if err := write(path, out, t2); err != nil {
			t.Fatal(err)
		}
		var input *fault.Input
		if err := write(out, filepath.Join(dir, "again.onnx"), t2); !errors.As(err, &input) || !strings.Contains(err.Error(), "it has a temperature of 2 already") {
			t.Errorf("%v", err)
		}
		var usage *fault.Usage
		if err := write(path, path, t2); !errors.As(err, &usage) {
			t.Errorf("%v", err)
		}
		if err := write(path, filepath.Join(dir, "bad.onnx"), calibrate.VectorMap{Weights: []float64{1}, Bias: []float64{1}}); err == nil {
			t.Error("weights of another number of classes are written")
		}
		if names, err := filepath.Glob(filepath.Join(dir, "*.onnx")); err != nil || len(names) != 2 {
			t.Errorf("%q %v", names, err)
		}
		if _, err := os.Stat(out); err != nil {
			t.Error(err)
		}
		m, err := subject.Open(path, subject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		feed, err := m.Feed(e, set, 16, 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.WriteStatistics(t.Context(), feed, repair.NewStatistics(), filepath.Join(dir, "s.onnx"), nil); err == nil || !strings.Contains(err.Error(), "it has no BatchNormalization") {
			t.Errorf("%v", err)
		}
	})
}
