package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Saved is the outputs of a model of any framework: logits [examples, classes], float32 or float64, and labels [examples].
type Saved struct {
	LogitsPath, LabelsPath string
	Classes                int

	labels []int32
	narrow []float32 // one of the two is set; it may be a view of the file
	wide   []float64
	file   *npy.Array
}

var _ Answered = (*Saved)(nil)

// OpenSaved opens two .npy files. float32 and float64 logits are used where the file lies, without a copy. Close it.
func OpenSaved(logitsPath, labelsPath string) (*Saved, error) {
	z, err := npy.Open(logitsPath)
	if err != nil {
		return nil, err
	}
	s := &Saved{LogitsPath: logitsPath, LabelsPath: labelsPath, file: z}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return s, nil
}

func (s *Saved) load() error {
	if len(s.file.Shape) != 2 {
		return &fault.Input{File: s.LogitsPath, Field: "shape", Err: fmt.Errorf("it is %v", s.file.Shape), Fix: "save logits as [examples, classes]"}
	}
	s.Classes = s.file.Shape[1]
	y, err := npy.Open(s.LabelsPath)
	if err != nil {
		return err
	}
	if len(y.Shape) != 1 || y.Rows() != s.file.Rows() {
		return errors.Join(&fault.Input{
			File: s.LabelsPath, Field: "shape", Err: fmt.Errorf("it is %v, the logits are %v", y.Shape, s.file.Shape),
			Fix: fmt.Sprintf("save %d labels in one axis", s.file.Rows()),
		}, y.Close())
	}
	labels, err := y.Int64s()
	if err != nil {
		return errors.Join(err, y.Close())
	}
	if err := memory.Need("the labels of "+s.LabelsPath, 12*int64(len(labels))); err != nil {
		return errors.Join(err, y.Close())
	}
	s.labels = make([]int32, len(labels))
	for i, label := range labels {
		if label < 0 || label >= int64(s.Classes) || label > math.MaxInt32 {
			return errors.Join(&fault.Input{
				File: s.LabelsPath, Field: "example " + strconv.Itoa(i), Err: fmt.Errorf("label is %d, outside 0 to %d", label, s.Classes-1),
				Fix: "number the classes as the columns of the logits",
			}, y.Close())
		}
		s.labels[i] = int32(label)
	}
	if err := y.Close(); err != nil {
		return err
	}
	switch s.file.DType {
	case npy.Float64:
		s.wide, err = s.file.Float64s()
	case npy.Float32:
		s.narrow, err = s.file.Float32s()
	default:
		err = &fault.Input{File: s.LogitsPath, Field: "descr", Err: fmt.Errorf("it is %v", s.file.DType), Fix: "save logits as float32 or float64"}
	}
	return err
}

// Close gives the mapping of the file back.
func (s *Saved) Close() error { return s.file.Close() }

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

// Report audits the outputs.
func (s *Saved) Report(o Options) (report.Report, error) {
	r, err := Run(context.Background(), s, nil, o)
	return r, s.named(err)
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

// WriteScaled writes the logits divided by a temperature to another .npy file of the same type.
func (s *Saved) WriteScaled(path string, temperature float64) error {
	shape := []int{len(s.labels), s.Classes}
	if err := memory.Need("a copy of "+s.LogitsPath, 4*int64(len(s.narrow))+8*int64(len(s.wide))); err != nil {
		return err
	}
	if s.narrow != nil {
		scaled := append([]float32(nil), s.narrow...)
		calibrate.Apply(scaled, temperature)
		return npy.WriteFile(path, shape, scaled)
	}
	scaled := append([]float64(nil), s.wide...)
	calibrate.Apply(scaled, temperature)
	return npy.WriteFile(path, shape, scaled)
}

// named says which file an error of a metric is about.
func (s *Saved) named(err error) error {
	var missing *memory.Error
	var usage *fault.Usage
	if err == nil || errors.As(err, &missing) || errors.As(err, &usage) {
		return err
	}
	return &fault.Input{File: s.LogitsPath, Err: err, Fix: "save finite logits, one row an example"}
}
