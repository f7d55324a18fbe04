// Package selfpositioning is the paper "Improving General Text Embedding Model: Tackling Task Conflict and Data
// Imbalance through Model Merging": its claims and its recipe.
package selfpositioning

import (
	"context"
	_ "embed"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/position"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/papers/paper"
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
		Seeds:     3,
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

// contrastive is the InfoNCE loss of queries and documents, the other documents of the batch as negatives: the mean over the pairs of
// batches, queries first, that the inputs are.
func (p positionRun) contrastive(n *paper.MergeNet) paper.Step {
	return func(scope *model.Scope, inputs []*graph.Node) *graph.Node {
		y := n.Bundle.Logits(scope, graph.Concatenate(inputs, 0))
		y = graph.Div(y, graph.Sqrt(graph.AddScalar(graph.ReduceAndKeep(graph.Square(y), graph.ReduceSum, -1), 1e-12)))
		size := inputs[0].Shape().Dimensions[0]
		part := func(i int) *graph.Node { return graph.Slice(y, graph.AxisRange(i*size, (i+1)*size)) }
		var total *graph.Node
		for i := 0; i < len(inputs); i += 2 {
			scores := graph.MulScalar(graph.MatMul(part(i), graph.Transpose(part(i+1), 0, 1)), 1/p.Temperature)
			labels := graph.Iota(y.Graph(), shapes.Make(dtypes.Int32, size), 0)
			value := graph.MulScalar(loss.Mean(loss.CrossEntropy{}.Of(labels, scores), nil), 2/float64(len(inputs)))
			if total == nil {
				total = value
			} else {
				total = graph.Add(total, value)
			}
		}
		return total
	}
}

// taskPair makes queries and documents of images: task A blanks the last columns of the query, task B turns it over.
func (p positionRun) taskPair(x tuned.Examples, task string, sigma float64, r *rand.Rand) [2][]float32 {
	const side = 8
	query, document := make([]float32, len(x.X)), append([]float32{}, x.X...)
	for i, v := range x.X {
		image, y, c := i/(side*side), i/side%side, i%side
		switch {
		case task == "b":
			query[image*side*side+c*side+y] = v
		case task == "a" && c >= side-p.Blanked: // stays 0
		default:
			query[i] = v
		}
	}
	paper.AddNoise(query, sigma, r)
	paper.AddNoise(document, sigma, r)
	return [2][]float32{query, document}
}

func pairTensors(pair [2][]float32) []*tensors.Tensor {
	n := len(pair[0]) / 64
	return []*tensors.Tensor{tensors.FromFlatDataAndDimensions(pair[0], n, 8, 8, 1), tensors.FromFlatDataAndDimensions(pair[1], n, 8, 8, 1)}
}

func (p positionRun) run(ctx context.Context, at paper.Place) (map[string]float64, error) {
	r := rand.New(rand.NewPCG(at.Seed, 51))
	ds, err := data.Open("optdigits", "all")
	if err != nil {
		return nil, err
	}
	read, err := tuned.Read(ds)
	if err != nil {
		return nil, err
	}
	mixed := read.At(paper.Shuffled(read.Len(), r))
	a, b := mixed.Slice(0, p.A), mixed.Slice(p.A, p.A+p.B)
	probeA, probeB := mixed.Slice(p.A+p.B, p.A+p.B+p.Probe), mixed.Slice(p.A+p.B+p.Probe, p.A+p.B+2*p.Probe)
	held := mixed.Slice(p.A+p.B+2*p.Probe, mixed.Len())

	n, err := paper.NewMergeNet(at, zoo.MLP{Hidden: p.Hidden, Classes: p.Width, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU}, []int{8, 8, 1}, at.Seed)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	adam := paper.PlainAdamW(p.LR, 0)
	learn := func(start weights.Set, steps int, x tuned.Examples, task func(i int32) string, sigma float64) (weights.Set, error) {
		return n.Train(ctx, start, adam, steps, p.contrastive(n), func(int) []*tensors.Tensor {
			var pair [2][]float32
			for _, i := range paper.Shuffled(x.Len(), r)[:p.Batch] {
				one := p.taskPair(x.At([]int32{i}), task(i), sigma, r)
				pair[0], pair[1] = append(pair[0], one[0]...), append(pair[1], one[1]...)
			}
			return pairTensors(pair)
		})
	}
	always := func(task string) func(int32) string { return func(int32) string { return task } }
	both := mixed.Slice(0, p.A+p.B)
	base, err := learn(nil, p.BaseSteps, both, always(""), p.BaseNoise)
	if err != nil {
		return nil, err
	}
	onlyA, err := learn(base, p.Steps, a, always("a"), p.Noise)
	if err != nil {
		return nil, err
	}
	onlyB, err := learn(base, p.Steps, b, always("b"), p.Noise)
	if err != nil {
		return nil, err
	}
	joint, err := learn(base, p.Steps, both, func(i int32) string {
		if int(i) < p.A {
			return "a"
		}
		return "b"
	}, p.Noise)
	if err != nil {
		return nil, err
	}

	// The probe, half of it a task, is drawn once.
	objective, err := tuned.NewObjective(n.Bundle, at.Engine, func(scope *model.Scope, _ *graph.Node, inputs []*graph.Node) *graph.Node {
		return p.contrastive(n)(scope, inputs)
	})
	if err != nil {
		return nil, err
	}
	defer objective.Close()
	probe := append(pairTensors(p.taskPair(probeA, "a", p.Noise, r)), pairTensors(p.taskPair(probeB, "b", p.Noise, r))...)
	lossOf := func(w weights.Set) (float64, error) {
		at, err := objective.At(w, 1, probe...)
		return at.Value, err
	}

	method := position.New()
	method.Mu, method.Steps, method.LR = p.Position.Mu, p.Position.Steps, p.Position.LR
	search, err := method.NewSearch(base, []weights.Set{onlyA, onlyB}, nil)
	if err != nil {
		return nil, err
	}
	fit, found, err := search.Fit(func(_ int, w weights.Set) (float64, weights.Set, error) {
		at, err := objective.At(w, 1, probe...)
		return at.Value, at.Gradient, err
	})
	if err != nil {
		return nil, err
	}
	grid, err := search.Grid(position.Betas(p.Betas...), 1, lossOf)
	if err != nil {
		return nil, err
	}
	average, err := position.Average([]weights.Set{onlyA, onlyB}, nil) // base + (V_A + V_B) / 2
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{"grid_loss": grid[0].Loss, "beta": fit.A[1] / (fit.A[0] + fit.A[1]), "lambda": fit.Lambda, "angle": fit.Angles[0][0]}
	for name, w := range map[string]weights.Set{"position": found, "average": average} {
		if metrics[name+"_loss"], err = lossOf(w); err != nil {
			return nil, err
		}
	}
	metrics["grid_margin"], metrics["average_margin"] = metrics["grid_loss"]-metrics["position_loss"], metrics["average_loss"]-metrics["position_loss"]
	questions := map[string][2][]float32{"a": p.taskPair(held, "a", p.Noise, r), "b": p.taskPair(held, "b", p.Noise, r)}
	for name, w := range map[string]weights.Set{"position": found, "average": average, "only_a": onlyA, "only_b": onlyB, "joint": joint} {
		for task, pair := range questions {
			if metrics[name+"_"+task], err = firstHit(n, w, pair); err != nil {
				return nil, err
			}
		}
		metrics[name+"_worst"] = min(metrics[name+"_a"], metrics[name+"_b"])
	}
	return metrics, nil
}

// firstHit is R@1: the share of queries whose nearest document, by the cosine of embeddings, is their own.
func firstHit(n *paper.MergeNet, w weights.Set, pair [2][]float32) (float64, error) {
	count := len(pair[0]) / 64
	var embedded [2][]float64
	for i, x := range pair {
		scorer, err := tuned.NewScorer(n.Bundle, n.At.Engine, tuned.Examples{X: x, Labels: make([]int32, count), Size: 64})
		if err != nil {
			return 0, err
		}
		embedded[i], err = scorer.Logits(w)
		scorer.Close()
		if err != nil {
			return 0, err
		}
	}
	width := len(embedded[0]) / count
	hits := 0
	for q := range count {
		best, bestScore := -1, 0.0
		for d := range count {
			dot, size := 0.0, 0.0
			for k := range width {
				dot += embedded[0][q*width+k] * embedded[1][d*width+k]
				size += embedded[1][d*width+k] * embedded[1][d*width+k]
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
	return float64(hits) / float64(count), nil
}
