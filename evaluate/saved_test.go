package evaluate_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// savedRows are logits of five classes and labels, of which about half are answered right.
func savedRows() (logits [][]float64, labels []int) {
	for i := range 40 {
		row := make([]float64, 5)
		for c := range row {
			row[c] = 3 * math.Sin(float64(7*i+3*c))
		}
		logits, labels = append(logits, row), append(labels, i%5)
	}
	return logits, labels
}

// softmaxOf are the probabilities of a row.
func softmaxOf(row []float64) []float64 {
	sum, p := 0.0, make([]float64, len(row))
	for c, z := range row {
		p[c] = math.Exp(z)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return p
}

// nll is the mean NLL by hand.
func nll(logits [][]float64, labels []int) float64 {
	sum := 0.0
	for i, row := range logits {
		sum -= math.Log(softmaxOf(row)[labels[i]])
	}
	return sum / float64(len(logits))
}

func flat(rows [][]float64, of func([]float64) []float64) []float64 {
	var out []float64
	for _, row := range rows {
		if of != nil {
			row = of(row)
		}
		out = append(out, row...)
	}
	return out
}

// savedFile writes an array of a type by hand.
func savedFile(t *testing.T, name, descr string, shape string, values any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	text := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	text = append(text, header...)
	raw, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, raw...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func as[T any](values []float64, to func(float64) T) []T {
	out := make([]T, len(values))
	for i, v := range values {
		out[i] = to(v)
	}
	return out
}

// half is float16 of a number that has no more than ten bits, or is near one that has.
func half(v float64) uint16 {
	bits := math.Float32bits(float32(v))
	sign, exponent := uint16(bits>>16)&0x8000, int(bits>>23&0xff)-127+15
	if exponent <= 0 {
		return sign
	}
	return sign | uint16(exponent)<<10 | uint16(bits>>13&0x3ff)
}

// TestSavedForms: outputs and labels are understood in every form that frameworks save them in, and what is not plain is said.
func TestSavedForms(t *testing.T) {
	logits, labels := savedRows()
	want := nll(logits, labels)
	logs := func(row []float64) []float64 { return as(softmaxOf(row), math.Log) }
	shift := func(row []float64) []float64 { return as(row, func(v float64) float64 { return v + 1e8 }) }
	f32 := func(v float64) float32 { return float32(v) }
	plain := as(as(labels64(labels), func(v float64) float64 { return v }), func(v float64) int64 { return int64(v) })
	y := savedFile(t, "y.npy", "<i8", "(40,)", plain)
	for name, c := range map[string]struct {
		path   string
		within float64
		said   string
	}{
		"float64":             {savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, nil)), 1e-12, ""},
		"float32":             {savedFile(t, "z.npy", "<f4", "(40, 5)", as(flat(logits, nil), f32)), 1e-6, ""},
		"float16":             {savedFile(t, "z.npy", "<f2", "(40, 5)", as(flat(logits, nil), half)), 3e-3, "float16"},
		"axes of 1":           {savedFile(t, "z.npy", "<f8", "(40, 5, 1, 1)", flat(logits, nil)), 1e-12, ""},
		"large offset":        {savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, shift)), 2e-8, ""},
		"probabilities":       {savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, softmaxOf)), 1e-12, "are probabilities"},
		"probabilities, f4":   {savedFile(t, "z.npy", "<f4", "(40, 5)", as(flat(logits, softmaxOf), f32)), 1e-6, "are probabilities"},
		"probabilities, f2":   {savedFile(t, "z.npy", "<f2", "(40, 5)", as(flat(logits, softmaxOf), half)), 3e-3, "are probabilities"},
		"log-probabilities":   {savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, logs)), 1e-12, ""},
		"a class ruled out":   {savedFile(t, "z.npy", "<f8", "(40, 6)", flat(logits, func(r []float64) []float64 { return append(r[:5:5], math.Inf(-1)) })), 1e-12, ""},
		"big end first, cut ": {savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, nil)), 1e-12, ""},
	} {
		s, err := evaluate.OpenSaved(c.path, y)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, err := s.Report(evaluate.Options{})
		if got, _ := r.Number("nll"); err != nil || math.Abs(got.Value-want) > c.within {
			t.Errorf("%s: NLL %v, want %v (%v)", name, got.Value, want, err)
		}
		if said := strings.Join(r.Notes, "\n"); c.said == "" && said != "" || !strings.Contains(said, c.said) {
			t.Errorf("%s: said %q, want %q", name, said, c.said)
		}
	}

	z := savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, nil))
	oneHot := make([]float32, 200)
	for i, l := range labels {
		oneHot[5*i+l] = 1
	}
	for name, path := range map[string]string{
		"int8":      savedFile(t, "y.npy", "|i1", "(40,)", as(labels64(labels), func(v float64) int8 { return int8(v) })),
		"uint8":     savedFile(t, "y.npy", "|u1", "(40,)", as(labels64(labels), func(v float64) uint8 { return uint8(v) })),
		"int16":     savedFile(t, "y.npy", "<i2", "(40,)", as(labels64(labels), func(v float64) int16 { return int16(v) })),
		"uint64":    savedFile(t, "y.npy", "<u8", "(40,)", as(labels64(labels), func(v float64) uint64 { return uint64(v) })),
		"float32":   savedFile(t, "y.npy", "<f4", "(40,)", as(labels64(labels), f32)),
		"column":    savedFile(t, "y.npy", "<i8", "(40, 1)", plain),
		"one-hot":   savedFile(t, "y.npy", "<f4", "(40, 5)", oneHot),
		"one-hot 3": savedFile(t, "y.npy", "<f4", "(40, 5, 1)", oneHot),
	} {
		s, err := evaluate.OpenSaved(z, path)
		if err != nil {
			t.Errorf("labels %s: %v", name, err)
			continue
		}
		r, err := s.Report(evaluate.Options{})
		if got, _ := r.Number("nll"); err != nil || math.Abs(got.Value-want) > 1e-12 {
			t.Errorf("labels %s: NLL %v, want %v (%v)", name, got.Value, want, err)
		}
	}
}

func labels64(labels []int) []float64 {
	out := make([]float64, len(labels))
	for i, l := range labels {
		out[i] = float64(l)
	}
	return out
}

// TestSavedBinary: one output an example is that of class 1 of two, and what is scaled has the shape of the file.
func TestSavedBinary(t *testing.T) {
	var one []float64
	var two [][]float64
	var labels []int
	for i := range 60 {
		z := 4 * math.Sin(float64(5*i))
		one, two = append(one, z), append(two, []float64{0, z})
		labels = append(labels, map[bool]int{true: 1, false: 0}[z+2*math.Cos(float64(3*i)) > 0])
	}
	want := nll(two, labels)
	sigmoid := as(one, func(z float64) float64 { return 1 / (1 + math.Exp(-z)) })
	y := savedFile(t, "y.npy", "<i8", "(60,)", as(labels64(labels), func(v float64) int64 { return int64(v) }))
	for name, c := range map[string]struct {
		shape  string
		values []float64
		said   string
	}{
		"column of logits": {"(60, 1)", one, "logits of class 1 of two"}, "row of logits": {"(60,)", one, "logits of class 1 of two"},
		"column of probabilities": {"(60, 1)", sigmoid, "probabilities of class 1 of two"}, "row of probabilities": {"(60,)", sigmoid, "probabilities of class 1 of two"},
	} {
		s, err := evaluate.OpenSaved(savedFile(t, "z.npy", "<f8", c.shape, c.values), y)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, err := s.Report(evaluate.Options{})
		if got, _ := r.Number("nll"); err != nil || math.Abs(got.Value-want) > 1e-9 || !strings.Contains(strings.Join(r.Notes, "\n"), c.said) {
			t.Errorf("%s: NLL %v, want %v; %v (%v)", name, got.Value, want, r.Notes, err)
		}
		path := filepath.Join(t.TempDir(), "scaled.npy")
		if err := s.WriteScaled(path, 2); err != nil {
			t.Fatal(err)
		}
		scaled, err := npy.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		values, err := scaled.Float64s()
		if shape := strings.ReplaceAll(strings.Trim(fmt.Sprint(scaled.Shape), "[]"), " ", ", "); err != nil || !strings.HasPrefix(c.shape, "("+shape) {
			t.Errorf("%s: scaled to shape %s, want %s", name, shape, c.shape)
		}
		for i, v := range values {
			if math.Abs(v-one[i]/2) > 1e-9 {
				t.Errorf("%s: example %d is scaled to %v, want %v", name, i, v, one[i]/2)
				break
			}
		}
	}
}

// TestSavedIgnore: examples with a label that is to be ignored are left out of what is measured, and stay in what is written.
func TestSavedIgnore(t *testing.T) {
	logits, labels := savedRows()
	kept, keptLabels := logits[:0:0], labels[:0:0]
	marked := make([]int64, len(labels))
	for i, l := range labels {
		marked[i] = int64(l)
		if i%7 == 3 {
			marked[i] = []int64{-100, 255, -1}[i%3]
			continue
		}
		kept, keptLabels = append(kept, logits[i]), append(keptLabels, l)
	}
	z, y := savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, nil)), savedFile(t, "y.npy", "<i8", "(40,)", marked)
	s, err := evaluate.SavedOptions{Ignore: []int64{-100, 255, -1}}.Open(z, y)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Report(evaluate.Options{})
	if got, _ := r.Number("nll"); err != nil || math.Abs(got.Value-nll(kept, keptLabels)) > 1e-12 || r.Examples != len(kept) || !strings.Contains(strings.Join(r.Notes, "\n"), "of 40 examples are left out: their label is -100") {
		t.Errorf("%v, %d examples, %v (%v)", got, r.Examples, r.Notes, err)
	}
	path := filepath.Join(t.TempDir(), "scaled.npy")
	if err := s.WriteScaled(path, 1.5); err != nil {
		t.Fatal(err)
	}
	if scaled, err := npy.Open(path); err != nil || fmt.Sprint(scaled.Shape) != "[40 5]" {
		t.Errorf("what is scaled: %v, %v", scaled, err)
	}
}

// TestSavedRefuses: what is not understood is named, with a mend that is one.
func TestSavedRefuses(t *testing.T) {
	logits, labels := savedRows()
	plain := as(labels64(labels), func(v float64) int64 { return int64(v) })
	z, y := savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, nil)), savedFile(t, "y.npy", "<i8", "(40,)", plain)
	changed := func(i int, v int64) string {
		c := append([]int64(nil), plain...)
		c[i] = v
		return savedFile(t, "y.npy", "<i8", "(40,)", c)
	}
	from1 := as(labels64(labels), func(v float64) int64 { return int64(v) + 1 })
	signs := as(labels64(labels), func(v float64) int64 { return 2*(int64(v)%2) - 1 })
	soft := make([]float32, 200)
	for i := range soft {
		soft[i] = float32(i % 2)
	}
	odd := func(value float64, at int) string {
		x := flat(logits, nil)
		x[at] = value
		return savedFile(t, "z.npy", "<f8", "(40, 5)", x)
	}
	zeros := flat(logits, softmaxOf)
	zeros[0], zeros[1] = 0, zeros[0]+zeros[1]
	for want, c := range map[string]struct {
		z, y string
		o    evaluate.SavedOptions
	}{
		"label is -100, outside 0 to 4; number the classes as the columns of the logits, or leave such examples out with --ignore-label=-100": {z: z, y: changed(3, -100)},
		"label is 255, outside 0 to 4": {z: z, y: changed(3, 255)},
		"label is 5, outside 0 to 4; number the classes as the columns of the logits, from 0 on": {z: z, y: savedFile(t, "y.npy", "<i8", "(40,)", from1)},
		"number the classes 0 and 1 in place of -1 and 1":                                        {z: savedFile(t, "z.npy", "<f8", "(40, 1)", flat(logits, func(r []float64) []float64 { return r[:1] })), y: savedFile(t, "y.npy", "<i8", "(40,)", signs)},
		"its row is not one 1 and zeros":                                                         {z: z, y: savedFile(t, "y.npy", "<f4", "(40, 5)", soft)},
		"its row is all zeros":                                                                   {z: z, y: savedFile(t, "y.npy", "<f4", "(40, 5)", make([]float32, 200))},
		"it is [39], the logits are [40 5]; save 40 labels":                                      {z: z, y: savedFile(t, "y.npy", "<i8", "(39,)", plain[:39])},
		"it is [40 4], the logits are [40 5]":                                                    {z: z, y: savedFile(t, "y.npy", "<i8", "(40, 4)", make([]int64, 160))},
		"it is int16; save logits as float16, float32 or float64":                                {z: savedFile(t, "z.npy", "<i2", "(40, 5)", make([]int16, 200)), y: y},
		"it is [2 20 5]": {z: savedFile(t, "z.npy", "<f8", "(2, 20, 5)", flat(logits, nil)), y: y},
		"the logit of class 0 of example 1 is NaN":                                  {z: odd(math.NaN(), 5), y: y},
		"the logit of class 0 of example 1 is +Inf":                                 {z: odd(math.Inf(1), 5), y: y},
		"the logit of class 0 of example 0 is -Inf":                                 {z: odd(math.Inf(-1), 0), y: y},
		"the outputs are no logits: all 40 rows are numbers in [0,1] that sum to 1": {z: savedFile(t, "z.npy", "<f8", "(40, 5)", flat(logits, softmaxOf)), y: y, o: evaluate.SavedOptions{Outputs: evaluate.FormLogits}},
		"save logits: a probability of 0 has lost what a logit says":                {z: savedFile(t, "z.npy", "<f8", "(40, 5)", zeros), y: y},
		"no example is left":                             {z: z, y: y, o: evaluate.SavedOptions{Ignore: []int64{0, 1, 2, 3, 4}}},
		`outputs are no "logit"; did you mean "logits"?`: {z: z, y: y, o: evaluate.SavedOptions{Outputs: "logit"}},
		"the outputs are no probabilities":               {z: z, y: y, o: evaluate.SavedOptions{Outputs: evaluate.FormProbabilities}},
		"the outputs are no log-probabilities":           {z: z, y: y, o: evaluate.SavedOptions{Outputs: evaluate.FormLogProbabilities}},
	} {
		s, err := c.o.Open(c.z, c.y)
		if err == nil {
			_, err = s.Calibrate(calibrate.NewTemperatureScaling(), nil, 1)
		}
		var usage *fault.Usage
		if err == nil || !strings.Contains(err.Error(), want) || !fault.IsInput(err) && !errors.As(err, &usage) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
