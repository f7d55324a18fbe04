package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/param"
)

// dtypeOf is the name a type has in a safetensors file.
var dtypeOf = map[dtypes.DType]safetensors.DType{
	dtypes.Float64: safetensors.F64, dtypes.Float32: safetensors.F32, dtypes.Float16: safetensors.F16, dtypes.BFloat16: safetensors.BF16,
	dtypes.Int64: safetensors.I64, dtypes.Int32: safetensors.I32, dtypes.Int16: safetensors.I16, dtypes.Int8: safetensors.I8,
	dtypes.Uint64: safetensors.U64, dtypes.Uint32: safetensors.U32, dtypes.Uint16: safetensors.U16, dtypes.Uint8: safetensors.U8,
	dtypes.Bool: safetensors.Bool,
}

// tensorName is a variable's name in a file: its path without the first slash, model/output/kernel.
func tensorName(v *model.Variable) string { return strings.TrimPrefix(v.Path(), "/") }

// WriteTensors writes variables to a safetensors file under their paths, exact to the bit. One at a time is in memory
// twice.
func WriteTensors(path string, variables []*model.Variable) error {
	list := make([]safetensors.Tensor, 0, len(variables))
	for _, v := range variables {
		dtype, known := dtypeOf[v.DType()]
		if !known {
			return fmt.Errorf("bundle: variable %s is %s, which a safetensors file cannot hold; use a plain number type", v.Path(), v.DType())
		}
		list = append(list, safetensors.Tensor{
			Name: tensorName(v), DType: dtype, Shape: v.Shape().Dimensions,
			Open: func() (io.Reader, error) {
				value, err := v.Value()
				if err != nil {
					return nil, err
				}
				var data []byte
				err = value.ConstBytes(func(view []byte) { data = bytes.Clone(view) })
				return bytes.NewReader(data), err
			},
		})
	}
	return safetensors.WriteFile(path, list, map[string]string{"format": "ballast"})
}

// ReadTensors gives variables the values a safetensors file has under their paths. The file must hold these tensors and no
// others, of the same shapes and types: anything else is a *fault.Input, a damaged file a *format.Error, and no variable has changed.
func ReadTensors(path string, variables []*model.Variable) error {
	file, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	for _, v := range variables {
		if err := fits(path, file, tensorName(v), v.Shape()); err != nil {
			return err
		}
	}
	if err := leftOver(path, file, variables); err != nil {
		return err
	}
	source := tensorsOf(path, file)
	for _, v := range variables {
		value, err := source(v.Path(), v.Shape())
		if err != nil {
			return err
		}
		if err := v.SetValue(value); err != nil {
			return fmt.Errorf("bundle: %s: %s: %w", path, tensorName(v), err)
		}
	}
	return nil
}

// tensorsOf is the source of the values that a safetensors file has for variables, under their paths.
func tensorsOf(path string, file *safetensors.File) param.Source {
	return func(variable string, want shapes.Shape) (*tensors.Tensor, error) {
		name := strings.TrimPrefix(variable, "/")
		if err := fits(path, file, name, want); err != nil {
			return nil, err
		}
		raw, err := file.Bytes(name)
		if err != nil {
			return nil, err
		}
		value := tensors.FromShape(want)
		if err := value.MutableBytes(func(data []byte) { copy(data, raw) }); err != nil {
			return nil, fmt.Errorf("bundle: %s: %s: %w", path, name, err)
		}
		return value, nil
	}
}

// leftOver refuses a tensor of a file that no variable is called like.
func leftOver(path string, file *safetensors.File, variables []*model.Variable) error {
	names, known := make([]string, len(variables)), make(map[string]bool, len(variables))
	for i, v := range variables {
		names[i] = tensorName(v)
		known[names[i]] = true
	}
	for _, name := range file.Names() {
		if known[name] {
			continue
		}
		e := &fault.Input{File: path, Field: strict.Short(name), Err: errors.New("the network has no such tensor"), Fix: "the file belongs to another network; use the one saved with this " + ManifestFile}
		if near, ok := strict.Nearest(name, names); ok {
			e.Fix = fmt.Sprintf("did you mean %q?", near)
		}
		return e
	}
	return nil
}

// fits checks one tensor of a file against the variable it is for.
func fits(path string, file *safetensors.File, name string, variable shapes.Shape) error {
	info, found := file.Info(name)
	if !found {
		return &fault.Input{
			File: path, Field: name, Err: fmt.Errorf("the tensor is missing; the file has %d tensors", len(file.Names())),
			Fix: "the file belongs to another network; use the one saved with this " + ManifestFile,
		}
	}
	want := dtypeOf[variable.DType]
	if !slices.Equal(info.Shape, variable.Dimensions) || info.DType != want {
		return &fault.Input{
			File: path, Field: name,
			Err: fmt.Errorf("the tensor is %s %v, the network needs %s %v", info.DType, info.Shape, want, variable.Dimensions),
			Fix: "correct the network's options in " + ManifestFile + " or use the weights saved with it",
		}
	}
	return nil
}
