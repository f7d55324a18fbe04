package repair

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/onnxrun"
)

// Compared is what a run of two models on the same inputs found.
type Compared struct {
	Examples      int     `json:"examples_tested"`
	LargestChange float64 `json:"largest_change"` // of an output
	LargestOutput float64 `json:"largest_output"` // in size, for comparison
}

// add takes outputs of both into account.
func (c *Compared) add(before, after []float64) error {
	if len(before) != len(after) {
		return fmt.Errorf("repair: the copy gives %d numbers where the original gives %d", len(after), len(before))
	}
	for i, v := range before {
		if v == after[i] || math.IsNaN(v) && math.IsNaN(after[i]) {
			c.LargestOutput = max(c.LargestOutput, finite(v))
			continue
		}
		c.LargestChange, c.LargestOutput = math.Max(c.LargestChange, math.Abs(v-after[i])), math.Max(c.LargestOutput, finite(v))
	}
	return nil
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return math.Abs(v)
}

// Same refuses a change beyond what rounding explains: a thousandth of the largest output, of numbers of 16 bits a twentieth.
func (c Compared) Same(m *onnx.Model) error {
	share := 1e-3
	if slices.ContainsFunc(m.Graph.Initializers, func(t *onnx.Tensor) bool { return t.Type == onnx.Float16 || t.Type == onnx.BFloat16 }) {
		share = 0.05
	}
	if c.LargestChange <= share*math.Max(c.LargestOutput, 1e-6) {
		return nil
	}
	return fmt.Errorf("repair: the copy answers otherwise than %s: an output changes by %.3g, the largest is %.3g; nothing is written", m.Path, c.LargestChange, c.LargestOutput)
}

// CompareOn runs a model and its copy on the examples of a feed and compares the outputs that are numbers.
func CompareOn(ctx context.Context, f Feed, original, mended *onnx.Model) (found Compared, err error) {
	var names []string
	for _, v := range original.Graph.Outputs {
		if floating(v.Type) || v.Type == 0 && v.Other == "" {
			names = append(names, v.Name)
		}
	}
	if len(names) == 0 {
		return found, wrong(original, "", "", "it has no outputs that are floating point numbers, to be compared with those of the copy")
	}
	var before [][]float64
	for i, m := range []*onnx.Model{original, mended} {
		graph, err := f.Prepare(m, names...)
		if err != nil {
			return found, err
		}
		at := 0
		err = f.Run(ctx, graph, nil, func(values map[string]*tensors.Tensor, n int) error {
			for _, name := range names {
				flat, err := numbers(values[name])
				if err != nil {
					return err
				}
				if i == 0 {
					before = append(before, flat)
				} else if err := found.add(before[at], flat); err != nil {
					return err
				}
				at++
			}
			if i == 0 {
				found.Examples += n
			}
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// sides that are not said: of images, and of anything else.
const (
	anySide   = 32
	anyLength = 8
)

// CompareRandom runs a model and its copy on n random examples, numbers in [0,1) and integers of 0 and 1, and compares the outputs that are
// numbers. Sides that the model does not say are 32 for images and 8 for others.
func CompareRandom(ctx context.Context, e *engine.Engine, original, mended *onnx.Model, n int, seed uint64) (found Compared, err error) {
	inputs, n, err := randomInputs(original, n, seed)
	if err != nil {
		return found, err
	}
	var before map[string]*tensors.Tensor
	for _, m := range []*onnx.Model{original, mended} {
		graph, err := onnxrun.New(m)
		if err != nil {
			return found, err
		}
		out, err := graph.RunContext(ctx, e.Backend, inputs)
		if err != nil {
			return found, fmt.Errorf("on random numbers: %w; name a data set with --data", err)
		}
		if before == nil {
			before = out
			continue
		}
		for _, v := range graph.Outputs() {
			was, err1 := numbers(before[v.Name])
			now, err2 := numbers(out[v.Name])
			if err1 != nil || err2 != nil { // labels and the like
				continue
			}
			if err := found.add(was, now); err != nil {
				return found, err
			}
		}
	}
	found.Examples = n
	return found, nil
}

// randomInputs are inputs of the declared shapes and types.
func randomInputs(m *onnx.Model, n int, seed uint64) (inputs map[string]*tensors.Tensor, examples int, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	inputs, examples = map[string]*tensors.Tensor{}, n
	for _, v := range m.Graph.Inputs {
		if v.Rank < 0 {
			return nil, 0, wrong(m, "input "+v.Name, "name a data set with --data", "its shape is not given, so that it cannot be run on random numbers")
		}
		t := &onnx.Tensor{Name: v.Name, Type: v.Type, Elements: 1}
		for i, d := range v.Dims {
			size := anyLength
			switch {
			case d.Name == "" && d.Size > 0:
				size = d.Size
			case i == 0:
				size = n
			case v.Rank == 4:
				size = anySide
			}
			if i == 0 {
				examples = size
			}
			t.Dims = append(t.Dims, size)
			t.Elements *= size
		}
		values := make([]float64, t.Elements)
		for i := range values {
			if values[i] = r.Float64(); !floating(v.Type) {
				values[i] = math.Round(values[i])
			}
		}
		filled, err := filledWith(t, values)
		if err != nil {
			return nil, 0, wrong(m, "input "+v.Name, "name a data set with --data", "%v", err)
		}
		if inputs[v.Name], err = onnxrun.Tensor(filled); err != nil {
			return nil, 0, err
		}
	}
	return inputs, examples, nil
}

// filledWith is a tensor of numbers, of any type that fits.
func filledWith(t *onnx.Tensor, values []float64) (*onnx.Tensor, error) {
	if floating(t.Type) {
		return tensorOf(t.Name, t.Type, t.Dims, values), nil
	}
	size := t.Type.Size()
	if size == 0 {
		return nil, errors.New("random numbers of type " + t.Type.String() + " are not made")
	}
	out := *t
	out.Raw = make([]byte, len(values)*size)
	for i, v := range values { // 0 or 1, little endian
		out.Raw[i*size] = byte(v)
	}
	return &out, nil
}
