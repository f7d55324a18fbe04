package durable

import (
	"errors"
	"testing"
)

// WithoutExchange makes the system one that cannot exchange folders in one step.
func WithoutExchange(t *testing.T) {
	before := exchange
	exchange = func(string, string) error { return errors.ErrUnsupported }
	t.Cleanup(func() { exchange = before })
}
