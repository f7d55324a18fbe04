package main

import (
	"context"
	"fmt"
	"io"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
)

// formatFlags are the flags of "ballast convert" that write another format.
type formatFlags struct {
	convert.Options
	check bool
}

// converted is what "ballast convert --json" prints.
type converted struct {
	convert.Result
	Check *convert.CheckResult `json:"check,omitempty"`
	Run   *convert.SideBySide  `json:"run,omitempty"` // of a bundle with its own weights and with the copy's
}

// convertFormat writes a model file in another format, and reads both again with --check.
func (a *app) convertFormat(ctx context.Context, in string, c convertFlags) error {
	f, out := c.format, c.out
	o := f.Options
	o.Warn = func(text string) { a.remark("%s", text) }
	var done func()
	o.Progress, done = a.bytesCounter("convert")
	result, err := convert.Format(ctx, in, out, o)
	done()
	if err != nil {
		return err
	}
	a.remark("written: %s", printable.Line(out))
	r := converted{Result: result}
	if f.check {
		o.Progress, done = a.bytesCounter("check")
		check, err := convert.Check(ctx, in, out, o)
		done()
		if err != nil {
			return err
		}
		r.Check = &check
		if convert.IsBundle(in) {
			if r.Run, err = a.sideBySide(in, c, o); err != nil {
				return err
			}
		}
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = r.text(a.out)
	}
	if err == nil && r.Check != nil && !r.Check.Agrees {
		return &fault.Unmet{What: []string{fmt.Sprintf("%s differs from %s by more than its types may", printable.Line(out), printable.Line(in))}}
	}
	return err
}

// sideBySide runs a bundle with both weights on the examples that the flags name.
func (a *app) sideBySide(in string, c convertFlags, o convert.Options) (*convert.SideBySide, error) {
	b, err := bundle.Open(in)
	if err != nil {
		return nil, err
	}
	x, n, err := c.inputs(b, a.seed)
	if err != nil {
		return nil, err
	}
	e, err := a.openEngineFor(passesOf(2*n, b))
	if err != nil {
		return nil, err
	}
	defer e.Close()
	run, err := convert.RunBundle(e, in, c.out, o, x, n)
	return &run, err
}

// mostDiffering is how many tensors are listed after a check.
const mostDiffering = 10

func (r converted) text(out io.Writer) error {
	fmt.Fprintf(out, "%d tensors from %s to %s, %s\n", len(r.Tensors), r.From, r.To, size(r.Bytes))
	for _, remark := range r.Remarks {
		fmt.Fprintf(out, "  %s\n", printable.Line(remark))
	}
	if len(r.Files) > 0 {
		fmt.Fprintf(out, "  along with %s\n", printable.Line(fmt.Sprint(r.Files)))
	}
	if r.Check == nil {
		return nil
	}
	c := r.Check
	fmt.Fprintf(out, "check: %d of %d tensors are the same, the largest difference is %.3g\n", c.Exact, len(c.Tensors), float64(c.Largest))
	w := console.NewTable(out, 2, 3)
	for i, t := range c.Tensors {
		if i == 0 && t.OfBound > 0 {
			fmt.Fprintf(w, "  tensor\ttypes\tlargest difference\tof the largest value\tof what the type allows\n")
		}
		if i == mostDiffering || t.OfBound == 0 {
			break
		}
		fmt.Fprintf(w, "  %s\t%s to %s\t%.3g\t%.3g\t%.2f\n", printable.Line(t.Name), printable.Line(t.From), t.To, float64(t.Largest), float64(t.Relative), t.OfBound)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range c.Missing {
		fmt.Fprintf(out, "  missing: %s\n", printable.Line(name))
	}
	for _, name := range c.Extra {
		fmt.Fprintf(out, "  not in the model: %s\n", printable.Line(name))
	}
	if r.Run != nil {
		fmt.Fprintf(out, "run on %d examples with either's weights: largest change of an output %.3g, largest output %.3g\n", r.Run.Examples, r.Run.LargestChange, r.Run.LargestOutput)
	}
	return nil
}
