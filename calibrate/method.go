package calibrate

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/own"
)

// Method is a way to correct confidences. A value holds its options.
type Method interface {
	Validate() error                // what is wrong with the options
	Fit(x Examples) (Result, error) // x: examples that the model was not trained on
}

// Fitted is what a method found. It takes logits to logits whose softmax are the corrected probabilities.
type Fitted interface {
	// Apply corrects logits [examples, classes], row after row, in place. A logit of -Inf, a class that is ruled out, stays so.
	Apply(logits []float64) error

	// Validate says what is wrong with a value that was read from a file of a model with that many classes.
	Validate(classes int) error
}

// Examples are what a method is fitted to.
type Examples struct {
	Logits  []float64 // [examples, classes], row after row
	Labels  []int32   // [examples]
	Classes int
}

// NewExamples checks logits and labels and copies them. Errors name the example.
func NewExamples[F metric.Float, L metric.Label](logits []F, labels []L, classes int) (Examples, error) {
	if err := memory.Need("the logits that a method is fitted to", 12*int64(len(logits))); err != nil {
		return Examples{}, err
	}
	if _, _, err := (problem[F, L]{logits, labels, classes}).scale(); err != nil {
		return Examples{}, err
	}
	x := Examples{Logits: make([]float64, len(logits)), Labels: make([]int32, len(labels)), Classes: classes}
	for i, z := range logits {
		x.Logits[i] = float64(z)
	}
	for i, label := range labels {
		x.Labels[i] = int32(label)
	}
	return x, nil
}

// Len is the number of examples.
func (x Examples) Len() int { return len(x.Labels) }

// Take are the examples at some places.
func (x Examples) Take(places []int) Examples {
	return Examples{Logits: gather(x.Logits, places, x.Classes), Labels: at(x.Labels, places), Classes: x.Classes}
}

// row is the logits of an example.
func (x Examples) row(i int) []float64 { return x.Logits[i*x.Classes : (i+1)*x.Classes] }

// check refuses what NewExamples refuses.
func (x Examples) check() error {
	_, _, err := problem[float64, int32]{x.Logits, x.Labels, x.Classes}.scale()
	return err
}

// nll is the mean NLL of the examples by what was fitted.
func (x Examples) nll(f Fitted) (float64, error) {
	logits := append([]float64(nil), x.Logits...)
	if err := f.Apply(logits); err != nil {
		return 0, err
	}
	s, err := metric.Score(logits, x.Labels, x.Classes)
	if err != nil {
		return math.Inf(1), nil //nolint:nilerr // a label whose class is ruled out has an NLL without bound
	}
	return s.MeanNLL(), nil
}

// Result is a fitted method and how the fit went.
type Result struct {
	Fitted     FittedChoice `json:"fitted"`
	NLLBefore  float64      `json:"nll_before"` // mean over what was fitted to, in nats
	NLLAfter   float64      `json:"nll_after"`
	Iterations int          `json:"iterations"`         // 0 where the answer is a formula
	Gradient   float64      `json:"gradient,omitempty"` // largest slope that is left, in units of the logits' scale; 0 where the answer is a formula
	Saturated  bool         `json:"saturated"`          // there is no optimum, or none within the limits: do not use it
	Why        Without      `json:"why,omitempty"`
}

// judged fills in the NLL.
func (r Result) judged(x Examples) (Result, error) {
	s, err := metric.Score(x.Logits, x.Labels, x.Classes)
	if err != nil {
		return r, err
	}
	r.NLLBefore = s.MeanNLL()
	r.NLLAfter, err = x.nll(r.Fitted)
	return r, err
}

// Kind is a method that can be chosen by name: its Name, and New, which returns it with its defaults.
type Kind = choice.Kind[Method]

// All is every method, with its defaults, in the order in which they are shown.
func All() []Kind {
	return []Kind{
		{Name: "temperature", New: func() Method { return NewTemperatureScaling() }},
		{Name: "vector", New: func() Method { return NewVectorScaling() }},
		{Name: "matrix", New: func() Method { return NewMatrixScaling() }},
		{Name: "platt", New: func() Method { return NewPlattScaling() }},
		{Name: "isotonic", New: func() Method { return NewIsotonicRegression() }},
		{Name: "histogram", New: func() Method { return NewHistogramBinning() }},
	}
}

// Names are the names of all methods.
func Names() []string {
	var names []string
	for _, k := range All() {
		names = append(names, k.Name)
	}
	return names
}

// Name returns the name a method has in All, or that it says itself.
func Name(m Method) string { return choice.NameOf(All(), m) }

// Choice is a method chosen by name: "vector", or {"name": "matrix", "lambda": 0.1}.
type Choice struct{ Method }

// MarshalJSON writes the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) {
	return choice.Encode("calibration method", All(), c.Method)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Method, err = choice.Decode("calibration method", All(), data, r); err != nil {
		return err
	}
	return c.Validate()
}

// Named is the method of a name, with settings in the place of its defaults: {"lambda": 0.1}.
func Named(name string, settings map[string]any, mine ...own.Registry) (Method, error) {
	fields := map[string]any{}
	for key, value := range settings {
		fields[key] = value
	}
	fields["name"] = name
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var c Choice
	err = c.UnmarshalOwn(text, own.Join(mine))
	return c.Method, err
}

// AllFitted is what every method gives, without values.
func AllFitted() []choice.Kind[Fitted] {
	return []choice.Kind[Fitted]{
		{Name: "temperature", New: func() Fitted { return TemperatureMap{T: 1} }},
		{Name: "vector", New: func() Fitted { return VectorMap{} }},
		{Name: "matrix", New: func() Fitted { return MatrixMap{} }},
		{Name: "platt", New: func() Fitted { return PlattMap{} }},
		{Name: "isotonic", New: func() Fitted { return IsotonicMap{} }},
		{Name: "histogram", New: func() Fitted { return HistogramMap{} }},
	}
}

// FittedChoice is a fitted method as JSON has it: {"name": "vector", "weights": [...], "bias": [...]}.
type FittedChoice struct{ Fitted }

// MarshalJSON writes the name and the values.
func (c FittedChoice) MarshalJSON() ([]byte, error) {
	return choice.Encode("fitted calibration", AllFitted(), c.Fitted)
}

// UnmarshalJSON reads a name with its values. Whether they fit together, Validate says.
func (c *FittedChoice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *FittedChoice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	c.Fitted, err = choice.Decode("fitted calibration", AllFitted(), data, r)
	return err
}

// FittedName is the name of what was fitted.
func FittedName(f Fitted) string { return choice.NameOf(AllFitted(), f) }

// rows calls f for each row of logits, on all processors.
func rows(logits []float64, classes int, f func(row []float64)) error {
	if classes < 1 || len(logits)%classes != 0 {
		return fmt.Errorf("calibrate: %d logits are not whole rows of %d classes", len(logits), classes)
	}
	return metric.Blocks(len(logits)/classes, func(from, to int) error {
		for i := from; i < to; i++ {
			f(logits[i*classes : (i+1)*classes])
		}
		return nil
	})
}

// numbers refuses a list of values that is of another length than there are classes, or holds one that is no number.
func numbers(what string, values []float64, want int) error {
	if len(values) != want {
		return fmt.Errorf("%s has %d values for %d classes; want one for each", what, len(values), want)
	}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%s holds %v; want finite numbers", what, v)
		}
	}
	return nil
}

// positive refuses an option that is not above 0.
func positive(name string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) {
		return fmt.Errorf("calibrate: %s is %v; use a number above 0", name, v)
	}
	return nil
}

// TemperatureMap divides all logits by T.
type TemperatureMap struct {
	T float64 `json:"temperature"`
}

// Apply divides.
func (t TemperatureMap) Apply(logits []float64) error {
	Apply(logits, t.T)
	return nil
}

// Validate refuses a T that is not above 0.
func (t TemperatureMap) Validate(int) error {
	if !(t.T > 0) || math.IsInf(t.T, 0) || math.IsInf(1/t.T, 0) {
		return fmt.Errorf("temperature is %v; it must be above 0", t.T)
	}
	return nil
}

// Fit is FitTemperature, as a Method.
func (t TemperatureScaling) Fit(x Examples) (Result, error) {
	fit, err := FitTemperature(t, x.Logits, x.Labels, x.Classes)
	return Result{
		Fitted: FittedChoice{TemperatureMap{fit.T}}, NLLBefore: fit.NLLBefore, NLLAfter: fit.NLLAfter, Iterations: fit.Iterations,
		Saturated: fit.Saturated, Why: fit.Why,
	}, err
}

var _ Method = TemperatureScaling{}
