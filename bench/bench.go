// Package bench measures the operations that Ballast's users wait for. Every result is checked first and timed after, and is printed
// beside a limit of the machine measured in the same run: times differ between machines, but the ratio to the limit shows how much
// can still be gained.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ballast-ml/ballast/engine"
)

// Suites are the names of the suites, in the order in which they run; limits come first, since the others are printed beside them.
var Suites = []string{"limits", "ops", "norm", "train", "data", "corrupt", "merge"}

// Line is one thing to measure.
type Line struct {
	Suite string
	Name  string
	What  string // unit of Work: bytes, flop, examples; "" where only the time counts
	Work  float64

	// Limit names the line of the suite limits that bounds this one, and Least how much of its work the line has to do at
	// least; "" where none does.
	Limit string
	Least float64

	// Base names another line of the suite that this one is set beside, run in turns with it, so that a load on the machine
	// slows both; "" where there is none. Most is what the line should take at most.
	Base string
	Most Most

	// open prepares the work. The check runs once, before anything is timed.
	open func(env *Env) (Case, error)
	once bool // a run cannot be repeated for long: three of them do
}

// Most is what a line should take at most, each 0 where nothing is asked.
type Most struct {
	OfLimit float64 `json:"of_limit,omitempty"`
	OfBase  float64 `json:"of_base,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Case is a line made ready to run.
type Case struct {
	Check func() error // nil = the limits, which have no result to check but their own
	Run   func() error // does the work once, and waits until it is done
	Close func()       // nil = nothing to free
}

// Env is what lines need.
type Env struct {
	Engine *engine.Engine
	Dir    string // for files
	Quick  bool   // smaller work, fewer runs: shows that everything works
}

// Options chooses and watches a run.
type Options struct {
	Engine   *engine.Engine
	Dir      string // a folder for temporary files, on the disk to measure
	Suites   []string
	Only     func(name string) bool // nil = all
	Quick    bool
	Progress func(done, total int, name string)
	Peers    *Peers
}

// Lines is every line, in order.
func Lines() []Line {
	return slices.Concat(limits(), operations(), norms(), training(), dataLines(), corruptions(), mergeLines())
}

// Run measures the chosen lines. The limits and the bases that chosen lines need are measured too.
func Run(ctx context.Context, o Options) (*File, error) {
	lines := Lines()
	named := map[string]Line{}
	needed := map[string]bool{}
	var chosen []Line
	for _, l := range lines {
		named[l.Suite+" "+l.Name] = l
		if slices.Contains(o.Suites, l.Suite) && (o.Only == nil || o.Only(l.Suite+" "+l.Name)) {
			chosen = append(chosen, l)
			needed["limits "+l.Limit], needed[l.Suite+" "+l.Base] = true, true
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New(`bench: nothing to measure; see "ballast bench --list"`)
	}
	chosen = slices.DeleteFunc(lines, func(l Line) bool {
		return !needed[l.Suite+" "+l.Name] && !slices.ContainsFunc(chosen, func(c Line) bool { return c.Suite == l.Suite && c.Name == l.Name })
	})
	slices.SortStableFunc(chosen, func(a, b Line) int { return slices.Index(Suites, a.Suite) - slices.Index(Suites, b.Suite) })
	file := newFile(o.Engine)
	env := &Env{Engine: o.Engine, Dir: o.Dir, Quick: o.Quick}
	rates := map[string]float64{} // work a second of each limit
	for i, l := range chosen {
		if o.Progress != nil {
			o.Progress(i, len(chosen), l.Suite+" "+l.Name)
		}
		r, err := measure(ctx, env, l, named[l.Suite+" "+l.Base])
		if err != nil {
			return nil, fmt.Errorf("bench: %s %s: %w", l.Suite, l.Name, err)
		}
		if l.Suite == "limits" && l.Work > 0 {
			rates[l.Name] = l.Work / r.Seconds
		}
		if rate := rates[l.Limit]; rate > 0 && l.Least > 0 {
			r.Limit, r.OfLimit = l.Limit, r.Seconds*rate/l.Least
		}
		r.Peers = o.Peers.of(l, r.Seconds)
		file.Lines = append(file.Lines, r)
	}
	if o.Progress != nil {
		o.Progress(len(chosen), len(chosen), "")
	}
	return file, nil
}

// measure checks a line and times it: runs for two seconds, and at least 20 of them, each after one of the base if there is one.
func measure(ctx context.Context, env *Env, l, base Line) (Result, error) {
	c, err := l.open(env)
	if err != nil {
		return Result{}, err
	}
	if c.Close != nil {
		defer c.Close()
	}
	if c.Check != nil {
		if err := c.Check(); err != nil {
			return Result{}, fmt.Errorf("it computes the wrong thing, so it was not timed: %w", err)
		}
	}
	beside := func() error { return nil }
	if base.open != nil { // its own line has checked it
		b, err := base.open(env)
		if err != nil {
			return Result{}, err
		}
		if b.Close != nil {
			defer b.Close()
		}
		beside = b.Run
	}
	least, span := 20, 2*time.Second
	switch {
	case env.Quick:
		least, span = 2, 0
	case l.once:
		least, span = 3, 0
	default:
		for range 3 { // caches, clocks and allocators settle
			if err := errors.Join(beside(), c.Run()); err != nil {
				return Result{}, err
			}
		}
	}
	var times, ratios []float64
	for began := time.Now(); len(times) < least || time.Since(began) < span && len(times) < 10_000; {
		if err := ctx.Err(); err != nil {
			return Result{}, context.Cause(ctx)
		}
		before := time.Now()
		if err := beside(); err != nil {
			return Result{}, err
		}
		start := time.Now()
		if err := c.Run(); err != nil {
			return Result{}, err
		}
		times = append(times, time.Since(start).Seconds())
		ratios = append(ratios, float64(time.Since(start))/float64(start.Sub(before)))
	}
	r := summary(times)
	r.Suite, r.Name, r.Most = l.Suite, l.Name, l.Most
	if base.open != nil {
		r.Base, r.OfBase = base.Name, summary(ratios).Seconds
	}
	if l.Work > 0 {
		r.Rate, r.Unit = l.Work/r.Seconds, l.What+"/s"
	}
	return r, nil
}

// summary is the median, quartiles and minimum of times in seconds.
func summary(times []float64) Result {
	s := slices.Sorted(slices.Values(times))
	at := func(q float64) float64 {
		p := q * float64(len(s)-1)
		low := int(math.Floor(p))
		high := min(low+1, len(s)-1)
		return s[low] + (p-float64(low))*(s[high]-s[low])
	}
	return Result{Seconds: at(0.5), Quartile1: at(0.25), Quartile3: at(0.75), Min: s[0], Runs: len(s)}
}
