package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Saved is the outputs of a model of any framework, and labels, of .npy or .npz files: see SavedOptions for what they may be.
type Saved struct {
	LogitsPath, LabelsPath string
	Classes                int
	Remarks                []string // how the files were understood, where they are not logits [examples, classes] and labels [examples]

	labels []int32
	narrow []float32 // one of the two is set; it may be a view of the file
	wide   []float64
	file   *npy.Array

	binary  bool // the file has one output, that of the second of two classes
	outputs Form // what the file holds
	rows    int  // of the file, with those left out

	kept []int32 // rows of the file that are not left out; nil = all
}

var _ Placed = (*Saved)(nil)

// Form is what saved outputs are.
type Form string

// The forms. Logits are whatever softmax makes probabilities of; logarithms of probabilities are logits too.
const (
	FormLogits           Form = "logits"
	FormProbabilities    Form = "probabilities"
	FormLogProbabilities Form = "log-probabilities"
)

// Forms are the names of all of them.
func Forms() []string {
	return []string{string(FormLogits), string(FormProbabilities), string(FormLogProbabilities)}
}

// SavedOptions say how to understand saved outputs and labels.
//
//	outputs   float16, float32 or float64 [examples, classes], with axes of 1 behind it or none; [examples] and [examples, 1] are the
//	          outputs of the second of two classes, as a model with one sigmoid gives them. Rows in [0,1] that sum to 1, or one output in
//	          [0,1], are taken for probabilities.
//	labels    whole numbers of any type, [examples] or [examples, 1], or rows of one 1 and zeros, [examples, classes]
//
// Each is an .npy file, or an array of an .npz file, FILE.npz:NAME. Without a name it is the only array of the file, else the one that is
// called "logits", "outputs", "probabilities", "probs" or "scores"; or "labels", "label", "y", "y_true" or "targets".
//
// What is understood otherwise than as logits [examples, classes] and labels [examples] is noted in Remarks.
type SavedOptions struct {
	Outputs Form    // what the outputs are; "" = found out
	Ignore  []int64 // labels of examples that are left out, such as -100
}

// OpenSaved opens two arrays. float32 and float64 logits are used where the file lies, without a copy. Close it.
func OpenSaved(logitsPath, labelsPath string) (*Saved, error) {
	return SavedOptions{}.Open(logitsPath, labelsPath)
}

// Validate refuses a form of outputs that there is none of.
func (o SavedOptions) Validate() error {
	if o.Outputs != "" && !slices.Contains(Forms(), string(o.Outputs)) {
		return unknownForm(o.Outputs)
	}
	return nil
}

// Open is OpenSaved with options.
func (o SavedOptions) Open(logitsPath, labelsPath string) (*Saved, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Saved{LogitsPath: logitsPath, LabelsPath: labelsPath, outputs: o.Outputs}
	z, err := s.array(logitsPath, "outputs", "logits", "outputs", "probabilities", "probs", "scores")
	if err != nil {
		return nil, err
	}
	s.file = z
	if err := s.load(o); err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return s, nil
}

func (s *Saved) load(o SavedOptions) error {
	shape := s.file.Shape
	for len(shape) > 2 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	switch {
	case len(shape) == 1, len(shape) == 2 && shape[1] == 1:
		s.binary, s.Classes = true, 2
	case len(shape) == 2:
		s.Classes = shape[1]
	default:
		return &fault.Input{File: s.LogitsPath, Field: "shape", Err: fmt.Errorf("it is %v", s.file.Shape), Fix: "save logits as [examples, classes]"}
	}
	s.rows = shape[0]

	labels, err := s.readLabels()
	if err != nil {
		return err
	}
	if err := s.readOutputs(); err != nil {
		return err
	}
	return s.keep(labels, o.Ignore)
}

// array opens what holds the outputs or the labels, and notes which array of several it takes.
func (s *Saved) array(path, what string, names ...string) (*npy.Array, error) {
	a, found, of, err := npy.OpenOne(path, names...)
	if err == nil && of > 1 && !strings.HasSuffix(path, ":"+found) {
		s.note("%s are the array %q of %s", what, found, path)
	}
	return a, err
}

// note adds a remark.
func (s *Saved) note(format string, args ...any) {
	s.Remarks = append(s.Remarks, fmt.Sprintf(format, args...))
}

// Close gives the mapping of the file back.
func (s *Saved) Close() error { return s.file.Close() }

// Files are the files of the outputs and of the labels, once where one file has both.
func (s *Saved) Files() []string {
	logits, _ := npy.SplitName(s.LogitsPath)
	labels, _ := npy.SplitName(s.LabelsPath)
	return slices.Compact([]string{logits, labels})
}

// Name is the path of the logits.
func (s *Saved) Name() string { return s.LogitsPath }

// Task is that of a classifier.
func (s *Saved) Task() zoo.Task { return zoo.Classify }

// Labels is nil: the columns have no names.
func (s *Saved) Labels() []string { return nil }

// Shape is nil: the inputs are not known.
func (s *Saved) Shape() []int { return nil }

// Answer refuses: there is no model to ask.
func (s *Saved) Answer(context.Context, []float32, int) ([]float32, error) {
	return nil, fmt.Errorf("evaluate: %s holds saved outputs, which cannot be asked anew", s.LogitsPath)
}

// Outputs are the logits.
func (s *Saved) Outputs() *Outputs {
	return &Outputs{Narrow: s.narrow, Wide: s.wide, Examples: len(s.labels)}
}

// Truth are the labels.
func (s *Saved) Truth() []int32 { return s.labels }

// Data is the path of the labels.
func (s *Saved) Data() string { return s.LabelsPath }

// Place is the row of the file that example i stands in.
func (s *Saved) Place(i int) int {
	if s.kept == nil {
		return i
	}
	return int(s.kept[i])
}

// Report audits the outputs.
func (s *Saved) Report(o Options) (report.Report, error) {
	r, err := Run(context.Background(), s, nil, o)
	r.Notes = append(r.Notes, s.Remarks...)
	return r, s.named(err)
}

// Scaled is the same outputs divided by a temperature, in memory.
func (s *Saved) Scaled(temperature float64) (*Saved, error) {
	if err := memory.Need("a copy of the outputs of "+s.LogitsPath, 4*int64(len(s.narrow))+8*int64(len(s.wide))); err != nil {
		return nil, err
	}
	scaled := *s
	scaled.narrow, scaled.wide = slices.Clone(s.narrow), slices.Clone(s.wide)
	calibrate.Apply(scaled.narrow, temperature)
	calibrate.Apply(scaled.wide, temperature)
	return &scaled, nil
}

// FitTemperature fits a temperature to the outputs.
func (s *Saved) FitTemperature(t calibrate.TemperatureScaling) (calibrate.Temperature, error) {
	if s.narrow != nil {
		fit, err := calibrate.FitTemperature(t, s.narrow, s.labels, s.Classes)
		return fit, s.named(err)
	}
	fit, err := calibrate.FitTemperature(t, s.wide, s.labels, s.Classes)
	return fit, s.named(err)
}

// named says which file an error of a metric is about.
func (s *Saved) named(err error) error {
	var missing *memory.Error
	var usage *fault.Usage
	if err == nil || errors.As(err, &missing) || errors.As(err, &usage) {
		return err
	}
	fix := "save finite logits, one row an example"
	if s.outputs == FormProbabilities {
		fix = "save logits: a probability of 0 has lost what a logit says"
	}
	return &fault.Input{File: s.LogitsPath, Err: err, Fix: fix}
}
