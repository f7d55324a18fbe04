package suitetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/zoo"
)

// The tiny data set: images of three classes, each a pattern under noise.
const (
	side     = 4
	classes  = 3
	examples = 36
)

// set is the tiny data set.
type set struct {
	shape  []int
	pixels []float32
	labels []int32
}

// newSet draws a data set. With flat its examples are rows of values, not images.
func newSet(seed uint64, flat bool) set {
	r := rand.New(rand.NewPCG(seed, 11))
	s := set{shape: []int{side, side, 1}}
	if flat {
		s.shape = []int{side * side}
	}
	for i := range examples {
		label := i % classes
		s.labels = append(s.labels, int32(label))
		for k := range side * side {
			s.pixels = append(s.pixels, float32(min(max(pattern(label, k)+0.25*r.NormFloat64(), 0), 1)))
		}
	}
	return s
}

// pattern is what a class looks like: brighter where the place and the class agree.
func pattern(label, k int) float64 {
	if k%classes == label {
		return 0.8
	}
	return 0.3
}

func (s set) Info() data.Info {
	return data.Info{Name: "tiny", Part: "test", Examples: s.Len(), Shape: s.shape, Classes: []string{"a", "b", "c"}}
}
func (s set) Len() int          { return len(s.labels) }
func (s set) Label(i int) int32 { return s.labels[i] }

func (s set) Read(i int, dst []float32) error {
	copy(dst, s.pixels[i*side*side:(i+1)*side*side])
	return nil
}

// subject compares an image with the pattern of each class.
type subject struct {
	task     zoo.Task
	shape    []int
	answered *atomic.Int64 // examples
}

var _ evaluate.Subject = subject{}

func newSubject(task zoo.Task, ds set) subject {
	return subject{task: task, shape: ds.shape, answered: new(atomic.Int64)}
}

func (s subject) Name() string     { return "tiny model" }
func (s subject) Task() zoo.Task   { return s.task }
func (s subject) Labels() []string { return []string{"a", "b", "c"} }
func (s subject) Shape() []int     { return s.shape }

func (s subject) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(x) < n*side*side {
		return nil, fmt.Errorf("suitetest: %d values for %d examples", len(x), n)
	}
	s.answered.Add(int64(n))
	out := make([]float32, 0, n*classes)
	for i := range n {
		for label := range classes {
			sum := 0.0
			for k, v := range x[i*side*side : (i+1)*side*side] {
				sum += float64(v) * (pattern(label, k) - 0.5)
			}
			out = append(out, float32(2*sum))
		}
	}
	return out, nil
}

// whole is a subject that can all that a suite may need.
type whole struct{ subject }

var (
	_ evaluate.Featured = whole{}
	_ evaluate.Trained  = whole{}
)

// Features are the answers, and one value more.
func (w whole) Features(ctx context.Context, x []float32, n int) ([]float32, error) {
	answers, err := w.Answer(ctx, x, n)
	if err != nil {
		return nil, err
	}
	var features []float32
	for i := range n {
		features = append(features, answers[i*classes:(i+1)*classes]...)
		features = append(features, x[i*side*side])
	}
	return features, nil
}

// TrainingCounts have many, a medium number and few examples.
func (whole) TrainingCounts() []int { return []int{300, 50, 5} }

// saved is a subject whose answers are there already.
type saved struct {
	whole
	outputs evaluate.Outputs
	truth   []int32
}

var _ evaluate.Answered = saved{}

func (s saved) Outputs() *evaluate.Outputs { return &s.outputs }
func (s saved) Truth() []int32             { return s.truth }
func (s saved) Data() string               { return "tiny labels" }
func (s saved) Shape() []int               { return nil }
