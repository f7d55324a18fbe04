package merge

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Method is a way of merging one tensor. It is a plain struct: a []float64 field holds one value per model, the others apply to the whole
// tensor. The same struct is the API and the parameters of a recipe, by their json tags.
type Method interface {
	// Start checks the parameters against a tensor and returns what merges it.
	Start(t Target) (Merger, error)
}

// Target is what a method knows of a tensor before its values.
type Target struct {
	Name   string
	Shape  []int
	Models int    // without the base
	Which  []int  // number of each model in the recipe, which masks are drawn by; nil = 0, 1, 2, ...
	Base   bool   // there is a base
	Seed   uint64 // of what is random
}

// Elements is the number of values.
func (t Target) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Row is the number of values along the last axis; all of them where there are fewer than two axes.
func (t Target) Row() int {
	if len(t.Shape) < 2 {
		return t.Elements()
	}
	return t.Shape[len(t.Shape)-1]
}

func (t Target) which(model int) int {
	if t.Which == nil {
		return model
	}
	return t.Which[model]
}

// Merger merges one tensor that is read block by block, once for each pass and once for the merged values. A block comes with its number, in
// each pass once; Scan and Merge are called from several goroutines, and begin with the blocks in order.
type Merger interface {
	// Passes is how many passes over the whole tensor come before Merge.
	Passes() int

	// WholeRows tells whether blocks must consist of whole rows; else a block is a stretch of BlockElements.
	WholeRows() bool

	// Scan sees a block in a pass. It may overwrite it.
	Scan(pass int, b Block)

	// Scanned ends a pass.
	Scanned(pass int) error

	// Merge computes the merged values of a block, which it may overwrite.
	Merge(dst []float32, b Block)

	// Notes is what the user should know about the merged tensor, nil where there is nothing.
	Notes() []string
}

// Scratcher is a Merger whose calls take more memory than the blocks and a small factor of them.
type Scratcher interface {
	// Scratch is the bytes that one goroutine needs for each model, and for the base.
	Scratch() int64
}

// Block is a stretch of a tensor in all models.
type Block struct {
	Index  int // number of the block
	At     int // its first element
	Base   []float32
	Models [][]float32
}

// BlockElements is the length of a block: sums are taken block by block, so results do not depend on memory or threads. It is a
// multiple of the blocks that quantised formats store.
const BlockElements = 1 << 15

// BlockLength is the number of elements in a block of the tensor. The last block may be shorter.
func (t Target) BlockLength(wholeRows bool) int {
	if !wholeRows || t.Row() == 0 {
		return BlockElements
	}
	return t.Row() * max(1, BlockElements/t.Row())
}

// Values merges one tensor in memory. The values stay as they are; base is nil where there is none.
func Values(m Method, t Target, base []float32, models [][]float32) ([]float32, error) {
	t.Models, t.Base = len(models), base != nil
	n := t.Elements()
	if base != nil && len(base) != n {
		return nil, fmt.Errorf("merge: tensor %s: the base has %d values for shape %v", t.Name, len(base), t.Shape)
	}
	for i, model := range models {
		if len(model) != n {
			return nil, fmt.Errorf("merge: tensor %s: model %d has %d values for shape %v", t.Name, i, len(model), t.Shape)
		}
	}

	merger, err := m.Start(t)
	if err != nil {
		return nil, err
	}
	length := t.BlockLength(merger.WholeRows())
	block := func(i int) Block {
		from, to := i*length, min((i+1)*length, n)
		b := Block{Index: i, At: from}
		if base != nil {
			b.Base = slices.Clone(base[from:to])
		}
		for _, model := range models {
			b.Models = append(b.Models, slices.Clone(model[from:to]))
		}
		return b
	}

	blocks := (n + length - 1) / length
	for pass := range merger.Passes() {
		for i := range blocks {
			merger.Scan(pass, block(i))
		}
		if err := merger.Scanned(pass); err != nil {
			return nil, err
		}
	}

	out := make([]float32, n)
	for i := range blocks {
		merger.Merge(out[i*length:min((i+1)*length, n)], block(i))
	}
	return out, nil
}

// Need says whether a method wants a base.
type Need int

// What methods say of a base.
const (
	NoBase       Need = iota // a base is one more model
	OptionalBase             // a base is used if there is one
	NeedsBase
)

// Choice is a method that recipes can name.
type Choice struct {
	Name   string        `json:"name"`
	Base   Need          `json:"base"`
	Models int           `json:"models"` // exactly so many, the base not counted; 0 = any number
	First  bool          `json:"first"`  // the base is the first of the models
	Passes int           `json:"passes"` // over each tensor at most, before the merged values
	About  string        `json:"about"`
	New    func() Method `json:"-"` // with the defaults
}

// Parameters returns the names of what recipes can set: the json tags of the method's fields.
func (c Choice) Parameters() (names []string) {
	t := reflect.TypeOf(c.New())
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("json"); tag != "-" {
			names = append(names, tag)
		}
	}
	return names
}

// Has tells whether a method has a parameter.
func (c Choice) Has(name string) bool { return slices.Contains(c.Parameters(), name) }

// Methods lists the methods, in the order of the documentation.
func Methods() []Choice {
	return []Choice{
		{"linear", NoBase, 0, false, 0, "weighted mean", func() Method { return NewLinear() }},
		{"slerp", NoBase, 2, true, 1, "great circle between two models", func() Method { return NewSLERP() }},
		{"nuslerp", OptionalBase, 2, false, 1, "the same with weights, on deltas where there is a base", func() Method { return NewNuSLERP() }},
		{"multislerp", OptionalBase, 0, false, 1, "weighted mean on the sphere", func() Method { return NewMultiSLERP() }},
		{"karcher", NoBase, 0, false, 1, "Riemannian mean on the sphere", func() Method { return NewKarcher() }},
		{"task_arithmetic", NeedsBase, 0, false, 0, "base plus weighted deltas", func() Method { return NewTaskArithmetic() }},
		{"ties", NeedsBase, 0, false, 4, "trim, elect signs, merge", func() Method { return NewTIES() }},
		{"dare_linear", NeedsBase, 0, false, 1, "drop deltas at random, then add", func() Method { return NewDARE() }},
		{"dare_ties", NeedsBase, 0, false, 1, "drop deltas at random, then elect signs", func() Method { d := NewDARE(); d.Elect = true; return d }},
		{"della", NeedsBase, 0, false, 1, "drop small deltas more often, then elect signs", func() Method { d := NewDELLA(); d.Elect, d.Normalize = true, true; return d }},
		{"della_linear", NeedsBase, 0, false, 1, "drop small deltas more often, then add", func() Method { return NewDELLA() }},
		{"breadcrumbs", NeedsBase, 0, false, 4, "drop the smallest and the largest deltas, then add", func() Method { return NewBreadcrumbs() }},
		{"breadcrumbs_ties", NeedsBase, 0, false, 4, "drop the smallest and the largest deltas, then elect signs", func() Method { b := NewBreadcrumbs(); b.Elect = true; return b }},
		{"model_stock", NeedsBase, 0, false, 1, "between base and mean, by the angle of the deltas", func() Method { return NewModelStock() }},
		{"sce", NeedsBase, 0, false, 4, "keep what varies most, weigh models by their deltas", func() Method { return NewSCE() }},
		{"ram", NeedsBase, 0, false, 0, "deltas of one model whole, shared ones averaged", func() Method { return NewRAM() }},
		{"ramplus_tl", NeedsBase, 0, false, 1, "the same, deltas of one model scaled up", func() Method { return NewRAMPlus() }},
		{"arcee_fusion", NeedsBase, 1, false, 2, "take the outlying values of a model", func() Method { return NewArceeFusion() }},
		{"nearswap", NeedsBase, 1, false, 0, "move towards a model where it is near", func() Method { return NewNearSwap() }},
		{"passthrough", NoBase, 1, false, 0, "copy, for stacking layers", func() Method { return NewPassthrough() }},
	}
}

// FindMethod finds a method by its name; an unknown one is an error that names the nearest.
func FindMethod(name string) (Choice, error) {
	var names []string
	for _, c := range Methods() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	fix := "there are " + strings.Join(names, ", ")
	if near, ok := strict.Nearest(name, names); ok {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return Choice{}, &fault.Input{Field: "merge_method", Err: fmt.Errorf("no method %q", name), Fix: fix}
}

// wrong is an error of a method about a tensor.
func (t Target) wrong(method, field, format string, args ...any) error {
	return fmt.Errorf("merge: %s: tensor %s: %s %w", method, t.Name, field, fmt.Errorf(format, args...))
}

// perModel checks that a list has a finite value a model.
func (t Target) perModel(method, field string, values []float64) error {
	if len(values) != t.Models {
		return t.wrong(method, field, "has %d values for %d models; give each model one", len(values), t.Models)
	}
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return t.wrong(method, field, "of model %d is %v; give a finite number", i, v)
		}
	}
	return nil
}

// densities checks the shares of what is kept: of a model with 0 nothing is.
func (t Target) densities(method string, values []float64) error {
	if err := t.perModel(method, "density", values); err != nil {
		return err
	}
	for i, v := range values {
		if v < 0 || v > 1 {
			return t.wrong(method, "density", "of model %d is %v; it must be from 0 to 1", i, v)
		}
	}
	return nil
}

func (t Target) needsBase(method string) error {
	if !t.Base {
		return t.wrong(method, "base_model", "is not given; the method merges differences from a base")
	}
	if t.Models == 0 {
		return t.wrong(method, "models", "is the base alone; give at least one other model")
	}
	return nil
}

// onePass is what mergers that need no statistics share.
type onePass struct{}

func (onePass) Passes() int       { return 0 }
func (onePass) WholeRows() bool   { return false }
func (onePass) Scan(int, Block)   {}
func (onePass) Scanned(int) error { return nil }
func (onePass) Notes() []string   { return nil }
