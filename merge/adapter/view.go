package adapter

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// view is a base with an adapter applied.
type view struct {
	weights.File // the base
	adapter      *Adapter
	inBase       translation // from the adapter's names
	tensors      []weights.Info
	changed      map[string]*changed // by the base's names

	mu     sync.Mutex
	recent []*factors // of the modules that were read last, the newest at the end
}

// changed is a tensor of the base that the adapter changes.
type changed struct {
	info  weights.Info // as the view shows it
	whole string       // tensor of the adapter that takes its place; "" = none
	term  term         // what is added; of no module = nothing

	rows, columns int  // of the base's tensor as a matrix, as it is stored
	perColumn     bool // a magnitude belongs to a column: the outputs are the columns
}

// term is a part of the adapter that is added to a tensor.
type term struct {
	module string
	scale  float64
	bias   bool // lora_B.bias, not the product
}

// factors are the matrices of a module for the reading of a tensor: scale left right is added, left [rows, r], right [r, columns].
type factors struct {
	tensor      string
	load        sync.Once
	err         error
	left, right []float32
	rank        int
	gain        []float64 // of each output: m / ||W + s B A||; nil without DoRA
	bias        []float32 // or: added to the tensor, a bias
	scale       float64
}

// mostRecent is how many modules' matrices are kept; the tensors of a file are read in their order, a few at a time.
const mostRecent = 8

// On shows base with the adapter applied: a tensor of the base that the adapter does not touch is the base's, the others are computed as they
// are read and have the type of the base. It refuses an adapter if any part of it does not fit the base. Closing it closes both.
func (a *Adapter) On(base weights.File) (weights.File, error) {
	v := &view{File: base, adapter: a, inBase: a.translate(base), changed: map[string]*changed{}}
	if v.inBase == nil {
		v.inBase = same // something is missing, which is named below
	}
	if err := a.fits(base, v.inBase); err != nil {
		return nil, err
	}
	for _, name := range a.order {
		if err := v.change(name, a.modules[name]); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.whole)) {
		if err := v.replace(name, a.whole[name]); err != nil {
			return nil, err
		}
	}
	for _, t := range base.Tensors() {
		if c := v.changed[t.Name]; c != nil {
			t = c.info
		}
		v.tensors = append(v.tensors, t)
	}
	return v, nil
}

// fits says that no module is in the base, if so, and by what prefix the names differ.
func (a *Adapter) fits(base weights.File, inBase translation) error {
	if len(a.order) == 0 {
		return nil
	}
	for _, name := range a.order {
		if _, ok := base.Info(inBase(name) + ".weight"); ok {
			return nil
		}
	}
	first := a.order[0]
	text := fmt.Sprintf("none of the adapter's %d modules is in %s; the first is %s", len(a.order), base.Path(), first)
	for _, t := range base.Tensors() {
		theirs, ok := strings.CutSuffix(t.Name, ".weight")
		if !ok {
			continue
		}
		if prefix, ok := strings.CutSuffix(theirs, "."+first); ok {
			text += fmt.Sprintf(", and the base has it as %s: its names begin with %s.", theirs, prefix)
			break
		}
		if prefix, ok := strings.CutSuffix(first, "."+theirs); ok {
			text += fmt.Sprintf(", and the base has it as %s: the adapter's names begin with %s.", theirs, prefix)
			break
		}
	}
	return &fault.Input{File: a.file.Path(), Err: errors.New(text), Fix: "name the base that the adapter was trained on, in the same format: " + a.Config.base()}
}

// base is what the configuration says of the base.
func (c Config) base() string {
	if c.Base == "" {
		return ConfigFile + " does not say which"
	}
	return short([]byte(c.Base))
}

// change notes what a module adds to its weight and bias.
func (v *view) change(name string, m *module) error {
	wrong := func(format string, args ...any) error {
		return v.adapter.wrong(name, fmt.Sprintf(format, args...), "use the base that the adapter was trained on: "+v.adapter.Config.base())
	}
	own := v.inBase(name)
	info, ok := v.File.Info(own + ".weight")
	if !ok {
		return wrong("%s has no %s.weight", v.File.Path(), own)
	}
	if !isFloat(info.Type) {
		return wrong("%s of the base is %s; an adapter is added to float32, float16 or bfloat16", info.Name, info.Type)
	}
	c := &changed{info: computed(info), whole: m.base}
	if of, _ := v.adapter.file.Info(m.base); m.base != "" && !slices.Equal(of.Shape, info.Shape) {
		return wrong("base_layer.weight is %v, and %s in the base is %v", of.Shape, info.Name, info.Shape)
	}
	rank, err := v.shape(c, info, m)
	if err != nil {
		return wrong("%v", err)
	}
	scale, err := v.adapter.Config.scale(name, rank)
	if err != nil {
		return wrong("%v", err)
	}
	if v.changed[info.Name] != nil {
		return wrong("another module of the adapter changes %s, too", info.Name)
	}
	c.term = term{module: name, scale: scale}
	v.changed[info.Name] = c
	if m.bias == "" {
		return nil
	}

	bias, ok := v.File.Info(own + ".bias")
	theirs, _ := v.adapter.file.Info(m.bias)
	if !ok || !slices.Equal(bias.Shape, theirs.Shape) {
		return wrong("lora_B.bias %v needs a bias of the same shape in the base, which has %v", theirs.Shape, bias.Shape)
	}
	v.changed[bias.Name] = &changed{info: computed(bias), rows: 1, columns: bias.Elements, term: term{module: name, scale: scale, bias: true}}
	return nil
}

// shape finds the tensor's sides as a matrix, and holds them against those of A and B. It returns the rank.
func (v *view) shape(c *changed, info weights.Info, m *module) (rank int, err error) {
	a, _ := v.adapter.file.Info(m.a)
	b, _ := v.adapter.file.Info(m.b)
	misfit := fmt.Errorf("lora_A is %v and lora_B is %v, which do not fit the base's %v", a.Shape, b.Shape, info.Shape)
	if len(info.Shape) < 2 || len(a.Shape) < 2 || len(b.Shape) < 2 || info.Elements == 0 {
		return 0, misfit
	}
	c.rows, c.columns = info.Shape[0], info.Elements/info.Shape[0]

	rank = a.Shape[0]
	switch {
	case m.embedding: // W [tokens, width], A [r, tokens], B [width, r]
		if !slices.Equal(a.Shape, []int{rank, c.rows}) || !slices.Equal(b.Shape, []int{c.columns, rank}) {
			return 0, misfit
		}
	case v.adapter.Config.Transposed && len(info.Shape) == 2: // W [inputs, outputs]
		c.perColumn = true
		if !slices.Equal(a.Shape, []int{rank, c.rows}) || !slices.Equal(b.Shape, []int{c.columns, rank}) {
			return 0, misfit
		}
	default: // W [outputs, inputs, ...kernel], A [r, inputs, ...kernel], B [outputs, r, ...1]
		if !slices.Equal(a.Shape[1:], info.Shape[1:]) || b.Shape[0] != c.rows || b.Shape[1] != rank || b.Elements != c.rows*rank {
			return 0, misfit
		}
	}
	if rank == 0 {
		return 0, misfit
	}
	if m.magnitude != "" {
		outputs := c.rows
		if c.perColumn {
			outputs = c.columns
		}
		if of, _ := v.adapter.file.Info(m.magnitude); of.Elements != outputs {
			return 0, fmt.Errorf("the magnitude has %d values for %d outputs", of.Elements, outputs)
		}
	}
	return rank, nil
}

// replace notes a tensor that the adapter holds as a whole, name by the adapter.
func (v *view) replace(name, theirs string) error {
	wrong := func(fix, format string, args ...any) error {
		return v.adapter.wrong(theirs, fmt.Sprintf(format, args...), fix)
	}
	name = v.inBase(name)
	info, ok := v.File.Info(name)
	of, _ := v.adapter.file.Info(theirs)
	switch {
	case !ok:
		return wrong("use the base that the adapter was trained on, with a head of the same task", "%s has no tensor %s that it could take the place of", v.File.Path(), name)
	case !slices.Equal(info.Shape, of.Shape):
		return wrong("give the base as many rows as the adapter was trained with", "it is %v, and %s in the base is %v", of.Shape, name, info.Shape)
	case !isFloat(info.Type):
		return wrong(fixMerge, "%s of the base is %s; a tensor of float32, float16 or bfloat16 can be replaced", name, info.Type)
	case v.changed[name] != nil:
		return wrong("get the adapter again", "the adapter changes %s by a product and replaces it, too", name)
	}
	v.changed[name] = &changed{info: computed(info), whole: theirs}
	return nil
}

// computed is a tensor that is not stored: there are no bytes of it to copy.
func computed(info weights.Info) weights.Info {
	info.BlockBytes = 0
	return info
}

// Close closes the base and the adapter.
func (v *view) Close() error { return errors.Join(v.File.Close(), v.adapter.Close()) }

// Tensors returns the base's, in their order.
func (v *view) Tensors() []weights.Info { return v.tensors }

// Info describes one of them.
func (v *view) Info(name string) (weights.Info, bool) {
	if c := v.changed[name]; c != nil {
		return c.info, true
	}
	return v.File.Info(name)
}

// ReadFloat32s computes what the adapter changes, and reads the rest from the base.
func (v *view) ReadFloat32s(name string, at int, dst []float32) error {
	c := v.changed[name]
	if c == nil {
		return v.File.ReadFloat32s(name, at, dst)
	}
	if err := v.before(c, at, dst); err != nil || c.term.module == "" {
		return err
	}
	f, err := v.factors(name, c)
	if err != nil {
		return err
	}
	f.add(dst, at, c)
	return nil
}

// before reads what the product is added to.
func (v *view) before(c *changed, at int, dst []float32) error {
	if c.whole != "" {
		return v.adapter.file.ReadFloat32s(c.whole, at, dst)
	}
	return v.File.ReadFloat32s(c.info.Name, at, dst)
}

// ReadBytes reads a tensor of the base as it is stored; one that is computed is not stored.
func (v *view) ReadBytes(name string, at int64, dst []byte) error {
	if v.changed[name] != nil {
		return fmt.Errorf("adapter: %s is computed; read its values", name)
	}
	return v.File.ReadBytes(name, at, dst)
}

// factors returns the matrices of what is added to a tensor, read once while they are among the recent ones.
func (v *view) factors(tensor string, c *changed) (*factors, error) {
	v.mu.Lock()
	i := slices.IndexFunc(v.recent, func(f *factors) bool { return f.tensor == tensor })
	var f *factors
	if i >= 0 {
		f = v.recent[i]
		v.recent = slices.Delete(v.recent, i, i+1)
	} else {
		f = &factors{tensor: tensor, scale: c.term.scale}
		if len(v.recent) == mostRecent {
			v.recent = slices.Delete(v.recent, 0, 1)
		}
	}
	v.recent = append(v.recent, f)
	v.mu.Unlock()

	f.load.Do(func() { f.err = v.load(f, c) })
	return f, f.err
}

func (v *view) load(f *factors, c *changed) (err error) {
	m := v.adapter.modules[c.term.module]
	if c.term.bias {
		f.bias, _, err = v.adapter.read(m.bias)
		return err
	}
	a, shape, err := v.adapter.read(m.a)
	if err != nil {
		return err
	}
	b, _, err := v.adapter.read(m.b)
	if err != nil {
		return err
	}

	f.rank = shape[0]
	if m.embedding || c.perColumn { // the base is the other way round: W + s (B A)^T
		f.left, f.right = transposed(a, f.rank, c.rows), transposed(b, c.columns, f.rank)
	} else {
		f.left, f.right = b, a
	}
	if m.magnitude == "" {
		return nil
	}
	magnitudes, _, err := v.adapter.read(m.magnitude)
	if err != nil {
		return err
	}
	return v.gains(f, c, magnitudes)
}

// gains computes m / ||W + s B A|| of each output.
func (v *view) gains(f *factors, c *changed, magnitudes []float32) error {
	squares := make([]float64, len(magnitudes))
	row := make([]float32, c.columns)
	sums := make([]float64, c.columns)
	for r := range c.rows {
		if err := v.before(c, r*c.columns, row); err != nil {
			return err
		}
		f.row(sums, row, r, 0, c.columns)
		for i, x := range sums {
			if c.perColumn {
				squares[i] += x * x
			} else {
				squares[r] += x * x
			}
		}
	}

	f.gain = make([]float64, len(magnitudes))
	for i, square := range squares {
		if square == 0 {
			return v.adapter.wrong(c.info.Name, fmt.Sprintf("output %d is 0, which no magnitude can scale", i), "use the base that the adapter was trained on")
		}
		f.gain[i] = float64(magnitudes[i]) / math.Sqrt(square)
	}
	return nil
}

// add changes the elements [at, at+len(dst)) of a tensor.
func (f *factors) add(dst []float32, at int, c *changed) {
	if f.bias != nil {
		for i := range dst {
			dst[i] = float32(float64(dst[i]) + f.scale*float64(f.bias[at+i]))
		}
		return
	}
	sums := make([]float64, min(len(dst), c.columns))
	for len(dst) > 0 {
		r, from := at/c.columns, at%c.columns
		n := min(len(dst), c.columns-from)
		f.row(sums[:n], dst[:n], r, from, from+n)
		for i, x := range sums[:n] {
			switch {
			case f.gain == nil:
			case c.perColumn:
				x *= f.gain[from+i]
			default:
				x *= f.gain[r]
			}
			dst[i] = float32(x)
		}
		dst, at = dst[n:], at+n
	}
}

// row puts base + s left right into sums, for the columns [from, to) of row r.
func (f *factors) row(sums []float64, base []float32, r, from, to int) {
	columns := len(f.right) / f.rank
	clear(sums)
	for k, factor := range f.left[r*f.rank : (r+1)*f.rank] {
		x := float64(factor)
		for i, y := range f.right[k*columns+from : k*columns+to] {
			sums[i] += x * float64(y)
		}
	}
	for i, x := range base {
		sums[i] = float64(x) + f.scale*sums[i]
	}
}

// transposed is x [rows, columns] as [columns, rows].
func transposed(x []float32, rows, columns int) []float32 {
	out := make([]float32, len(x))
	for r := range rows {
		for c := range columns {
			out[c*rows+r] = x[r*columns+c]
		}
	}
	return out
}

// isFloat reports whether a tensor has a type whose values can be changed.
func isFloat(t string) bool {
	return slices.Contains([]string{"F32", "F16", "BF16", "float32", "float16", "bfloat16", "FLOAT", "FLOAT16", "BFLOAT16"}, t)
}
