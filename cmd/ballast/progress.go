package main

import (
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ballast-ml/ballast/internal/printable"
)

// counter shows how much of something is done: a bar on a terminal, else a line now and then. done ends it.
func (a *app) counter(what string) (show func(done, total int), done func()) {
	if a.quiet {
		return nil, func() {}
	}
	if f, ok := a.terminal(); ok {
		var bar *progressbar.ProgressBar
		return func(n, total int) {
				if bar == nil {
					bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(24), progressbar.OptionShowCount(),
						progressbar.OptionSetDescription(printable.Line(what)), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
				}
				_ = bar.Set(n) // a bar that cannot be drawn must not stop the work
			}, func() {
				if bar != nil {
					_ = bar.Clear()
				}
			}
	}
	last := time.Now()
	return func(n, total int) {
		if now := time.Now(); now.Sub(last) >= lineEvery {
			last = now
			a.remark("%s: %d of %d", what, n, total)
		}
	}, func() {}
}

// bytesCounter is counter for a download.
func (a *app) bytesCounter(what string) (show func(done, total int64), done func()) {
	if a.quiet {
		return nil, func() {}
	}
	if f, ok := a.terminal(); ok {
		var bar *progressbar.ProgressBar
		return func(n, total int64) {
				if bar == nil {
					if total == 0 {
						total = -1
					}
					bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(24), progressbar.OptionShowBytes(true),
						progressbar.OptionSetDescription(printable.Line(what)), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
				}
				_ = bar.Set64(n)
			}, func() {
				if bar != nil {
					_ = bar.Clear()
				}
			}
	}
	last := time.Now()
	return func(n, total int64) {
		if now := time.Now(); now.Sub(last) >= lineEvery {
			last = now
			a.remark("%s: %.1f of %.1f MB", what, float64(n)/1e6, float64(total)/1e6)
		}
	}, func() {}
}
