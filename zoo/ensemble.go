package zoo

import (
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
)

// Ensemble is several networks of one kind, each with weights of its own, and answers with the mean of their answers, which are logits
// where they classify:
//
//	y = 1/Members sum over i of of_i(x)
//
// Paths: those of the network alone, below member_1, member_2, ....
type Ensemble struct {
	Of      Choice `json:"of"`      // what each member is; cnn
	Members int    `json:"members"` // how many there are, 2 to 64; 2
}

var _ Network = Ensemble{}

// NewEnsemble returns two CNNs.
func NewEnsemble() Ensemble { return Ensemble{Of: Choice{Network: NewCNN()}, Members: 2} }

// maxMembers keeps graphs small.
const maxMembers = 64

// Validate reports what is wrong with the options.
func (e Ensemble) Validate() error {
	var errs []error
	if e.Members < 2 || e.Members > maxMembers {
		errs = append(errs, fmt.Errorf("ensemble: members is %d; use 2 to %d", e.Members, maxMembers))
	}
	switch of := e.Of.Network.(type) {
	case nil:
		errs = append(errs, errors.New("ensemble: of is missing; name a network, such as cnn"))
	case Ensemble:
		errs = append(errs, errors.New("ensemble: of is an ensemble; name one network, and say with members how many"))
	default:
		errs = append(errs, of.Validate())
	}
	return errors.Join(errs...)
}

// Task is that of the members.
func (e Ensemble) Task() Task { return e.Of.Task() }

// Outputs are those of a member.
func (e Ensemble) Outputs() int { return e.Of.Outputs() }

// WithOutputs returns an ensemble of networks for another number of outputs.
func (e Ensemble) WithOutputs(n int) Network {
	e.Of = Choice{Network: e.Of.WithOutputs(n)}
	return e
}

// WithNorm returns an ensemble of networks with another norm.
func (e Ensemble) WithNorm(n norm.Layer) Network {
	e.Of = Choice{Network: e.Of.WithNorm(n)}
	return e
}

// Member is the scope of a member, counted from 0, below that of the ensemble.
func (e Ensemble) Member(i int) string { return fmt.Sprintf("member_%d", i+1) }

// Apply is the mean of what the members answer.
func (e Ensemble) Apply(scope *model.Scope, x *Node) *Node {
	var sum *Node
	for i := range e.Members {
		y := e.Of.Apply(scope.At("%s", e.Member(i)), x)
		if i == 0 {
			sum = y
			continue
		}
		sum = Add(sum, y)
	}
	return DivScalar(sum, float64(e.Members))
}
