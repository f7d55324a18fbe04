package console

import (
	"fmt"
	"time"
)

// Estimate says how long a piece of work will take. The zero value is one that has seen nothing.
//
// What was done before the first call, and the time until then, count for nothing: there a graph is compiled, or an earlier run went this
// far. There is no estimate until it means something: until work was watched for three seconds, and for ten units or one in a hundred.
type Estimate struct {
	seen []moment
}

// moment is how much was done at a time.
type moment struct {
	at   time.Time
	done int64
}

const (
	watched = 3 * time.Second
	// The rate is that of the last while, so that a machine that becomes busy is noticed.
	recent  = time.Minute
	spacing = time.Second
)

// Left is the time left at now, when done of total are done; ok is false as long as there is no telling.
func (e *Estimate) Left(now time.Time, done, total int64) (left time.Duration, ok bool) {
	if n := len(e.seen); n == 0 || done < e.seen[n-1].done { // other work has begun
		e.seen = []moment{{now, done}}
		return 0, false
	}
	first, last := e.seen[0], e.seen[len(e.seen)-1]
	if now.Sub(last.at) >= spacing && done > last.done {
		e.seen = append(e.seen, moment{now, done})
		for len(e.seen) > 2 && now.Sub(e.seen[1].at) > recent {
			e.seen = e.seen[1:]
		}
	}
	spent, units := now.Sub(first.at), done-first.done
	if spent < watched || units <= 0 || units < 10 && 100*units < total || total <= 0 {
		return 0, false
	}
	return time.Duration(float64(spent) / float64(units) * float64(max(total-done, 0))), true
}

// Span is a time as people say it: 40 s, 3 min, 1 h 20 min, 2 d 3 h.
func Span(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	case d < 24*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
