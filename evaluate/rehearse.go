package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/zoo"
)

// Measures are the numbers that suites may give, without values; none named are all suites. What depends on the data, such as
// groups of classes that no class falls into, is among them.
func Measures(suites ...Suite) []metric.Number {
	if len(suites) == 0 {
		for _, k := range All() {
			suites = append(suites, k.New())
		}
	}
	ds := rehearsal{}
	r, err := Run(context.Background(), ds, ds, Options{Suites: suites, Training: ds, ByPlace: true})
	if err != nil { // settings that no data fits: their own error comes with the data
		return nil
	}
	var all []metric.Number
	for _, n := range r.Values() {
		all = append(all, metric.Number{Name: n.Name, Title: n.Title, Better: n.Better, Unit: n.Unit})
	}
	if !slices.ContainsFunc(suites, func(s Suite) bool { _, ok := s.(Shots); return ok }) {
		return all
	}
	for _, group := range metric.ShotNames() { // those that the rehearsal's few examples are not in
		n := metric.Number{Name: "shots." + group + ".acc", Better: metric.Higher, Unit: metric.Share}
		if !slices.ContainsFunc(all, func(m metric.Number) bool { return m.Name == n.Name }) {
			all = append(all, n)
		}
	}
	return all
}

// CheckRequirements refuses a requirement on a number that none of the suites gives, before anything is measured. Where none is named, they
// are those that are run by themselves.
func CheckRequirements(requirements []Requirement, suites []Suite) error {
	if len(requirements) == 0 {
		return nil
	}
	if suites == nil {
		suites = append(Default(zoo.Classify), Default(zoo.Embed)...)
	}
	var names, words []string
	called := map[string]string{} // names by titles, which people write too
	for _, n := range Measures(suites...) {
		names, words = append(names, n.Name), append(words, n.Name)
		if _, taken := called[n.Title]; n.Title != "" && !taken {
			called[n.Title] = n.Name
			words = append(words, n.Title)
		}
	}
	for _, q := range requirements {
		if names == nil || slices.Contains(names, q.Metric) {
			continue
		}
		for _, k := range All() {
			if slices.ContainsFunc(Measures(k.New()), func(n metric.Number) bool { return n.Name == q.Metric }) {
				return &fault.Usage{Err: fmt.Errorf("evaluate: %s is measured by the suite %s, which is not run; name it too", q.Metric, k.Name)}
			}
		}
		if err := ofAnotherTable(q.Metric); err != nil {
			return err
		}
		if near, ok := strict.Nearest(q.Metric, words); ok {
			if name := called[near]; name != "" {
				near = name
			}
			return &fault.Usage{Err: fmt.Errorf("evaluate: the report has no %q; did you mean %q?", strict.Short(q.Metric), near)}
		}
		return &fault.Usage{Err: fmt.Errorf("evaluate: the report has no %q; it has %s", strict.Short(q.Metric), strings.Join(families(names), ", "))}
	}
	return nil
}

// ofAnotherTable says where a number is measured that is of a shift of another table than the one that is run.
func ofAnotherTable(name string) error {
	parts := strings.Split(name, ".")
	if len(parts) < 3 || parts[0] != "shift" {
		return nil
	}
	for _, table := range corrupt.Tables() {
		if slices.Contains(table.Names(), parts[1]) {
			return &fault.Usage{Err: fmt.Errorf("evaluate: %s is of a shift that is not run; the table %s has it (--shifts %s)", name, table.Name, table.Name)}
		}
	}
	return nil
}

// families are names with one in the place of many: shift.contrast.3.acc becomes shift.SHIFT.SEVERITY.acc.
func families(names []string) (short []string) {
	for _, name := range names {
		switch parts := strings.Split(name, "."); {
		case len(parts) == 4:
			name = parts[0] + ".SHIFT.SEVERITY." + parts[3]
		case len(parts) == 3 && parts[0] == "shift":
			name = parts[0] + ".SHIFT." + parts[2]
		}
		if !slices.Contains(short, name) {
			short = append(short, name)
		}
	}
	return short
}

// rehearsal is a model and its data that suites can be run on for the names of what they measure: small images of seven classes, large enough for every shift, one in
// six of which are answered wrong.
type rehearsal struct{}

const (
	rehearsalSide    = 12
	rehearsalClasses = 7
	rehearsalEach    = 6 // examples of a class
)

func (rehearsal) Name() string     { return "rehearsal" }
func (rehearsal) Task() zoo.Task   { return zoo.Classify }
func (rehearsal) Labels() []string { return nil }
func (rehearsal) Shape() []int     { return nil }

// Answer says the class that the first pixel codes, but for every sixth example.
func (rehearsal) Answer(_ context.Context, x []float32, n int) ([]float32, error) {
	const size = rehearsalSide * rehearsalSide
	out := make([]float32, n*rehearsalClasses)
	for i := range n {
		class := int(math.Round(float64(x[i*size])*rehearsalClasses)) % rehearsalClasses
		if i%rehearsalEach == 0 {
			class = (class + 1) % rehearsalClasses
		}
		out[i*rehearsalClasses+class] = 2
	}
	return out, nil
}

// Features are points on a circle, near those of their class.
func (rehearsal) Features(_ context.Context, x []float32, n int) ([]float32, error) {
	const size = rehearsalSide * rehearsalSide
	out := make([]float32, 0, 2*n)
	for i := range n {
		at := 2*math.Pi*float64(x[i*size]) + 0.3*float64(x[i*size+1])
		out = append(out, float32(math.Cos(at)), float32(math.Sin(at)))
	}
	return out, nil
}

func (rehearsal) Info() data.Info {
	info := data.Info{Name: "rehearsal", Shape: []int{rehearsalSide, rehearsalSide, 1}, Examples: rehearsalClasses * rehearsalEach, Images: true}
	for c := range rehearsalClasses {
		info.Classes = append(info.Classes, fmt.Sprint(c))
	}
	return info
}

func (rehearsal) Len() int          { return rehearsalClasses * rehearsalEach }
func (rehearsal) Label(i int) int32 { return int32(i % rehearsalClasses) }

// Read codes the class in the first pixel and the example in the others.
func (r rehearsal) Read(i int, dst []float32) error {
	for k := range dst {
		dst[k] = float32((7*i+3*k)%11) / 11
	}
	dst[0] = float32(r.Label(i)) / rehearsalClasses
	return nil
}

var _ data.Dataset = rehearsal{}
