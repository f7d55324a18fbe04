package repair

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
)

// Site is where a graph has the scores of a classifier.
type Site struct {
	Value         string        // that holds them: [batch, classes], with sides of 1 behind them or not
	Output        string        // of the graph that they lead to
	Type          onnx.DataType // of the value
	Rank          int
	Classes       int  // 2 where there is one score
	One           bool // one score, of class 1 of two
	Probabilities bool // the value holds probabilities, else logits
	Normalised    bool // the value holds logarithms of probabilities, and must do so afterwards
	Separate      bool // a Sigmoid makes a probability of each score, whatever the others are
}

// Calibration is a fitted method that becomes nodes of a graph, right behind the node that makes the scores, which gets another name for them:
// all that takes the scores takes the corrected ones then, and names of inputs and outputs stay.
//
//	temperature   z/T                                                Div
//	vector        w_k z_k + b_k                                      Mul, Add
//	matrix        W z + b                                            Gemm
//	platt         ln(q_k / sum of q), q = sigmoid(a_k s_k + b_k)     of log-odds s, cut to [-80, 80]
//	isotonic      the same, q = the line through points at s_k       comparisons, Gather
//	histogram     the same, q = the value of the bin of p_k          comparisons, Gather
//
// z are logits; of probabilities the logarithms are taken, and a Softmax makes probabilities of what comes of it. Numbers of 16 bits are
// corrected in float32. The formulas are those of package calibrate.
type Calibration struct {
	Fitted calibrate.Fitted
	Site   Site
}

// CalibrationKey is the key of the file's metadata that says how it was calibrated.
const CalibrationKey = "ballast.calibration"

// calibrationPrefix begins the names of nodes and initialisers of a calibration.
const calibrationPrefix = "ballast_calibration"

// calibrationEntry is the value of CalibrationKey.
type calibrationEntry struct {
	Method      string  `json:"method"`
	Temperature float64 `json:"temperature,omitempty"`
	Scores      string  `json:"scores"` // the value that is corrected
	Output      string  `json:"output"`
}

// Calibrated says how a model was calibrated by Ballast before, by its metadata or, where these are lost, by its nodes and initialisers; "" if
// it was not.
func Calibrated(m *onnx.Model) string {
	if text, ok := m.Metadata[CalibrationKey]; ok {
		var e calibrationEntry
		switch {
		case json.Unmarshal([]byte(text), &e) != nil || e.Method == "":
			return "a calibration"
		case e.Temperature > 0:
			return fmt.Sprintf("a temperature of %.6g", e.Temperature)
		}
		return "a calibration by the method " + printable.Line(e.Method)
	}
	ours := func(name string) bool { return strings.HasPrefix(name, calibrationPrefix+"/") }
	what := ""
	for _, t := range m.Graph.Initializers {
		if !ours(t.Name) {
			continue
		}
		what = "a calibration"
		if values, err := valuesOf(t); t.Name == calibrationPrefix+"/temperature" && err == nil && len(values) == 1 {
			return fmt.Sprintf("a temperature of %.6g", values[0])
		}
	}
	for _, n := range m.Graph.Nodes {
		if ours(n.Name) || slices.ContainsFunc(n.Outputs, ours) {
			return "a calibration"
		}
	}
	return what
}

// RefuseCalibrated is an error for a model that was calibrated by Ballast before, nil for others: two corrections on top of each other are one
// that nobody has fitted.
func RefuseCalibrated(m *onnx.Model) error {
	if what := Calibrated(m); what != "" {
		return wrong(m, "", "calibrate the original, from which it was made", "it has %s already, written by ballast calibrate", what)
	}
	return nil
}

// leastOpset is the first in which numbers are broadcast, and the first with Where and comparisons of all kinds.
const (
	leastOpset     = 7
	leastOpsetBins = 9
)

// Edit is the changes that write the calibration into the model.
func (c Calibration) Edit(m *onnx.Model) (onnx.Edit, error) {
	if err := c.check(m); err != nil {
		return onnx.Edit{}, err
	}
	maker, ok := makers(m.Graph)[c.Site.Value]
	if !ok {
		return onnx.Edit{}, wrong(m, "value "+c.Site.Value, "", "no node makes it, so that there is nothing to correct")
	}

	s := newSurgery(m, calibrationPrefix)
	e := onnx.Edit{Metadata: map[string]string{}}
	if s.opset == 0 { // a model of trees alone
		s.opset = opsetOf(m.IRVersion)
		e.Opsets = map[string]int64{"": s.opset}
	}
	raw := s.name(calibrationPrefix + "/before")
	c.nodes(s, raw)
	s.end(c.Site.Value)

	n := m.Graph.Nodes[maker]
	e.Nodes = map[int]onnx.NodeEdit{maker: {Outputs: map[int]string{slices.Index(n.Outputs, c.Site.Value): raw}, Behind: s.nodes}}
	e.Tensors = s.tensors
	entry := calibrationEntry{Method: calibrate.FittedName(c.Fitted), Scores: c.Site.Value, Output: c.Site.Output}
	if t, ok := c.Fitted.(calibrate.TemperatureMap); ok {
		entry.Temperature = t.T
	}
	text, err := json.Marshal(entry)
	if err != nil {
		return e, err
	}
	e.Metadata[CalibrationKey] = string(text)
	return e, nil
}

// Before is the name that the scores as they are have in a calibrated model; "" if there are none.
func Before(m *onnx.Model) string {
	for _, n := range m.Graph.Nodes {
		for _, name := range n.Outputs {
			if strings.HasPrefix(name, calibrationPrefix+"/before") {
				return name
			}
		}
	}
	return ""
}

// check refuses what cannot be written.
func (c Calibration) check(m *onnx.Model) error {
	if err := RefuseCalibrated(m); err != nil {
		return err
	}
	if err := c.Fitted.Validate(c.Site.Classes); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	temperature := isTemperature(c.Fitted)
	if c.Site.Separate && c.Site.Classes > 2 {
		return wrong(m, "output "+c.Site.Output, "leave --out out to see what was fitted",
			"its %d scores go through a Sigmoid each, which no calibration of all classes together makes right", c.Site.Classes)
	}
	if !floating(c.Site.Type) {
		return wrong(m, "value "+c.Site.Value, "leave --out out to see what was fitted", "the scores are %s; FLOAT, DOUBLE, FLOAT16 and BFLOAT16 can be corrected", c.Site.Type)
	}
	least := int64(leastOpset)
	if bins(c.Fitted) || c.Site.Probabilities && !temperature {
		least = leastOpsetBins
	}
	if opset := m.Opsets[""]; opset > 0 && opset < least {
		return wrong(m, "", fmt.Sprintf("export the model with opset_version=%d or later", least),
			"its opset is %d, and the nodes of this calibration are from %d on", opset, least)
	}
	if n := comparisons(c.Fitted); n > mostComparisons {
		return &fault.Usage{Err: fmt.Errorf("repair: the fitted %s would compare %d numbers for each example, at most %d are written; use another method, such as temperature",
			calibrate.FittedName(c.Fitted), n, mostComparisons)}
	}
	return nil
}

func isTemperature(f calibrate.Fitted) bool {
	_, ok := f.(calibrate.TemperatureMap)
	return ok
}

// bins reports whether a method corrects each class on its own, and divides by the sum.
func bins(f calibrate.Fitted) bool {
	switch f.(type) {
	case calibrate.PlattMap, calibrate.IsotonicMap, calibrate.HistogramMap:
		return true
	}
	return false
}

// mostComparisons bounds the numbers of one example that a graph holds at once: 16 MB of them.
const mostComparisons = 1 << 22

// comparisons are the numbers that an example is compared with.
func comparisons(f calibrate.Fitted) int {
	longest, classes := 0, 0
	count := func(lists [][]float64) {
		classes = len(lists)
		for _, list := range lists {
			longest = max(longest, len(list))
		}
	}
	switch f := f.(type) {
	case calibrate.IsotonicMap:
		count(f.Points)
	case calibrate.HistogramMap:
		count(f.Edges)
	}
	return longest * classes
}

// opsetOf is an opset that every runtime of a version of the file format knows.
func opsetOf(ir int64) int64 {
	switch {
	case ir <= 3:
		return 8
	case ir >= 8:
		return 13
	}
	return ir + 5
}

// nodes adds what corrects the scores raw.
func (c Calibration) nodes(s *surgery, raw string) {
	site := c.Site
	kind := onnx.Float
	if site.Type == onnx.Double && !bins(c.Fitted) {
		kind = onnx.Double
	}
	x := raw
	if site.Type != kind {
		x = s.cast(x, kind)
	}

	switch t, ok := c.Fitted.(calibrate.TemperatureMap); {
	case ok && !site.Probabilities:
		x = s.op("Div", []string{x, s.numbers("temperature", kind, nil, t.T)})
		if site.Normalised {
			x = s.op("LogSoftmax", []string{x}, onnx.IntAttribute("axis", 1))
		}
	case ok:
		z := c.logits(s, x, kind)
		if site.One { // of both classes, the difference
			z = s.op("Sub", []string{z, c.other(s, x, kind)})
		}
		x = c.scores(s, s.op("Div", []string{z, s.numbers("temperature", kind, nil, t.T)}))
	default:
		flat := site.Rank != 2
		if flat {
			x = s.reshape(x, -1, int64(c.width()))
		}
		z := c.logits(s, x, kind)
		switch {
		case site.One && site.Probabilities:
			z = s.op("Concat", []string{c.other(s, x, kind), z}, onnx.IntAttribute("axis", 1))
		case site.One: // 0 and z
			z = s.op("MatMul", []string{z, s.numbers("both", kind, []int{1, 2}, 0, 1)})
		}
		z = c.mapped(s, z, kind)
		if site.One { // the difference of both
			z = s.op("MatMul", []string{z, s.numbers("difference", kind, []int{2, 1}, -1, 1)})
		}
		x = c.scores(s, z)
		if flat {
			x = s.op("Reshape", []string{x, s.op("Shape", []string{raw})})
		}
	}
	if site.Type != kind {
		s.cast(x, site.Type)
	}
}

// width is the number of scores of an example.
func (c Calibration) width() int {
	if c.Site.One {
		return 1
	}
	return c.Site.Classes
}

// leastProbability stands in the place of a probability of 0, as where a model is audited.
const leastProbability = 0x1p-126

// logits makes logits of probabilities: their logarithms.
func (c Calibration) logits(s *surgery, x string, kind onnx.DataType) string {
	if !c.Site.Probabilities {
		return x
	}
	return s.op("Log", []string{s.op("Max", []string{x, s.numbers("least", kind, nil, leastProbability)})})
}

// other makes the logits of class 0 of the probabilities of class 1.
func (c Calibration) other(s *surgery, x string, kind onnx.DataType) string {
	return c.logits(s, s.op("Sub", []string{s.numbers("one", kind, nil, 1), x}), kind)
}

// scores makes of corrected logits what the scores were.
func (c Calibration) scores(s *surgery, z string) string {
	switch {
	case c.Site.Probabilities && c.Site.One:
		return s.op("Sigmoid", []string{z})
	case c.Site.Probabilities:
		return s.op("Softmax", []string{z}, onnx.IntAttribute("axis", 1))
	case c.Site.Normalised:
		return s.op("LogSoftmax", []string{z}, onnx.IntAttribute("axis", 1))
	}
	return z
}

// mapped corrects logits [batch, classes].
func (c Calibration) mapped(s *surgery, z string, kind onnx.DataType) string {
	k := c.Site.Classes
	switch f := c.Fitted.(type) {
	case calibrate.VectorMap:
		z = s.op("Mul", []string{z, s.numbers("weights", kind, []int{k}, f.Weights...)})
		return s.op("Add", []string{z, s.numbers("bias", kind, []int{k}, f.Bias...)})
	case calibrate.MatrixMap:
		weights := s.numbers("weights", kind, []int{k, k}, slices.Concat(f.Weights...)...)
		return s.op("Gemm", []string{z, weights, s.numbers("bias", kind, []int{k}, f.Bias...)}, onnx.IntAttribute("transB", 1))
	case calibrate.PlattMap:
		x := s.op("Mul", []string{s.odds(z, k), s.numbers("slopes", kind, []int{k}, f.Slopes...)})
		return s.finish(z, s.sigmoid(s.op("Add", []string{x, s.numbers("offsets", kind, []int{k}, f.Offsets...)})))
	case calibrate.IsotonicMap:
		return s.finish(z, s.line(s.odds(z, k), f))
	case calibrate.HistogramMap:
		return s.finish(z, s.bins(s.op("Softmax", []string{z}, onnx.IntAttribute("axis", 1)), f))
	}
	panic(fmt.Errorf("repair: %T is not written", c.Fitted))
}
