// Package streamtest tests the contract of streams. Your own stream can run it too.
package streamtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/data/stream"
	"github.com/ballast-ml/ballast/fault"
)

// Claim is something that a stream promises beyond what every one must keep.
type Claim func(*claims)

type claims struct {
	labels bool
	times  int
	check  func(t *testing.T, r sample.Rows, s stream.Steps)
}

// NeedsLabels says that rows without labels are refused.
func NeedsLabels() Claim { return func(c *claims) { c.labels = true } }

// Times promises that each example comes so many times, without it once.
func Times(n int) Claim { return func(c *claims) { c.times = n } }

// Check adds a test of the steps.
func Check(f func(t *testing.T, r sample.Rows, s stream.Steps)) Claim {
	return func(c *claims) { c.check = f }
}

// Run runs the battery on a stream over rows that suit it:
//
//   - every step has an example of the rows, a domain, and a shift that data/corrupt has at a severity that there is, or neither
//   - an example comes as often as claimed, each time in another place of the ramp of severities
//   - the same rows and seed give the same steps, another seed another order of as many; the rows stay as they are
//   - an empty set, labels and domains of another number than examples, and labels that are needed and missing are usage errors
//   - the options go through stream.Choice and come back, for streams of stream.All
func Run(t *testing.T, s stream.Stream, r sample.Rows, promises ...Claim) {
	c := claims{times: 1}
	for _, promise := range promises {
		promise(&c)
	}
	t.Run("steps", func(t *testing.T) { steps(t, s, r, c) })
	t.Run("draws", func(t *testing.T) { draws(t, s, r) })
	t.Run("refuses", func(t *testing.T) { refuses(t, s, r, c) })
	t.Run("options", func(t *testing.T) { options(t, s, r) })
}

func must(t *testing.T, s stream.Stream, r sample.Rows, seed uint64) stream.Steps {
	t.Helper()
	all, err := s.Steps(r, seed)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func steps(t *testing.T, s stream.Stream, r sample.Rows, c claims) {
	all := must(t, s, r, 7)
	if len(all.Steps) != r.N*c.times {
		t.Fatalf("%d steps of %d examples; want each %d times", len(all.Steps), r.N, c.times)
	}
	counts := make([]int, r.N)
	used := make([]bool, len(all.Domains))
	for i, step := range all.Steps {
		if step.Example < 0 || int(step.Example) >= r.N || step.Domain < 0 || int(step.Domain) >= len(all.Domains) {
			t.Fatalf("step %d is %+v; there are %d examples and %d domains", i, step, r.N, len(all.Domains))
		}
		counts[step.Example]++
		used[step.Domain] = true
		if (step.Shift == "") != (step.Severity == 0) || step.Severity < 0 || step.Severity > corrupt.Severities {
			t.Errorf("step %d has shift %q at severity %d", i, step.Shift, step.Severity)
		}
		if step.Shift != "" {
			if _, err := corrupt.Find(step.Shift); err != nil {
				t.Error(err)
			}
		}
	}
	for i, n := range counts {
		if n != c.times {
			t.Errorf("example %d comes %d times; want %d", i, n, c.times)
		}
	}
	if slices.Contains(used, false) {
		t.Errorf("a domain of %v has no step", all.Domains)
	}
	if c.check != nil {
		c.check(t, r, all)
	}
}

func draws(t *testing.T, s stream.Stream, r sample.Rows) {
	before := sample.Rows{N: r.N, Labels: slices.Clone(r.Labels), Domains: slices.Clone(r.Domains)}
	first := must(t, s, r, 7)
	if !slices.Equal(r.Labels, before.Labels) || !slices.Equal(r.Domains, before.Domains) {
		t.Error("the rows were changed")
	}
	if again := must(t, s, before, 7); !slices.Equal(first.Steps, again.Steps) || !slices.Equal(first.Domains, again.Domains) {
		t.Error("the same arguments gave two streams")
	}
	other := must(t, s, r, 8)
	if slices.Equal(first.Steps, other.Steps) {
		t.Error("seeds 7 and 8 gave the same stream")
	}
	if len(first.Steps) != len(other.Steps) || !slices.Equal(first.Domains, other.Domains) {
		t.Error("another seed gave other domains, or another number of steps")
	}
}

func refuses(t *testing.T, s stream.Stream, r sample.Rows, c claims) {
	without := r
	without.Labels = nil
	_, err := s.Steps(without, 7)
	if c.labels != usage(err) || !c.labels && err != nil {
		t.Errorf("without labels, which are needed: %v, it gave %v", c.labels, err)
	}
	for name, bad := range map[string]sample.Rows{
		"an empty set":     {},
		"a label missing":  {N: r.N, Labels: make([]int32, r.N-1)},
		"a domain more":    {N: r.N, Labels: r.Labels, Domains: make([]int32, r.N+1)},
		"a domain below 0": {N: r.N, Labels: r.Labels, Domains: slices.Repeat([]int32{-1}, r.N)},
	} {
		if _, err := s.Steps(bad, 7); !usage(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func usage(err error) bool {
	var u *fault.Usage
	return errors.As(err, &u)
}

func options(t *testing.T, s stream.Stream, r sample.Rows) {
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	if !slices.Contains(stream.Names(), stream.Name(s)) {
		return // a program's own
	}
	text, err := stream.Choice{Stream: s}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var back stream.Choice
	if err := back.UnmarshalJSON(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if again := must(t, back, r, 7); !slices.Equal(again.Steps, must(t, s, r, 7).Steps) {
		t.Errorf("read back from %s it is another stream", text)
	}
}
