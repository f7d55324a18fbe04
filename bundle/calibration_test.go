package bundle_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/own"
)

// held are examples of the ten classes of digits, the logits of some far apart.
func held(n int) calibrate.Examples {
	r := rand.New(rand.NewPCG(4, 4))
	x := calibrate.Examples{Classes: 10}
	for range n {
		label, scale := r.IntN(10), math.Exp(2*r.NormFloat64())
		for k := range 10 {
			z := scale * r.NormFloat64()
			if k == label {
				z += 1.5
			}
			x.Logits = append(x.Logits, float64(float32(z)))
		}
		x.Labels = append(x.Labels, int32(label))
	}
	return x
}

// TestCalibrationsInTheGraph holds what a bundle computes against calibrate's own Apply, for every method.
func TestCalibrationsInTheGraph(t *testing.T) {
	x := held(400)
	narrow := make([]float32, len(x.Logits))
	for i, z := range x.Logits {
		narrow[i] = float32(z)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		var all []bundle.Calibration
		var want [][]float64
		for _, kind := range calibrate.All() {
			fit, err := kind.New().Fit(x)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, bundle.Calibration{Temperature: 2, Map: &fit.Fitted})
			after := append([]float64(nil), x.Logits...)
			calibrate.Apply(after, 2)
			if err := fit.Fitted.Apply(after); err != nil {
				t.Fatal(err)
			}
			p, err := metric.Softmax(after, 10)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, p)
		}
		got := MustNewExec(e.Backend, func(z *Node) (list []*Node) {
			for _, c := range all {
				list = append(list, Softmax(c.Apply(z), -1))
			}
			return list
		}).MustCall(reshaped(narrow, 10))
		for i, c := range all {
			far, worst := 0, 0.0
			for j, v := range got[i].Value().([][]float32) {
				for k, p := range v {
					if d := math.Abs(float64(p) - want[i][j*10+k]); d > 2e-5 {
						far, worst = far+1, max(worst, d)
					}
				}
			}
			// A probability beside the edge of a bin may fall to its other side in float32.
			if name := calibrate.FittedName(c.Map.Fitted); far > 0 && (name != "histogram" || far > 40) {
				t.Errorf("%s: %d probabilities differ, by up to %v", name, far, worst)
			}
		}
	})
}

func reshaped(flat []float32, classes int) [][]float32 {
	var rows [][]float32
	for i := 0; i < len(flat); i += classes {
		rows = append(rows, flat[i:i+classes])
	}
	return rows
}

// TestCalibrationIsKept saves and opens each; a temperature alone stays what older builds open.
func TestCalibrationIsKept(t *testing.T) {
	sets, err := calibrate.NewConformal().FitSets(held(100))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range calibrate.All() {
		fit, err := kind.New().Fit(held(200))
		if err != nil {
			t.Fatal(err)
		}
		b := digits(t)
		b.Manifest.Calibration.Map, b.Manifest.Calibration.Sets = &fit.Fitted, &sets
		dir := filepath.Join(t.TempDir(), "model")
		if err := b.Save(dir); err != nil {
			t.Fatal(err)
		}
		back, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back.Manifest.Calibration, b.Manifest.Calibration) || back.Manifest.SchemaVersion != 2 {
			t.Errorf("%s: %+v", kind.Name, back.Manifest.Calibration)
		}
		card, err := os.ReadFile(filepath.Join(dir, bundle.CardFile))
		if err != nil || !strings.Contains(string(card), "method "+kind.Name) || !strings.Contains(string(card), "0.9 of the time") {
			t.Errorf("%s: %v in %s", kind.Name, err, card)
		}
	}
	texts, err := digits(t).Manifest.Texts()
	if text := string(texts[bundle.ManifestFile]); err != nil || !strings.Contains(text, `"schema_version": 1`) || strings.Contains(text, "map") {
		t.Errorf("%v %s", err, text)
	}
}

// doubled is a fitted method of a program's own.
type doubled struct {
	By float64 `json:"by"`
}

func (doubled) Name() string                   { return "doubled" }
func (d doubled) Apply(logits []float64) error { calibrate.Apply(logits, 1/d.By); return nil }
func (doubled) Validate(int) error             { return nil }
func (d doubled) InGraph(z *Node) *Node        { return MulScalar(z, d.By) }

// hostOnly is one that no graph has.
type hostOnly struct{}

func (hostOnly) Name() string          { return "host-only" }
func (hostOnly) Apply([]float64) error { return nil }
func (hostOnly) Validate(int) error    { return nil }

func TestCalibrationOfAProgramsOwn(t *testing.T) {
	b := digits(t)
	b.Manifest.Calibration.Map = &calibrate.FittedChoice{Fitted: doubled{3}}
	dir := filepath.Join(t.TempDir(), "model")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(dir); err == nil || !strings.Contains(err.Error(), "own.Registry") {
		t.Errorf("without the registry: %v", err)
	}
	back, err := bundle.Open(dir, own.Registry{doubled{}})
	if err != nil || back.Manifest.Calibration.Map.Fitted != (doubled{3}) {
		t.Errorf("%v", err)
	}
	b.Manifest.Calibration.Map = &calibrate.FittedChoice{Fitted: hostOnly{}}
	if err := b.Manifest.Validate(); err == nil || !strings.Contains(err.Error(), "InGraph") {
		t.Errorf("%v", err)
	}
}

func TestCalibrationIsChecked(t *testing.T) {
	for want, text := range map[string]string{
		"weights has 2":     `{"temperature": 1, "map": {"name": "vector", "weights": [1, 2], "bias": [0, 0]}}`,
		"there are points":  `{"temperature": 1, "map": {"name": "isotonic", "points": [[1]], "values": [[0]]}}`,
		"temperature is 0":  `{"temperature": 0}`,
		"coverage is 2":     `{"temperature": 1, "sets": {"score": "lac", "coverage": 2, "threshold": 0.5, "examples": 3}}`,
		"no fitted calibra": `{"temperature": 1, "map": "vektor"}`,
	} {
		m := digits(t).Manifest
		err := json.Unmarshal([]byte(text), &m.Calibration)
		if err == nil {
			err = m.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
