package evaluate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/zoo"
)

// rows is a data set of rows of values.
type rows struct {
	values  [][]float32
	labels  []int32
	classes []string
}

func (r rows) Info() data.Info {
	return data.Info{Name: "rows", Examples: len(r.labels), Shape: []int{len(r.values[0])}, Classes: r.classes}
}
func (r rows) Len() int                        { return len(r.labels) }
func (r rows) Label(i int) int32               { return r.labels[i] }
func (r rows) Read(i int, dst []float32) error { copy(dst, r.values[i]); return nil }

// echo answers with what it is asked.
type echo struct {
	task   zoo.Task
	counts []int
}

func (e echo) Name() string     { return "echo" }
func (e echo) Task() zoo.Task   { return e.task }
func (e echo) Labels() []string { return nil }
func (e echo) Shape() []int     { return nil }

func (e echo) Answer(_ context.Context, x []float32, _ int) ([]float32, error) {
	return slices.Clone(x), nil
}

func (e echo) Features(ctx context.Context, x []float32, n int) ([]float32, error) {
	return e.Answer(ctx, x, n)
}

func (e echo) TrainingCounts() []int { return e.counts }

// right is the row of an answer.
func right(class int) []float32 {
	row := make([]float32, 4)
	row[class] = 1
	return row
}

// TestShots: each class counts alike, whatever its share of the test.
func TestShots(t *testing.T) {
	ds := rows{
		values: [][]float32{right(0), right(0), right(0), right(1), right(1), right(2), right(0), right(3)},
		labels: []int32{0, 0, 0, 0, 1, 2, 2, 3},
	}
	suite := evaluate.Shots{Many: 50, Few: 10}
	r, err := evaluate.Run(t.Context(), echo{zoo.Classify, []int{400, 51, 50, 2}}, ds, evaluate.Options{Suites: []evaluate.Suite{suite}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"shots.acc": (0.75 + 1 + 0.5 + 1) / 4, "shots.many.acc": 0.875, "shots.medium.acc": 0.5, "shots.few.acc": 1,
	} {
		if got := number(t, r, name); math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}

	// The training data, where it is given, takes the place of what the model says: class 3 is not in it, and no class is one of many.
	training := rows{values: make([][]float32, 30), classes: []string{"a", "b", "c"}}
	for i := range training.values {
		training.values[i], training.labels = right(0), append(training.labels, int32(i%3))
	}
	r, err = evaluate.Run(t.Context(), echo{zoo.Classify, []int{400, 51, 50, 2}}, ds, evaluate.Options{Suites: []evaluate.Suite{suite}, Training: training})
	if err != nil || number(t, r, "shots.medium.acc") != 0.75 || number(t, r, "shots.few.acc") != 1 {
		t.Errorf("%v, %v", r.Values(), err)
	}
	if _, ok := r.Number("shots.many.acc"); ok {
		t.Error("there is no class of many")
	}
}

// onCircle are points of the plane at angles in degrees.
func onCircle(degrees ...float64) [][]float32 {
	var points [][]float32
	for _, d := range degrees {
		sin, cos := math.Sincos(d * math.Pi / 180)
		points = append(points, []float32{float32(3 * cos), float32(3 * sin)})
	}
	return points
}

// TestPairs: the numbers are those of package metric, of the features, and training data adds the utilization.
func TestPairs(t *testing.T) {
	ds := rows{values: onCircle(0, 8, 20, 31, 100, 104, 140, 260), labels: []int32{5, 5, 5, 6, 6, 7, 7, 7}}
	training := rows{values: onCircle(10, 180), labels: []int32{0, 1}}
	r, err := evaluate.Run(t.Context(), echo{task: zoo.Embed}, ds, evaluate.Options{Training: training})
	if err != nil {
		t.Fatal(err)
	}
	flat := slices.Concat(ds.values...)
	found, err := metric.Retrieve(flat, ds.labels, 2, 1, 5, 10)
	if err != nil {
		t.Fatal(err)
	}
	opis, err := metric.OPISOf(metric.NewOPIS(), flat, ds.labels, 2)
	if err != nil {
		t.Fatal(err)
	}
	utilization, err := metric.Utilization(flat, slices.Concat(training.values...), 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"pairs.recall_at_1": found.Recall[0], "pairs.recall_at_5": found.Recall[1], "pairs.recall_at_10": 1, "pairs.r_precision": found.RPrecision,
		"pairs.map_at_r": found.MAPAtR, "pairs.opis": opis.OPIS, "pairs.opis_tail": opis.Tail, "pairs.utilization": utilization, "pairs.examples": 8,
	} {
		if got := number(t, r, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}

	// At most six examples are compared, which is said; another seed draws others.
	suite := evaluate.NewPairs()
	suite.Most = 6
	r, err = evaluate.Run(t.Context(), echo{task: zoo.Embed}, ds, evaluate.Options{Suites: []evaluate.Suite{suite}, Seed: 3})
	section, _ := r.Section("pairs")
	if err != nil || number(t, r, "pairs.examples") != 6 || len(section.Notes) == 0 || !strings.Contains(section.Notes[0], "6 of the 8 examples of rows") {
		t.Errorf("%+v, %v", section.Notes, err)
	}

	// Where all features are the same, no range of thresholds can be found: a note says so, and the rest is measured.
	same := rows{values: onCircle(10, 10, 10, 10), labels: []int32{0, 0, 1, 1}}
	r, err = evaluate.Run(t.Context(), echo{task: zoo.Embed}, same, evaluate.Options{})
	section, _ = r.Section("pairs")
	if err != nil || number(t, r, "pairs.recall_at_1") != 0 || len(section.Notes) != 1 || !strings.Contains(section.Notes[0], "OPIS: both ends of the range") {
		t.Errorf("%+v, %v", section.Notes, err)
	}
}

// cut is a network in two parts, and one that embeds.
type cut struct {
	zoo.MLP
	task zoo.Task
}

func (c cut) Task() zoo.Task { return c.task }

func (c cut) Features(_ *model.Scope, x *graph.Node) *graph.Node {
	return graph.MulScalar(graph.Reshape(x, x.Shape().Dimensions[0], -1), 2)
}

func (c cut) Head(scope *model.Scope, features *graph.Node) *graph.Node {
	return c.Apply(scope, features)
}

// onePiece is a network that nobody can take apart.
type onePiece struct{ zoo.Network }

// TestFeaturesOfAModel: a network in two parts gives what goes into its last layer, one that embeds its answers; others are refused.
func TestFeaturesOfAModel(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		ds := rows{classes: []string{"a", "b", "c"}}
		for i := range 12 {
			ds.values = append(ds.values, []float32{float32(i%3) + 1, float32(i*i%5) - 2, 0.5})
			ds.labels = append(ds.labels, int32(i%3))
		}
		mlp := zoo.NewMLP()
		mlp.Hidden, mlp.Classes = []int{4}, 3
		audit := func(n zoo.Network, suites ...evaluate.Suite) (map[string]float64, error) {
			b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: n}, []int{3}, ds.classes), Store: model.NewStore()}
			if err := b.Declare(e.Backend); err != nil {
				t.Fatal(err)
			}
			r, err := evaluate.Bundle(t.Context(), b, ds, e, evaluate.Options{Suites: suites, Batch: 5})
			values := map[string]float64{}
			for _, n := range r.Values() {
				values[n.Name] = n.Value
			}
			return values, err
		}

		got, err := audit(cut{mlp, zoo.Classify}, evaluate.Clean{}, evaluate.NewPairs())
		if err != nil {
			t.Fatal(err)
		}
		found, err := metric.Retrieve(slices.Concat(ds.values...), ds.labels, 3, 1) // doubling does not turn a vector
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got["pairs.map_at_r"]-found.MAPAtR) > 1e-6 || got["pairs.examples"] != 12 {
			t.Errorf("%v, want MAP@R %v", got, found.MAPAtR)
		}
		if got, err = audit(cut{mlp, zoo.Embed}); err != nil || got["pairs.examples"] != 12 {
			t.Errorf("a model that embeds: %v, %v", got, err)
		}

		var usage *fault.Usage
		if got, err = audit(mlp, evaluate.NewPairs()); err != nil || got["pairs.examples"] != 12 {
			t.Errorf("a network of the zoo: %v, %v", got, err)
		}
		if _, err := audit(onePiece{mlp}, evaluate.NewPairs()); !errors.As(err, &usage) || !strings.Contains(err.Error(), "the suite pairs cannot be run: it needs features") {
			t.Errorf("a network in one piece: %v", err)
		}
		if _, err := audit(mlp, evaluate.NewShots()); !errors.As(err, &usage) || !strings.Contains(err.Error(), "it needs the number of training examples of each class") {
			t.Errorf("a model of unknown origin: %v", err)
		}
		if _, err := audit(mlp, evaluate.NewShift()); !errors.As(err, &usage) || !strings.Contains(err.Error(), "it needs images [height, width, channels]; an example of rows has shape [3]") {
			t.Errorf("rows: %v", err)
		}
	})
}

// TestDefaultLeavesOut: what nobody named is left out where it cannot be run, and the report says so.
func TestDefaultLeavesOut(t *testing.T) {
	ds := rows{values: [][]float32{right(0), right(1)}, labels: []int32{0, 1}}
	r, err := evaluate.Run(t.Context(), echo{task: zoo.Classify}, ds, evaluate.Options{})
	if err != nil || len(r.Sections) != 2 || len(r.LeftOut) != 1 || r.LeftOut[0].Suite != "shift" || !strings.Contains(r.LeftOut[0].Why, "it needs images") {
		t.Errorf("%+v, %v", r, err)
	}
	var usage *fault.Usage
	if _, err := evaluate.Run(t.Context(), echo{task: zoo.Regress}, ds, evaluate.Options{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "no suite to run on echo") {
		t.Errorf("a regression: %v", err)
	}
	if _, err := evaluate.Run(t.Context(), echo{task: zoo.Classify}, nil, evaluate.Options{}); err == nil || !strings.Contains(err.Error(), "echo has no data to answer") {
		t.Errorf("without data: %v", err)
	}
}

func TestNamed(t *testing.T) {
	suites, err := evaluate.Named([]string{"pairs", "clean", "shots"}, map[string]any{
		"pairs": map[string]any{"recall_at": []int{2}, "opis": map[string]any{"thresholds": 11}}, "shots": map[string]any{"few": 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	pairs := evaluate.NewPairs()
	pairs.RecallAt, pairs.OPIS.Thresholds = []int{2}, 11
	if want := []evaluate.Suite{evaluate.Clean{}, evaluate.Shots{Many: 100, Few: 5}, pairs}; fmt.Sprint(suites) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", suites, want)
	}
	for _, s := range suites {
		text, err := json.Marshal(evaluate.Choice{Suite: s})
		if err != nil {
			t.Fatal(err)
		}
		var c evaluate.Choice
		if err := json.Unmarshal(text, &c); err != nil || fmt.Sprint(c.Suite) != fmt.Sprint(s) {
			t.Errorf("%s is read as %+v (%v)", text, c.Suite, err)
		}
	}

	for want, c := range map[string]struct {
		names    []string
		settings map[string]any
	}{
		`no suite "shot"; did you mean "shots"?`:              {[]string{"shot"}, nil},
		`no suite "everything"; there are clean, calibration`: {[]string{"everything"}, nil},
		"settings for the suite shots, which is not run":      {[]string{"clean"}, map[string]any{"shots": map[string]any{"few": 5}}},
		"unknown key manny (did you mean many?)":              {[]string{"shots"}, map[string]any{"shots": map[string]any{"manny": 5}}},
		"many is 5 and few 20":                                {[]string{"shots"}, map[string]any{"shots": map[string]any{"many": 5}}},
		"bins is 0; use at least 1":                           {[]string{"shift"}, map[string]any{"shift": map[string]any{"bins": 0}}},
		"recall_at is []":                                     {[]string{"pairs"}, map[string]any{"pairs": map[string]any{"recall_at": []int{}}}},
		"most is 1; a pair has 2 examples":                    {[]string{"pairs"}, map[string]any{"pairs": map[string]any{"most": 1}}},
		"settings are 3; want a mapping":                      {[]string{"pairs"}, map[string]any{"pairs": 3}},
	} {
		var usage *fault.Usage
		if _, err := evaluate.Named(c.names, c.settings); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
