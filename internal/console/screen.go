package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// eraseBelow clears from the cursor to the end of the screen. The cursor waits at the first column of the live line, so a line that a
	// terminal has broken in two, because its window became narrower, goes as a whole.
	eraseBelow = "\x1b[J"

	drawEvery  = 100 * time.Millisecond // at most
	againEvery = 500 * time.Millisecond // while nothing new is known: the window may have changed
	drawAfter  = 300 * time.Millisecond // what is over by then shows no bar
)

// Screen is a terminal, or another stream, with at most one live line at its end. What is written to it takes the live line away first.
type Screen struct {
	mu   sync.Mutex
	w    io.Writer
	live bool
	over bool
}

// NewScreen returns a screen onto w.
func NewScreen(w io.Writer) *Screen { return &Screen{w: w} }

// Unwrap returns the writer below.
func (s *Screen) Unwrap() io.Writer { return s.w }

// Write writes text behind what was written before, in place of the live line.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	return s.w.Write(text)
}

// Close takes the live line away and shows none any more.
func (s *Screen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.over = true
}

// erase takes the live line away. A line that cannot be drawn must not stop the work, so errors are nobody's.
func (s *Screen) erase() {
	if s.live {
		s.live = false
		_, _ = io.WriteString(s.w, eraseBelow)
	}
}

// show puts a line in the place of the live line.
func (s *Screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.live = true
	_, _ = io.WriteString(s.w, line+eraseBelow+"\r")
}

func (s *Screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

// At is how far a piece of work has come.
type At struct {
	Done, Total int64    // Total is 0 where it is not known
	Count       string   // what is shown of the two; "" = 3/12, or bytes
	Notes       []string // what else there is to know, the most important first
}

// Bar is a live line that says how far a piece of work has come.
type Bar struct {
	screen *Screen
	what   string
	bytes  bool

	mu              sync.Mutex
	began           time.Time
	drawn           time.Time
	at              At
	following, over bool
	left            string
	estimate        Estimate
	stop            chan struct{}
}

// NewBar begins a bar for what; with bytes it counts bytes, else pieces. Nothing is shown before the first Set. Done ends it.
func (s *Screen) NewBar(what string, bytes bool) *Bar {
	return &Bar{screen: s, what: what, bytes: bytes, began: time.Now(), stop: make(chan struct{})}
}

// follow draws again while nobody calls Set, for windows that change.
func (b *Bar) follow() {
	tick := time.NewTicker(againEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.stop:
			return
		case now := <-tick.C:
			b.mu.Lock()
			b.draw(now)
			b.mu.Unlock()
		}
	}
}

// Set says how far the work has come.
func (b *Bar) Set(at At) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	if !b.following {
		b.following = true
		go b.follow()
	}
	now := time.Now()
	b.at, b.left = at, ""
	if left, ok := b.estimate.Left(now, at.Done, at.Total); ok {
		b.left = Span(left) + " left"
	}
	if now.Sub(b.drawn) >= drawEvery {
		b.draw(now)
	}
}

func (b *Bar) draw(now time.Time) {
	if b.over || now.Sub(b.began) < drawAfter {
		return
	}
	b.drawn = now
	b.screen.show(b.line(Columns(b.screen)))
}

// Done takes the bar away for good.
func (b *Bar) Done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over = true
		close(b.stop)
		b.screen.clear()
	}
}

// Bounds of a gauge's width.
const leastGauge, mostGauge = 10, 32

// line is the bar in at most so many columns, less the last, where terminals differ in what they do. What matters least is left out first.
func (b *Bar) line(columns int) string {
	room := columns - 1
	done, total := b.at.Done, b.at.Total
	what := Cut(b.what, max(room/3, 12))
	if total <= 0 {
		return Cut(joined(append([]string{what, b.count()}, b.at.Notes...)), room)
	}
	share := float64(min(max(done, 0), total)) / float64(total)

	line := []string{what, "", fmt.Sprintf("%3d %%", int(100*share)), "", "", ""} // what, gauge, percent, count, notes, left
	used := func() int { return Width(joined(line)) }
	try := func(place int, text string) bool {
		before := line[place]
		if line[place] = joined([]string{before, text}); used() <= room {
			return true
		}
		line[place] = before
		return false
	}
	try(5, b.left)
	try(3, b.count())
	gauge := try(1, strings.Repeat("#", leastGauge))
	for _, note := range b.at.Notes {
		if !try(4, note) {
			break
		}
	}
	if gauge {
		line[1] = drawGauge(share, min(mostGauge, leastGauge+room-used()))
	}
	return Cut(joined(line), room)
}

// count is how much is done, of how much.
func (b *Bar) count() string {
	done, total := b.at.Done, b.at.Total
	switch {
	case b.at.Count != "":
		return b.at.Count
	case b.bytes && total <= 0:
		return size(done, done) + " " + unit(done)
	case b.bytes:
		return size(done, total) + "/" + size(total, total) + " " + unit(total)
	case total <= 0:
		return fmt.Sprint(done)
	}
	return fmt.Sprintf("%d/%d", done, total)
}

// joined are the parts that there are.
func joined(parts []string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "  ")
}

func drawGauge(share float64, width int) string {
	inner := width - 2
	n := min(int(share*float64(inner)), inner)
	bar := strings.Repeat("=", n)
	if n < inner {
		bar += ">" + strings.Repeat(" ", inner-n-1)
	}
	return "[" + bar + "]"
}

// size is a number of bytes in the unit of another.
func size(n, of int64) string {
	switch {
	case of >= 1e9:
		return fmt.Sprintf("%.2f", float64(n)/1e9)
	case of >= 1e6:
		return fmt.Sprintf("%.1f", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f", float64(n)/1e3)
}

func unit(of int64) string {
	switch {
	case of >= 1e9:
		return "GB"
	case of >= 1e6:
		return "MB"
	}
	return "kB"
}
