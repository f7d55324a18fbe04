package selfpositioning

import (
	"math"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective/objectivetest"
)

// ramp is images whose values are all different.
func ramp(n int) tuned.Examples {
	x := tuned.Examples{X: make([]float32, n*side*side), Labels: make([]int32, n), Size: side * side}
	for i := range x.X {
		x.X[i] = float32(i%251+1) / 251
	}
	return x
}

// TestPairs: without noise a query is what its task makes of the image, and the document is the image.
func TestPairs(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := ramp(3)
		o := finding{Temperature: 0.1, Blanked: 3}
		for task, want := range map[int]func(image, y, c int) float32{
			views: func(image, y, c int) float32 { return x.X[image*side*side+y*side+c] },
			blank: func(image, y, c int) float32 {
				if c >= side-3 {
					return 0
				}
				return x.X[image*side*side+y*side+c]
			},
			turned: func(image, y, c int) float32 { return x.X[image*side*side+c*side+y] },
		} {
			p, err := o.draw(e, x, task, 1)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range p.document {
				image, y, c := i/(side*side), i/side%side, i%side
				if v != x.X[i] || p.query[i] != want(image, y, c) {
					t.Fatalf("task %d, value %d: query %v, document %v", task, i, p.query[i], v)
				}
			}
		}
	})
}

// TestPairsNoise: noise is of its task's deviation, another one for query and document, and another with each seed.
func TestPairsNoise(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := ramp(200)
		o := finding{Temperature: 0.1, Noise: [3]float64{views: 0.2, blank: 0.1}}
		for task, want := range o.Noise {
			p, err := o.draw(e, x, task, 1)
			if err != nil {
				t.Fatal(err)
			}
			other, err := o.draw(e, x, task, 2)
			if err != nil {
				t.Fatal(err)
			}
			squares, both, again := 0.0, 0.0, 0.0
			for i, v := range p.document {
				noise := float64(v - x.X[i])
				squares += noise * noise
				again += noise * float64(other.document[i]-x.X[i])
				if task != turned {
					both += noise * float64(p.query[i]-x.X[i])
				}
			}
			n := float64(len(x.X))
			if std := math.Sqrt(squares / n); math.Abs(std-want) > 0.02*want {
				t.Errorf("task %d: the deviation is %v, want %v", task, std, want)
			}
			if limit := 4 * want * want / math.Sqrt(n); math.Abs(both/n) > limit || math.Abs(again/n) > limit {
				t.Errorf("task %d: noise goes along with other noise: %v and %v, want at most %v", task, both/n, again/n, limit)
			}
		}
	})
}

// TestLoss: against a plain loop.
func TestLoss(t *testing.T) {
	vectors := [][]float32{{1, 2}, {-1, 0.5}, {3, -1}, {2, 2}, {0, 1}, {1, -1}} // three queries, three documents
	o := finding{Temperature: 0.5}
	want := 0.0
	for i := range 3 {
		scores, sum := [3]float64{}, 0.0
		for j := range 3 {
			q, d := vectors[i], vectors[3+j]
			dot := float64(q[0]*d[0] + q[1]*d[1])
			scores[j] = dot / math.Hypot(float64(q[0]), float64(q[1])) / math.Hypot(float64(d[0]), float64(d[1])) / o.Temperature
			sum += math.Exp(scores[j])
		}
		want += (math.Log(sum) - scores[i]) / 3
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		out, err := graph.CallOnce(e.Backend, o.loss, tensors.FromValue(vectors))
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.MustCopyFlatData[float32](out)[0]; math.Abs(float64(got)-want) > 1e-6 {
			t.Errorf("the loss is %v, want %v", got, want)
		}
	})
}

// TestObjective holds the objective against what every one must keep.
func TestObjective(t *testing.T) {
	p := positionRun{Hidden: []int{8}, Width: 4, Temperature: 0.1, Batch: 6, LR: 0.01, BaseNoise: 0.2, Noise: 0.1, Blanked: 3}
	set, err := ask(ramp(20), func(i int) int { return i % 3 })
	if err != nil {
		t.Fatal(err)
	}
	objectivetest.Run(t, p.recipe, objectivetest.With(train.Options{Data: set}))
}

// TestOneProgram: all that is trained, from any weights, on images of any task, and with any seed, goes through one program.
func TestOneProgram(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		p := positionRun{
			Hidden: []int{8}, Width: 4, Temperature: 0.1, Batch: 6, LR: 0.01, BaseSteps: 3, BaseNoise: 0.2, Steps: 4, Noise: 0.1,
			A: 14, B: 8, Blanked: 3,
		}
		x := images{a: ramp(14), b: ramp(8), both: ramp(22)}
		most, err := ask(x.both, always(views))
		if err != nil {
			t.Fatal(err)
		}
		loop, err := p.open(t.Context(), paper.Place{Engine: enginetest.Programs(t, e, 1), Seed: 1}, most)
		if err != nil {
			t.Fatal(err)
		}
		defer loop.Close()
		for range 2 {
			if _, err := p.train(t.Context(), loop, x, drawn(1)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
