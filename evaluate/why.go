package evaluate

import (
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
)

// WhyTemperature says from two reports what a temperature changed and why: which way the confidences were off on the data as it is, what
// the temperature does about it, and what that does to shifted inputs, which it was not fitted to. "" where the reports do not have the
// numbers, or where the temperature is 1.
func WhyTemperature(t float64, before, after report.Report) string {
	accuracy, ok := before.Number("acc")
	confidence, also := before.Number("confidence")
	if !ok || !also || t == 1 {
		return ""
	}
	text := fmt.Sprintf("On the data as it is, mean confidence was %s where %s of the answers are right. ", confidence.Text(), accuracy.Text())
	switch gap := confidence.Value - accuracy.Value; {
	case t < 1 && gap < 0:
		text += "The network was not sure enough, and a temperature below 1 makes every answer surer."
	case t > 1 && gap > 0:
		text += "The network was too sure, and a temperature above 1 makes every answer less sure."
	case t < 1:
		text += "The likelihood of the right answers is best at a temperature below 1, which makes every answer surer."
	default:
		text += "The likelihood of the right answers is best at a temperature above 1, which makes every answer less sure."
	}

	shifted, ok := before.Number("shift.acc")
	was, hadConfidence := before.Number("shift.confidence")
	is, hasConfidence := after.Number("shift.confidence")
	if !ok || !hadConfidence || !hasConfidence {
		return text
	}
	return text + fmt.Sprintf(" It does the same to shifted inputs, where %s are right on average: there mean confidence was %s and is now %s, so %s.",
		shifted.Text(), was.Text(), is.Text(), drift(shifted, was, is))
}

// ShiftGain is what a mend did under one shift, in means over its severities.
type ShiftGain struct {
	Shift                         string
	AccuracyBefore, AccuracyAfter float64
	NLLBefore, NLLAfter           float64
}

// Worse reports whether the confidences became worse, by an NLL that shows in the digits printed.
func (g ShiftGain) Worse() bool { return g.NLLAfter > g.NLLBefore+5e-5 }

// ShiftGains are those under every shift that both reports have, in the order of the first; nil where they do not have shifts.
func ShiftGains(before, after report.Report) (gains []ShiftGain) {
	was, _ := shiftsOf(before)
	is, _ := shiftsOf(after)
	for _, b := range was.Rows {
		for _, a := range is.Rows {
			if a.Name == b.Name {
				gains = append(gains, ShiftGain{b.Name, mean(b.Accuracy), mean(a.Accuracy), mean(b.NLL), mean(a.NLL)})
			}
		}
	}
	return gains
}

// WorseUnderShift names the shifts under which a mend made the confidences worse, by the NLL over all severities; "" where there are none, or
// where the reports do not have shifts.
func WorseUnderShift(before, after report.Report) string {
	var worse []string
	for _, g := range ShiftGains(before, after) {
		if g.Worse() {
			worse = append(worse, fmt.Sprintf("%s (NLL %.4f, before %.4f)", g.Shift, g.NLLAfter, g.NLLBefore))
		}
	}
	if len(worse) == 0 {
		return ""
	}
	return "It makes the confidences worse under " + strings.Join(worse, " and ") + ": it was fitted to inputs that are not shifted so. " +
		"\"ballast calibrate --on-shifted\" fits to both."
}

// shiftsOf is what a report has of shifts.
func shiftsOf(r report.Report) (report.Shift, bool) {
	s, ok := r.Section("shift")
	if !ok {
		return report.Shift{}, false
	}
	found, ok := s.Content.(report.Shift)
	return found, ok
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}

// drift says what became of the gap between confidence and accuracy.
func drift(accuracy, was, is metric.Number) string {
	before, after := was.Value-accuracy.Value, is.Value-accuracy.Value
	switch {
	case before >= 0 && after > before:
		return "answers that were too sure already became surer"
	case before < 0 && after > -before:
		return "answers that were not sure enough became far too sure"
	case before <= 0 && after < before:
		return "answers that were not sure enough became less sure still"
	case before > 0 && -after > before:
		return "answers that were too sure became far too little sure"
	}
	return "the confidences there are nearer to the truth"
}
