package onnxrun

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
)

// refuse gives up on a node. Its place is added by Graph.Run.
func refuse(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

// need refuses a node unless ok.
func need(ok bool, format string, args ...any) {
	if !ok {
		refuse(format, args...)
	}
}

// said is what a panic of building or running says, in a line and without the words of a crash.
func said(r any, c *call) error {
	var crash runtime.Error
	err, ok := r.(error)
	if !ok {
		err = fmt.Errorf("%v", r)
	}
	switch {
	case !errors.As(err, &crash):
		if text, _, cut := strings.Cut(err.Error(), "\n"); cut {
			return errors.New(text)
		}
		return err
	case c == nil:
		return errors.New("the engine gave up on it")
	}

	var in []string
	for i, v := range c.in {
		if i == 8 {
			in = append(in, "...")
			break
		}
		if v == nil {
			in = append(in, "none")
			continue
		}
		in = append(in, v.shape().String())
	}

	return fmt.Errorf("the operator does not take inputs of %s with these attributes", strings.Join(in, ", "))
}

// stopped is a build that the caller's context ended.
type stopped struct{ err error }

func (e *stopped) Error() string { return e.err.Error() }

func (e *stopped) Unwrap() error { return e.err }

// failure puts an error at a node. One of the caller's context, or of memory, keeps its kind.
func (g *Graph) failure(at *onnx.Node, err error) error {
	where := ""
	if at != nil {
		where = at.String()
	}
	var stopped *stopped
	var short *fault.Exhausted
	switch {
	case errors.As(err, &stopped):
		return stopped.err
	case errors.As(err, &short):
		return fmt.Errorf("%s%w", strings.TrimLeft(printable.Line(g.Model.Path)+": "+where+": ", ": "), short)
	}
	return &fault.Input{File: g.Model.Path, Field: where, Err: errors.New(said(err, nil).Error()), Fix: "check the shapes of the inputs"}
}
