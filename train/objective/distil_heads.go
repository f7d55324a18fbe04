package objective

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// DistilHeads makes a large trained network robust by a small robust one: two further copies of its last layers are trained (zoo.Branched,
// begun from the network by init.model), and all else stays as it is to the bit, norms and the answers on clean data too. x are the examples as
// the data has them, xa their views, such as noise; T is the teacher's answer, C the network's own:
//
//	robust     w T^2 KL(teacher(xa) || robust(xa)) + (1-w) CE(robust(xa), y)      w = 1 - H(softmax(teacher(xa))) / log classes
//	combined   mean of (CE + T^2 KL(C(x) || .)) / 2 at x and of (CE + T^2 KL(teacher(xa) || .)) / 2 at xa
//
// Both are added up. The teacher is followed on views alone: on clean examples it knows less than the network. Without a teacher the labels
// take its place. Gradients go into the branches alone, so that an update costs a pass forward and the branches' backward. In front of each
// last layer Dropout puts a share of the numbers to 0, which is what adapt.Heads measures uncertainty with.
//
// Which branch answers an example is chosen by adapt.Heads; the network itself answers as it did. The method shares one tuned block among
// the heads or gives each its own; here each has its own, and the clean one is not trained.
// Source: Jain, Behl, Rawat, Vineet, "Efficiently Robustify Pre-Trained Models", arXiv 2309.07499. The losses are reconstructed: the
// text says that there are three heads, few tuned layers and a distillation that knows its uncertainty.
type DistilHeads struct {
	Teacher     string  `json:"teacher"`     // folder of a trained model, robust and small; "" = none
	Temperature float64 `json:"temperature"` // T, above 0; 1
	Dropout     float64 `json:"dropout"`     // [0, 1); 0.1
}

var _ update.Shaped = DistilHeads{}

// NewDistilHeads returns the distillation at temperature 1, without a teacher yet.
func NewDistilHeads() DistilHeads { return DistilHeads{Temperature: 1, Dropout: 0.1} }

// The branches that the objective trains.
const (
	robustBranch   = "robust"
	combinedBranch = "combined"
)

// Network is a branched one as it is, and of another the one with a robust and a combined copy of its last layer.
func (DistilHeads) Network(n zoo.Network, classes int) zoo.Network {
	n = n.WithOutputs(classes)
	if _, ok := n.(zoo.Branching); ok {
		return n
	}
	return zoo.Branched{Trunk: zoo.Choice{Network: n}, Branches: []string{robustBranch, combinedBranch}}
}

// Validate refuses networks without the branches, recipes without views, a teacher that cannot teach them, and options outside their ranges.
func (o DistilHeads) Validate(p update.Plan) error {
	const name = "distil-heads"
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, usage(format, args...))
		}
	}
	refuse(!(o.Temperature > 0) || math.IsInf(o.Temperature, 0), "objective.temperature is %v; use a number above 0", o.Temperature)
	refuse(!(o.Dropout >= 0 && o.Dropout < 1), "objective.dropout is %v; use a share from 0 to below 1", o.Dropout)
	refuse(p.Devices > 1 && o.Dropout > 0, "objective.dropout is drawn for the batch, and %d devices would each draw their own; use one device, or dropout: 0", p.Devices)

	if err := p.Network.Validate(); err != nil {
		return usage("objective %s trains copies of the last layers of a network: %w", name, err)
	}
	network, ok := p.Network.(zoo.Branching)
	refuse(!ok || !slices.Contains(network.Names(), robustBranch) || !slices.Contains(network.Names(), combinedBranch),
		"objective %s trains the branches robust and combined, and network %s does not have them; use network: {name: branched, trunk: ..., after: ...}",
		name, zoo.Name(p.Network))

	train := p.Streams[update.Train]
	refuse(train.Targets != loss.Labels, "objective %s learns from classes, and the data has %s; use data with classes", name, train.Targets)
	refuse(train.Views != 1, "views has %d views, and objective %s needs one of each example, the changed one; use views: [[noise, blur]]", train.Views, name)
	errs = append(errs, fed(name, p, 1))
	if err := errors.Join(errs...); err != nil || o.Teacher == "" {
		return err
	}
	return o.checkTeacher(p)
}

// checkTeacher refuses a model that answers other classes, or other inputs.
func (o DistilHeads) checkTeacher(p update.Plan) error {
	m, err := bundle.OpenManifest(o.Teacher, p.Registry)
	if err != nil {
		return fmt.Errorf("recipe: objective.teacher: %w", err)
	}
	shape := p.Streams[update.Train].Shape
	switch {
	case m.Answers() != zoo.Classify:
		return usage("objective.teacher %s is for the task %s; use a model that classifies", strict.Short(o.Teacher), m.Answers())
	case m.Network.Outputs() != p.Network.Outputs():
		return usage("objective.teacher %s has %d classes, the network %d; use a teacher of the same data", strict.Short(o.Teacher),
			m.Network.Outputs(), p.Network.Outputs())
	case !slices.Equal(m.InputShape, shape):
		return usage("objective.teacher %s takes inputs %v, an example is %v; use a teacher of the same data", strict.Short(o.Teacher), m.InputShape, shape)
	}
	return nil
}

// Phases is one phase of one turn.
func (o DistilHeads) Phases(p update.Plan) []update.Phase {
	network, _ := p.Network.(zoo.Branching)
	return []update.Phase{{Name: "train", Turns: []update.Turn{{Build: func(s *update.Step) []update.Goal {
		return []update.Goal{{Name: "train", Terms: o.terms(s, network, p.Registry), Moves: "/model/branches"}}
	}}}}}
}

func (o DistilHeads) terms(s *update.Step, network zoo.Branching, mine own.Registry) []update.Term {
	b := s.Batch(update.Train)
	n := b.X.Shape().Dimensions[0]
	changed := b.Views[0]

	still := pass.Pass{Mode: pass.Infer} // norms in front of the branches stay as they are
	features := StopGradient(s.Features("/model", network, still, Concatenate([]*Node{b.X, changed}, 0)))
	own := StopGradient(s.Head("/model", network, still, rows(features, 0, n)))
	teacher := o.teach(s, changed, mine)

	robust := o.branch(s, network, robustBranch, rows(features, n, n))
	combined := o.branch(s, network, combinedBranch, features)
	each := Add(o.half(s, b, rows(combined, 0, n), own), o.half(s, b, rows(combined, n, n), teacher))
	return []update.Term{
		b.Each(robustBranch, o.distil(s, b, robust, teacher, true), 1),
		b.Each(combinedBranch, MulScalar(each, 0.5), 1),
	}
}

// rows are n rows of x.
func rows(x *Node, from, n int) *Node { return Slice(x, AxisRange(from, from+n)) }

// branch are the logits of a branch as it is trained.
func (o DistilHeads) branch(s *update.Step, network zoo.Branching, name string, features *Node) (logits *Node) {
	pass.Through(features.Graph(), pass.Pass{}, func() {
		inner := network.Inner(s.At("/model"), name, features)
		if o.Dropout > 0 {
			r := s.Random("dropout")
			inner = linear.Dropout{Rate: o.Dropout}.Apply(s.At(update.Own+"/dropout/"+name), inner, &r)
		}
		logits = network.Last(s.At("/model"), name, inner)
	})
	return logits
}

// half is the loss of each example that follows labels and a teacher alike.
func (o DistilHeads) half(s *update.Step, b update.Batch, logits, teacher *Node) *Node {
	return o.distil(s, b, logits, teacher, false)
}

// distil is the loss of each example; without a teacher the cross-entropy.
func (o DistilHeads) distil(s *update.Step, b update.Batch, logits, teacher *Node, byCertainty bool) *Node {
	in := s.In(b, logits)
	if teacher == nil {
		return loss.CrossEntropy{}.Apply(s.At(update.Own), in)
	}
	in.Teacher = teacher
	return loss.KD{Temperature: o.Temperature, Weight: 0.5, ByCertainty: byCertainty}.Apply(s.At(update.Own), in)
}

// teacherScope is where the weights of the teacher are.
const teacherScope = update.Own + "/teacher"

// teach are the teacher's logits for x as the set has it; nil without one.
func (o DistilHeads) teach(s *update.Step, x *Node, mine own.Registry) (logits *Node) {
	if o.Teacher == "" {
		return nil
	}
	b, err := bundle.Open(o.Teacher, mine)
	if err != nil {
		panic(fmt.Errorf("recipe: objective.teacher: %w", err))
	}
	if err := copyBelow(s.Scope.Store(), b); err != nil {
		panic(err)
	}
	pass.Through(x.Graph(), pass.Pass{Mode: pass.Infer}, func() { logits = b.Logits(s.At(teacherScope), x) })
	return StopGradient(logits)
}

// copyBelow gives a store the variables of a teacher, which nothing trains. Those that are there stay, after they were held against it: a run
// that resumes learns from the teacher that it began with.
func copyBelow(store *model.Store, b *bundle.Bundle) error {
	for _, v := range b.Variables() {
		value, err := v.Value()
		if err != nil {
			return fmt.Errorf("objective: teacher: %s: %w", v.Path(), err)
		}
		at := teacherScope + v.Path()
		if known := store.GetVariable(at); known != nil {
			if !known.Shape().Equal(v.Shape()) {
				return &fault.Input{
					File: b.Manifest.Name, Field: strings.TrimPrefix(v.Path(), "/"),
					Err: fmt.Errorf("the teacher's is %s, the run began with %s", v.Shape(), known.Shape()), Fix: "give the teacher that the run began with",
				}
			}
			continue
		}
		local, err := value.LocalClone()
		if err != nil {
			return fmt.Errorf("objective: teacher: %s: %w", v.Path(), err)
		}
		own, err := store.CreateVariable(at, local)
		if err != nil {
			return fmt.Errorf("objective: teacher: %s: %w", v.Path(), err)
		}
		own.SetTrainable(false)
	}
	return nil
}
