package zoo

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/param"
)

// Import says where the value of a variable is in a file that another framework wrote.
type Import struct {
	Variable string // path below the network's scope: block_1/conv_1/kernel
	Tensor   string // name in the file
	View     []int  // shape the tensor is seen in before its axes are put in order, one of them -1 for what remains; nil = its own
	Axes     []int  // order of the axes; nil = as they are

	Part, Parts int // the variable is piece Part, from 0, of Parts equal ones along the first axis; Parts 0 = the whole tensor
}

// Importable is a network that knows the names its weights have elsewhere.
type Importable interface {
	Network
	Imports() []Import
}

// denseImports are those of a dense layer: its kernel is [out, in] elsewhere.
func denseImports(ours, theirs string) []Import {
	return []Import{
		{Variable: ours + "/kernel", Tensor: theirs + ".weight", Axes: []int{1, 0}},
		{Variable: ours + "/bias", Tensor: theirs + ".bias"},
	}
}

// convImports are those of a convolution: its kernel is [out, in, height, width] elsewhere.
func convImports(ours, theirs string) []Import {
	return []Import{
		{Variable: ours + "/kernel", Tensor: theirs + ".weight", Axes: []int{2, 3, 1, 0}},
		{Variable: ours + "/bias", Tensor: theirs + ".bias"},
	}
}

// batchImports are those of a batch normalisation.
func batchImports(ours, theirs string) []Import {
	return []Import{
		{Variable: ours + "/scale", Tensor: theirs + ".weight"},
		{Variable: ours + "/offset", Tensor: theirs + ".bias"},
		{Variable: ours + "/mean", Tensor: theirs + ".running_mean"},
		{Variable: ours + "/variance", Tensor: theirs + ".running_var"},
	}
}

// unused are tensors that frameworks save and no network needs: counters and tables that follow from the shapes.
var unused = []string{"num_batches_tracked", "position_ids"}

// Values is the source of first values (see param.From) that a file of another framework is for the variables under a scope. Each tensor's
// shape is compared with the network's before it is read. Errors are those of Fill.
func Values(scope string, file weights.File, imports []Import, beside ...string) (param.Source, error) {
	file = bare(file, imports)
	byVariable, names, err := matched(file, imports, beside)
	if err != nil {
		return nil, err
	}
	return func(path string, want shapes.Shape) (*tensors.Tensor, error) {
		name, inside := strings.CutPrefix(path, scope+"/")
		i, ok := byVariable[name]
		if !inside || !ok {
			return nil, fmt.Errorf("zoo: nothing is said about where variable %s comes from", path)
		}
		return i.value(file, path, want, names)
	}, nil
}

// Fill gives every variable under a scope its value from a file of another framework. The variables must be there already (see
// bundle.Declare). A variable without an import, a tensor that is missing, is left over or does not fit is an error, a *fault.Input where
// the file is at fault; variables may have changed then. Tensors whose names begin with one of beside may be left over.
func Fill(store *model.Store, scope string, file weights.File, imports []Import, beside ...string) error {
	file = bare(file, imports)
	byVariable, names, err := matched(file, imports, beside)
	if err != nil {
		return err
	}
	for v := range store.IterVariables() {
		name, inside := strings.CutPrefix(v.Path(), scope+"/")
		if !inside {
			continue
		}
		i, ok := byVariable[name]
		if !ok {
			return fmt.Errorf("zoo: nothing is said about where variable %s comes from", v.Path())
		}
		value, err := i.value(file, v.Path(), v.Shape(), names)
		if err != nil {
			return err
		}
		if err := v.SetValue(value); err != nil {
			return err
		}
	}
	return nil
}

// bare is a file without what stands before all names that the network has elsewhere: "module." of PyTorch's DataParallel, "_orig_mod." of
// torch.compile, the name of the part that the network was of a larger one.
func bare(file weights.File, imports []Import) weights.File {
	var names, wanted []string
	for _, info := range file.Tensors() {
		names = append(names, info.Name)
	}
	for _, i := range imports {
		wanted = append(wanted, i.Tensor)
	}
	if prefix, ok := weights.Prefix(names, wanted); ok {
		return weights.Without(file, prefix)
	}
	return file
}

// matched are the imports by their variables and the names of the file's tensors, none of which may be left over.
func matched(file weights.File, imports []Import, beside []string) (byVariable map[string]Import, names []string, err error) {
	byVariable = make(map[string]Import, len(imports))
	used := map[string]bool{}
	for _, i := range imports {
		byVariable[i.Variable] = i
		used[i.Tensor] = true
	}
	for _, info := range file.Tensors() {
		names = append(names, info.Name)
		used[info.Name] = used[info.Name] || weights.IsComputed(info)
	}
	for _, name := range names {
		known := used[name] || slices.Contains(unused, name[strings.LastIndexByte(name, '.')+1:])
		if !known && !slices.ContainsFunc(beside, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return nil, nil, &fault.Input{File: file.Path(), Field: name, Err: errors.New("the network has no place for this tensor"), Fix: "the file belongs to another network"}
		}
	}
	return byVariable, names, nil
}

// value is what the file has for a variable.
func (i Import) value(file weights.File, variable string, want shapes.Shape, names []string) (*tensors.Tensor, error) {
	info, ok := file.Info(i.Tensor)
	if !ok {
		e := &fault.Input{File: file.Path(), Field: i.Tensor, Err: fmt.Errorf("the tensor is missing; the file has %d others", len(names)), Fix: "the file belongs to another network"}
		if near, ok := strict.Nearest(i.Tensor, names); ok {
			e.Err = fmt.Errorf("the tensor is missing; the nearest name is %q", near)
		}
		return nil, e
	}
	if err := weights.Readable(file, info); err != nil {
		return nil, err
	}
	whole, cuts := info, true
	if i.Parts > 1 {
		if cuts = len(info.Shape) > 0 && info.Shape[0]%i.Parts == 0; cuts {
			info.Shape = slices.Clone(info.Shape)
			info.Shape[0] /= i.Parts
			info.Elements /= i.Parts
		}
	}
	shape, fits := i.shape(info)
	fits = fits && cuts
	if !fits || len(i.View) == 0 && !slices.Equal(shape, want.Dimensions) || product(shape) != product(want.Dimensions) {
		return nil, &fault.Input{
			File: file.Path(), Field: i.Tensor, Err: fmt.Errorf("the tensor is %s %v, variable %s needs %v", info.Type, whole.Shape, path.Base(variable), want.Dimensions),
			Fix: "correct the network's options, or use the file of this network",
		}
	}
	if want.DType != dtypes.Float32 {
		return nil, fmt.Errorf("zoo: variable %s is %s; only float32 is filled from files", variable, want.DType)
	}
	if _, err := untrusted.Bytes("tensor "+i.Tensor, 4, info.Elements); err != nil {
		return nil, err
	}
	values := make([]float32, info.Elements)
	if err := file.ReadFloat32s(i.Tensor, i.Part*info.Elements, values); err != nil {
		return nil, err
	}
	return tensors.FromFlatDataAndDimensions(i.ordered(values, info.Shape), want.Dimensions...), nil
}

// view is the shape before the axes are put in order; ok is false if the tensor has no such view.
func (i Import) view(info []int) (view []int, ok bool) {
	if i.View == nil {
		return info, len(i.Axes) == 0 || len(i.Axes) == len(info)
	}
	view = slices.Clone(i.View)
	known, open := 1, -1
	for axis, n := range view {
		if n < 0 {
			open = axis
		} else {
			known *= n
		}
	}
	total := product(info)
	if open >= 0 && known > 0 {
		view[open] = total / known
	}
	return view, product(view) == total
}

// shape is the shape once the axes are in order.
func (i Import) shape(info weights.Info) (shape []int, ok bool) {
	view, ok := i.view(info.Shape)
	if !ok || len(i.Axes) == 0 {
		return view, ok
	}
	for _, axis := range i.Axes {
		shape = append(shape, view[axis])
	}
	return shape, true
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// ordered puts values of a tensor into the order of the variable.
func (i Import) ordered(values []float32, shape []int) []float32 {
	if len(i.Axes) == 0 {
		return values
	}
	view, _ := i.view(shape)
	strides := make([]int, len(view))
	for axis, step := len(view)-1, 1; axis >= 0; axis-- {
		strides[axis] = step
		step *= view[axis]
	}
	out := make([]float32, len(values))
	index := make([]int, len(view)) // in the order of the variable
	at := 0
	for k := range out {
		out[k] = values[at]
		for a := len(i.Axes) - 1; a >= 0; a-- {
			axis := i.Axes[a]
			index[a]++
			at += strides[axis]
			if index[a] < view[axis] {
				break
			}
			at -= index[a] * strides[axis]
			index[a] = 0
		}
	}
	return out
}
