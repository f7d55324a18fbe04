package evaluate

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/zoo"
)

// fewest is the number of examples below which nothing is concluded from the answers to them.
const fewest = 10

// doubts says where answers look as if a model was taken for what it is not: they are right about as often as chance is, nearly all are of one
// class, or they sort the examples under other names than the data's. try are flags that would take it otherwise. k classes, n examples:
// chance is 1/k, and an accuracy up to two standard deviations above it, 1/k + 2 sqrt(1/k (1-1/k) / n), is near it.
func doubts(s *metric.Scores, classes []string, try []string) (notes []string) {
	n := len(s.Labels)
	if n < fewest || s.Classes < 2 {
		return nil
	}
	hint := "see whether the labels are those of these examples"
	if len(try) > 0 {
		hint = "try " + strings.Join(try, ", or ")
	}
	chance := 1 / float64(s.Classes)
	accuracy := s.Accuracy()
	sorted, named := renamed(s)
	switch {
	case accuracy > chance+2*math.Sqrt(chance*(1-chance)/float64(n)):
	case named:
		notes = append(notes, fmt.Sprintf("the accuracy is %.1f %%, near chance (%.1f %%), but would be %.1f %% if each output had the name of the class that it is mostly given to: "+
			"the outputs are in another order than the classes of the data; give the model's class names in their order, in a file labels.txt beside it",
			100*accuracy, 100*chance, 100*sorted))
	default:
		notes = append(notes, fmt.Sprintf("the accuracy is %.1f %%, near chance (%.1f %%): the model was probably taken for what it is not; %s", 100*accuracy, 100*chance, hint))
	}
	if class, share, truly := mostGiven(s); share >= 0.9 && truly < 0.6 {
		notes = append(notes, fmt.Sprintf("%.1f %% of the answers are %s, which %.1f %% of the examples are: its inputs are probably not on the scale that it wants; %s",
			100*share, className(classes, class), 100*truly, hint))
	}
	return notes
}

// doubt notes where answers look wrong, of a subject that was taken for something.
func (a *answersOf) doubt(classes []string, o Options) {
	if o.Assumed == nil {
		return
	}
	if scores, err := metric.Score(a.logits, a.labels, a.classes); err == nil {
		a.notes = append(a.notes, doubts(scores, classes, o.Try)...)
	}
}

// mostGiven is the class that is answered most often, the share of answers that are it, and of examples.
func mostGiven(s *metric.Scores) (class int32, share, truly float64) {
	given, have := make([]int, s.Classes), make([]int, s.Classes)
	for i, p := range s.Predicted {
		given[p]++
		if l := int(s.Labels[i]); l < len(have) {
			have[l]++
		}
	}
	for c := range given {
		if given[c] > given[class] {
			class = int32(c)
		}
	}
	n := float64(len(s.Labels))
	return class, float64(given[class]) / n, float64(have[class]) / n
}

// renamed is the accuracy that answers would have if each output had the name of the class that it is mostly given to. ok reports whether that
// says something: there are ten examples or more for each output that was given, at least two of them, most have classes of their own, and
// most examples would be right.
func renamed(s *metric.Scores) (accuracy float64, ok bool) {
	counts := map[int32]map[int32]int{}
	for i, p := range s.Predicted {
		if counts[p] == nil {
			counts[p] = map[int32]int{}
		}
		counts[p][s.Labels[i]]++
	}
	right, own := 0, map[int32]bool{}
	for _, labels := range counts {
		best := int32(-1)
		for label, count := range labels {
			if best < 0 || count > labels[best] || count == labels[best] && label < best {
				best = label
			}
		}
		right += labels[best]
		own[best] = true
	}
	accuracy = float64(right) / float64(len(s.Labels))
	return accuracy, len(counts) > 1 && len(s.Labels) >= 10*len(counts) && 5*len(own) >= 4*len(counts) && accuracy >= 0.6
}

// CalibrateSubject fits a temperature to the answers of any subject that classifies, and judges it as CalibrateJudged does. The subject stays as
// it is.
func CalibrateSubject(ctx context.Context, s Subject, ds, on data.Dataset, t calibrate.TemperatureScaling, o Options) (Calibrated, error) {
	answers, err := answeredBy(ctx, s, ds, o)
	if err != nil {
		return Calibrated{}, err
	}
	var others *answersOf
	if on != nil {
		if others, err = answeredBy(ctx, s, on, o); err != nil {
			return Calibrated{}, err
		}
	}
	answers.doubt(s.Labels(), o)
	fit, err := calibrate.FitTemperature(t, answers.logits, answers.labels, answers.classes)
	if err != nil {
		return Calibrated{}, err
	}
	c := calibrated(fit, len(answers.labels), datasetName(ds.Info()), answers.notes)
	if others != nil {
		c.JudgedOn, c.Notes = datasetName(on.Info()), append(c.Notes, others.notes...)
		c.Judged, err = calibrate.JudgeOn(c.T, others.logits, others.labels, answers.classes)
		return c, err
	}
	err = crossFit(&c, t, answers.logits, answers.labels, answers.classes, o.Seed)
	return c, err
}

// answeredBy are the answers of a subject.
func answeredBy(ctx context.Context, s Subject, ds data.Dataset, o Options) (*answersOf, error) {
	if s.Task() != zoo.Classify {
		return nil, &fault.Usage{Err: fmt.Errorf("evaluate: the task of %s is %s; a temperature is for a model that classifies", s.Name(), s.Task())}
	}
	audit, err := newAudit(s, ds, o)
	if err != nil {
		return nil, err
	}
	audit.total = ds.Len()
	a := &answersOf{what: datasetName(ds.Info()), notes: audit.notes, labels: audit.Labels()}
	if a.logits, err = audit.Answers(ctx, audit.Data); err != nil {
		return nil, err
	}
	a.classes = len(a.logits) / max(len(a.labels), 1)
	return a, nil
}
