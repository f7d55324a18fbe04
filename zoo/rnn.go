package zoo

import (
	"errors"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/rnn"
)

// RNN reads an image row by row with a recurrent layer and classifies by its last hidden state: x [batch, height, width, channels] is
// a sequence of height steps of width x channels features -> cell -> dense to the classes.
type RNN struct {
	Cell      string  `json:"cell"`       // lstm, gru, ln-lstm or ln-gru
	Hidden    int     `json:"hidden"`     // units; 32
	InitScale float64 `json:"init_scale"` // factor on the first values of the cell's kernels; 1
	Classes   int     `json:"classes"`    // 10
}

var (
	_ OwnNorms = RNN{}
	_ Featured = RNN{}
)

var cells = []string{"lstm", "gru", "ln-lstm", "ln-gru"}

// NewRNN returns the defaults: a layer-normalised LSTM of 32 units.
func NewRNN() RNN { return RNN{Cell: "ln-lstm", Hidden: 32, InitScale: 1, Classes: 10} }

// Validate reports what is wrong with the options.
func (r RNN) Validate() error {
	var errs []error
	if r.layer() == nil {
		err := fmt.Errorf("rnn: cell is %q; use lstm, gru, ln-lstm or ln-gru", r.Cell)
		if near, ok := strict.Nearest(r.Cell, cells); ok {
			err = fmt.Errorf("rnn: no cell %q (did you mean %s?)", r.Cell, near)
		}
		errs = append(errs, err)
	}
	if !(r.InitScale > 0) || math.IsInf(r.InitScale, 0) {
		errs = append(errs, fmt.Errorf("rnn: init_scale is %v; use a finite number above 0, such as 1", r.InitScale))
	}
	errs = append(errs, count("rnn", "hidden", r.Hidden, 2), count("rnn", "classes", r.Classes, 2))
	return errors.Join(errs...)
}

func (r RNN) layer() rnn.Layer {
	switch r.Cell {
	case "lstm":
		return rnn.LSTM{Hidden: r.Hidden, InitScale: r.InitScale}
	case "gru":
		return rnn.GRU{Hidden: r.Hidden, InitScale: r.InitScale}
	case "ln-lstm":
		return rnn.LNLSTM{Hidden: r.Hidden, Epsilon: 1e-5, InitScale: r.InitScale}
	case "ln-gru":
		return rnn.LNGRU{Hidden: r.Hidden, Epsilon: 1e-5, InitScale: r.InitScale}
	}
	return nil
}

// Task is Classify.
func (RNN) Task() Task { return Classify }

// Outputs is the number of classes.
func (r RNN) Outputs() int { return r.Classes }

// WithOutputs returns the same network for another number of classes.
func (r RNN) WithOutputs(n int) Network { r.Classes = n; return r }

// WithNorm returns the network as it is: its norms are those of the cell.
func (r RNN) WithNorm(norm.Layer) Network { return r }

// OwnNorms marks the network.
func (RNN) OwnNorms() {}

// Apply returns logits [batch, classes] for x [batch, height, width, channels].
func (r RNN) Apply(scope *model.Scope, x *Node) *Node { return r.Head(scope, r.Features(scope, x)) }

// Head is the output.
func (r RNN) Head(scope *model.Scope, features *Node) *Node {
	return output(scope, features, r.Classes)
}

// Features are the last hidden state, [batch, Hidden].
func (r RNN) Features(scope *model.Scope, x *Node) *Node {
	checkImages("RNN", x)
	d := x.Shape().Dimensions
	if d[1] > maxLayers { // each row is a step, and each step a part of the graph
		Panicf("zoo.RNN: x is %s; use images of at most %d rows", x.Shape(), maxLayers)
	}
	return r.layer().Apply(scope.In("cell"), Reshape(x, d[0], d[1], d[2]*d[3]), rnn.Inputs{}).HLast
}
