package calibrate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/metric"
)

// Conformal answers with a set of classes that holds the right one with probability Coverage at least, whatever the model and the data, as long
// as new examples come from where those came from that it was fitted to. A class y with probability p_y has a score:
//
//	lac    1 - p_y: the smallest sets on average (Sadinle et al., arXiv 1609.00451)
//	aps    the sum of the probabilities above p_y, and u p_y: larger sets where the model is less sure (Romano et al., arXiv 2006.02544)
//	raps   that of aps + Penalty max(0, rank of y - Rank): without long tails (Angelopoulos et al., arXiv 2009.14193)
//
// rank is 1 for the largest probability. The threshold is the ceil((n+1) Coverage)-th smallest score of n examples' own labels, which makes the
// promise exact for finite n; where that is above n, all classes are in every set. A class is in the set where its score is at most the
// threshold. u is 1 - v with v uniform in [0,1) and drawn for each example, as the papers have it; the coverage is then Coverage on the dot.
// Without Randomised, u is 1 and the first class beyond the threshold is in the set of aps and raps too, as the authors' code has it, so
// that the coverage is larger, and much so for a model that is nearly always sure. The likeliest class is always in the set, unless
// AllowEmpty is set, which the papers' sets may be.
//
// The promise is over all examples together. For one class, or for sets of one size, coverage may be less: Measure says both.
type Conformal struct {
	Score      string  `json:"score"`       // lac, aps or raps; raps
	Coverage   float64 `json:"coverage"`    // what share of sets must hold the label; 0.9
	Penalty    float64 `json:"penalty"`     // of raps, for each rank beyond Rank; 0.01
	Rank       int     `json:"rank"`        // of raps: classes without penalty; 5
	Randomised bool    `json:"randomised"`  // of aps and raps; true
	AllowEmpty bool    `json:"allow_empty"` // a set may hold no class; false
	Seed       uint64  `json:"seed"`        // of the draws; 0
}

// The scores.
const (
	LAC  = "lac"
	APS  = "aps"
	RAPS = "raps"
)

// NewConformal returns raps with the paper's penalty, for sets that hold the label nine times in ten.
func NewConformal() Conformal {
	return Conformal{Score: RAPS, Coverage: 0.9, Penalty: 0.01, Rank: 5, Randomised: true}
}

// Validate reports what is wrong with the options.
func (c Conformal) Validate() error {
	if known := []string{LAC, APS, RAPS}; !slices.Contains(known, c.Score) {
		return fmt.Errorf("calibrate: score: %w", choice.NewUnknown("score", c.Score, known))
	}
	switch {
	case !(c.Coverage > 0 && c.Coverage < 1):
		return fmt.Errorf("calibrate: coverage is %v; use a share between 0 and 1, such as 0.9", c.Coverage)
	case !(c.Penalty >= 0) || math.IsInf(c.Penalty, 0):
		return fmt.Errorf("calibrate: penalty is %v; use a number from 0", c.Penalty)
	case c.Rank < 0:
		return fmt.Errorf("calibrate: rank is %d; use 0 or more", c.Rank)
	}
	return nil
}

// FitSets finds the threshold on examples that neither the model nor its calibration was fitted to.
func (c Conformal) FitSets(x Examples) (Sets, error) {
	if err := errors.Join(c.Validate(), x.check()); err != nil {
		return Sets{}, err
	}
	s := Sets{Conformal: c, Examples: x.Len()}
	scores := make([]float64, x.Len())
	err := metric.Blocks(x.Len(), func(from, to int) error {
		w := newRanked(x.Classes)
		for i := from; i < to; i++ {
			w.read(x.row(i))
			scores[i] = s.scores(w, i)[w.place[x.Labels[i]]]
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	slices.Sort(scores)
	// (n+1) Coverage may round up beyond a whole number that it is meant to be: 0.9 of 9+1 is 9.
	at := int(math.Ceil(float64(x.Len()+1)*c.Coverage - 1e-9))
	if s.Everything = at > x.Len(); !s.Everything {
		s.Threshold = scores[max(at, 1)-1]
	}
	return s, nil
}

// Sets is a fitted Conformal.
type Sets struct {
	Conformal
	Threshold  float64 `json:"threshold"`            // a class is in the set where its score is at most this
	Everything bool    `json:"everything,omitempty"` // too few examples for the promise: each set holds all classes
	Examples   int     `json:"examples"`             // it was fitted to
}

// Check says what is wrong with a value that was read from a file.
func (s Sets) Check() error {
	if math.IsNaN(s.Threshold) || math.IsInf(s.Threshold, 0) {
		return fmt.Errorf("threshold is %v; it must be finite", s.Threshold)
	}
	return s.Validate()
}

// Of is the set of the example at a place, by its logits [classes]: its classes, the likeliest first. The place decides on the draw of
// randomised sets.
func (s Sets) Of(logits []float64, place int) ([]int, error) {
	w := newRanked(len(logits))
	for k, z := range logits {
		if math.IsNaN(z) || math.IsInf(z, 1) {
			return nil, fmt.Errorf("calibrate: the logit of class %d is %v; logits must be finite", k, z)
		}
	}
	w.read(logits)
	s.scores(w, place)
	return slices.Clone(w.order[:s.size(w)]), nil
}

// size is how many of the likeliest classes are in the set: scores never fall with the rank.
func (s Sets) size(w *ranked) int {
	if s.Everything {
		return len(w.order)
	}
	n := sort.Search(len(w.order), func(rank int) bool { return w.scores[rank] > s.Threshold })
	if !s.Randomised && s.Score != LAC && n < len(w.order) {
		n++
	}
	if n == 0 && !s.AllowEmpty {
		return 1
	}
	return n
}

// ranked is an example's classes by their probability, largest first.
type ranked struct {
	p, sorted, scores []float64
	order, place      []int
}

func newRanked(classes int) *ranked {
	return &ranked{
		p: make([]float64, classes), sorted: make([]float64, classes), scores: make([]float64, classes),
		order: make([]int, classes), place: make([]int, classes),
	}
}

// read ranks a row; of equal ones the first comes first.
func (w *ranked) read(row []float64) {
	softmax(row, w.p)
	for k := range w.order {
		w.order[k] = k
	}
	slices.SortStableFunc(w.order, func(a, b int) int {
		switch {
		case w.p[a] > w.p[b]:
			return -1
		case w.p[a] < w.p[b]:
			return 1
		}
		return 0
	})
	for rank, k := range w.order {
		w.place[k], w.sorted[rank] = rank, w.p[k]
	}
}

// scores are those of the classes, by rank.
func (s Sets) scores(w *ranked, place int) []float64 {
	u := 0.0 // the part of p that is left out
	if s.Randomised {
		u = rand.New(rand.NewPCG(s.Seed, 0xc0f0+uint64(place))).Float64()
	}
	sum := 0.0
	for rank, p := range w.sorted {
		sum += p
		switch s.Score {
		case LAC:
			w.scores[rank] = 1 - p
		case APS:
			w.scores[rank] = sum - u*p
		case RAPS:
			w.scores[rank] = sum - u*p + s.Penalty*math.Max(0, float64(rank+1-s.Rank))
		}
	}
	return w.scores
}

// Covered is what sets are worth on examples to which they were not fitted.
type Covered struct {
	Examples int         `json:"examples"`
	Coverage float64     `json:"coverage"`  // share of sets that hold the label
	MeanSize float64     `json:"mean_size"` // classes in a set
	Empty    int         `json:"empty"`     // sets without a class
	Single   int         `json:"single"`    // sets of one
	Classes  []OfClass   `json:"classes"`   // by the label; those without an example are left out
	Sizes    []OfSetSize `json:"sizes"`     // by the size of the set, those that occur
}

// OfClass is the coverage of the examples of one class.
type OfClass struct {
	Class    int     `json:"class"`
	Examples int     `json:"examples"`
	Coverage float64 `json:"coverage"`
	MeanSize float64 `json:"mean_size"`
}

// OfSetSize is the coverage of the sets of one size.
type OfSetSize struct {
	Size     int     `json:"size"`
	Examples int     `json:"examples"`
	Coverage float64 `json:"coverage"`
}

// Measure counts what the sets of examples hold.
func (s Sets) Measure(x Examples) (Covered, error) {
	if err := errors.Join(s.Check(), x.check()); err != nil {
		return Covered{}, err
	}
	sizes, holds := make([]int, x.Len()), make([]bool, x.Len())
	err := metric.Blocks(x.Len(), func(from, to int) error {
		w := newRanked(x.Classes)
		for i := from; i < to; i++ {
			w.read(x.row(i))
			s.scores(w, i)
			sizes[i] = s.size(w)
			holds[i] = w.place[x.Labels[i]] < sizes[i]
		}
		return nil
	})
	if err != nil {
		return Covered{}, err
	}
	return counted(x, sizes, holds), nil
}

// counted sums up sets by their class and size.
func counted(x Examples, sizes []int, holds []bool) Covered {
	c := Covered{Examples: x.Len()}
	classes, bySize := make([]OfClass, x.Classes), make([]OfSetSize, x.Classes+1)
	for i, size := range sizes {
		of, s := &classes[x.Labels[i]], &bySize[size]
		of.Examples++
		s.Examples++
		of.MeanSize += float64(size)
		c.MeanSize += float64(size) / float64(x.Len())
		if holds[i] {
			of.Coverage++
			s.Coverage++
			c.Coverage += 1 / float64(x.Len())
		}
	}
	c.Empty, c.Single = bySize[0].Examples, bySize[1].Examples
	for k, of := range classes {
		if n := float64(of.Examples); n > 0 {
			c.Classes = append(c.Classes, OfClass{k, of.Examples, of.Coverage / n, of.MeanSize / n})
		}
	}
	for size, s := range bySize {
		if n := float64(s.Examples); n > 0 {
			c.Sizes = append(c.Sizes, OfSetSize{size, s.Examples, s.Coverage / n})
		}
	}
	return c
}

// CrossMeasure is Measure without other examples: they are split into that many parts at random, those of CrossFit for the same seed, and the
// sets of each part have the threshold of the others.
func (c Conformal) CrossMeasure(x Examples, folds int, seed uint64) (Covered, error) {
	if folds < 2 || x.Len() < folds {
		return Covered{}, errors.New("calibrate: CrossMeasure needs 2 parts or more, and an example in each")
	}
	order := rand.New(rand.NewPCG(seed, 0xca11b)).Perm(x.Len())
	sizes, holds := make([]int, x.Len()), make([]bool, x.Len())
	for fold := range folds {
		rest, mine := split(order, folds, fold)
		s, err := c.FitSets(x.Take(rest))
		if err != nil {
			return Covered{}, err
		}
		w := newRanked(x.Classes)
		for _, i := range mine {
			w.read(x.row(i))
			s.scores(w, i)
			sizes[i] = s.size(w)
			holds[i] = w.place[x.Labels[i]] < sizes[i]
		}
	}
	return counted(x, sizes, holds), nil
}

// split are the places of a part, and the rest.
func split(order []int, folds, fold int) (rest, mine []int) {
	for place, i := range order {
		if place%folds == fold {
			mine = append(mine, i)
		} else {
			rest = append(rest, i)
		}
	}
	return rest, mine
}
