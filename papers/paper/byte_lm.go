package paper

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// ByteLM trains a small language model on the bytes of two packages of Go's standard library, and measures the cross-entropy of the
// next byte, in nats, on the last tenth of each file.
type ByteLM struct {
	Packages []string    `json:"packages"`     // of the standard library; [strings, sort]
	Model    zoo.Decoder `json:"model"`        // see zoo.Decoder
	Steps    int         `json:"steps"`        // 250
	Batch    int         `json:"batch"`        // sequences an update; 8
	LR       float64     `json:"lr"`           // of Adam; 2e-3
	Warmup   int         `json:"warmup_steps"` // updates over which the rate rises from 0; 60
	Windows  int         `json:"windows"`      // sequences to measure on; 256
}

// NewByteLM is the model at the size of its claims: see the fields.
func NewByteLM() ByteLM {
	return ByteLM{Packages: []string{"strings", "sort"}, Model: zoo.NewDecoder(), Steps: 250, Batch: 8, LR: 2e-3, Warmup: 60, Windows: 256}
}

// Run returns the loss of training (mean of the last 50 updates) and of validation.
func (b ByteLM) Run(ctx context.Context, at Place) (map[string]float64, error) {
	store := model.NewStore()
	defer store.Finalize()
	param.Seed(store, at.Seed)
	last, err := b.Train(ctx, at, store)
	if err != nil {
		return nil, err
	}
	_, validation, err := GoSources(b.Packages)
	if err != nil {
		return nil, err
	}
	measure, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, window *graph.Node) *graph.Node {
		store.SetTraining(window.Graph(), false)
		return b.Objective(scope.In("model"), window)
	})
	if err != nil {
		return nil, err
	}
	defer measure.Finalize()
	// The same windows for every arm and seed.
	out, err := measure.Call(Windows(rand.New(rand.NewPCG(1, 1)), validation, b.Windows, b.Model.Context+1))
	if err != nil {
		return nil, err
	}
	value := float64(tensors.ToScalar[float32](out[0]))
	if math.IsNaN(value) || math.IsNaN(last) {
		return nil, errors.New("the loss is not a number")
	}
	return map[string]float64{"validation": value, "training": last}, nil
}

// Objective is the cross-entropy of each byte of windows [batch, Context+1] but the first, given those before it.
func (b ByteLM) Objective(scope *model.Scope, window *graph.Node) *graph.Node {
	d := window.Shape().Dimensions
	logits := b.Model.Apply(scope, graph.SliceAxis(window, 1, graph.AxisRange(0, d[1]-1)))
	next := graph.SliceAxis(window, 1, graph.AxisRange(1, d[1]))
	n := next.Shape().Size()
	return loss.Mean(loss.CrossEntropy{}.Of(graph.Reshape(next, n), graph.Reshape(logits, n, b.Model.Vocabulary)), nil)
}

// Train trains the model in store under /model, and returns the mean loss of the last 50 updates.
func (b ByteLM) Train(ctx context.Context, at Place, store *model.Store) (last float64, err error) {
	if err := b.Model.Validate(); err != nil {
		return 0, err
	}
	text, _, err := GoSources(b.Packages)
	if err != nil {
		return 0, err
	}
	optimizer := optim.NewAdamW()
	optimizer.LR, optimizer.WeightDecay = b.LR, 0
	minimizer := optim.Minimizer{Optimizer: optimizer, Scale: func(done *graph.Node) *graph.Node {
		return graph.MinScalar(graph.DivScalar(graph.OnePlus(done), float64(max(1, b.Warmup))), 1.0)
	}}
	update, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, window *graph.Node) *graph.Node {
		store.SetTraining(window.Graph(), true)
		l := b.Objective(scope.In("model"), window)
		minimizer.Step(scope.In("optimizer"), l, trainable(store))
		return l
	})
	if err != nil {
		return 0, err
	}
	defer update.Finalize()
	draw := rand.New(rand.NewPCG(at.Seed, 7))
	for step := range b.Steps {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		out, err := update.Call(Windows(draw, text, b.Batch, b.Model.Context+1))
		if err != nil {
			return 0, err
		}
		if tail := min(50, b.Steps); step >= b.Steps-tail {
			last += float64(tensors.ToScalar[float32](out[0])) / float64(tail)
		}
	}
	return last, nil
}

// trainable are the variables of a store that can be trained.
func trainable(store *model.Store) []*model.Variable {
	var all []*model.Variable
	for v := range store.IterVariables() {
		if v.Trainable {
			all = append(all, v)
		}
	}
	return all
}

// Windows draws n pieces of a text.
func Windows(r *rand.Rand, text []byte, n, length int) *tensors.Tensor {
	flat := make([]int32, 0, n*length)
	for range n {
		from := r.IntN(len(text) - length)
		for _, b := range text[from : from+length] {
			flat = append(flat, int32(b))
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, n, length)
}

// GoSources are the bytes of packages of the standard library, without their tests: the first nine tenths of each file, and the rest.
func GoSources(packages []string) (training, validation []byte, err error) {
	for _, name := range packages {
		folder := filepath.Join(build.Default.GOROOT, "src", filepath.FromSlash(name))
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("papers: there is no source of package %s in %s; install Go, or set GOROOT to where it is", name, folder)
		}
		if err != nil {
			return nil, nil, err
		}
		var files []string
		for _, e := range entries {
			if n := e.Name(); strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") {
				files = append(files, n)
			}
		}
		slices.Sort(files)
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(folder, file))
			if err != nil {
				return nil, nil, err
			}
			cut := len(text) * 9 / 10
			training, validation = append(training, text[:cut]...), append(validation, text[cut:]...)
		}
	}
	return training, validation, nil
}
