package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/train"
)

// lineEvery is how often progress is a line where there is no terminal.
const lineEvery = 30 * time.Second

// draws reports whether a live line can be drawn on standard error.
func (a *app) draws() bool {
	return a.screen != nil && isTerminal(a.errFile) && os.Getenv("TERM") != "dumb"
}

// gauge shows how far something is: a bar on a terminal, else a line now and then, which text makes. done ends it.
func (a *app) gauge(what string, bytes bool, text func(at console.At) string) (show func(console.At), done func()) {
	if a.quiet {
		return nil, func() {}
	}
	if a.draws() {
		bar := a.screen.NewBar(printable.Line(what), bytes)
		return bar.Set, bar.Done
	}
	var estimate console.Estimate
	last := time.Now()
	return func(at console.At) {
		now := time.Now()
		left, known := estimate.Left(now, at.Done, at.Total)
		if now.Sub(last) < lineEvery {
			return
		}
		last = now
		line := text(at)
		if known {
			line += ", " + console.Span(left) + " left"
		}
		a.remark("%s", line)
	}, func() {}
}

// counter shows how many of some pieces are done.
func (a *app) counter(what string) (show func(done, total int), done func()) {
	set, done := a.gauge(what, false, func(at console.At) string { return fmt.Sprintf("%s: %d of %d", what, at.Done, at.Total) })
	if set == nil {
		return nil, done
	}
	return func(n, total int) { set(console.At{Done: int64(n), Total: int64(total)}) }, done
}

// bytesCounter is counter for bytes, of a download or a file.
func (a *app) bytesCounter(what string) (show func(done, total int64), done func()) {
	set, done := a.gauge(what, true, func(at console.At) string {
		return fmt.Sprintf("%s: %.1f of %.1f MB", what, float64(at.Done)/1e6, float64(at.Total)/1e6)
	})
	if set == nil {
		return nil, done
	}
	return func(n, total int64) { set(console.At{Done: n, Total: max(total, 0)}) }, done
}

// progress shows where a training stands.
func (a *app) progress() (show func(train.Progress), done func()) {
	set, done := a.gauge("train", false, stepText)
	if set == nil {
		return nil, done
	}
	return func(p train.Progress) {
		set(console.At{Done: int64(p.Step), Total: int64(p.Steps), Notes: where(p)})
	}, done
}

// stepText is the line of a training.
func stepText(at console.At) string {
	return strings.Join(append([]string{fmt.Sprintf("step %d of %d", at.Done, at.Total)}, at.Notes...), "  ")
}

// sweep shows where the training of one of many runs stands, and with it all of them. ran is told how many are done.
func (a *app) sweep(runs int) (show func(train.Progress), ran func(done int), done func()) {
	const parts = 1000 // of one run
	set, done := a.gauge("compare", false, func(at console.At) string { return strings.Join(append([]string{at.Count}, at.Notes...), "  ") })
	if set == nil {
		return nil, func(int) {}, done
	}
	made := 0
	return func(p train.Progress) {
		within := parts * int64(p.Step) / int64(max(p.Steps, 1))
		set(console.At{
			Done: parts*int64(made) + within, Total: parts * int64(runs), Count: fmt.Sprintf("run %d/%d", made+1, runs),
			Notes: append([]string{fmt.Sprintf("step %d/%d", p.Step, p.Steps)}, where(p)...),
		})
	}, func(n int) { made = n }, done
}

// where says loss, pass and rate.
func where(p train.Progress) []string {
	notes := []string{fmt.Sprintf("epoch %d", p.Epoch)}
	if !math.IsNaN(p.Loss) {
		notes = append([]string{fmt.Sprintf("loss %.4f", p.Loss)}, notes...)
	}
	return append(notes, fmt.Sprintf("%.0f examples/s", p.ExamplesRate))
}
