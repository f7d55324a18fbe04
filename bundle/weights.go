package bundle

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/format/weights"
)

// Floats returns the variables of the model that are float32, in the order of the network: those that Weights copies. Others, such as
// counters, are not weights.
func (b *Bundle) Floats() []*model.Variable {
	return slices.DeleteFunc(slices.Clone(b.Variables()), func(v *model.Variable) bool { return v.DType() != dtypes.Float32 })
}

// Weights returns a copy of the float32 variables of the model under the names that its file has, in the order of the network.
func (b *Bundle) Weights() (weights.Set, error) {
	var set weights.Set
	for _, v := range b.Floats() {
		value, err := v.Value()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", v.Path(), err)
		}
		flat, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", v.Path(), err)
		}
		set = append(set, weights.Tensor{Name: tensorName(v), Shape: append([]int{}, v.Shape().Dimensions...), Values: flat})
	}
	return set, nil
}

// SetWeights gives the model's float32 variables other values. The set must have the layout that Weights returns: anything else is a
// *fault.Input, and no variable has changed.
func (b *Bundle) SetWeights(set weights.Set) error {
	variables := b.Floats()
	own := make(weights.Set, len(variables))
	for i, v := range variables {
		own[i] = weights.Tensor{Name: tensorName(v), Shape: v.Shape().Dimensions}
	}
	bare := make(weights.Set, len(set)) // layouts are compared without values
	for i, t := range set {
		bare[i] = weights.Tensor{Name: t.Name, Shape: t.Shape}
	}
	if err := own.SameLayout("the model", bare, "the weights"); err != nil {
		return err
	}

	for i, v := range variables {
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(set[i].Values, set[i].Shape...)); err != nil {
			return fmt.Errorf("bundle: %s: %w", v.Path(), err)
		}
	}
	return nil
}

// Clone returns a model with variables of its own, with the values that these have now. It declares them on the backend.
func (b *Bundle) Clone(backend compute.Backend) (*Bundle, error) {
	c := &Bundle{Manifest: b.Manifest, Store: model.NewStore()}
	if err := c.Declare(backend); err != nil {
		return nil, err
	}

	for _, v := range b.Variables() {
		value, err := v.Value()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", v.Path(), err)
		}
		local, err := value.LocalClone()
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", v.Path(), err)
		}
		to := c.Store.GetVariable(v.Path())
		if to == nil {
			return nil, fmt.Errorf("bundle: %s: the network does not declare it", v.Path())
		}
		if err := to.SetValue(local); err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", v.Path(), err)
		}
	}
	return c, nil
}
