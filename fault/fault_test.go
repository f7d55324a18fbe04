package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ballast-ml/ballast/fault"
)

func TestInput(t *testing.T) {
	cause := errors.New("cut short")
	for _, c := range []struct {
		err  fault.Input
		want string
	}{
		{fault.Input{File: "a.npy", Field: "header", Err: cause, Fix: "save it again"}, "a.npy: header: cut short; save it again"},
		{fault.Input{Err: cause}, "cut short"},
		{fault.Input{File: "a.npy", Err: cause}, "a.npy: cut short"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		wrapped := fmt.Errorf("open: %w", &c.err)
		var bad interface{ BadInput() bool }
		if !errors.Is(wrapped, cause) || !errors.As(wrapped, &bad) || !bad.BadInput() {
			t.Errorf("%v is no bad input", wrapped)
		}
	}
}
