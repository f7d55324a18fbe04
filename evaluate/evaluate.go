// Package evaluate audits a trained model: suites of measurements give one report.
//
//	suite         asks                                                needs
//	clean         how right are the answers?                          answers of a classifier, and labels
//	calibration   can the confidences be trusted?                     the same
//	shift         what happens when the inputs change?                a classifier of images
//	translation   do answers stay when the camera moves?              a classifier of images
//	shots         what of the classes that training saw little of?    a classifier, and its training examples by class
//	pairs         does one threshold tell same from different?        a model with features
//
// A bundle on the test part of a data set, and its confidences made right:
//
//	test, err := data.Open("mnist", "test")
//	before, err := evaluate.Bundle(ctx, b, test, e, evaluate.Options{})         // a report.Report; before.Values() are its numbers
//	_, err = evaluate.Calibrate(ctx, b, held, e, calibrate.NewTemperatureScaling(), evaluate.Options{}) // held: kept aside, see data.Stratified
//
// A Suite is one value in one file. It asks a Subject: a bundle, the saved outputs of any framework's model, or anything else that answers
// inputs. What it finds is a report.Section, which every view shows without knowing the suite.
package evaluate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Options say what to measure.
type Options struct {
	Suites   []Suite      // nil = Default of the subject's task
	LeaveOut bool         // a suite whose needs are not met is left out, and said so; without it a usage error, but for Default's
	Seed     uint64       // of what is random
	Batch    int          // examples in one run of the model; 0 = 256
	Training data.Dataset // what the model was trained on, for suites that ask for it; nil = not given
	ByPlace  bool         // class k of the data is output k, whatever the two are called; without it names are matched (data.Match)

	// SkipUnmatched leaves out the examples of classes that the model lacks, and notes how many they are; see data.Matching. SkipFlag is the
	// flag that says so, for errors; "" = there is none.
	SkipUnmatched bool
	SkipFlag      string

	// Assumed is what the subject was taken for where it does not say so itself; answers that look wrong are then noted, with Try, the flags that
	// would take it otherwise. nil = nothing was assumed.
	Assumed []report.Assumption
	Try     []string

	// Progress, if not nil, is told how many examples of how many were run through the model.
	Progress func(done, total int)
}

// matching is how the classes of the data and the outputs of a model are matched.
func (o Options) matching() data.Matching {
	return data.Matching{ByPlace: o.ByPlace, SkipUnmatched: o.SkipUnmatched, Offer: o.SkipFlag}
}

// batch is the number of examples in one run, of so many.
func (o Options) batch(examples int) int {
	batch := o.Batch
	if batch == 0 {
		batch = 256
	}
	return min(batch, max(examples, 1))
}

// Run audits a subject on a data set, which is nil where the subject's answers are there already. A suite
// whose needs are not met is a usage error before anything runs, or is left out.
func Run(ctx context.Context, s Subject, ds data.Dataset, o Options) (report.Report, error) {
	start := time.Now()
	a, err := newAudit(s, ds, o)
	if err != nil {
		return report.Report{}, err
	}
	suites, left, err := a.choose(o)
	if err != nil {
		return report.Report{}, err
	}
	a.count(suites)

	r := report.Report{
		SchemaVersion: report.SchemaVersion, Model: s.Name(), Data: a.name(), Examples: len(a.Labels()), Seed: o.Seed,
		Created: time.Now().UTC().Truncate(time.Second), LeftOut: left, Notes: a.notes,
	}
	if h, ok := s.(Hosted); ok {
		r.Engine = h.Engine()
	}
	if a.Data != nil {
		r.DataChecksum = a.Data.Info().Checksum
		for _, n := range data.NotesOf(a.Data) {
			r.DataAssumed = append(r.DataAssumed, report.Assumption{What: n.What, Is: n.Is})
		}
	}
	for _, suite := range suites {
		section, err := suite.Run(ctx, a)
		if err != nil {
			return report.Report{}, err
		}
		r.Sections = append(r.Sections, section)
	}
	if r.Assumed = o.Assumed; o.Assumed != nil && a.scores != nil {
		r.Notes = append(r.Notes, doubts(a.scores, a.Classes(a.scores.Classes), o.Try)...)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// newAudit checks that the data fits the subject.
func newAudit(s Subject, ds data.Dataset, o Options) (*Audit, error) {
	a := &Audit{Subject: s, Data: ds, Training: o.Training, Seed: o.Seed, batch: o.batch(0), progress: o.Progress}
	if ds == nil {
		answered, ok := s.(Answered)
		if !ok {
			return nil, fmt.Errorf("evaluate: %s has no data to answer; give a data set", s.Name())
		}
		a.outputs, a.labels = answered.Outputs(), answered.Truth()
		return a, nil
	}

	a.batch = o.batch(ds.Len())
	info := ds.Info()
	if s.Shape() != nil && !slices.Equal(info.Shape, s.Shape()) && !windowed(o.Suites, info.Shape, s.Shape()) {
		return nil, &fault.Usage{Err: fmt.Errorf("evaluate: %s has examples of shape %v, the model %s takes %v; choose the data the model was made for",
			info.Name, info.Shape, s.Name(), s.Shape())}
	}
	if s.Task() != zoo.Classify || s.Labels() == nil {
		return a, nil
	}
	var err error
	if a.Data, a.notes, err = o.matching().Match("evaluate", ds, s.Name(), s.Labels()); err != nil {
		return nil, err
	}
	if o.Training != nil { // what is noted of it says nothing of the audit
		if a.Training, _, err = o.matching().Match("evaluate", o.Training, s.Name(), s.Labels()); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// windowed reports whether all suites show the subject parts of the data's images.
func windowed(suites []Suite, data, subject []int) bool {
	for _, s := range suites {
		if w, ok := s.(Windowed); !ok || !w.Windows(data, subject) {
			return false
		}
	}
	return len(suites) > 0
}

// choose sorts out which suites are run, in the order of All, and which are left out.
func (a *Audit) choose(o Options) (suites []Suite, left []report.LeftOut, err error) {
	asked := o.Suites
	if asked == nil {
		asked = Default(a.Subject.Task())
	}
	for _, s := range asked {
		switch why := s.Needs().unmet(a); {
		case why == "":
			suites = append(suites, s)
		case o.LeaveOut || o.Suites == nil:
			left = append(left, report.LeftOut{Suite: Name(s), Why: why})
		default:
			return nil, nil, &fault.Usage{Err: fmt.Errorf("evaluate: the suite %s cannot be run: %s", Name(s), why)}
		}
	}
	if len(suites) == 0 {
		why := "none was named"
		for _, l := range left {
			why = l.Suite + ": " + l.Why
		}
		return nil, nil, &fault.Usage{Err: fmt.Errorf("evaluate: there is no suite to run on %s (%s); there are %s", a.Subject.Name(), why, strings.Join(Names(), ", "))}
	}
	slices.SortStableFunc(suites, func(s, t Suite) int { return slices.Index(Names(), Name(s)) - slices.Index(Names(), Name(t)) })
	return suites, left, nil
}

// count adds up the examples that will go through the subject.
func (a *Audit) count(suites []Suite) {
	if a.Data == nil {
		return
	}
	shared := 0
	for _, s := range suites {
		needs := s.Needs()
		if needs.Outputs {
			shared = a.Data.Len()
		}
		a.total += needs.Passes * a.Data.Len()
	}
	a.total += shared
}

// name is what to call the data.
func (a *Audit) name() string {
	if a.Data == nil {
		return a.Subject.(Answered).Data()
	}
	return datasetName(a.Data.Info())
}

// Bundle audits a model on a data set.
func Bundle(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, o Options) (report.Report, error) {
	m, err := NewModel(b, e, o.batch(ds.Len()))
	if err != nil {
		return report.Report{}, err
	}
	defer m.Close()
	return Run(ctx, m.Subject(), ds, o)
}

// Passes is how many times a data set goes through a model of a task for some suites, nil for those that are run by themselves.
func Passes(suites []Suite, task zoo.Task) int {
	if suites == nil {
		suites = Default(task)
	}
	n, shared := 0, 0
	for _, s := range suites {
		needs := s.Needs()
		n += needs.Passes
		if needs.Outputs {
			shared = 1
		}
	}
	return n + shared
}

// Logits runs a whole data set through a model and returns [examples, classes].
func Logits(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, o Options) ([]float32, error) {
	m, err := NewModel(b, e, o.batch(ds.Len()))
	if err != nil {
		return nil, err
	}
	defer m.Close()
	a := &Audit{Subject: m, Data: ds, progress: o.Progress, total: ds.Len()}
	return a.Answers(ctx, ds)
}

func datasetName(info data.Info) string {
	if info.Part == "" {
		return info.Name
	}
	return info.Name + " " + info.Part
}
