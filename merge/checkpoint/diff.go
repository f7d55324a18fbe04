package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/merge"
)

// TensorDiff is how far apart a tensor of two models is.
type TensorDiff struct {
	Name      string  `json:"name"`
	Type      string  `json:"type"`       // in the first model
	OtherType string  `json:"other_type"` // in the second
	Shape     []int   `json:"shape"`
	Largest   float64 `json:"largest"` // of |x - y|
	Mean      float64 `json:"mean"`    // of |x - y|; 0 for no values
	Cosine    float64 `json:"cosine"`  // of the flattened tensors; 1 where they are equal, 0 where one alone is 0
}

// ModelDiff compares two models.
type ModelDiff struct {
	Tensors []TensorDiff `json:"tensors"` // in the order of the first model
	Equal   int          `json:"equal"`   // tensors without a difference
	First   []string     `json:"first"`   // tensors that the first alone has
	Second  []string     `json:"second"`  // tensors that the second alone has
	Shapes  []string     `json:"shapes"`  // tensors of other shapes, which cannot be compared, with both
	Notes   []string     `json:"notes"`   // what else there is to know about the models
}

// Diff compares two model files or folders of any format tensor by tensor, block by block, whatever their size. Values that are infinite or NaN are an error that names the tensor.
func Diff(ctx context.Context, first, second string) (ModelDiff, error) {
	d := ModelDiff{Tensors: []TensorDiff{}, First: []string{}, Second: []string{}, Shapes: []string{}, Notes: []string{}}
	a, err := openInput(Ref(first), "", nil)
	if err != nil {
		return d, err
	}
	defer a.file.Close() //nolint:errcheck // it was only read
	b, err := openInput(Ref(second), "", nil)
	if err != nil {
		return d, err
	}
	defer b.file.Close()                //nolint:errcheck // it was only read
	for _, in := range []*Input{a, b} { // a llama of GGUF beside one of Hugging Face
		if view, ok := weights.AsTransformers(in.file); ok && hf.Guess(a.names).Style != hf.Guess(b.names).Style {
			in.see(view)
		}
	}
	for _, in := range []*Input{a, b} {
		for _, note := range in.notes {
			d.Notes = append(d.Notes, printable.Line(in.Model)+": "+note)
		}
	}
	if prefix, _ := b.seeAs(a); prefix != "" {
		d.Notes = append(d.Notes, fmt.Sprintf("all names differ by the prefix %s, which is ignored", printable.Quote(prefix)))
	}
	for _, info := range b.file.Tensors() {
		if _, ok := a.file.Info(info.Name); !ok {
			d.Second = append(d.Second, info.Name)
		}
	}

	for _, x := range a.file.Tensors() {
		y, ok := b.file.Info(x.Name)
		switch {
		case !ok:
			d.First = append(d.First, x.Name)
			continue
		case !slices.Equal(x.Shape, y.Shape):
			d.Shapes = append(d.Shapes, fmt.Sprintf("%s: %v and %v", printable.Line(x.Name), x.Shape, y.Shape))
			continue
		}
		if err := errors.Join(weights.Readable(a.file, x), weights.Readable(b.file, y)); err != nil {
			return d, err
		}
		t, err := diffTensor(ctx, a, b, x, y)
		if err != nil {
			return d, err
		}
		if t.Largest == 0 {
			d.Equal++
		}
		d.Tensors = append(d.Tensors, t)
	}
	return d, nil
}

func diffTensor(ctx context.Context, a, b *Input, x, y weights.Info) (TensorDiff, error) {
	t := TensorDiff{Name: x.Name, Type: x.Type, OtherType: y.Type, Shape: x.Shape, Cosine: 1}
	n := min(merge.BlockElements, x.Elements)
	values := [2][]float32{make([]float32, n), make([]float32, n)}
	var xx, xy, yy float64
	for at := 0; at < x.Elements; at += merge.BlockElements {
		if err := ctx.Err(); err != nil {
			return t, context.Cause(ctx)
		}
		u, v := values[0][:min(n, x.Elements-at)], values[1][:min(n, x.Elements-at)]
		if err := errors.Join(a.file.ReadFloat32s(x.Name, at, u), b.file.ReadFloat32s(x.Name, at, v)); err != nil {
			return t, err
		}
		for i := range u {
			p, q := float64(u[i]), float64(v[i])
			if p-p != 0 || q-q != 0 {
				return t, &fault.Input{File: b.Path, Field: x.Name, Err: fmt.Errorf("element %d is %v, in %s %v", at+i, q, a.Path, p), Fix: "compare models of finite values"}
			}
			apart := math.Abs(p - q)
			t.Largest = max(t.Largest, apart)
			t.Mean += apart
			xx, xy, yy = xx+p*p, xy+p*q, yy+q*q
		}
	}

	t.Mean /= float64(max(x.Elements, 1))
	if t.Largest > 0 {
		t.Cosine = 0
		if xx > 0 && yy > 0 {
			t.Cosine = xy / (math.Sqrt(xx) * math.Sqrt(yy))
		}
	}
	return t, nil
}
