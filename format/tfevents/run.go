package tfevents

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Point is one value of a curve.
type Point struct {
	WallTime float64 // seconds since 1970
	Step     int64
	Value    float64
}

// ReadScalars returns the curves of a run by tag, from all event files of its folder in the order of their names. The start of
// a session takes back the points at its step and later: a run that resumed from a checkpoint logs those steps again.
// Where a file is damaged, its sound part is used, and the error says so beside the curves.
func ReadScalars(dir string) (map[string][]Point, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("tfevents: %w", err)
	}
	c := curves{all: map[string]*curve{}}
	var errs []error
	for _, e := range entries { // sorted by name
		if e.IsDir() || !strings.Contains(e.Name(), "tfevents") {
			continue
		}
		errs = append(errs, c.read(filepath.Join(dir, e.Name())))
	}
	return c.points(), errors.Join(errs...)
}

// curves are all points of a run, and the sessions that take some of them back. Taking them back at once would go through all
// points for each start, of which a file may hold as many as points.
type curves struct {
	all    map[string]*curve
	values int // read so far
	starts []start
}

type curve struct {
	points []Point
	at     []int // how many values of the run came before
}

// start is the start of a session: values that came before it, at its step or later, do not count.
type start struct {
	at   int
	step int64
}

func (c *curves) read(path string) (err error) {
	r, err := OpenReader(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		event, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if event.Session == SessionStart {
			c.starts = append(c.starts, start{c.values, event.Step})
		}
		for i := range event.Values {
			if v := &event.Values[i]; v.Kind == KindScalar {
				c.add(v.Tag, Point{event.WallTime, event.Step, v.Scalar})
			}
		}
	}
}

func (c *curves) add(tag string, p Point) {
	one := c.all[tag]
	if one == nil {
		one = &curve{}
		c.all[tag] = one
	}
	one.points, one.at = append(one.points, p), append(one.at, c.values)
	c.values++
}

// points are those that no later session takes back, by tag.
func (c *curves) points() map[string][]Point {
	// Of the sessions from one on, the least step counts.
	for i := len(c.starts) - 2; i >= 0; i-- {
		c.starts[i].step = min(c.starts[i].step, c.starts[i+1].step)
	}
	out := make(map[string][]Point, len(c.all))
	for tag, one := range c.all {
		next, kept := 0, one.points[:0] // next is the first session after the point
		for i, p := range one.points {
			for next < len(c.starts) && c.starts[next].at <= one.at[i] {
				next++
			}
			if next == len(c.starts) || p.Step < c.starts[next].step {
				kept = append(kept, p)
			}
		}
		out[tag] = kept
	}
	return out
}
