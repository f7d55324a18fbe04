package convert

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// SideBySide reports how far the outputs of a model and of its copy are apart.
type SideBySide struct {
	Examples      int     `json:"examples"`
	LargestChange float64 `json:"largest_change"` // of an output
	LargestOutput float64 `json:"largest_output"` // in size, for comparison
}

// IsBundle reports whether a path is a bundle, which RunBundle can run with the weights of a copy.
func IsBundle(path string) bool { return exists(filepath.Join(path, bundle.ManifestFile)) }

// RunBundle runs a bundle on n examples x, once with its own weights and once with those of the copy that Format wrote of it, and
// compares the logits.
func RunBundle(e *engine.Engine, in, out string, o Options, x []float32, n int) (SideBySide, error) {
	b, err := bundle.Open(in, o.Registry)
	if err != nil {
		return SideBySide{}, err
	}
	other, err := bundle.Open(in, o.Registry)
	if err != nil {
		return SideBySide{}, err
	}
	path, _ := outputPath(out, o.To)
	if err := fillFrom(other, path); err != nil {
		return SideBySide{}, err
	}
	var r FoldReport
	if err := r.Compare(e, b, other, x, n); err != nil {
		return SideBySide{}, err
	}
	return SideBySide{Examples: n, LargestChange: r.LargestChange, LargestOutput: r.LargestLogit}, nil
}

// fillFrom gives the float variables of a bundle the values that a file has under their names. Others are never converted.
func fillFrom(b *bundle.Bundle, path string) (err error) {
	file, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, v := range b.Variables() {
		if v.Shape().DType != dtypes.Float32 {
			continue
		}
		name, shape := strings.TrimPrefix(v.Path(), "/"), v.Shape().Dimensions
		info, ok := file.Info(name)
		if !ok || !slices.Equal(info.Shape, shape) {
			return &fault.Input{File: path, Field: name, Err: fmt.Errorf("shape is %v, the model's %v", info.Shape, shape), Fix: "convert again"}
		}
		values := make([]float32, info.Elements)
		if err := file.ReadFloat32s(name, 0, values); err != nil {
			return err
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(values, shape...)); err != nil {
			return fmt.Errorf("convert: %s: %w", name, err)
		}
	}
	return nil
}
