package adapt

import (
	"context"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/norm"
)

// stepper is an adapter whose step is one program: the answers to a batch and what they move.
type stepper struct {
	*copied
	norms    norms
	least    int // examples of the smallest step
	step     *program
	warnings []string
}

var (
	_ Preparer = (*stepper)(nil)
	_ Warner   = (*stepper)(nil)
)

// newStepper compiles a step for batches of the model's size. build returns the answers [n, ...] to x [n, InputShape...], and moves what it
// moves. Steps in which a channel has fewer values than the source needs are refused.
func newStepper(c *copied, found norms, source norm.Source, build buildStep) (*stepper, error) {
	s := &stepper{copied: c, norms: found, least: found.least(valuesOf(source))}
	if warning := sourceWarning(source, found); warning != "" {
		s.warnings = append(s.warnings, warning)
	}
	var err error
	s.step, err = c.program(func(scope *model.Scope, in []*Node) []*Node {
		return []*Node{ConvertDType(build(c, scope, in[0]), dtypes.Float32)}
	})
	if err == nil {
		err = s.Prepare(c.Batch)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// Warnings are what should be known of the network.
func (s *stepper) Warnings() []string { return s.warnings }

// Prepare compiles a step of n examples, or refuses it.
func (s *stepper) Prepare(n int) error {
	if n < s.least {
		return tooFew(s.who, n, s.least, s.norms)
	}
	return s.step.compile(s.shape(n))
}

// tooFew refuses a step in which a norm sees one value of each channel.
func tooFew(who string, n, least int, found norms) error {
	return usage(who, "a step has %d example, and the norm %s then sees one value of each channel, which has no variance; use batches of %d or more, "+
		"and a number of examples that leaves no smaller rest", n, found.narrowest, least)
}

// Answer takes the steps one after the other.
func (s *stepper) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return inSteps(ctx, s.copied, x, n, func(x []float32, n int) ([]float32, error) {
		if err := s.Prepare(n); err != nil {
			return nil, err
		}
		out, err := s.step.call(input{x, s.shape(n)})
		if err != nil {
			return nil, err
		}
		return out[0], nil
	})
}

// inSteps answers n examples in steps of the model's batch, the last one smaller.
func inSteps(ctx context.Context, c *copied, x []float32, n int, step func(x []float32, n int) ([]float32, error)) ([]float32, error) {
	return stepsOf(ctx, c.who, c.Bundle.Manifest.InputShape, c.Batch, x, n, step)
}

// stepsOf answers n examples of a shape in steps of a batch, the last one smaller.
func stepsOf(ctx context.Context, who string, shape []int, batch int, x []float32, n int, step func(x []float32, n int) ([]float32, error)) ([]float32, error) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	if n < 0 || len(x) != n*size {
		return nil, fmt.Errorf("adapt %s: got %d values for %d examples; want %d (%d each, shape %v)", who, len(x), n, n*size, size, shape)
	}
	var answers []float32
	for start := 0; start < n; start += batch {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		count := min(batch, n-start)
		out, err := step(x[start*size:(start+count)*size], count)
		if err != nil {
			return nil, err
		}
		answers = append(answers, out...)
	}
	return answers, nil
}
