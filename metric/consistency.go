package metric

import "fmt"

// ShiftConsistency is how much the answers of a classifier move when its images do.
type ShiftConsistency struct {
	Consistency   float64   // share of pairs of an image and a shift that get the answer of the image as it is
	Robust        float64   // share of images that get it under every shift: adversarial robustness
	Fooled        float64   // the rest: images of which some shift changes the answer
	Accuracy      float64   // of images as they are
	WorstAccuracy float64   // share of images that are answered right as they are and under every shift
	ByShift       []float64 // consistency under each shift
}

// Consistent measures the consistency of answers [n, 1 + shifts]: of each image the class as it is, then that under each shift. labels [n]
// are the right classes. Errors if there is no image or no shift, and if lengths do not fit.
// Source of the measures: Shifman, Weiss, "Lost in Translation: Modern Neural Networks Still Struggle With Small Realistic Image
// Transformations", arXiv 2404.07153.
func Consistent(answers, labels []int32, shifts int) (ShiftConsistency, error) {
	if shifts < 1 || len(labels) == 0 || len(answers) != len(labels)*(1+shifts) {
		return ShiftConsistency{}, fmt.Errorf("metric: Consistent: %d answers to %d images and %d shifts; want 1 + shifts of each, at least one of both",
			len(answers), len(labels), shifts)
	}
	c := ShiftConsistency{ByShift: make([]float64, shifts)}
	n := float64(len(labels))
	for i, label := range labels {
		row := answers[i*(1+shifts) : (i+1)*(1+shifts)]
		same := 0
		for k, answer := range row[1:] {
			if answer == row[0] {
				same++
				c.ByShift[k] += 1 / n
			}
		}
		c.Consistency += float64(same) / float64(shifts)
		right := row[0] == label
		if right {
			c.Accuracy++
		}
		if same == shifts {
			c.Robust++
			if right {
				c.WorstAccuracy++
			}
		}
	}

	for _, share := range []*float64{&c.Consistency, &c.Robust, &c.Accuracy, &c.WorstAccuracy} {
		*share /= n
	}
	c.Fooled = 1 - c.Robust
	for k := range c.ByShift {
		c.ByShift[k] = min(c.ByShift[k], 1) // sums of 1/n
	}
	return c, nil
}
