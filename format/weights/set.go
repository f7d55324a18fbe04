package weights

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Tensor is a named tensor in memory.
type Tensor struct {
	Name   string
	Shape  []int     // slowest dimension first; empty for a scalar
	Values []float32 // row-major
}

// Set is the tensors of a model in memory, in the order of the model. Methods that act on weights alone take it: soups, signatures and
// positions are searched for on sets, with a score or a loss that takes one, and none of them knows what network they belong to.
type Set []Tensor

// Find returns the tensor of that name.
func (w Set) Find(name string) (Tensor, bool) {
	i := slices.IndexFunc(w, func(t Tensor) bool { return t.Name == name })
	if i < 0 {
		return Tensor{}, false
	}
	return w[i], true
}

// Names returns the names, in order.
func (w Set) Names() []string {
	names := make([]string, len(w))
	for i, t := range w {
		names[i] = t.Name
	}
	return names
}

// Size returns the number of values of all tensors.
func (w Set) Size() int {
	n := 0
	for _, t := range w {
		n += len(t.Values)
	}
	return n
}

// Clone returns a copy that shares no values.
func (w Set) Clone() Set {
	c := make(Set, len(w))
	for i, t := range w {
		c[i] = Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), Values: slices.Clone(t.Values)}
	}
	return c
}

// ZerosLike returns weights of the same names and shapes with all values 0.
func (w Set) ZerosLike() Set {
	c := make(Set, len(w))
	for i, t := range w {
		c[i] = Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), Values: make([]float32, len(t.Values))}
	}
	return c
}

// Dot returns the inner product of all values, summed in float64. Both must have the same layout.
func (w Set) Dot(other Set) float64 {
	sum := 0.0
	for i, t := range w {
		sum += Dot(t.Values, other[i].Values)
	}
	return sum
}

// Norm returns the L2 norm of all values.
func (w Set) Norm() float64 { return math.Sqrt(w.Dot(w)) }

// Checksum is the SHA-256 over names, shapes and values.
func (w Set) Checksum() string {
	h := sha256.New()
	var buffer []byte
	for _, t := range w {
		buffer = binary.LittleEndian.AppendUint64(buffer[:0], uint64(len(t.Name)))
		buffer = append(buffer, t.Name...)
		buffer = binary.LittleEndian.AppendUint64(buffer, uint64(len(t.Shape)))
		for _, d := range t.Shape {
			buffer = binary.LittleEndian.AppendUint64(buffer, uint64(d))
		}
		h.Write(buffer)
		for part := range slices.Chunk(t.Values, 1<<14) {
			buffer = buffer[:0]
			for _, v := range part {
				buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v))
			}
			h.Write(buffer)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// SameLayout says where the tensors of model other (called otherName) differ from those of w (called name) in name, order or
// shape: a *fault.Input, nil if nowhere. Methods that combine weights demand the same layout.
func (w Set) SameLayout(name string, other Set, otherName string) error {
	names := w.Names()
	for _, t := range other {
		if !slices.Contains(names, t.Name) {
			fix := "merge models of one architecture"
			if bare, ok := strings.CutPrefix(t.Name, "module."); ok && slices.Contains(names, bare) {
				fix = "take the prefix module. off its names, which PyTorch's DataParallel puts there"
			} else if near, ok := strict.Nearest(t.Name, names); ok {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			return &fault.Input{File: otherName, Field: t.Name, Err: fmt.Errorf("%s has no such tensor", name), Fix: fix}
		}
	}
	otherNames := other.Names()
	for i, t := range w {
		o, ok := other.Find(t.Name)
		switch {
		case !ok:
			return &fault.Input{File: otherName, Field: t.Name, Err: fmt.Errorf("the tensor is missing; %s has it with shape %v", name, t.Shape), Fix: "merge models of one architecture"}
		case !slices.Equal(o.Shape, t.Shape) || len(o.Values) != len(t.Values):
			return &fault.Input{
				File: otherName, Field: t.Name, Err: fmt.Errorf("the shape is %v, that of %s is %v", o.Shape, name, t.Shape),
				Fix: "merge models of one architecture, with as many classes",
			}
		case i < len(otherNames) && otherNames[i] != t.Name:
			return &fault.Input{File: otherName, Field: t.Name, Err: fmt.Errorf("tensor %d is %s, in %s it is %s", i, otherNames[i], name, t.Name), Fix: "bring both into one order"}
		}
	}
	if len(other) != len(w) {
		return &fault.Input{File: otherName, Err: fmt.Errorf("it has %d tensors, %s has %d", len(other), name, len(w)), Fix: "a name occurs twice; rename it"}
	}
	return nil
}

// Finite says which value of the model called name is NaN or infinite: a *fault.Input, nil if none is.
func (w Set) Finite(name string) error {
	for _, t := range w {
		for i, v := range t.Values {
			if v-v != 0 {
				return &fault.Input{File: name, Field: t.Name, Err: fmt.Errorf("value %d is %v", i, v), Fix: "leave this model out, or train it again"}
			}
		}
	}
	return nil
}

// CheckShapes says which tensor's values do not fit its shape: a *fault.Input, nil if all fit. name is that of the model.
func (w Set) CheckShapes(name string) error {
	for _, t := range w {
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		if n != len(t.Values) {
			return &fault.Input{File: name, Field: t.Name, Err: fmt.Errorf("%d values for shape %v", len(t.Values), t.Shape)}
		}
	}
	return nil
}

// CheckSets checks that there is a model, and that all have one layout and finite values. who begins the error of no model; names may be
// nil, see NameOf.
func CheckSets(who string, models []Set, names []string) error {
	if len(models) == 0 {
		return errors.New(who + ": there is no model; give at least one")
	}
	for i, m := range models {
		if err := m.CheckShapes(NameOf(names, i)); err != nil {
			return err
		}
		if i > 0 {
			if err := models[0].SameLayout(NameOf(names, 0), m, NameOf(names, i)); err != nil {
				return err
			}
		}
		if err := m.Finite(NameOf(names, i)); err != nil {
			return err
		}
	}
	return nil
}

// NameOf returns the name of model i for messages, "model 2" where names has none.
func NameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("model %d", i)
}

// Dot returns the inner product of two slices, summed in float64; the longer one is cut.
func Dot(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	n := min(len(a), len(b))
	i := 0
	for ; i+4 <= n; i += 4 {
		s0 += float64(a[i]) * float64(b[i])
		s1 += float64(a[i+1]) * float64(b[i+1])
		s2 += float64(a[i+2]) * float64(b[i+2])
		s3 += float64(a[i+3]) * float64(b[i+3])
	}
	for ; i < n; i++ {
		s0 += float64(a[i]) * float64(b[i])
	}
	return s0 + s1 + s2 + s3
}
