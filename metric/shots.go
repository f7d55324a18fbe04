package metric

import "fmt"

// Shots sorts classes by how many examples of them a model was trained on: "many" are more than Many, "few" fewer than Few, "medium" the
// rest, both bounds among them. With labels that are numbers, a value is a class.
//
// Sources: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", arXiv 1904.05160 (the bounds); Yang et al., "Delving into
// Deep Imbalanced Regression", arXiv 2102.09554 (for regression).
type Shots struct {
	Many int `json:"many"` // a class with more examples is one of many; 100
	Few  int `json:"few"`  // a class with fewer is one of few; 20
}

// NewShots returns the usual bounds.
func NewShots() Shots { return Shots{Many: 100, Few: 20} }

// ShotNames are the groups, from many to few.
func ShotNames() []string { return []string{"many", "medium", "few"} }

// Validate says what is wrong with the bounds, if anything.
func (s Shots) Validate() error {
	if s.Few < 0 || s.Many < s.Few {
		return fmt.Errorf("metric: Shots: many is %d and few %d; use bounds from 0, few at most as large as many", s.Many, s.Few)
	}
	return nil
}

// Group is the place in ShotNames of a class with a number of training examples.
func (s Shots) Group(examples int) int {
	switch {
	case examples > s.Many:
		return 0
	case examples < s.Few:
		return 2
	}
	return 1
}

// ShotAccuracy is how often answers are right, by group of classes.
type ShotAccuracy struct {
	Balanced float64    // mean over classes of the share that is right
	Group    [3]float64 // the same over the classes of a group, in the order of ShotNames; 0 without classes
	Classes  [3]int     // classes of each group that have an example here
	Class    []float64  // share that is right of each class; 0 without examples
	Examples []int      // of each class, here
}

// Accuracy computes the accuracies of predictions; trained holds the number of training examples of each class. A class without an
// example here counts in no mean.
func (s Shots) Accuracy(predicted, labels []int32, trained []int) (ShotAccuracy, error) {
	if err := s.Validate(); err != nil {
		return ShotAccuracy{}, err
	}
	if len(labels) == 0 || len(predicted) != len(labels) {
		return ShotAccuracy{}, fmt.Errorf("metric: Shots: %d predictions for %d labels; want as many, and at least 1", len(predicted), len(labels))
	}
	a := ShotAccuracy{Class: make([]float64, len(trained)), Examples: make([]int, len(trained))}
	for i, label := range labels {
		if label < 0 || int(label) >= len(trained) {
			return ShotAccuracy{}, fmt.Errorf("metric: Shots: label of example %d is %d, outside 0 to %d, the classes whose training examples are known",
				i, label, len(trained)-1)
		}
		a.Examples[label]++
		if predicted[i] == label {
			a.Class[label]++
		}
	}

	classes := 0
	for c, n := range a.Examples {
		if n == 0 {
			continue
		}
		a.Class[c] /= float64(n)
		g := s.Group(trained[c])
		a.Group[g] += a.Class[c]
		a.Classes[g]++
		a.Balanced += a.Class[c]
		classes++
	}
	a.Balanced /= float64(classes)
	for g, n := range a.Classes {
		a.Group[g] /= float64(max(n, 1))
	}
	return a, nil
}

// Errors computes the numbers of a regression over all examples and by group, in the order of ShotNames; trained holds for each example
// here the number of training examples with its target. A group without examples has NaN.
func (s Shots) Errors(predictions, targets []float64, trained []int) (all []Number, groups [3][]Number, err error) {
	if err := s.Validate(); err != nil {
		return nil, groups, err
	}
	if len(targets) == 0 || len(predictions) != len(targets) || len(trained) != len(targets) {
		return nil, groups, fmt.Errorf("metric: Shots: %d predictions and %d counts for %d targets; want as many, and at least 1",
			len(predictions), len(trained), len(targets))
	}
	var total errorSums
	var sums [3]errorSums
	for i, p := range predictions {
		if !total.add(p-targets[i]) || !sums[s.Group(trained[i])].add(p-targets[i]) {
			return nil, groups, fmt.Errorf("metric: Shots: example %d: the prediction is %v, the target %v; both must be finite", i, p, targets[i])
		}
	}
	for g := range sums {
		groups[g] = sums[g].numbers()
	}
	return total.numbers(), groups, nil
}
