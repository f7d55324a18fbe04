package repair

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/dtypes/float16"
	"github.com/gomlx/compute/dtypes/gotype"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/onnxrun"
)

// Feed is examples, as a graph takes them.
type Feed interface {
	// Prepare makes a model that has the input of the original ready to give some values, which may be any of its graph's. Inputs beside that
	// of the examples stay.
	Prepare(m *onnx.Model, values ...string) (*onnxrun.Graph, error)

	// Run runs a prepared model on the examples, piece by piece, with values for its other inputs. The first n rows of what it gives are of
	// examples; the tensors are gone when each returns.
	Run(ctx context.Context, g *onnxrun.Graph, others map[string]*tensors.Tensor, each func(values map[string]*tensors.Tensor, n int) error) error
}

// Checked is what a run of a calibrated copy beside its original found.
type Checked struct {
	Examples int     `json:"examples"`
	Same     bool    `json:"same"`           // the scores before the correction are those of the original, to the bit
	Largest  float64 `json:"largest_change"` // largest difference of a probability from what the fitted method gives
}

// Check runs a calibrated copy of a model beside the original and compares the scores before and behind the correction with what they must
// be. A difference beyond that of rounding is an error: the copy must not be written then.
func (c Calibration) Check(ctx context.Context, f Feed, original, mended *onnx.Model) (found Checked, err error) {
	before, err := f.Prepare(original, c.Site.Value)
	if err != nil {
		return found, err
	}
	raw := Before(mended)
	after, err := f.Prepare(mended, raw, c.Site.Value)
	if err != nil {
		return found, err
	}

	var scores []float64
	var bits [][]byte
	err = f.Run(ctx, before, nil, func(values map[string]*tensors.Tensor, n int) error {
		rows, raw, err := c.rows(values[c.Site.Value], n)
		scores, bits = append(scores, rows...), append(bits, raw)
		return err
	})
	if err != nil {
		return found, err
	}
	width, at, piece := c.width(), 0, 0
	found.Same = true
	err = f.Run(ctx, after, nil, func(values map[string]*tensors.Tensor, n int) error {
		now, raw, err := c.rows(values[raw], n)
		if err != nil {
			return err
		}
		corrected, _, err := c.rows(values[c.Site.Value], n)
		if err != nil {
			return err
		}
		found.Same = found.Same && bytes.Equal(raw, bits[piece])
		was := scores[at*width : (at+n)*width]
		at, piece = at+n, piece+1
		if err := close(now, was, 1e-3); err != nil {
			return fmt.Errorf("repair: the copy's scores before the correction are not those of %s: %w; nothing is written", original.Path, err)
		}
		return c.compare(&found, now, corrected)
	})
	found.Examples = at
	return found, err
}

// close refuses numbers that are apart by more than a share of the largest.
func close(got, want []float64, share float64) error {
	scale := 1e-6
	for _, v := range want {
		if !math.IsInf(v, 0) {
			scale = max(scale, math.Abs(v))
		}
	}
	for i, v := range got {
		if v != want[i] && !(math.Abs(v-want[i]) <= share*scale) {
			return fmt.Errorf("%v is %v", want[i], v)
		}
	}
	return nil
}

// precision is how far a probability may be from what float64 gives, by the type that scores are kept in.
var precision = map[onnx.DataType]float64{onnx.Float: 1e-4, onnx.Double: 1e-4, onnx.Float16: 1e-2, onnx.BFloat16: 1e-1}

// compare holds corrected scores against what the fitted method makes of the scores before.
func (c Calibration) compare(found *Checked, raw, corrected []float64) error {
	k, width := c.Site.Classes, c.width()
	for at := 0; at < len(raw); at += width {
		want := c.logitsOf(raw[at : at+width])
		if c.nearEdge(want) {
			continue
		}
		if err := c.Fitted.Apply(want); err != nil {
			return err
		}
		p, err := metric.Softmax(want, k)
		if err != nil {
			return err
		}
		got, err := metric.Softmax(c.logitsOf(corrected[at:at+width]), k)
		if err != nil {
			return err
		}
		for j := range p {
			if d := math.Abs(got[j] - p[j]); d <= precision[c.Site.Type] {
				found.Largest = max(found.Largest, d)
				continue
			}
			return fmt.Errorf("repair: the copy gives class %d a probability of %v where the fitted %s gives %v; nothing is written",
				j, got[j], calibrate.FittedName(c.Fitted), p[j])
		}
	}
	return nil
}

// logitsOf are the logits of all classes of the scores of one example.
func (c Calibration) logitsOf(scores []float64) []float64 {
	log := func(p float64) float64 { return math.Log(max(p, leastProbability)) }
	switch {
	case c.Site.One && c.Site.Probabilities:
		return []float64{log(1 - scores[0]), log(scores[0])}
	case c.Site.One:
		return []float64{0, scores[0]}
	}
	z := append([]float64(nil), scores...)
	if c.Site.Probabilities {
		for k, p := range z {
			z[k] = log(p)
		}
	}
	return z
}

// nearEdge reports whether a probability lies so near the edge of a bin that float32 may see it on the other side.
func (c Calibration) nearEdge(logits []float64) bool {
	h, ok := c.Fitted.(calibrate.HistogramMap)
	if !ok {
		return false
	}
	p, err := metric.Softmax(logits, len(logits))
	if err != nil {
		return false
	}
	for k, edges := range h.Edges {
		for _, edge := range edges {
			if math.Abs(p[k]-edge) < 1e-6 {
				return true
			}
		}
	}
	return false
}

// rows are the scores of the first n examples, and their bytes.
func (c Calibration) rows(t *tensors.Tensor, n int) (values []float64, raw []byte, err error) {
	if values, err = numbers(t); err != nil {
		return nil, nil, err
	}
	if len(values) < n*c.width() || len(values)%c.width() != 0 {
		return nil, nil, fmt.Errorf("repair: %s is %v for %d examples", c.Site.Value, t.Shape().Dimensions, n)
	}
	values = values[:n*c.width()]
	err = t.ConstBytes(func(b []byte) { raw = append(raw, b[:len(b)/t.Shape().Size()*n*c.width()]...) })
	return values, raw, err
}

// numbers are the elements of an engine's tensor.
func numbers(t *tensors.Tensor) ([]float64, error) {
	switch t.DType() {
	case dtypes.Float32:
		return converted(t, func(v float32) float64 { return float64(v) })
	case dtypes.Float64:
		return tensors.CopyFlatData[float64](t)
	case dtypes.Float16:
		return converted(t, func(v float16.Float16) float64 { return float64(v.Float32()) })
	case dtypes.BFloat16:
		return converted(t, func(v bfloat16.BFloat16) float64 { return float64(v.Float32()) })
	case dtypes.Int64:
		return converted(t, func(v int64) float64 { return float64(v) })
	}
	return nil, fmt.Errorf("repair: elements of %s are not read", t.DType())
}

func converted[T gotype.Supported](t *tensors.Tensor, f func(T) float64) ([]float64, error) {
	flat, err := tensors.CopyFlatData[T](t)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(flat))
	for i, v := range flat {
		out[i] = f(v)
	}
	return out, nil
}

// TypeOf is the type of a model's numbers that an engine's are.
func TypeOf(d dtypes.DType) (onnx.DataType, bool) {
	t, ok := map[dtypes.DType]onnx.DataType{
		dtypes.Float32: onnx.Float, dtypes.Float64: onnx.Double, dtypes.Float16: onnx.Float16, dtypes.BFloat16: onnx.BFloat16,
	}[d]
	return t, ok
}
