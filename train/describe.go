package train

import (
	"strings"

	"github.com/ballast-ml/ballast/metric"
)

// ValidationPrefix begins the names of metrics measured on validation examples.
const ValidationPrefix = "validation_"

// Describe returns a number of Result.Metrics by its name, without a value: its direction and unit. ok is false for a name that says
// nothing of how good a run is, such as a slope, and for one that no run measures.
func Describe(name string) (n metric.Number, ok bool) {
	for _, own := range []metric.Number{
		{Name: "loss", Better: metric.Lower}, // of training, as it was last logged
		{Name: "log_r2", Better: metric.Higher},
		{Name: "sqrt_r2", Better: metric.Higher},
	} {
		if own.Name == name {
			return own, true
		}
	}
	n, ok = metric.Describe(strings.TrimPrefix(name, ValidationPrefix))
	n.Name = name
	return n, ok
}

// classCounts are the numbers of examples of each class that a run trains on, wrong labels counted as what they say.
func classCounts(labels []int32, classes int) []int {
	counts := make([]int, classes)
	for _, label := range labels {
		if label >= 0 && int(label) < classes {
			counts[label]++
		}
	}
	return counts
}
