// Package selfpositioning is the paper "Improving General Text Embedding Model: Tackling Task Conflict and Data
// Imbalance through Model Merging": its claims and its recipe.
package selfpositioning

import (
	"context"
	_ "embed"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/position"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Li, Nie, Zhang, Long, Zhang, Xie, "Improving General Text Embedding Model: Tackling Task Conflict and Data Imbalance
// through Model Merging", arXiv 2410.15035.
//
// The claim at small scale: two tasks of finding digits by spoiled ones. A win over joint training is not claimed: this small network
// learns both tasks at once better than any merge does; the paper's gain is for large encoders. Joint training is measured beside.
var Paper = paper.Paper{
	Slug:    "self-positioning",
	Title:   "Improving General Text Embedding Model: Tackling Task Conflict and Data Imbalance through Model Merging",
	Authors: "Mingxin Li, Zhijie Nie, Yanzhao Zhang, Dingkun Long, Richong Zhang, Pengjun Xie",
	Year:    2024,
	ArXiv:   "2410.15035",
	Summary: "learn on a small probe set where to stand between models fine-tuned from one base, by gradient descent on a few scalars",
	Symbols: []string{"merge/position.Position", "merge/position.Search", "merge/position.Average", "merge/position.FisherMerge", "merge/position.RegMean"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name:      "two-tasks",
		Statement: "the position learned on a probe of both tasks is as good as the best of a grid, better than the plain average, and does the worse task better",
		Seeds:     5,
		Experiment: paper.NewExperiment(positionRun{}, func(ctx context.Context, at paper.Place, p positionRun) (map[string]float64, error) {
			return p.run(ctx, at)
		}),
		Arms: []paper.Arm{{Name: "digits"}},
		Check: func(m paper.Measured) []paper.Inequality {
			return []paper.Inequality{
				paper.AtLeast("probe loss: learned <= best of the grid + 0.01, for every seed", m.Least("digits", "grid_margin"), -0.01),
				paper.AtLeast("probe loss: learned <= average - 0.1, for every seed", m.Least("digits", "average_margin"), 0.1),
				paper.AtLeast("R@1 of the worse task: learned >= average + 0.15", m.Mean("digits", "position_worst"), m.Mean("digits", "average_worst")+0.15),
			}
		},
	}},
	Published: []paper.Published{{What: "MTEB English, average over joint training", Value: "+0.7 points, at less cost than resampling and training again"}},
}

// positionRun trains an encoder on two tasks of retrieval and merges.
type positionRun struct {
	Hidden      []int     `json:"hidden"`
	Width       int       `json:"width"` // of an embedding
	Temperature float64   `json:"temperature"`
	Batch       int       `json:"batch_size"`
	LR          float64   `json:"lr"`
	BaseSteps   int       `json:"base_steps"`
	BaseNoise   float64   `json:"base_noise"`
	Steps       int       `json:"steps"`
	Noise       float64   `json:"noise"`
	A           int       `json:"images_a"`
	B           int       `json:"images_b"`
	Probe       int       `json:"probe"` // images a task
	Blanked     int       `json:"blanked_columns"`
	Betas       []float64 `json:"grid"`

	Position positionSettings `json:"position"`
}

type positionSettings struct {
	Mu    float64 `json:"mu"`
	Steps int     `json:"steps"`
	LR    float64 `json:"lr"`
}

// images are the digits of a seed: those of each task, which are also both together, of the probe, and those that are held out.
type images struct{ a, b, both, probeA, probeB, held tuned.Examples }

func (p positionRun) images(r *rand.Rand) (images, error) {
	ds, err := data.Open("optdigits", "all")
	if err != nil {
		return images{}, err
	}
	read, err := tuned.Read(ds)
	if err != nil {
		return images{}, err
	}
	mixed := read.At(paper.Shuffled(read.Len(), r))
	learned, probed := p.A+p.B, p.A+p.B+p.Probe
	return images{
		a: mixed.Slice(0, p.A), b: mixed.Slice(p.A, learned), both: mixed.Slice(0, learned),
		probeA: mixed.Slice(learned, probed), probeB: mixed.Slice(probed, probed+p.Probe), held: mixed.Slice(probed+p.Probe, mixed.Len()),
	}, nil
}

// finding is the objective of all trainings.
func (p positionRun) finding() finding {
	return finding{Temperature: p.Temperature, Blanked: p.Blanked, Noise: [3]float64{views: p.BaseNoise, blank: p.Noise, turned: p.Noise}}
}

// recipe trains the encoder.
func (p positionRun) recipe() train.Recipe {
	trunk := zoo.MLP{Hidden: p.Hidden, Classes: p.Width, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU}
	r := paper.TuneRecipe("optdigits", zoo.Embedder{Trunk: zoo.Choice{Network: trunk}, Size: p.Width}, paper.PlainAdamW(p.LR, 0), p.Batch)
	r.Objective.Objective = p.finding()
	return r
}

// open compiles one program for all trainings.
func (p positionRun) open(ctx context.Context, at paper.Place, most data.Dataset) (*train.Loop, error) {
	return train.Open(ctx, p.recipe(), train.Options{Engine: at.Engine, Data: most})
}

// models are where the trainings end.
type models struct{ base, onlyA, onlyB, joint weights.Set }

// train makes the base and, from it, a model of each task and one of both.
func (p positionRun) train(ctx context.Context, l *train.Loop, x images, r *rand.Rand) (m models, err error) {
	learn := func(start weights.Set, of tuned.Examples, task func(i int) int, updates int) (end weights.Set) {
		var set data.Dataset
		if err == nil {
			set, err = ask(of, task)
		}
		if err == nil {
			end, err = paper.Tune{Seed: r.Uint64(), Start: start, Data: set, Rate: p.LR, Updates: updates}.Run(ctx, l)
		}
		return end
	}
	m.base = learn(nil, x.both, always(views), p.BaseSteps)
	m.onlyA = learn(m.base, x.a, always(blank), p.Steps)
	m.onlyB = learn(m.base, x.b, always(turned), p.Steps)
	m.joint = learn(m.base, x.both, func(i int) int {
		if i < p.A {
			return blank
		}
		return turned
	}, p.Steps)
	return m, err
}

// drawn is what a seed draws.
func drawn(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 51)) }

func (p positionRun) run(ctx context.Context, at paper.Place) (map[string]float64, error) {
	r := drawn(at.Seed)
	x, err := p.images(r)
	if err != nil {
		return nil, err
	}
	most, err := ask(x.both, always(views))
	if err != nil {
		return nil, err
	}
	loop, err := p.open(ctx, at, most)
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	m, err := p.train(ctx, loop, x, r)
	if err != nil {
		return nil, err
	}
	b, err := loop.Bundle()
	if err != nil {
		return nil, err
	}
	defer b.Store.Finalize()

	all, metrics, err := p.merge(b, at, x, m, r)
	if err != nil {
		return nil, err
	}
	all["only_a"], all["only_b"], all["joint"] = m.onlyA, m.onlyB, m.joint
	return metrics, p.recall(b, at, x.held, all, metrics, r)
}

// merge looks for the position of the least loss on the probe, half of it a task, which is drawn once.
func (p positionRun) merge(b *bundle.Bundle, at paper.Place, x images, m models, r *rand.Rand) (
	all map[string]weights.Set, metrics map[string]float64, err error,
) {
	o := p.finding()
	objective, err := tuned.NewObjective(b, at.Engine, func(scope *model.Scope, _ *graph.Node, in []*graph.Node) *graph.Node {
		of := func(queries, documents *graph.Node) *graph.Node {
			return o.loss(b.Logits(scope, graph.Concatenate([]*graph.Node{queries, documents}, 0)))
		}
		return graph.DivScalar(graph.Add(of(in[0], in[1]), of(in[2], in[3])), 2)
	})
	if err != nil {
		return nil, nil, err
	}
	defer objective.Close()
	probeA, err := o.draw(at.Engine, x.probeA, blank, r.Uint64())
	if err != nil {
		return nil, nil, err
	}
	probeB, err := o.draw(at.Engine, x.probeB, turned, r.Uint64())
	if err != nil {
		return nil, nil, err
	}
	probe := append(probeA.tensors(), probeB.tensors()...)
	lossOf := func(w weights.Set) (float64, error) {
		at, err := objective.At(w, 1, probe...)
		return at.Value, err
	}

	method := position.New()
	method.Mu, method.Steps, method.LR = p.Position.Mu, p.Position.Steps, p.Position.LR
	search, err := method.NewSearch(m.base, []weights.Set{m.onlyA, m.onlyB}, nil)
	if err != nil {
		return nil, nil, err
	}
	fit, found, err := search.Fit(func(_ int, w weights.Set) (float64, weights.Set, error) {
		at, err := objective.At(w, 1, probe...)
		return at.Value, at.Gradient, err
	})
	if err != nil {
		return nil, nil, err
	}
	grid, err := search.Grid(position.Betas(p.Betas...), 1, lossOf)
	if err != nil {
		return nil, nil, err
	}
	average, err := position.Average([]weights.Set{m.onlyA, m.onlyB}, nil) // base + (V_A + V_B) / 2
	if err != nil {
		return nil, nil, err
	}
	metrics = map[string]float64{"grid_loss": grid[0].Loss, "beta": fit.A[1] / (fit.A[0] + fit.A[1]), "lambda": fit.Lambda, "angle": fit.Angles[0][0]}
	all = map[string]weights.Set{"position": found, "average": average}
	for name, w := range all {
		if metrics[name+"_loss"], err = lossOf(w); err != nil {
			return nil, nil, err
		}
	}
	metrics["grid_margin"] = metrics["grid_loss"] - metrics["position_loss"]
	metrics["average_margin"] = metrics["average_loss"] - metrics["position_loss"]
	return all, metrics, nil
}

// recall measures R@1 of both tasks on images that were held out.
func (p positionRun) recall(b *bundle.Bundle, at paper.Place, held tuned.Examples, all map[string]weights.Set, metrics map[string]float64, r *rand.Rand) error {
	questions := map[string]pair{}
	for _, q := range []struct {
		name string
		task int
	}{{"a", blank}, {"b", turned}} {
		var err error
		if questions[q.name], err = p.finding().draw(at.Engine, held, q.task, r.Uint64()); err != nil {
			return err
		}
	}
	encode, err := b.NewForward(at.Engine, held.Len())
	if err != nil {
		return err
	}
	defer encode.Close()

	for name, w := range all {
		if err := b.SetWeights(w); err != nil {
			return err
		}
		for task, pair := range questions {
			queries, err := encode.Logits(pair.query, pair.n)
			if err != nil {
				return err
			}
			documents, err := encode.Logits(pair.document, pair.n)
			if err != nil {
				return err
			}
			metrics[name+"_"+task] = firstHit(queries, documents, pair.n)
		}
		metrics[name+"_worst"] = min(metrics[name+"_a"], metrics[name+"_b"])
	}
	return nil
}

// firstHit is R@1 of so many vectors: the share of queries whose nearest document, by the cosine, is their own.
func firstHit(queries, documents []float32, count int) float64 {
	width := len(queries) / count
	hits := 0
	for q := range count {
		best, bestScore := -1, 0.0
		for d := range count {
			dot, size := 0.0, 0.0
			for k := range width {
				dot += float64(queries[q*width+k]) * float64(documents[d*width+k])
				size += float64(documents[d*width+k]) * float64(documents[d*width+k])
			}
			// The sign is kept: the square of the cosine would take opposite vectors for near ones.
			score := dot * max(dot, -dot) / max(size, 1e-30)
			if best < 0 || score > bestScore {
				best, bestScore = d, score
			}
		}
		if best == q {
			hits++
		}
	}
	return float64(hits) / float64(count)
}
