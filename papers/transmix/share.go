package transmix

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"gonum.org/v1/gonum/stat"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/papers/paper"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// How many images are mixed, and how often.
const (
	mixedImages = 100
	mixedDraws  = 40
)

// guesses are shares of the pasted image in mixed images: what its ink says, and what the labels go by.
type guesses struct{ ink, area, attention []float64 }

// sharesOf mixes test images with CutMix and holds the area of the box, and where the trained network looks, against the ink.
func sharesOf(_ context.Context, at paper.Place, trained *train.Result) (map[string]float64, error) {
	set, err := data.Open("canvas-digits", "test")
	if err != nil {
		return nil, err
	}
	info := set.Info()
	x := make([]float32, mixedImages*info.Size())
	for i := range mixedImages {
		if err := set.Read(i, x[i*info.Size():(i+1)*info.Size()]); err != nil {
			return nil, err
		}
	}
	images := tensors.FromFlatDataAndDimensions(x, append([]int{mixedImages}, info.Shape...)...)

	mixing := augment.NewTransMix()
	mixing.CutMix, mixing.Ratio = 1, 1
	var names []string
	columns := mixing.Columns()
	for _, c := range columns {
		names = append(names, c.Name)
	}
	exec, err := model.NewExec(at.Engine.Backend, trained.Bundle.Store, func(scope *model.Scope, x, draws *Node) []*Node {
		return shares(trained.Bundle, mixing, scope, x, draws, names)
	})
	if err != nil {
		return nil, fmt.Errorf("papers: transmix: %w", err)
	}
	defer exec.Finalize()

	var all guesses
	r := rand.New(rand.NewPCG(at.Seed, 1))
	for range mixedDraws {
		draws := make([]float32, len(columns))
		for i, c := range columns {
			draws[i] = float32(c.At(0, 1, r))
		}
		out, err := exec.Call(images, draws)
		if err != nil {
			return nil, fmt.Errorf("papers: transmix: %w", err)
		}
		for i, into := range []*[]float64{&all.ink, &all.area, &all.attention} {
			for _, v := range tensors.MustCopyFlatData[float32](out[i]) {
				*into = append(*into, float64(v))
			}
		}
	}
	return all.numbers(), nil
}

// shares are the shares of the pasted image in each mixed one: of its ink, by area, by attention.
func shares(b *bundle.Bundle, mixing augment.TransMix, scope *model.Scope, x, draws *Node, names []string) []*Node {
	numbers := map[string]*Node{}
	for i, name := range names {
		numbers[name] = Reshape(Slice(draws, AxisElem(i)))
	}
	m := mixing.Mix(augment.Draws{Column: func(name string) *Node { return numbers[name] }}, x)

	network := b.Manifest.Network.Network.(zoo.Attending)
	d := x.Shape().Dimensions
	rows, columns := network.Grid(d[1], d[2])
	var attention *Node
	pass.Through(x.Graph(), pass.Pass{Taps: []pass.Tap{network.ClassAttention(&attention)}}, func() { b.Logits(scope, m.X) })

	inside := ConvertDType(m.TokenMask(d[1], d[2]), x.DType()) // a cell for each pixel
	pasted := ReduceSum(Mul(m.X, BroadcastToDims(Reshape(inside, 1, d[1], d[2], 1), d...)), 1, 2, 3)
	ink := Div(pasted, MaxScalar(ReduceSum(m.X, 1, 2, 3), 1e-6))
	return []*Node{ink, m.Parts[1].Weight, mixing.Share(m, Reshape(attention, d[0], rows, columns))}
}

// numbers hold the guesses against the ink.
func (g guesses) numbers() map[string]float64 {
	mean := make([]float64, len(g.ink))
	inkRest, attentionRest := make([]float64, len(g.ink)), make([]float64, len(g.ink))
	for i, area := range g.area {
		mean[i] = (area + g.attention[i]) / 2
		inkRest[i], attentionRest[i] = g.ink[i]-area, g.attention[i]-area
	}
	numbers := map[string]float64{"residual_correlation": stat.Correlation(inkRest, attentionRest, nil)}
	for name, guess := range map[string][]float64{"area": g.area, "attention": g.attention, "mean": mean} {
		var off float64
		for i, v := range guess {
			off += math.Abs(v-g.ink[i]) / float64(len(guess))
		}
		numbers[name+"_error"], numbers[name+"_correlation"] = off, stat.Correlation(guess, g.ink, nil)
	}
	return numbers
}
