package repair_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/onnxrun"
	"github.com/ballast-ml/ballast/repair"
)

// open writes a model into a new folder and opens it.
func open(t *testing.T, m onnxtest.Model) *onnx.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// changed is the copy of a model with an edit, as it would be written.
func changed(t *testing.T, m *onnx.Model, e onnx.Edit) *onnx.Model {
	t.Helper()
	c, err := m.Rewrite(filepath.Join(t.TempDir(), "c.onnx"), e)
	if err != nil {
		t.Fatal(err)
	}
	return c.Model
}

// run runs a model on one float32 input and returns an output as float32.
func run(t *testing.T, e *engine.Engine, m *onnx.Model, x []float32, dims []int, output string) []float32 {
	t.Helper()
	g, err := onnxrun.New(m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := g.Run(e.Backend, map[string]*tensors.Tensor{"x": tensors.FromFlatDataAndDimensions(x, dims...)})
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out[output])
}

// fits are one fitted value of each method, of logits that are too large, and the logits of other examples.
func fits(t *testing.T, classes int) ([]calibrate.Fitted, []float32) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(classes), 7))
	x := calibrate.Examples{Classes: classes}
	for range 400 {
		label := r.IntN(classes)
		for k := range classes {
			z := 3*r.NormFloat64() + 0.3*float64(k)
			if k == label {
				z += 3
			}
			x.Logits = append(x.Logits, z)
		}
		x.Labels = append(x.Labels, int32(label))
	}
	var all []calibrate.Fitted
	for _, k := range calibrate.All() {
		fit, err := k.New().Fit(x)
		if err != nil || fit.Saturated {
			t.Fatalf("%s: %v, %+v", k.Name, err, fit)
		}
		all = append(all, fit.Fitted.Fitted)
	}
	m := calibrate.NewHistogramBinning()
	m.Binning = metric.EqualMass
	fit, err := m.Fit(x)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, fit.Fitted.Fitted)

	var logits []float32
	for i := range 60 * classes {
		scale := []float64{1, 4, 40}[i/classes%3]
		logits = append(logits, float32(scale*r.NormFloat64()))
	}
	return all, logits
}

// site is a graph whose scores are made of logits in one way.
type site struct {
	nodes  []onnxtest.Node
	where  repair.Site
	answer func(z []float64) []float64 // what the output is for logits
}

func probabilities(z []float64) []float64 {
	p, _ := metric.Softmax(z, len(z))
	return p
}

// sites are the forms of outputs. The first node makes the scores of x.
func sites(classes int) map[string]site {
	first := onnxtest.Node{Op: "Mul", Inputs: []string{"x", "half"}, Outputs: []string{"z"}}
	out := func(op string) onnxtest.Node {
		return onnxtest.Node{Op: op, Inputs: []string{"z"}, Outputs: []string{"y"}, Attributes: map[string]any{"axis": 1}}
	}
	same := func(z []float64) []float64 { return z }
	of := repair.Site{Value: "z", Output: "y", Type: onnx.Float, Rank: 2, Classes: classes}
	direct, softmax, chances, log := of, of, of, of
	direct.Value, chances.Value, log.Value = "y", "y", "y"
	chances.Probabilities, log.Normalised = true, true
	alone := first
	alone.Outputs = []string{"y"}
	return map[string]site{
		"logits":        {[]onnxtest.Node{alone}, direct, same},
		"softmax":       {[]onnxtest.Node{first, out("Softmax")}, softmax, probabilities},
		"log softmax":   {[]onnxtest.Node{first, out("LogSoftmax")}, log, nil},
		"probabilities": {[]onnxtest.Node{first, out("Softmax")}, chances, probabilities},
	}
}

// alike are the probabilities of two rows of logits, or of logits and probabilities, within a tolerance.
func alike(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for k := range want {
		if math.Abs(float64(got[k])-want[k]) > tolerance || math.IsNaN(float64(got[k])) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

// Every method in every form of output, under the opsets in which operators changed, gives what the fitted method gives.
func TestCalibrationIsWritten(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		for _, classes := range []int{2, 5} {
			all, logits := fits(t, classes)
			for form, s := range sites(classes) {
				for _, opset := range []int{9, 12, 13, 18, 21} {
					for i, f := range all {
						name := fmt.Sprintf("%s %d, %d classes, %s, opset %d", calibrate.FittedName(f), i, classes, form, opset)
						checkWritten(t, e, name, s, f, logits, opset)
					}
				}
			}
		}
	})
}

func checkWritten(t *testing.T, e *engine.Engine, name string, s site, f calibrate.Fitted, logits []float32, opset int) {
	t.Helper()
	classes := s.where.Classes
	m := open(t, onnxtest.Model{
		Opset: opset, Nodes: s.nodes, Tensors: []onnxtest.Tensor{onnxtest.Floats("half", []int{1}, 0.5)},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", classes}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", classes}}},
	})
	edit, err := repair.Calibration{Fitted: f, Site: s.where}.Edit(m)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	copied := changed(t, m, edit)
	if copied.Graph.Outputs[0].Name != "y" || repair.Calibrated(copied) == "" || repair.Before(copied) == "" {
		t.Errorf("%s: outputs %v, %q", name, copied.Graph.Outputs, repair.Calibrated(copied))
	}
	x := make([]float32, len(logits))
	for i, z := range logits {
		x[i] = 2 * z
	}
	got := run(t, e, copied, x, []int{len(x) / classes, classes}, "y")
	for at := 0; at < len(logits); at += classes {
		row := make([]float64, classes)
		for k := range row {
			row[k] = float64(logits[at+k])
		}
		if s.where.Probabilities { // those of float32 are 0 below 2^-126
			for k, p := range probabilities(row) {
				row[k] = math.Log(max(float64(float32(p)), 0x1p-126))
			}
		}
		if s.where.Normalised {
			for k, p := range probabilities(row) {
				row[k] = math.Log(p)
			}
		}
		if onEdge(f, row) {
			continue
		}
		if err := f.Apply(row); err != nil {
			t.Fatal(err)
		}
		want, answer := probabilities(row), got[at:at+classes]
		if s.answer == nil || s.where.Value == "y" && !s.where.Probabilities {
			z := make([]float64, classes)
			for k, v := range answer {
				z[k] = float64(v)
			}
			p := probabilities(z)
			answer = make([]float32, classes)
			for k := range p {
				answer[k] = float32(p[k])
			}
			if s.where.Normalised && math.Abs(metricSum(z)-1) > 1e-5 {
				t.Fatalf("%s: %v are no logarithms of probabilities", name, z)
			}
		}
		alike(t, name, answer, want, 2e-5)
	}
}

// metricSum is the sum of exp.
func metricSum(z []float64) (sum float64) {
	for _, v := range z {
		sum += math.Exp(v)
	}
	return sum
}

// onEdge reports whether a probability of a row lies so near an edge of its bins that float32 may see it in another.
func onEdge(f calibrate.Fitted, row []float64) bool {
	h, ok := f.(calibrate.HistogramMap)
	if !ok {
		return false
	}
	for k, p := range probabilities(row) {
		for _, e := range h.Edges[k] {
			if math.Abs(p-e) < 1e-6 {
				return true
			}
		}
	}
	return false
}

// A single score of two classes, and scores with sides of 1 behind the classes, as convolutions leave them.
func TestCalibrationOfOtherShapes(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		two, logits := fits(t, 2)
		for i, f := range two {
			for _, chance := range []bool{false, true} {
				nodes := []onnxtest.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"z"}}, {Op: "Sigmoid", Inputs: []string{"z"}, Outputs: []string{"y"}}}
				at := repair.Site{Value: "z", Output: "y", Type: onnx.Float, Rank: 2, Classes: 2, One: true, Separate: true}
				if chance {
					at.Value, at.Probabilities, at.Separate = "y", true, false
				}
				m := open(t, onnxtest.Model{
					Opset: 13, Nodes: nodes, Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 1}}},
					Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 1}}},
				})
				edit, err := repair.Calibration{Fitted: f, Site: at}.Edit(m)
				if err != nil {
					t.Fatal(err)
				}
				x := logits[:40]
				for j, p := range run(t, e, changed(t, m, edit), x, []int{40, 1}, "y") {
					row := []float64{0, float64(x[j])}
					if chance {
						row[1] = 1 / (1 + math.Exp(-float64(x[j])))
						row = []float64{math.Log(max(1-float64(float32(row[1])), 0x1p-126)), math.Log(max(row[1], 0x1p-126))}
					}
					if onEdge(f, row) {
						continue
					}
					if err := f.Apply(row); err != nil {
						t.Fatal(err)
					}
					alike(t, fmt.Sprintf("one score, method %d, chance %v, %v", i, chance, x[j]), []float32{p}, probabilities(row)[1:], 2e-5)
				}
			}
		}

		all, logits := fits(t, 3)
		for i, f := range all {
			m := open(t, onnxtest.Model{
				Opset: 13, Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{4, 3, 1, 1}}},
				Nodes: []onnxtest.Node{
					{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"z"}},
					{Op: "Softmax", Inputs: []string{"z"}, Outputs: []string{"y"}, Attributes: map[string]any{"axis": 1}},
				},
				Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{4, 3, 1, 1}}},
			})
			edit, err := repair.Calibration{Fitted: f, Site: repair.Site{Value: "z", Output: "y", Type: onnx.Float, Rank: 4, Classes: 3}}.Edit(m)
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, e, changed(t, m, edit), logits[:12], []int{4, 3, 1, 1}, "y")
			for at := 0; at < 12; at += 3 {
				row := []float64{float64(logits[at]), float64(logits[at+1]), float64(logits[at+2])}
				if err := f.Apply(row); err != nil {
					t.Fatal(err)
				}
				alike(t, fmt.Sprintf("[4 3 1 1], method %d", i), got[at:at+3], probabilities(row), 2e-5)
			}
		}
	})
}

// A temperature of 1 changes no bit, in any type of numbers.
func TestIdentityIsExact(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		_, logits := fits(t, 5)
		for _, kind := range []onnx.DataType{onnx.Float, onnx.Float16, onnx.Double} {
			cast := func(name, from, to string, kind onnx.DataType) onnxtest.Node {
				return onnxtest.Node{Name: name, Op: "Cast", Inputs: []string{from}, Outputs: []string{to}, Attributes: map[string]any{"to": int(kind)}}
			}
			m := open(t, onnxtest.Model{
				Opset: 17, Nodes: []onnxtest.Node{cast("a", "x", "z", kind), cast("b", "z", "y", onnx.Float)},
				Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 5}}},
				Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 5}}},
			})
			for _, temperature := range []float64{1, 1.7} {
				edit, err := repair.Calibration{
					Fitted: calibrate.TemperatureMap{T: temperature},
					Site:   repair.Site{Value: "z", Output: "y", Type: kind, Rank: 2, Classes: 5},
				}.Edit(m)
				if err != nil {
					t.Fatal(err)
				}
				before := run(t, e, m, logits, []int{len(logits) / 5, 5}, "y")
				after := run(t, e, changed(t, m, edit), logits, []int{len(logits) / 5, 5}, "y")
				for i, v := range before {
					bound := map[onnx.DataType]float64{onnx.Float: 1e-7, onnx.Float16: 1e-3, onnx.Double: 1e-7}[kind] * math.Abs(float64(v))
					if temperature == 1 {
						bound = 0
					}
					if math.Abs(float64(after[i])-float64(v)/temperature) > bound {
						t.Fatalf("%s, T=%v: %v became %v", kind, temperature, v, after[i])
					}
				}
			}
		}
	})
}

func TestCalibrationRefuses(t *testing.T) {
	model := onnxtest.Model{
		Opset: 13, Nodes: []onnxtest.Node{{Op: "Identity", Inputs: []string{"x"}, Outputs: []string{"y"}}},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{"n", 3}}},
		Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float, Shape: []any{"n", 3}}},
	}
	m := open(t, model)
	warm := repair.Calibration{Fitted: calibrate.TemperatureMap{T: 1.25}, Site: repair.Site{Value: "y", Output: "y", Type: onnx.Float, Rank: 2, Classes: 3}}
	edit, err := warm.Edit(m)
	if err != nil {
		t.Fatal(err)
	}
	twice := changed(t, m, edit)
	bare := edit
	bare.Metadata = nil
	renamed := changed(t, m, bare) // by a tool that drops the metadata
	old, narrow := model, model
	old.Opset = 6
	narrow.Opset = 8

	other := func(change func(c *repair.Calibration)) repair.Calibration {
		c := warm
		change(&c)
		return c
	}
	big := calibrate.HistogramMap{}
	for range 3 {
		edges := make([]float64, 2<<20)
		for i := range edges {
			edges[i] = float64(i) / float64(len(edges))
		}
		big.Edges, big.Values = append(big.Edges, edges), append(big.Values, make([]float64, len(edges)+1))
	}
	platt := calibrate.PlattMap{Slopes: []float64{1, 1, 1}, Offsets: []float64{0, 0, 0}}
	for want, c := range map[string]struct {
		m *onnx.Model
		c repair.Calibration
	}{
		"it has a temperature of 1.25 already, written by ballast calibrate; calibrate the original": {twice, warm},
		"it has a temperature of 1.25 already":                                                       {renamed, warm},
		"its opset is 6, and the nodes of this calibration are from 7":                               {open(t, old), warm},
		"its opset is 8, and the nodes of this calibration are from 9":                               {open(t, narrow), other(func(c *repair.Calibration) { c.Fitted = platt })},
		"no node makes it":                       {m, other(func(c *repair.Calibration) { c.Site.Value = "x" })},
		"temperature is -1":                      {m, other(func(c *repair.Calibration) { c.Fitted = calibrate.TemperatureMap{T: -1} })},
		"the scores are INT64":                   {m, other(func(c *repair.Calibration) { c.Site.Type = onnx.Int64 })},
		"its 3 scores go through a Sigmoid each": {m, other(func(c *repair.Calibration) { c.Site.Separate = true })},
		"would compare 6291456 numbers for each example, at most 4194304": {m, other(func(c *repair.Calibration) { c.Fitted = big })},
	} {
		if _, err := c.c.Edit(c.m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
