package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// Difference compares one tensor of a model with its copy.
type Difference struct {
	Name     string  `json:"name"` // in the copy
	From     string  `json:"from"` // type in the model
	To       string  `json:"to"`   // type in the copy
	Largest  Number  `json:"largest"`
	Relative Number  `json:"relative"` // Largest by the largest value in the tensor
	OfBound  float64 `json:"of_bound"` // the largest difference by what its type may make of it; 1 is the most that is right
}

// Number is a float64 that JSON can store even if it is infinite or NaN.
type Number float64

// MarshalJSON writes infinite values and NaN as text.
func (n Number) MarshalJSON() ([]byte, error) {
	if v := float64(n); math.IsNaN(v) || math.IsInf(v, 0) {
		return json.Marshal(fmt.Sprint(v))
	}
	return json.Marshal(float64(n))
}

// CheckResult reports how far a copy is from its model.
type CheckResult struct {
	Tensors []Difference `json:"tensors"` // the largest share of its bound first
	Largest Number       `json:"largest"` // of all differences
	Exact   int          `json:"exact"`   // tensors without any
	Agrees  bool         `json:"agrees"`  // every tensor is within its bound
	Missing []string     `json:"missing"` // tensors of the model that the copy lacks, but those the other side computes
	Extra   []string     `json:"extra"`   // tensors of the copy that the model lacks
}

// Check reads a model and its copy side by side, tensor by tensor, and compares each difference with the largest error
// that the copy's type allows:
//
//	type             bound on the difference of a value x, a is the largest size in its block (for F types a = |x|)
//	same, wider      0
//	F32 from F64     2^-24 a
//	F16              2^-11 a + 2^-25
//	BF16             2^-8 a + 2^-134
//	Q8_0             a (1/254 + 2^-11)
//	Q4_0, Q5_0       a (1/8 + 2^-11), a (1/16 + 2^-11): one whole step, which the far end of the range may miss
//	Q4_1, Q5_1       a (1/15 + 2^-9), a (1/31 + 2^-9): half a step of a range of at most 2 a
//	Q6_K, Q5_K, Q4_K a (0.05, 0.09, 0.15): half a step and the rounding of its scale, with room for the search for one
//
// It fails where the two cannot be compared, and not where they differ.
func Check(ctx context.Context, in, out string, o Options) (CheckResult, error) {
	a, err := openInput(in, o)
	if err != nil {
		return CheckResult{}, err
	}
	defer a.Close() //nolint:errcheck // it was only read
	file, _ := outputPath(out, o.To)
	b, err := weights.OpenStored(file)
	if err != nil {
		return CheckResult{}, err
	}
	defer b.Close() //nolint:errcheck // it was only read
	p, err := newPlan(a, in, o)
	if err != nil {
		return CheckResult{}, err
	}
	p.ctx = ctx
	r := CheckResult{Tensors: []Difference{}, Missing: []string{}, Extra: []string{}, Agrees: true}
	have := map[string]bool{}
	for _, info := range b.Tensors() {
		have[info.Name] = true
	}
	for i := range p.tensors {
		t := &p.tensors[i]
		if !have[t.name] {
			r.Missing, r.Agrees = append(r.Missing, t.name), false
			continue
		}
		delete(have, t.name)
		d, err := p.compare(t, b)
		if err != nil {
			return CheckResult{}, err
		}
		if d.Largest == 0 {
			r.Exact++
		}
		r.Largest = max(r.Largest, d.Largest)
		r.Agrees = r.Agrees && d.OfBound <= 1
		r.Tensors = append(r.Tensors, d)
	}
	// What no tensor was read from may be damaged too.
	for _, f := range []weights.File{a, b} {
		if err := weights.Verify(ctx, f); err != nil {
			return CheckResult{}, err
		}
	}
	for name := range have {
		r.Extra, r.Agrees = append(r.Extra, name), false
	}
	sort.Strings(r.Extra)
	slices.SortStableFunc(r.Tensors, func(x, y Difference) int {
		switch {
		case x.OfBound > y.OfBound:
			return -1
		case x.OfBound < y.OfBound:
			return 1
		}
		return 0
	})
	return r, nil
}

// comparison gathers the differences of one tensor.
type comparison struct {
	largest, size, ofBound float64
	bound                  func(a float64) float64
	block                  int
}

// compare reads one tensor on both sides.
func (p *plan) compare(t *planned, b weights.File) (Difference, error) {
	info, _ := b.Info(t.name)
	if !slices.Equal(info.Shape, t.from.Shape) {
		return Difference{}, &fault.Input{File: b.Path(), Field: t.name, Err: fmt.Errorf("shape is %v, the model's %v", info.Shape, t.from.Shape), Fix: "convert again"}
	}
	c := comparison{bound: bounds(t), block: max(blockOf(t.to).elements, 1)}
	if from, raw := typeOf(t.from); raw && !isFloat(from) {
		if _, numbers := canonicalWhole[from]; !numbers {
			return p.compareBytes(t, b, info)
		}
	}
	n := piece * 4
	x, y := make([]float32, min(n, t.from.Elements)), make([]float32, min(n, t.from.Elements))
	for at := 0; at < t.from.Elements; at += n {
		x, y = x[:min(n, t.from.Elements-at)], y[:min(n, t.from.Elements-at)]
		if err := p.file.ReadFloat32s(t.from.Name, at, x); err != nil {
			return Difference{}, err
		}
		if err := b.ReadFloat32s(t.name, at, y); err != nil {
			return Difference{}, err
		}
		c.add(x, y)
		if err := p.step(p.bytesOf(t.from, at+len(x)) - p.bytesOf(t.from, at)); err != nil {
			return Difference{}, err
		}
	}
	d := Difference{Name: t.name, From: t.from.Type, To: info.Type, Largest: Number(c.largest), OfBound: c.ofBound}
	if c.size > 0 {
		d.Relative = Number(c.largest / c.size)
	}
	return d, nil
}

// canonicalWhole are the types of whole numbers that are compared as numbers.
var canonicalWhole = map[string]bool{"BOOL": true, "U8": true, "I8": true, "U16": true, "I16": true, "U32": true, "I32": true, "U64": true, "I64": true}

// compareBytes compares what has no values.
func (p *plan) compareBytes(t *planned, b weights.File, info weights.Info) (Difference, error) {
	d := Difference{Name: t.name, From: t.from.Type, To: info.Type}
	const n = 1 << 20
	x, y := make([]byte, n), make([]byte, n)
	for at := int64(0); at < t.from.Bytes; at += n {
		x, y = x[:min(n, t.from.Bytes-at)], y[:min(n, t.from.Bytes-at)]
		if err := p.file.ReadBytes(t.from.Name, at, x); err != nil {
			return d, err
		}
		if err := b.ReadBytes(t.name, at, y); err != nil {
			return d, err
		}
		if !slices.Equal(x, y) {
			d.Largest, d.OfBound = Number(math.NaN()), math.MaxFloat64
		}
		if err := p.step(int64(len(x))); err != nil {
			return d, err
		}
	}
	return d, nil
}

// add takes in values of whole blocks. NaN agrees with NaN. A value that became infinite is an infinite difference.
func (c *comparison) add(x, y []float32) {
	for begin := 0; begin < len(x); begin += c.block {
		end := min(begin+c.block, len(x))
		biggest, worst := 0.0, 0.0
		for i := begin; i < end; i++ {
			a, d := math.Abs(float64(x[i])), math.Abs(float64(x[i])-float64(y[i]))
			if x[i] == y[i] || x[i] != x[i] && y[i] != y[i] {
				d = 0
			}
			if !(a <= biggest) {
				biggest = a
			}
			if !(d <= worst) { // NaN too
				worst = d
			}
		}
		c.size = max(c.size, biggest)
		if worst == 0 {
			continue
		}
		c.largest = max(c.largest, worst)
		share := worst / c.bound(biggest)
		if math.IsNaN(share) || math.IsInf(share, 0) {
			share = math.MaxFloat64
		}
		c.ofBound = max(c.ofBound, share)
	}
}

// bounds is what a type may make of a value, by the largest size in its block.
func bounds(t *planned) func(a float64) float64 {
	linear := func(share, floor float64) func(float64) float64 {
		return func(a float64) float64 { return share*a + floor }
	}
	from, _ := typeOf(t.from)
	if t.raw || from == t.to || isWhole(t.to) {
		return linear(0, 0)
	}
	// A block's scale is a half: below its smallest number a block is all zero.
	const half = 0x1p-25
	switch t.to {
	case "F64":
		return linear(0, 0)
	case "F32":
		return linear(0x1p-24, 0x1p-150)
	case "F16":
		return linear(0x1p-11, half)
	case "BF16":
		return linear(0x1p-8, 0x1p-134)
	case "Q8_0":
		return linear(1.0/254+0x1p-11, 127*half)
	case "Q4_0":
		return linear(1.0/8+0x1p-11, 8*half)
	case "Q5_0":
		return linear(1.0/16+0x1p-11, 16*half)
	case "Q4_1":
		return linear(1.0/15+0x1p-9, 16*half)
	case "Q5_1":
		return linear(1.0/31+0x1p-9, 32*half)
	case "Q6_K":
		return linear(0.05, 0x1p-13)
	case "Q5_K":
		return linear(0.09, 0x1p-13)
	}
	return linear(0.15, 0x1p-13)
}
