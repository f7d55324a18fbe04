package convert

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// FoldReport describes what FoldNorms did.
type FoldReport struct {
	Norms          []string `json:"norms"`          // scopes of the norms that are gone
	Standardized   []string `json:"standardized"`   // kernels that are plain now
	LargestChange  float64  `json:"largest_change"` // of a logit, on the examples checked
	LargestLogit   float64  `json:"largest_logit"`  // in size, for comparison
	ExamplesTested int      `json:"examples_tested"`
}

// FoldNorms returns a copy of a trained model without normalisation: each norm that is a scale and an offset at inference is folded
// into the layer before it, and standardised kernels become plain ones. Of each norm only an offset remains.
// It refuses a network with norms that depend on the input at inference, and names them.
func FoldNorms(b *bundle.Bundle) (*bundle.Bundle, FoldReport, error) {
	var report FoldReport
	foldable, ok := b.Manifest.Network.Network.(zoo.Foldable)
	if !ok {
		return nil, report, fmt.Errorf("convert: network %s has norms that look at the input at inference; there is nothing to fold", zoo.Name(b.Manifest.Network.Network))
	}

	layer, ok := foldable.NormLayer().(norm.Foldable)
	if !ok {
		return nil, report, fmt.Errorf("convert: norm %s looks at the input at inference and cannot be folded; batch, ghost, estimated, unified and power without group scaling can",
			norm.Name(foldable.NormLayer()))
	}

	plain, standardization := foldable.Folded()
	values := map[string]*tensors.Tensor{}
	for _, v := range b.Variables() {
		value, err := v.Value()
		if err != nil {
			return nil, report, fmt.Errorf("convert: %w", err)
		}
		if values[v.Path()], err = value.LocalClone(); err != nil {
			return nil, report, fmt.Errorf("convert: %w", err)
		}
	}

	if standardization != nil {
		for _, at := range slices.Sorted(maps.Keys(values)) {
			if !strings.HasSuffix(at, "/kernel") || values[path.Join(path.Dir(at), "norm/scale")] == nil && values[path.Join(path.Dir(at), "norm/batch/scale")] == nil {
				continue
			}
			standard, err := standardization.Values(numbers(values[at]), values[at].Shape().Dimensions)
			if err != nil {
				return nil, report, fmt.Errorf("convert: %s: %w", at, err)
			}
			values[at] = like(values[at], standard)
			report.Standardized = append(report.Standardized, at)
		}
	}

	for _, scope := range normScopes(values) {
		variables := map[string][]float64{}
		for at, v := range values {
			if path.Dir(at) == scope && v.DType().IsFloat() {
				variables[path.Base(at)] = numbers(v)
			}
		}

		scale, offset := layer.Fold(variables)
		kernelPath := path.Join(path.Dir(scope), "kernel")
		kernel := values[kernelPath]
		if scale == nil || kernel == nil {
			return nil, report, fmt.Errorf("convert: norm %s at %s cannot be folded: it needs its input at inference, or there is no kernel before it", norm.Name(layer), scope)
		}
		none := make([]float64, len(offset))
		linear, err := FoldIntoPrevious(scale, none, numbers(kernel), numbers(values[path.Join(path.Dir(scope), "bias")]))
		if err != nil {
			return nil, report, fmt.Errorf("%s: %w", scope, err)
		}
		values[kernelPath] = like(kernel, linear.Kernel)
		if bias := values[path.Join(path.Dir(scope), "bias")]; bias != nil {
			values[path.Join(path.Dir(scope), "bias")] = like(bias, linear.Bias)
		}

		for at := range values {
			if path.Dir(at) == scope {
				delete(values, at)
			}
		}
		values[path.Join(scope, "offset")] = fromNumbers(offset)
		report.Norms = append(report.Norms, scope)
	}

	folded := &bundle.Bundle{Manifest: b.Manifest, Store: model.NewStore()}
	folded.Manifest.Network = zoo.Choice{Network: plain}
	folded.Manifest.Provenance.Derived = append(slices.Clone(b.Manifest.Provenance.Derived), fmt.Sprintf("convert: folded %d norms into the layers before them", len(report.Norms)))
	for _, at := range slices.Sorted(maps.Keys(values)) {
		if _, err := folded.Store.CreateVariable(at, values[at]); err != nil {
			return nil, report, fmt.Errorf("convert: %w", err)
		}
	}
	return folded, report, nil
}

// Compare runs two models on the same n examples and puts the largest change of a logit into the report.
func (r *FoldReport) Compare(e *engine.Engine, before, after *bundle.Bundle, x []float32, n int) error {
	var logits [2][]float32
	for i, b := range []*bundle.Bundle{before, after} {
		forward, err := b.NewForward(e, n)
		if err != nil {
			return err
		}
		logits[i], err = forward.Logits(x, n)
		forward.Close()
		if err != nil {
			return err
		}
	}
	r.ExamplesTested = n
	for i, v := range logits[0] {
		r.LargestChange = math.Max(r.LargestChange, math.Abs(float64(v-logits[1][i])))
		r.LargestLogit = math.Max(r.LargestLogit, math.Abs(float64(v)))
	}
	if math.IsNaN(r.LargestChange) {
		return fmt.Errorf("convert: the outputs of the folded model are not finite")
	}
	return nil
}

// FoldDecoder folds the norms of a pre-norm transformer, trained in store under root, into the dense layers that read them, and returns
// the model without norms. The attention norm feeds query, key and value, the other one the first dense layers, the last one the output.
func FoldDecoder(store *model.Store, root string, network zoo.Decoder) (zoo.Decoder, error) {
	layer, ok := network.Norm.Layer.(norm.Foldable)
	if !ok {
		return zoo.Decoder{}, fmt.Errorf("convert: only foldable norms can be folded into dense layers; this model has %s", norm.Name(network.Norm.Layer))
	}
	all, err := network.NormConsumers(root)
	if err != nil {
		return zoo.Decoder{}, fmt.Errorf("convert: %w", err)
	}
	for _, consumers := range all { // before any weight is changed
		for _, at := range consumers {
			if store.GetVariable(at+"/bias") == nil {
				return zoo.Decoder{}, fmt.Errorf("convert: %s has no bias, into which the norm's offset could be folded", at)
			}
		}
	}
	for scope, consumers := range all {
		variables := map[string][]float64{}
		for v := range store.IterVariables() {
			if path.Dir(v.Path()) == scope && v.DType().IsFloat() {
				variables[v.Name()] = numbers(v.MustValue())
			}
		}
		scale, offset := layer.Fold(variables)
		if scale == nil {
			return zoo.Decoder{}, fmt.Errorf("convert: norm %s at %s looks at the input at inference (group scaling?) and cannot be folded", norm.Name(layer), scope)
		}
		for _, at := range consumers {
			kernel, bias := store.GetVariable(at+"/kernel"), store.GetVariable(at+"/bias")
			linear, err := FoldIntoNext(scale, offset, numbers(kernel.MustValue()), numbers(bias.MustValue()))
			if err != nil {
				return zoo.Decoder{}, fmt.Errorf("%s: %w", at, err)
			}
			if err := kernel.SetValue(like(kernel.MustValue(), linear.Kernel)); err != nil {
				return zoo.Decoder{}, err
			}
			if err := bias.SetValue(like(bias.MustValue(), linear.Bias)); err != nil {
				return zoo.Decoder{}, err
			}
		}
	}
	network.Norm.Layer = norm.Identity{}
	return network, nil
}

// normScopes are the scopes of norms: those named norm.
func normScopes(values map[string]*tensors.Tensor) []string {
	seen := map[string]bool{}
	for at := range values {
		if scope := path.Dir(at); path.Base(scope) == "norm" {
			seen[scope] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// numbers are the values of a tensor in float64, nil for none.
func numbers(t *tensors.Tensor) []float64 {
	if t == nil {
		return nil
	}
	flat := tensors.MustCopyFlatData[float32](t)
	out := make([]float64, len(flat))
	for i, v := range flat {
		out[i] = float64(v)
	}
	return out
}

// like is a tensor of the same shape with other values.
func like(t *tensors.Tensor, values []float64) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(narrow(values), t.Shape().Dimensions...)
}

func fromNumbers(values []float64) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(narrow(values), len(values))
}

func narrow(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}
