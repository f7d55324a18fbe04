package evaluate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Shift asks what happens to a classifier when the inputs change: accuracy, NLL, ECE and mean confidence under the shifts of a table of
// data/corrupt, and for tables that have them corruption errors. See metric.CorruptionErrors.
//
// Shifts that do not fit the images, such as one that needs square ones, are left out with a note, but for those that Shifts names: these
// are a usage error.
type Shift struct {
	Bins       int      `json:"bins"`       // of the ECE; 15
	Table      string   `json:"table"`      // of corrupt.Tables; "" = ballast
	Shifts     []string `json:"shifts"`     // names of the table's; nil = all that its mean is over
	Severities []int    `json:"severities"` // of 1 to 5; nil = all
	Reference  string   `json:"reference"`  // whose errors the corruption errors are divided by: none or alexnet; "" = none
	Frost      string   `json:"frost"`      // folder with pictures of frost; "" = it is drawn, and left out of the mean corruption error
}

var _ Suite = Shift{}

// The references of Shift.
const (
	ReferenceNone    = "none"
	ReferenceAlexNet = "alexnet"
)

// NewShift returns Ballast's own shifts, with the usual number of bins.
func NewShift() Shift {
	return Shift{Bins: metric.DefaultBins, Table: corrupt.Ballast, Reference: ReferenceNone}
}

// Asks is the question.
func (Shift) Asks() string { return "what happens when the inputs change?" }

// Needs are images, and a pass for each shift and severity. Corruption errors need the answers to the data as it is too.
func (s Shift) Needs() Needs {
	shifts, err := s.chosen()
	if err != nil {
		return Needs{Tasks: []zoo.Task{zoo.Classify}, Images: true, Passes: 1} // Run says what is wrong
	}
	return Needs{Tasks: []zoo.Task{zoo.Classify}, Images: true, Outputs: s.benchmark(), Passes: len(s.severities()) * len(shifts)}
}

// benchmark reports whether the table has corruption errors.
func (s Shift) benchmark() bool { return s.Table != "" && s.Table != corrupt.Ballast }

// Validate refuses settings that fit no data.
func (s Shift) Validate() error {
	if err := checkBins(s.Bins); err != nil {
		return err
	}
	for i, severity := range s.Severities {
		if severity < 1 || severity > corrupt.Severities {
			return &fault.Usage{Err: fmt.Errorf("evaluate: severity %d; there are 1 to %d", severity, corrupt.Severities)}
		}
		if slices.Contains(s.Severities[:i], severity) {
			return &fault.Usage{Err: fmt.Errorf("evaluate: severity %d is named twice", severity)}
		}
	}
	references := []string{ReferenceNone, ReferenceAlexNet}
	if s.Reference != "" && !slices.Contains(references, s.Reference) {
		if near, ok := strict.Nearest(s.Reference, references); ok {
			return &fault.Usage{Err: fmt.Errorf("evaluate: no reference %q; did you mean %q?", strict.Short(s.Reference), near)}
		}
		return &fault.Usage{Err: fmt.Errorf("evaluate: no reference %q; there are %s", strict.Short(s.Reference), strings.Join(references, " and "))}
	}
	if !s.benchmark() && s.reference() != ReferenceNone {
		return &fault.Usage{Err: fmt.Errorf("evaluate: the table %s has no corruption errors for the reference %s; use %s or %s",
			corrupt.Ballast, s.Reference, corrupt.ImageNetC, corrupt.CIFARC)}
	}
	if !s.benchmark() && s.Frost != "" {
		return &fault.Usage{Err: fmt.Errorf("evaluate: the table %s has no frost that the pictures of %s could be for", corrupt.Ballast, s.Frost)}
	}
	_, err := s.chosen()
	return err
}

func (s Shift) reference() string {
	if s.Reference == "" {
		return ReferenceNone
	}
	return s.Reference
}

// severities are those that are run, in their order.
func (s Shift) severities() []int {
	if s.Severities == nil {
		return []int{1, 2, 3, 4, 5}
	}
	return slices.Sorted(slices.Values(s.Severities))
}

// chosen are the shifts, of which pictures of frost were not read yet.
func (s Shift) chosen() ([]corrupt.Shift, error) {
	name := s.Table
	if name == "" {
		name = corrupt.Ballast
	}
	table, err := corrupt.FindTable(name)
	if err != nil {
		return nil, err
	}
	return named(table, s.Shifts)
}

// named are the named shifts of a table, in its order; nil = all that its mean is over.
func named(table corrupt.Table, names []string) ([]corrupt.Shift, error) {
	if names == nil {
		return table.Shifts, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		shift, err := table.Find(name)
		if err != nil {
			return nil, err
		}
		wanted[shift.Name()] = true
	}
	if len(wanted) == 0 {
		return nil, &fault.Usage{Err: fmt.Errorf("evaluate: no shift is named; the table %s has %s", table.Name, strings.Join(table.Names(), ", "))}
	}
	return slices.DeleteFunc(table.All(), func(shift corrupt.Shift) bool { return !wanted[shift.Name()] }), nil
}

// Run measures.
func (s Shift) Run(ctx context.Context, a *Audit) (report.Section, error) {
	shifts, notes, err := s.fitting(a)
	if err != nil {
		return report.Section{}, err
	}

	found := report.Shift{Notes: notes}
	if s.benchmark() {
		found.Table = s.Table
	}

	severities := s.severities()
	for _, shift := range shifts {
		row := report.ShiftRow{Name: shift.Name(), Drawn: !corrupt.Comparable(shift)}
		for _, severity := range severities {
			scores, err := s.one(ctx, a, shift, severity)
			if err != nil {
				return report.Section{}, err
			}
			ece, err := scores.ECE(metric.EqualWidth, s.Bins)
			if err != nil {
				return report.Section{}, err
			}
			accuracy := scores.Accuracy()
			row.Severities = append(row.Severities, severity)
			row.Accuracy = append(row.Accuracy, accuracy)
			row.NLL = append(row.NLL, scores.MeanNLL())
			row.ECE = append(row.ECE, ece)
			row.Confidence = append(row.Confidence, scores.MeanConfidence())
			found.Mean += accuracy / float64(len(severities)*len(shifts))
		}
		found.Rows = append(found.Rows, row)
	}

	if s.benchmark() {
		if err := s.errors(ctx, a, &found); err != nil {
			return report.Section{}, err
		}
	}
	return found.Section(), nil
}

// fitting are the shifts that the images can have, and notes on the others.
func (s Shift) fitting(a *Audit) (shifts []corrupt.Shift, notes []string, err error) {
	if shifts, err = s.chosen(); err != nil {
		return nil, nil, err
	}

	if s.Frost != "" {
		textures, err := corrupt.ReadTextures(s.Frost)
		if err != nil {
			return nil, nil, err
		}
		shifts = corrupt.Table{Shifts: shifts}.WithFrost(textures).Shifts
	}

	shape := a.Data.Info().Shape
	var fit []corrupt.Shift
	for _, shift := range shifts {
		err := corrupt.Fits(shift, shape)
		if err != nil && s.Shifts != nil {
			return nil, nil, err
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s is left out, of the means too: %s.", shift.Name(), strings.TrimPrefix(err.Error(), "corrupt: "+shift.Name()+": ")))
			continue
		}
		fit = append(fit, shift)
	}

	if len(fit) == 0 {
		return nil, nil, &fault.Usage{Err: fmt.Errorf("evaluate: no shift of the table %s fits images of %v", s.Table, shape)}
	}
	return fit, notes, nil
}

// errors adds the corruption errors.
func (s Shift) errors(ctx context.Context, a *Audit, found *report.Shift) error {
	clean, err := a.Scores(ctx)
	if err != nil {
		return err
	}
	var names, drawn []string
	var errs [][]float64
	for _, row := range found.Rows {
		if row.Drawn {
			drawn = append(drawn, row.Name)
			continue
		}
		wrong := make([]float64, len(row.Accuracy))
		for i, accuracy := range row.Accuracy {
			wrong[i] = 1 - accuracy
		}
		names, errs = append(names, row.Name), append(errs, wrong)
	}
	for _, name := range drawn {
		found.Notes = append(found.Notes, fmt.Sprintf("%s is marked with * because its %s is drawn, not photographed: it is not that of the benchmark, "+
			"and the mean corruption error is without it. The setting shift.frost names a folder of photographs.", name, name))
	}
	if len(names) == 0 {
		return nil
	}

	var reference [][]float64
	referenceClean := 0.0
	if s.reference() == ReferenceAlexNet {
		alexNet := metric.AlexNet()
		if reference, err = alexNet.Of(names); err != nil {
			return &fault.Usage{Err: fmt.Errorf("evaluate: %w; leave such shifts out, or use the reference %s", err, ReferenceNone)}
		}
		referenceClean, found.Reference = alexNet.Clean, "AlexNet"
	}
	ce, mean, err := metric.CorruptionErrors(errs, reference)
	if err != nil {
		return err
	}
	relative, relativeMean, err := metric.RelativeCorruptionErrors(errs, 1-clean.Accuracy(), reference, referenceClean)
	if err != nil {
		return err
	}
	found.Errors = &report.CorruptionErrors{Mean: mean, RelativeMean: relativeMean}
	for i, name := range names {
		found.Errors.Rows = append(found.Errors.Rows, report.CorruptionError{Name: name, CE: ce[i], Relative: relative[i]})
	}
	return nil
}

// one scores the answers to one shift at one severity.
func (s Shift) one(ctx context.Context, a *Audit, shift corrupt.Shift, severity int) (*metric.Scores, error) {
	shifted, err := corrupt.Wrap(a.Data, shift, severity, a.Seed)
	if err != nil {
		return nil, err
	}
	answers, err := a.Answers(ctx, shifted)
	if err != nil {
		return nil, err
	}
	labels := a.Labels()
	return metric.Score(answers, labels, len(answers)/max(len(labels), 1))
}
