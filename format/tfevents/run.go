package tfevents

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Point is one value of a curve.
type Point struct {
	WallTime float64 // seconds since 1970
	Step     int64
	Value    float64
}

// ReadScalars returns the curves of a run by tag, from all event files of its folder in the order of their names. The start of
// a session takes back the points at its step and later: a run that went on from a checkpoint logs those steps again.
// Where a file is damaged, its sound part is used, and the error says so beside the curves.
func ReadScalars(dir string) (map[string][]Point, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("tfevents: %w", err)
	}
	curves := map[string][]Point{}
	var errs []error
	for _, e := range entries { // sorted by name
		if e.IsDir() || !strings.Contains(e.Name(), "tfevents") {
			continue
		}
		errs = append(errs, readScalars(filepath.Join(dir, e.Name()), curves))
	}
	return curves, errors.Join(errs...)
}

func readScalars(path string, curves map[string][]Point) (err error) {
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
			for tag, points := range curves {
				curves[tag] = slices.DeleteFunc(points, func(p Point) bool { return p.Step >= event.Step })
			}
		}
		for i := range event.Values {
			if v := &event.Values[i]; v.Kind == KindScalar {
				curves[v.Tag] = append(curves[v.Tag], Point{event.WallTime, event.Step, v.Scalar})
			}
		}
	}
}
