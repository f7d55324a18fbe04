package metric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/metric"
)

// values are a measure's numbers by name.
func values(m metric.Measure) map[string]float64 {
	byName := map[string]float64{}
	for _, n := range m.Numbers() {
		byName[n.Name] = n.Value
	}
	return byName
}

// measureOf is the measure of a task.
func measureOf(t *testing.T, task string, outputs int) metric.Measure {
	t.Helper()
	m, err := metric.For(task, outputs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestClassificationAddsUpInOrder: a run's log must not change with the size of its batches, so the sum is the plain one, to the bit.
func TestClassificationAddsUpInOrder(t *testing.T) {
	const n, classes = 1000, 7
	r := rand.New(rand.NewPCG(1, 2))
	logits, labels := make([]float32, n*classes), make([]int32, n)
	for i := range logits {
		logits[i] = float32(3 * r.NormFloat64())
	}
	for i := range labels {
		labels[i] = int32(r.IntN(classes))
	}
	scores, err := metric.Score(logits, labels, classes)
	if err != nil {
		t.Fatal(err)
	}
	var right, nll float64
	for i, predicted := range scores.Predicted {
		if predicted == labels[i] {
			right++
		}
		nll += scores.NLL[i]
	}

	for _, batch := range []int{1, 64, 300, n} {
		m := measureOf(t, "classify", classes)
		for from := 0; from < n; from += batch {
			to := min(from+batch, n)
			if err := m.Add(logits[from*classes:to*classes], labels[from:to], nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := values(m); got["accuracy"] != right/n || got["nll"] != nll/n {
			t.Errorf("batches of %d: got %v, want accuracy %v, nll %v", batch, got, right/n, nll/n)
		}
	}
}

func TestMeasuresByHand(t *testing.T) {
	ln3 := float32(math.Log(3))
	for _, c := range []struct {
		task    string
		outputs int
		out     []float32
		labels  []int32
		targets []float32
		want    map[string]float64
	}{
		// Probabilities 3/4 of the label, and 1/4.
		{"classify", 2, []float32{ln3, 0, ln3, 0}, []int32{0, 1}, nil, map[string]float64{"accuracy": 0.5, "nll": -(math.Log(0.75) + math.Log(0.25)) / 2}},
		// The last token does not count.
		{"language", 2, []float32{ln3, 0, ln3, 0, 9, -9}, []int32{0, 1, -1}, nil, map[string]float64{
			"accuracy": 0.5, "nll": -(math.Log(0.75) + math.Log(0.25)) / 2, "perplexity": 1 / math.Sqrt(0.75*0.25),
		}},
		{"regress", 2, []float32{1, 2, 3, 0}, nil, []float32{2, 2.5, 1, 4}, map[string]float64{"mae": 7.5 / 4, "mse": (1 + 0.25 + 4 + 16) / 4.0, "gm": math.Sqrt(2)}},
		{"regress", 1, []float32{1, 2}, nil, []float32{1, 5}, map[string]float64{"mae": 1.5, "mse": 4.5, "gm": 0}},
		// On a line, by angle: a at 0 and 10 degrees, b at 4 and 90. From a0 the nearest is b; from a1 also b (6 against 10); from b4
		// an a; from b90 an a (80), then a0 (90) after b4 (86).
		{"embed", 2, polar(0, 10, 4, 90), []int32{5, 5, 6, 6}, nil, map[string]float64{"recall_at_1": 0, "r_precision": 0, "map_at_r": 0}},
		// R is 2 for a: from 0: a1, a30 -> 1; from 1: a0, a30 -> 1; from 30: b35 first, then a1: half right, 1/2 * (1/2). b is alone.
		{"embed", 2, polar(0, 1, 30, 35), []int32{5, 5, 5, 6}, nil, map[string]float64{"recall_at_1": 2.0 / 3, "r_precision": 2.5 / 3, "map_at_r": 2.25 / 3}},
	} {
		m := measureOf(t, c.task, c.outputs)
		if err := m.Add(c.out, c.labels, c.targets); err != nil {
			t.Errorf("%s: %v", c.task, err)
			continue
		}
		got := values(m)
		for name, want := range c.want {
			if v, ok := got[name]; !ok || math.Abs(v-want) > 1e-6 {
				t.Errorf("%s: %s is %v, want %v", c.task, name, v, want)
			}
		}
	}
}

// polar are points of the plane at angles in degrees, at different distances from the middle.
func polar(degrees ...float64) []float32 {
	var points []float32
	for i, d := range degrees {
		sin, cos := math.Sincos(d * math.Pi / 180)
		points = append(points, float32(float64(1+i)*cos), float32(float64(1+i)*sin))
	}
	return points
}

// TestNumbersAreKnownBeforeTheyAreMeasured: a name can be checked, and its direction told, before hours of work.
func TestNumbersAreKnownBeforeTheyAreMeasured(t *testing.T) {
	for task, first := range map[string]string{"classify": "accuracy", "regress": "mae", "embed": "recall_at_1", "language": "nll"} {
		numbers := measureOf(t, task, 3).Numbers()
		if numbers[0].Name != first {
			t.Errorf("%s: the first number is %s, want %s", task, numbers[0].Name, first)
		}
		for _, n := range numbers {
			if !math.IsNaN(n.Value) || n.Better != metric.Higher && n.Better != metric.Lower {
				t.Errorf("%s: %+v before anything was added", task, n)
			}
			if described, ok := metric.Describe(n.Name); !ok || described.Better != n.Better || described.Unit != n.Unit {
				t.Errorf("Describe(%s) is %+v, %v; the measure says %+v", n.Name, described, ok, n)
			}
		}
	}
	if n, ok := metric.Describe("acc"); ok {
		t.Errorf("Describe knows %+v", n)
	}
}

func TestMeasuresRefuse(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		task    string
		out     []float32
		labels  []int32
		targets []float32
		want    string
	}{
		{"classify", []float32{1, 2, 3}, []int32{0}, nil, "3 outputs for 1 labels and 2 classes; want 2"},
		{"classify", []float32{1, 2}, []int32{2}, nil, "label of example 0 is 2, outside 0 to 1"},
		{"classify", []float32{1, nan}, []int32{0}, nil, "example 0: the logit of class 1 is NaN"},
		{"language", []float32{1, 2}, []int32{0, 1}, nil, "2 logits for 2 tokens of a vocabulary of 2; want 4"},
		{"language", []float32{1, 2, 1, 2}, []int32{-1, -2}, nil, "token 1 is -2, outside 0 to 1"},
		{"language", []float32{1, 2, 1, nan}, []int32{0, 0}, nil, "token 1: the logit of class 1 is NaN"},
		{"regress", []float32{1, 2}, nil, []float32{1}, "2 predictions for 1 targets"},
		{"regress", []float32{1, 2, 3}, nil, []float32{1, 2, 3}, "of 2 values an example"},
		{"regress", []float32{1, 2, 3, nan}, nil, []float32{1, 2, 3, 4}, "example 1: value 1 is NaN, its target 4"},
		{"embed", []float32{1, 2, 3}, []int32{0}, nil, "3 values for 1 vectors of 2; want 2"},
		{"embed", []float32{1, nan}, []int32{0}, nil, "vector 0: value 1 is NaN"},
		{"embed", nil, nil, nil, "no vectors"},
	} {
		m := measureOf(t, c.task, 2)
		if err := m.Add(c.out, c.labels, c.targets); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.task, err, c.want)
		}
		if v := m.Numbers()[0].Value; !math.IsNaN(v) {
			t.Errorf("%s: a refused batch counts: %v", c.task, v)
		}
	}
	if _, err := metric.For("segmentation", 2); err == nil || !strings.Contains(err.Error(), "classify, regress, embed, language") {
		t.Errorf("got %v", err)
	}
	if _, err := metric.For("classify", 0); err == nil {
		t.Error("0 outputs passed")
	}
}

func TestNumberText(t *testing.T) {
	for _, c := range []struct {
		n           metric.Number
		label, text string
	}{
		{metric.Number{Name: "acc", Title: "accuracy", Value: 0.98765, Unit: metric.Share}, "accuracy", "98.77 %"},
		{metric.Number{Name: "nll", Title: "NLL", Value: 0.123456, Unit: metric.Nats}, "NLL (nats)", "0.1235"},
		{metric.Number{Name: "mae", Value: 2}, "mae", "2.0000"},
		{metric.Number{Name: "gap", Value: 2, Unit: "nm"}, "gap (nm)", "2.0000"},
		{metric.Number{Name: "n", Title: "examples", Value: 1200, Unit: metric.Count}, "examples", "1200"},
	} {
		if c.n.Label() != c.label || c.n.Text() != c.text {
			t.Errorf("%+v: %q, %q", c.n, c.n.Label(), c.n.Text())
		}
	}
	was, is := metric.Number{Value: 0.5, Unit: metric.Share}, metric.Number{Value: 0.4321, Unit: metric.Share}
	if got := is.Change(was); got != "-6.79" {
		t.Errorf("the change is %q, want -6.79", got)
	}
	was.Unit, is.Unit = metric.Count, metric.Count
	was.Value, is.Value = 3, 12
	if got := is.Change(was); got != "+9" {
		t.Errorf("the change is %q, want +9", got)
	}
	if !metric.Lower.Than(1, 2) || metric.Lower.Than(1, 1) || !metric.Higher.Than(2, 1) || metric.Neither.Than(2, 1) || metric.Neither.Than(1, 2) {
		t.Error("a direction is wrong")
	}
}

func ExampleFor() {
	m, err := metric.For("classify", 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Add([]float32{2, 0, 0, 1}, []int32{0, 0}, nil); err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range m.Numbers() {
		fmt.Printf("%s %s (%s is better)\n", n.Label(), n.Text(), n.Better)
	}
	// Output:
	// accuracy 50.00 % (higher is better)
	// NLL (nats) 0.7201 (lower is better)
}
