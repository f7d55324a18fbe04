package evaluate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/metric"
)

func unknownForm(f Form) error {
	if near, ok := strict.Nearest(string(f), Forms()); ok {
		return &fault.Usage{Err: fmt.Errorf("evaluate: outputs are no %q; did you mean %q?", strict.Short(string(f)), near)}
	}
	return &fault.Usage{Err: fmt.Errorf("evaluate: outputs are no %q; they are %s", strict.Short(string(f)), strings.Join(Forms(), ", "))}
}

// readLabels reads the labels of all rows of the file of outputs.
func (s *Saved) readLabels() (labels []int64, err error) {
	y, err := s.array(s.LabelsPath, "labels", "labels", "label", "y", "y_true", "targets")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, y.Close()) }()

	shape := y.Shape
	for len(shape) > 1 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	if len(s.file.Shape) == 1 && y.Rows() != s.rows {
		return nil, &fault.Input{
			File: s.LogitsPath, Field: "shape", Err: fmt.Errorf("it is %v, the labels are %v", s.file.Shape, y.Shape),
			Fix: "save logits as [examples, classes], or one an example",
		}
	}
	oneHot := len(shape) == 2 && shape[1] == s.Classes
	if y.Rows() != s.rows || len(shape) != 1 && !oneHot {
		return nil, &fault.Input{
			File: s.LabelsPath, Field: "shape", Err: fmt.Errorf("it is %v, the logits are %v", y.Shape, s.file.Shape),
			Fix: fmt.Sprintf("save %d labels in one axis", s.rows),
		}
	}

	if err := memory.Need("the labels of "+s.LabelsPath, 12*int64(s.rows)+8*int64(y.Len())); err != nil {
		return nil, err
	}
	if labels, err = y.Int64s(); err != nil {
		return nil, err
	}
	if !oneHot {
		return slices.Clone(labels), nil // they may be the mapping
	}
	s.note("labels %v are rows of one 1 and zeros: the place of the 1 is the label", y.Shape)
	return s.places(labels)
}

// places are the places of the ones in rows of one 1 and zeros.
func (s *Saved) places(rows []int64) ([]int64, error) {
	labels := make([]int64, s.rows)
	for i := range labels {
		labels[i] = -1
		for c, v := range rows[i*s.Classes : (i+1)*s.Classes] {
			switch {
			case v == 1 && labels[i] < 0:
				labels[i] = int64(c)
			case v != 0:
				return nil, s.badLabel(i, "its row is not one 1 and zeros", "save the label's number, or rows of one 1 and zeros")
			}
		}
		if labels[i] < 0 {
			return nil, s.badLabel(i, "its row is all zeros", "save the label's number, or rows of one 1 and zeros")
		}
	}
	return labels, nil
}

func (s *Saved) badLabel(i int, text, fix string) error {
	return &fault.Input{File: s.LabelsPath, Field: "example " + strconv.Itoa(i), Err: errors.New(text), Fix: fix}
}

// readOutputs reads the outputs and makes logits [rows, classes] of them.
func (s *Saved) readOutputs() (err error) {
	switch s.file.DType {
	case npy.Float64:
		s.wide, err = s.file.Float64s()
	case npy.Float16, npy.Float32:
		if s.file.DType == npy.Float16 {
			if err := memory.Need("the outputs of "+s.LogitsPath, 4*int64(s.file.Len())); err != nil {
				return err
			}
			s.note("float16 outputs are computed with as float32")
		}
		s.narrow, err = s.file.Float32s()
	default:
		err = &fault.Input{File: s.LogitsPath, Field: "descr", Err: fmt.Errorf("it is %v", s.file.DType), Fix: "save logits as float16, float32 or float64"}
	}
	if err != nil {
		return err
	}

	if s.wide != nil {
		s.wide, err = asLogits(s, s.wide)
	} else {
		s.narrow, err = asLogits(s, s.narrow)
	}
	return err
}

// asLogits finds out what outputs are, where nobody has said it, and makes logits of them. Logits of several classes stay where they are.
func asLogits[F metric.Float](s *Saved, x []F) ([]F, error) {
	found := formOf(x, s.Classes, s.binary)
	if s.outputs == "" {
		s.outputs = found
	} else if err := s.fits(found); err != nil {
		return nil, err
	}

	if s.binary {
		what := "logits"
		if s.outputs == FormProbabilities {
			what = "probabilities"
		}
		s.note("outputs %v are the %s of class 1 of two", s.file.Shape, what)
	} else if s.outputs == FormProbabilities {
		s.note("outputs are probabilities (rows in [0,1] that sum to 1): their logarithms are the logits")
	}
	if !s.binary && s.outputs == FormLogits && within(x, 0, 1) {
		s.note("all outputs are in [0,1], and the rows do not sum to 1: they are taken for logits")
	}
	if s.outputs != FormProbabilities && !s.binary {
		return x, nil
	}

	var zero F
	size := int64(4)
	if _, double := any(zero).(float64); double {
		size = 8
	}
	if err := memory.Need("the logits of "+s.LogitsPath, size*int64(s.rows)*int64(s.Classes)); err != nil {
		return nil, err
	}
	logits := make([]F, s.rows*s.Classes)
	for i, v := range x {
		switch {
		case !s.binary:
			logits[i] = F(math.Log(float64(v)))
		case s.outputs == FormProbabilities:
			logits[2*i], logits[2*i+1] = F(math.Log1p(-float64(v))), F(math.Log(float64(v)))
		default:
			logits[2*i+1] = v
		}
	}
	return logits, nil
}

// fits refuses outputs that cannot be what they are said to be.
func (s *Saved) fits(found Form) error {
	if s.outputs == FormLogits && found == FormProbabilities && !s.binary {
		return &fault.Input{
			File: s.LogitsPath, Err: fmt.Errorf("the outputs are no logits: all %d rows are numbers in [0,1] that sum to 1, as probabilities are", s.rows),
			Fix: "leave out that they are logits, and their logarithms are taken, or save what goes into the softmax",
		}
	}
	if s.outputs == FormLogits || found == s.outputs {
		return nil
	}
	what := "rows of numbers in [0,1] that sum to 1"
	switch {
	case s.binary && s.outputs == FormLogProbabilities:
		return &fault.Usage{Err: fmt.Errorf("evaluate: %s has one output an example; it is a logit or a probability", s.LogitsPath)}
	case s.binary:
		what = "numbers in [0,1]"
	case s.outputs == FormLogProbabilities:
		what = "rows of logarithms of such that sum to 1"
	}
	return &fault.Input{File: s.LogitsPath, Err: fmt.Errorf("the outputs are no %s: they are not %s", s.outputs, what), Fix: "leave it out, and what they are is found out"}
}

// nearOne is how far from 1 the sum of a row of probabilities may be: float16 rounds each to one in two thousand.
const nearOne = 2e-3

// formOf says what outputs look like. Logits rarely do for one row, and hardly for all.
func formOf[F metric.Float](x []F, classes int, binary bool) Form {
	if len(x) == 0 {
		return FormLogits
	}
	if binary {
		if within(x, 0, 1) {
			return FormProbabilities
		}
		return FormLogits
	}
	probabilities, logarithms := true, true
	for i := 0; i < len(x) && (probabilities || logarithms); i += classes {
		sum, exp := 0.0, 0.0
		for _, v := range x[i : i+classes] {
			probabilities = probabilities && v >= 0 && v <= 1
			logarithms = logarithms && v <= 0
			sum += float64(v)
			if logarithms {
				exp += math.Exp(float64(v))
			}
		}
		probabilities = probabilities && math.Abs(sum-1) <= nearOne
		logarithms = logarithms && math.Abs(exp-1) <= nearOne
	}
	switch {
	case probabilities:
		return FormProbabilities
	case logarithms:
		return FormLogProbabilities
	}
	return FormLogits
}

// within reports whether all numbers are in [low, high].
func within[F metric.Float](x []F, low, high F) bool {
	for _, v := range x {
		if inside := v >= low && v <= high; !inside { // NaN is not
			return false
		}
	}
	return len(x) > 0
}

// keep checks the labels, and leaves the examples out whose labels are to be ignored.
func (s *Saved) keep(labels, ignore []int64) error {
	var kept []int32
	left := map[int64]int{}
	for i, label := range labels {
		if slices.Contains(ignore, label) {
			left[label]++
			continue
		}
		if label < 0 || label >= int64(s.Classes) || label > math.MaxInt32 {
			return s.outside(i, label, labels)
		}
		s.labels = append(s.labels, int32(label))
		kept = append(kept, int32(i))
	}
	for _, label := range ignore {
		s.note("%d of %d examples are left out: their label is %d", left[label], len(labels), label)
	}
	switch {
	case len(kept) == 0 && len(labels) > 0:
		return &fault.Input{File: s.LabelsPath, Err: errors.New("no example is left, all have labels that are ignored"), Fix: "ignore fewer labels"}
	case len(kept) == len(labels):
		return nil
	}
	if err := memory.Need("the outputs of "+s.LogitsPath+" that are not left out", (4*int64(len(s.narrow)) + 8*int64(len(s.wide)))); err != nil {
		return err
	}
	s.kept = kept
	s.narrow, s.wide = pick(s.narrow, kept, s.Classes), pick(s.wide, kept, s.Classes)
	return nil
}

// pick are the rows of some places.
func pick[F metric.Float](x []F, rows []int32, width int) []F {
	if x == nil {
		return nil
	}
	out := make([]F, 0, len(rows)*width)
	for _, i := range rows {
		out = append(out, x[int(i)*width:(int(i)+1)*width]...)
	}
	return out
}

// outside says what is wrong with a label that is no class, and what the labels look like.
func (s *Saved) outside(i int, label int64, labels []int64) error {
	low, high := slices.Min(labels), slices.Max(labels)
	fix := "number the classes as the columns of the logits"
	switch {
	case s.Classes == 2 && low == -1 && high == 1 && !slices.Contains(labels, 0):
		fix = "number the classes 0 and 1 in place of -1 and 1"
	case low == 1 && high == int64(s.Classes):
		fix += ", from 0 on"
	default:
		fix += fmt.Sprintf(", or leave such examples out with --ignore-label=%d", label)
	}
	return &fault.Input{File: s.LabelsPath, Field: "example " + strconv.Itoa(i), Err: fmt.Errorf("label is %d, outside 0 to %d", label, s.Classes-1), Fix: fix}
}

// WriteScaled writes the logits of all rows, those left out among them, divided by a temperature to another .npy file, or as the
// array "logits" of an .npz file where the path ends so: float64 if they are, else float32, and in the shape of the file where it has one output an example. Of probabilities it writes the scaled logits.
func (s *Saved) WriteScaled(path string, temperature float64) error {
	if err := memory.Need("a copy of "+s.LogitsPath, 8*int64(s.file.Len())); err != nil {
		return err
	}
	if s.file.DType == npy.Float64 {
		raw, err := s.file.Float64s()
		if err != nil {
			return err
		}
		return writeScaled(s, path, raw, temperature)
	}
	raw, err := s.file.Float32s()
	if err != nil {
		return err
	}
	return writeScaled(s, path, raw, temperature)
}

func writeScaled[F float32 | float64](s *Saved, path string, raw []F, temperature float64) error {
	scaled := slices.Clone(raw)
	for i, v := range scaled {
		scaled[i] = F(s.logit(float64(v)))
	}
	calibrate.Apply(scaled, temperature)
	shape := []int{s.rows, s.Classes}
	if s.binary {
		shape = s.file.Shape
	}
	return writeLogits(s, path, shape, scaled)
}

// logit is a value of the file as a logit.
func (s *Saved) logit(v float64) float64 {
	switch {
	case s.outputs != FormProbabilities:
		return v
	case s.binary:
		return math.Log(v) - math.Log1p(-v)
	}
	return math.Log(v)
}

// writeLogits writes logits as .npy, or as the array of an .npz file.
func writeLogits[F float32 | float64](s *Saved, path string, shape []int, scaled []F) error {
	if filepath.Ext(path) != ".npz" {
		return npy.WriteFile(path, shape, scaled)
	}
	content, err := binary.Append(nil, binary.LittleEndian, scaled)
	if err != nil {
		return err
	}
	one := npy.Member{Name: "logits", DType: s.scaledType(), Shape: shape, Open: func() (io.Reader, error) { return bytes.NewReader(content), nil }}
	return npy.WriteArchiveFile(path, []npy.Member{one}, false)
}

// scaledType is the type of the scaled logits.
func (s *Saved) scaledType() npy.DType {
	if s.file.DType == npy.Float64 {
		return npy.Float64
	}
	return npy.Float32
}
