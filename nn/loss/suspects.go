package loss

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Believes is a Loss whose rows are averages of what the network says of each example: probabilities of the classes, which add up to less
// than 1 while the example has been seen a few times.
type Believes interface {
	Remembers
	Beliefs() string // name of the table
}

// Suspect is an example whose label is not what training came to believe of it.
type Suspect struct {
	Index      int     // row of the example
	Label      int32   // as it was trained on
	Suggested  int32   // the class that the average says
	Confidence float64 // share of the suggested class in the average, (0, 1]
}

// Suspects are the examples whose label is not the class with the largest average, the surest first, and in order where they are equally
// sure. averages [examples, classes] may have rows beyond the labels, as the table's last one; an example that training never saw,
// whose row is zero, is none. Errors if there is no row for each label.
func Suspects(averages []float32, classes int, labels []int32) ([]Suspect, error) {
	if classes < 1 || len(averages)/classes < len(labels) {
		return nil, fmt.Errorf("loss: %d numbers for %d labels of %d classes; want a row of each example",
			len(averages), len(labels), classes)
	}

	var suspects []Suspect
	for i, label := range labels {
		best, most, sum := -1, float32(0), 0.0
		for k, q := range averages[i*classes : (i+1)*classes] {
			sum += float64(q)
			if q > most {
				best, most = k, q
			}
		}
		if best >= 0 && int32(best) != label {
			share := float64(most) / sum
			suspects = append(suspects, Suspect{Index: i, Label: label, Suggested: int32(best), Confidence: share})
		}
	}
	slices.SortStableFunc(suspects, func(a, b Suspect) int { return cmp.Compare(b.Confidence, a.Confidence) })
	return suspects, nil
}

// Detection counts how well suspects are the examples with wrong labels.
type Detection struct {
	Suspects, Wrong int // how many there are of both
	Both            int // suspects whose label is wrong
	Corrected       int // of these, those whose suggested class is the true one
}

// Detect compares suspects with the true labels. Errors unless there are as many of both kinds of labels.
func Detect(suspects []Suspect, labels, truth []int32) (Detection, error) {
	if len(labels) != len(truth) {
		return Detection{}, fmt.Errorf("loss: %d labels and %d true ones; want one of each for an example",
			len(labels), len(truth))
	}
	d := Detection{Suspects: len(suspects)}
	for i := range labels {
		if labels[i] != truth[i] {
			d.Wrong++
		}
	}
	for _, s := range suspects {
		if s.Index < 0 || s.Index >= len(labels) {
			return Detection{}, fmt.Errorf("loss: a suspect is example %d; there are %d labels", s.Index, len(labels))
		}
		if labels[s.Index] == truth[s.Index] {
			continue
		}
		d.Both++
		if s.Suggested == truth[s.Index] {
			d.Corrected++
		}
	}
	return d, nil
}

// Precision is the share of the suspects whose label is wrong; without suspects it is 0 of 0, and ok is false.
func (d Detection) Precision() (share float64, ok bool) { return ratio(d.Both, d.Suspects) }

// Recall is the share of the wrong labels that are suspects; without wrong labels ok is false.
func (d Detection) Recall() (share float64, ok bool) { return ratio(d.Both, d.Wrong) }

func ratio(of, all int) (float64, bool) {
	if all == 0 {
		return 0, false
	}
	return float64(of) / float64(all), true
}

// WriteSuspects writes suspects as CSV with the columns index, label, suggested, confidence. index names an example in the data set it
// comes from; a class is written by its name, or by its number where there is none.
func WriteSuspects(w io.Writer, suspects []Suspect, classes []string, index func(row int) int) error {
	name := func(class int32) string {
		if class >= 0 && int(class) < len(classes) {
			return classes[class]
		}
		return strconv.Itoa(int(class))
	}
	c := csv.NewWriter(w)
	if err := c.Write([]string{"index", "label", "suggested", "confidence"}); err != nil {
		return err
	}
	for _, s := range suspects {
		sure := strconv.FormatFloat(s.Confidence, 'g', 6, 64)
		if err := c.Write([]string{strconv.Itoa(index(s.Index)), name(s.Label), name(s.Suggested), sure}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
