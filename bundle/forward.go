package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/zoo"
)

// Forward runs a bundle on one engine with one batch size; it is compiled once. Safe for concurrent use.
type Forward struct {
	mu     sync.Mutex
	exec   *model.Exec
	shape  []int // [batch, InputShape...]
	size   int   // values of one example
	answer []int // dimensions of the answer to one example: [classes]
	each   int   // values of it
	tokens int   // of the vocabulary, where an example is a text; 0 = it is not
	name   string
}

// NewForward compiles the model for batches of the given size on an engine. Weights that are set later (SetValue on the
// variables of b.Store) count from the next call on; the manifest is read now.
func (b *Bundle) NewForward(e *engine.Engine, batch int) (*Forward, error) {
	return b.newForward(e, batch, b.Logits)
}

// NewFeatures is NewForward for what goes into the network's last layer: Logits then returns [n, features]. A network that is not
// zoo.Featured is an error.
func (b *Bundle) NewFeatures(e *engine.Engine, batch int) (*Forward, error) {
	network, ok := b.Manifest.Network.Network.(zoo.Featured)
	if !ok {
		return nil, fmt.Errorf("bundle: %s: the network %s cannot be cut in front of its last layer", b.Manifest.Name, zoo.Name(b.Manifest.Network.Network))
	}
	return b.newForward(e, batch, func(scope *model.Scope, x *Node) *Node {
		features := network.Features(scope.At(scopeName), b.Manifest.Preprocess.Apply(x))
		return Reshape(features, batch, -1)
	})
}

// newForward compiles a part of the model that gives each example a row.
func (b *Bundle) newForward(e *engine.Engine, batch int, build func(scope *model.Scope, x *Node) *Node) (*Forward, error) {
	if batch < 1 {
		return nil, fmt.Errorf("bundle: %s: batch is %d; use at least 1", b.Manifest.Name, batch)
	}
	if err := b.Manifest.Validate(); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", b.Manifest.Name, err)
	}
	if _, err := untrusted.Bytes(fmt.Sprintf("a batch of %d inputs %v", batch, b.Manifest.InputShape), 4, append([]int{batch}, b.Manifest.InputShape...)...); err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", b.Manifest.Name, err)
	}
	f := &Forward{shape: append([]int{batch}, b.Manifest.InputShape...), size: b.Manifest.size(), name: b.Manifest.Name}
	if b.Manifest.Answers() == zoo.Language {
		f.tokens = b.Manifest.Network.Outputs()
	}
	exec, err := model.NewExec(e.Backend, b.Store, func(scope *model.Scope, x *Node) *Node {
		y := ConvertDType(build(scope, x), dtypes.Float32)
		if err := ops.Fits(x.Graph()); err != nil {
			panic(err)
		}
		f.answer, f.each = slices.Clone(y.Shape().Dimensions[1:]), y.Shape().Size()/batch
		return y
	})
	if err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", b.Manifest.Name, err)
	}
	f.exec = exec
	if _, err := exec.Compile(shapes.Make(b.Manifest.Takes(), f.shape...)); err != nil {
		return nil, fmt.Errorf("bundle: compile %s for batches of %d: %w", b.Manifest.Name, batch, root(err))
	}
	return f, nil
}

// Batch returns the batch size the program was compiled for.
func (f *Forward) Batch() int { return f.shape[0] }

// Answer returns the dimensions of the answer to one example: [classes], or what the task says.
func (f *Forward) Answer() []int { return slices.Clone(f.answer) }

// Logits runs n examples, any number of them; x is [n, InputShape...] in row-major order in the units of the data set, the
// result is [n, classes], or [n, Answer...] of another task. Tokens of a text are whole numbers below the vocabulary. The last batch is padded with zeros, which changes nothing for the others.
func (f *Forward) Logits(x []float32, n int) ([]float32, error) {
	if n < 0 || len(x) != n*f.size {
		return nil, fmt.Errorf("bundle: %s: got %d values for %d examples; want %d (%d each, shape %v)",
			f.name, len(x), n, n*f.size, f.size, f.shape[1:])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	batch := f.shape[0]
	logits := make([]float32, 0, n*f.each)
	for start := 0; start < n; start += batch {
		count := min(batch, n-start)
		part := x[start*f.size : (start+count)*f.size]
		if count < batch {
			part = append(slices.Clone(part), make([]float32, (batch-count)*f.size)...)
		}
		out, err := f.run(part)
		if err != nil {
			return nil, err
		}
		logits = append(logits, out[:count*f.each]...)
	}
	return logits, nil
}

func (f *Forward) run(x []float32) ([]float32, error) {
	input, err := f.input(x)
	if err != nil {
		return nil, err
	}
	defer func() { _ = input.FinalizeAll() }()
	output, err := f.exec.Call1(input)
	if err != nil {
		return nil, fmt.Errorf("bundle: run %s: %w", f.name, err)
	}
	defer func() { _ = output.FinalizeAll() }()
	flat, err := tensors.CopyFlatData[float32](output)
	if err != nil {
		return nil, fmt.Errorf("bundle: run %s: %w", f.name, err)
	}
	return flat, nil
}

// input is a batch as the network takes it.
func (f *Forward) input(x []float32) (*tensors.Tensor, error) {
	if f.tokens == 0 {
		return tensors.FromFlatDataAndDimensions(x, f.shape...), nil
	}
	text := make([]int32, len(x))
	for i, v := range x {
		if !(v >= 0 && v < float32(f.tokens)) || v != float32(int32(v)) {
			return nil, fmt.Errorf("bundle: %s: token %d of example %d is %v; want a whole number from 0 to %d", f.name, i%f.size, i/f.size, v, f.tokens-1)
		}
		text[i] = int32(v)
	}
	return tensors.FromFlatDataAndDimensions(text, f.shape...), nil
}

// Close frees the compiled program; the bundle stays usable.
func (f *Forward) Close() { f.exec.Finalize() }

// Declare creates in the store every variable the network needs and does not find there, with the first value of the
// store's seed. It builds the graph of one example, behind the preprocessing, which has no variables, and runs nothing. A network that
// takes more than the memory's limit is a *fault.Exhausted before any variable is made.
func (b *Bundle) Declare(backend compute.Backend) error {
	if len(b.Variables()) == 0 && !param.HasSource(b.Store) {
		counted := model.NewStore()
		param.Count(counted, &param.Counter{})
		if err := b.declare(backend, counted); err != nil {
			return err
		}
	}
	return b.declare(backend, b.Store)
}

func (b *Bundle) declare(backend compute.Backend, store *model.Store) error {
	return b.build(backend, store, func(*Graph) {})
}

// build builds the graph of one example, whose variables are those of a store, and shows it.
func (b *Bundle) build(backend compute.Backend, store *model.Store, see func(g *Graph)) error {
	err := exceptions.TryCatch[error](func() {
		g := NewGraph(backend, "declare")
		defer g.Finalize()
		model.SetStore(g, store)
		x := Parameter(g, "x", shapes.Make(b.Manifest.Takes(), append([]int{1}, b.Manifest.Preprocess.shape(b.Manifest.InputShape)...)...))
		b.Manifest.Network.Apply(store.RootScope().In(scopeName), x)
		see(g)
	})
	if err != nil {
		return fmt.Errorf("network on input %v: %w", b.Manifest.InputShape, err)
	}
	return nil
}

// Variables returns the variables of the network in the order in which it uses them.
func (b *Bundle) Variables() []*model.Variable {
	var variables []*model.Variable
	for v := range b.Store.IterVariables() {
		if strings.HasPrefix(v.Path(), "/"+scopeName+"/") {
			variables = append(variables, v)
		}
	}
	return variables
}

// root is the error at the bottom: what a layer said when its graph was built, without the engine's account of where.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
