package bundle

import (
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/ops"
)

// Preprocess turns an example into what the network was trained on, in this order: the middle of an image is cut out, resized, given the
// network's number of channels, and the last axis standardised, x' = (x - Mean) / Std. Steps that are empty are left out.
type Preprocess struct {
	Crop     []int     `json:"crop,omitempty"`     // height and width of the middle that is kept; an odd rest goes below and to the right
	Resize   []int     `json:"resize,omitempty"`   // height and width; bilinear, pixels are areas and count as long as they reach when an image shrinks
	Channels int       `json:"channels,omitempty"` // of the result: 3 has a grey image three times, 1 makes colours grey (0.299 R + 0.587 G + 0.114 B)
	Mean     []float64 `json:"mean"`               // [channels], in units of the input ([0,1] for images)
	Std      []float64 `json:"std"`                // [channels], above 0
}

// Apply preprocesses x [batch, ..., channels] in a graph.
func (p Preprocess) Apply(x *Node) *Node {
	d := x.Shape().Dimensions
	if len(p.Crop) > 0 {
		from := func(axis int) SliceAxisSpec {
			start := (d[axis+1] - p.Crop[axis]) / 2
			return AxisRange(start, start+p.Crop[axis])
		}
		x = Slice(x, AxisRange(), from(0), from(1), AxisRange())
	}
	if len(p.Resize) > 0 {
		x = ops.Resize{Height: p.Resize[0], Width: p.Resize[1], Antialias: true}.Apply(x)
	}
	x = p.channels(x)
	if len(p.Mean) == 0 {
		return x
	}
	if got := x.Shape().Dim(-1); got != len(p.Mean) {
		panic(fmt.Errorf("bundle: preprocessing has %d channels, the input is %s; give the input the shape the manifest names", len(p.Mean), x.Shape()))
	}
	scale := make([]float64, len(p.Std))
	for i, s := range p.Std {
		scale[i] = 1 / s
	}
	return Mul(Sub(x, alongLast(x, p.Mean)), alongLast(x, scale))
}

// shape is the shape of an example behind the preprocessing.
func (p Preprocess) shape(input []int) []int {
	out := slices.Clone(input)
	if len(p.Crop) > 0 {
		copy(out, p.Crop)
	}
	if len(p.Resize) > 0 {
		copy(out, p.Resize)
	}
	if p.Channels > 0 {
		out[len(out)-1] = p.Channels
	}
	return out
}

func (p Preprocess) channels(x *Node) *Node {
	d := x.Shape().Dimensions
	last := len(d) - 1
	switch p.Channels {
	case 0, d[last]:
		return x
	case 1:
		return ReduceAndKeep(Mul(x, alongLast(x, []float64{0.299, 0.587, 0.114})), ReduceSum, last) // ITU-R BT.601
	default:
		wide := append(append([]int{}, d[:last]...), p.Channels)
		return BroadcastToDims(x, wide...)
	}
}

// alongLast is a constant that broadcasts along the last axis of x.
func alongLast(x *Node, values []float64) *Node {
	shape := make([]int, x.Rank())
	for i := range shape {
		shape[i] = 1
	}
	shape[len(shape)-1] = len(values)
	return Reshape(ConstAsDType(x.Graph(), x.DType(), values), shape...)
}

func (p Preprocess) validate(input []int) error {
	if err := p.validateImage(input); err != nil {
		return err
	}
	channels := input[len(input)-1]
	if p.Channels > 0 {
		channels = p.Channels
	}
	if len(p.Mean) == 0 && len(p.Std) == 0 {
		return nil
	}
	if len(p.Mean) != channels || len(p.Std) != channels {
		return fmt.Errorf("preprocessing has %d means and %d deviations, the input has %d channels; give one of each per channel, or none",
			len(p.Mean), len(p.Std), channels)
	}
	for i, s := range p.Std {
		if !(s > 0) || math.IsInf(s, 0) || math.IsNaN(p.Mean[i]) || math.IsInf(p.Mean[i], 0) {
			return fmt.Errorf("preprocessing of channel %d is mean %v, std %v; the mean must be finite and the std above 0", i, p.Mean[i], s)
		}
	}
	return nil
}

// validateImage checks the steps that need images.
func (p Preprocess) validateImage(input []int) error {
	if len(p.Crop) == 0 && len(p.Resize) == 0 && p.Channels == 0 {
		return nil
	}
	if len(input) != 3 {
		return fmt.Errorf("preprocessing crops, resizes or changes channels, input_shape is %v; want an image [height, width, channels]", input)
	}
	const most = 1 << 14
	switch {
	case len(p.Crop) > 0 && (len(p.Crop) != 2 || p.Crop[0] < 1 || p.Crop[1] < 1 || p.Crop[0] > input[0] || p.Crop[1] > input[1]):
		return fmt.Errorf("preprocessing.crop is %v; want height and width, at most %d and %d", p.Crop, input[0], input[1])
	case len(p.Resize) > 0 && (len(p.Resize) != 2 || p.Resize[0] < 1 || p.Resize[1] < 1 || p.Resize[0] > most || p.Resize[1] > most):
		return fmt.Errorf("preprocessing.resize is %v; want height and width, 1 to %d", p.Resize, most)
	case p.Channels != 0 && p.Channels != input[2] && (p.Channels < 1 || input[2] != 1) && (p.Channels != 1 || input[2] != 3):
		return fmt.Errorf("preprocessing.channels is %d for %d in the input; a grey image can become any number, one of 3 channels can become grey", p.Channels, input[2])
	}
	if len(p.Resize) > 0 {
		// Each axis is resized by a product with a matrix of float64.
		from := input
		if len(p.Crop) > 0 {
			from = p.Crop
		}
		for axis, rows := range p.Resize {
			if _, err := untrusted.Bytes("preprocessing.resize", 8, rows, from[axis]); err != nil {
				return err
			}
		}
	}
	_, err := untrusted.Bytes("the input behind its preprocessing", 4, p.shape(input)...)
	return err
}
