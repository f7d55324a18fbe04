package objective_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// painted is inpaint with a small discriminator, and the plan of a run on patches of 12 pixels in two channels.
func painted() (objective.Inpaint, update.Plan) {
	o := objective.NewInpaint()
	o.Discriminator.Base, o.Discriminator.Halves = 2, 1
	n := zoo.NewInpainter()
	n.Base, n.Blocks, n.Norm, n.Channels = 2, 1, "instance", 2
	return o, update.Plan{
		Network: n, Updates: 10, PerPass: 5, Accumulate: 1, Devices: 1,
		Streams: map[string]update.Stream{update.Train: {
			Examples: 20, Batch: 4, Shape: []int{12, 12, 3}, Targets: loss.Images, Outputs: 2, Counts: []int{10, 10}, Distinct: true,
		}},
	}
}

func TestInpaintRefuses(t *testing.T) {
	train := func(p *update.Plan, change func(s *update.Stream)) {
		s := p.Streams[update.Train]
		change(&s)
		p.Streams[update.Train] = s
	}
	for want, change := range map[string]func(o *objective.Inpaint, p *update.Plan){
		"": func(*objective.Inpaint, *update.Plan) {},
		"recipe: objective.loss has l1_weight -1 and gan_weight 0.1; use finite weights from 0, not both 0": func(o *objective.Inpaint, _ *update.Plan) { o.Loss.L1 = -1 },
		"recipe: objective.loss has l1_weight 0 and gan_weight 0; use finite weights from 0, not both 0":    func(o *objective.Inpaint, _ *update.Plan) { o.Loss = loss.Inpainting{} },
		"recipe: network unet does not fill holes, and objective inpaint trains one that does; use network: inpainter": func(_ *objective.Inpaint, p *update.Plan) {
			p.Network = zoo.NewUNet()
		},
		"recipe: objective inpaint learns from images with holes, and an example of the data is [12 12 3] with labels; use data: {name: holes, of: ...}": func(_ *objective.Inpaint, p *update.Plan) {
			train(p, func(s *update.Stream) { s.Targets = loss.Labels })
		},
		"recipe: objective inpaint learns from images with holes, and an example of the data is [12 12 3] with masks; use data: {name: holes, of: ...}": func(_ *objective.Inpaint, p *update.Plan) {
			train(p, func(s *update.Stream) { s.Targets = loss.Masks })
		},
		"recipe: preprocess is standardize, and objective inpaint takes images as they are, in [0,1]; use preprocess: none": func(_ *objective.Inpaint, p *update.Plan) { p.Standardized = true },
		"recipe: views has 2 views, which would change the image and not its target; leave views out": func(_ *objective.Inpaint, p *update.Plan) {
			train(p, func(s *update.Stream) { s.Views = 2 })
		},
		"recipe: inpaint is a loss of a whole batch, which accumulate=2 would cut into parts; use accumulate: 1": func(_ *objective.Inpaint, p *update.Plan) { p.Accumulate = 2 },
		"recipe: objective.discriminator.halves is 3, which leaves 1 of 12 pixels; leave more than 2, so use fewer halves or larger patches": func(o *objective.Inpaint, _ *update.Plan) {
			o.Discriminator.Halves = 3
		},
		"recipe: objective.discriminator: inpaint: the discriminator's base is 0 and halves 1; use 1 to": func(o *objective.Inpaint, _ *update.Plan) { o.Discriminator.Base = 0 },
	} {
		o, p := painted()
		change(&o, &p)
		err := o.Validate(p)
		var usage *fault.Usage
		if want == "" && err != nil || want != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestInpaintGoals: the goals are the formulas of the loss, for the network and the discriminator, and padding changes neither.
func TestInpaintGoals(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		const n, side = 3, 12
		x, truth := make([]float32, n*side*side*3), make([]float32, n*side*side*2)
		for i := range truth {
			truth[i] = float32(i*i%97) / 97
		}
		for p := range n * side * side {
			copy(x[3*p:], truth[2*p:2*p+2])
			if p%side > 3 && p%side < 8 && p/side%side > 2+p/side/side {
				x[3*p], x[3*p+1], x[3*p+2] = 1, 1, 1
			}
		}

		// goals are the values of the terms with the first examples alive, and of the formulas by hand.
		goals := func(t *testing.T, o objective.Inpaint, examples, alive int) []float64 {
			t.Helper()
			_, p := painted()
			store := model.NewStore()
			var names []string
			exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x, truth *Node) []*Node {
				g := x.Graph()
				store.SetTraining(g, true)
				labels, mask := make([]int32, examples), make([]bool, examples)
				for i := range examples {
					mask[i] = i < alive
				}
				b := update.Batch{X: x, Views: []*Node{x}, Targets: truth, Labels: Const(g, labels), Share: Const(g, float32(0)), Examples: 20}
				if alive < examples {
					b.Mask = Const(g, mask)
				}
				s := &update.Step{Scope: scope, Update: Const(g, int32(3)), Batches: map[string]update.Batch{update.Train: b}}
				names = nil
				var values []*Node
				for _, goal := range o.Phases(p)[0].Turns[0].Build(s) {
					for _, term := range goal.Terms {
						names, values = append(names, goal.Name+" "+term.Name+" "+goal.Moves), append(values, term.Value)
					}
				}
				if alive == examples {
					// Quiet passes of the same networks, which have spectral norms one step on: inference sees those.
					var prediction *Node
					pass.Through(g, pass.Pass{Mode: pass.Infer}, func() { prediction = p.Network.Apply(s.At("/model"), x) })
					hole := p.Network.(zoo.Inpainter).Hole(x)
					values = append(values, o.Loss.Reconstruction(prediction, truth, hole))
				}
				return values
			})
			defer exec.Finalize()
			out := exec.MustCall(tensors.FromFlatDataAndDimensions(x[:examples*side*side*3], examples, side, side, 3),
				tensors.FromFlatDataAndDimensions(truth[:examples*side*side*2], examples, side, side, 2))
			want := []string{"network l1 /model", "network gan /model", "discriminator discriminator /objective/discriminator"}
			if o.Loss.GAN == 0 {
				want = want[:1]
			}
			if !slices.Equal(names, want) {
				t.Fatalf("the terms are %v, want %v", names, want)
			}
			var values []float64
			for _, v := range out {
				values = append(values, float64(tensors.ToScalar[float32](v)))
			}
			return values
		}

		o, _ := painted()
		o.Loss = loss.Inpainting{L1: 2, GAN: 0.5}
		two := goals(t, o, 2, 2)
		padded := goals(t, o, 3, 2)
		for i, name := range []string{"l1", "gan", "discriminator"} {
			near(t, name+" of two examples and padding", float32(padded[i]), float32(two[i]))
		}
		near(t, "l1", float32(two[0]), float32(2*two[3]))
		if !(two[1] > 0 && two[2] > 0) {
			t.Errorf("the losses of judgments are %v", two[1:3])
		}
		if three := goals(t, o, 3, 3); fmt.Sprint(three[:3]) == fmt.Sprint(padded) {
			t.Error("a third example changes nothing")
		}
		o.Loss.GAN = 0
		alone := goals(t, o, 2, 2)
		near(t, "l1 alone", float32(alone[0]), float32(two[0]))
	})
}
