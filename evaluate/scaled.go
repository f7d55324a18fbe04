package evaluate

import (
	"context"
	"math"
)

// Scaled is a subject whose logits are divided by a temperature.
func Scaled(s Subject, t float64) Subject { return &scaled{s, t} }

type scaled struct {
	Subject
	t float64
}

var (
	_ Batched = (*scaled)(nil)
	_ Hosted  = (*scaled)(nil)
)

// Answer divides.
func (s *scaled) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	out, err := s.Subject.Answer(ctx, x, n)
	for i, v := range out {
		out[i] = float32(float64(v) / s.t)
	}
	return out, err
}

// Batch is that of the subject, or the usual number.
func (s *scaled) Batch() int {
	if b, ok := s.Subject.(Batched); ok {
		return b.Batch()
	}
	return Options{}.batch(math.MaxInt)
}

// Calls is that of the subject, or one.
func (s *scaled) Calls() int {
	if b, ok := s.Subject.(Batched); ok {
		return b.Calls()
	}
	return 1
}

// Engine is that of the subject.
func (s *scaled) Engine() string {
	if h, ok := s.Subject.(Hosted); ok {
		return h.Engine()
	}
	return ""
}
