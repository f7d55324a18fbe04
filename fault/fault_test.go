package fault_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"syscall"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
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
		if !errors.Is(wrapped, cause) || !fault.IsInput(wrapped) || fault.IsExhausted(wrapped) {
			t.Errorf("%v is not bad input", wrapped)
		}
	}
}

// asked is an error with the method of bad input that is the caller's.
type asked struct{}

func (asked) Error() string  { return "no such tensor" }
func (asked) BadInput() bool { return false }

// The whole tree counts: errors.As would end at the first error with the method.
func TestKinds(t *testing.T) {
	input := &fault.Input{Err: errors.New("cut short")}
	short := memory.Need("an array", math.MaxInt64)
	for _, c := range []struct {
		err              error
		input, exhausted bool
	}{
		{nil, false, false},
		{errors.New("x"), false, false},
		{asked{}, false, false},
		{&fault.Usage{Err: errors.New("x")}, false, false},
		{errors.Join(asked{}, fmt.Errorf("y: %w", input)), true, false},
		{fmt.Errorf("%w, %w", asked{}, input), true, false},
		{short, false, true},
		{fmt.Errorf("read: %w", &fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}), false, true},
		{&fs.PathError{Op: "open", Path: "f", Err: syscall.ENOENT}, false, false},
		{&fault.Input{File: "f", Err: short}, true, true},
	} {
		if got := fault.IsInput(c.err); got != c.input {
			t.Errorf("IsInput(%v) is %v", c.err, got)
		}
		if got := fault.IsExhausted(c.err); got != c.exhausted {
			t.Errorf("IsExhausted(%v) is %v", c.err, got)
		}
	}

	var out *fault.Exhausted
	if !errors.As(short, &out) || out.Error() != short.Error() {
		t.Errorf("%v cannot be matched as *fault.Exhausted", short)
	}
}
