package metric

import (
	"fmt"
	"strings"
)

// Measure takes a network's answers batch by batch and turns all of them into numbers.
//
//	task       answers, one after the other       numbers
//	classify   logits [n, k]                      accuracy, nll
//	regress    values [n, k]                      mae, mse, gm
//	embed      vectors [n, k]                     recall_at_1, r_precision, map_at_r
//	language   logits [n, time, k]                nll, perplexity, accuracy
type Measure interface {
	// Add takes the answers to n more examples. labels holds one class for each example, or for each token, where -1 does not count;
	// targets holds the right values of a regression, as many as there are answers. What a task does not need is ignored.
	// A batch that is refused is not counted.
	Add(out []float32, labels []int32, targets []float32) error

	// Numbers are those of everything added. The first is the one that a choice between models goes by. Before anything is added, and
	// where a number has no value, it is NaN; names, directions and units hold from the start.
	Numbers() []Number
}

// kind is the measure of a task.
type kind struct {
	task string
	of   func(outputs int) Measure
}

// kinds is every task that has a measure.
var kinds = []kind{
	{"classify", func(outputs int) Measure { return &Classification{Classes: outputs} }},
	{"regress", func(outputs int) Measure { return &Regression{Values: outputs} }},
	{"embed", func(outputs int) Measure { return &Embedding{Dim: outputs} }},
	{"language", func(outputs int) Measure { return &Language{Vocabulary: outputs} }},
}

// For returns the measure of a task, such as "classify"; outputs is the number of answers to an example, or to a token. A task that
// has no measure is an error that names those that have.
func For(task string, outputs int) (Measure, error) {
	var known []string
	for _, k := range kinds {
		if k.task != task {
			known = append(known, k.task)
			continue
		}
		if outputs < 1 {
			return nil, fmt.Errorf("metric: %s: %d outputs; there must be at least 1", task, outputs)
		}
		return k.of(outputs), nil
	}
	return nil, fmt.Errorf("metric: the task %q has no measure; there are measures for %s", task, strings.Join(known, ", "))
}
