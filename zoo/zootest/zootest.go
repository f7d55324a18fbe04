// Package zootest tests the contract of networks. Your own network can run it too.
package zootest

import (
	"fmt"
	"math"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/stack"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/zoo"
)

// Run runs the battery, on the Go engine, on a network and batches [batch, ...] of the given dimensions, of floats, or of tokens for a language model:
//
//   - answers are finite, and have the shape of the task and Outputs; WithOutputs changes these alone, and the network not at all
//   - WithNorm puts the norm everywhere, unless the network has norms of its own: with none there are no variables of norms
//   - the parts equal the whole, to the bit and with the same variables: Head of Features, and the Layers one by one
//   - a bundle of it, if it has a name (in zoo.All, or of its own by own.Named) and classifies, is saved and opened with the same answers
func Run(t *testing.T, n zoo.Network, dims []int) {
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		b := bench{e: e, n: n, dims: dims}
		t.Run("outputs", b.outputs)
		t.Run("norm", b.norm)
		t.Run("parts", b.parts)
		if b.named() && n.Task() == zoo.Classify {
			t.Run("bundle", b.bundle)
		}
	})
}

// bench runs a network on one engine.
type bench struct {
	e    *engine.Engine
	n    zoo.Network
	dims []int
}

type apply func(scope *model.Scope, x *graph.Node) *graph.Node

// call applies f to the batch, with the variables of the store, and returns the answers, their dimensions and the paths of the
// variables.
func (b bench) call(t *testing.T, store *model.Store, f apply) (y []float32, dims []int, paths []string) {
	t.Helper()
	exec, err := model.NewExec(b.e.Backend, store, func(root *model.Scope, x *graph.Node) *graph.Node {
		return f(root.At("model"), x)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	out, err := exec.Call(b.batch())
	if err != nil {
		t.Fatal(err)
	}
	for v := range store.IterVariables() {
		paths = append(paths, v.Path())
	}
	return tensors.MustCopyFlatData[float32](out[0]), out[0].Shape().Dimensions, paths
}

// batch is what the network is called with.
func (b bench) batch() *tensors.Tensor {
	x := b.input()
	if b.n.Task() != zoo.Language {
		return tensors.FromFlatDataAndDimensions(x, b.dims...)
	}
	tokens := make([]int32, len(x))
	for i, v := range x {
		tokens[i] = int32(math.Abs(float64(v))*1000) % int32(b.n.Outputs())
	}
	return tensors.FromFlatDataAndDimensions(tokens, b.dims...)
}

func (b bench) input() []float32 {
	drawn := gradcheck.Normal(1, b.dims...).Data
	x := make([]float32, len(drawn))
	for i, v := range drawn {
		x[i] = float32(v)
	}
	return x
}

func (b bench) outputs(t *testing.T) {
	was := fmt.Sprintf("%+v", b.n)
	for _, n := range []zoo.Network{b.n, b.n.WithOutputs(b.n.Outputs() + 2)} {
		y, dims, _ := b.call(t, model.NewStore(), n.Apply)
		if got := dims[len(dims)-1]; got != n.Outputs() {
			t.Errorf("answers are %v for %d outputs", dims, n.Outputs())
		}
		if want := rank(n.Task()); len(dims) != want || dims[0] != b.dims[0] {
			t.Errorf("answers to %v are %v; task %s wants %d axes", b.dims, dims, n.Task(), want)
		}
		for i, v := range y {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("answer %d is %v", i, v)
			}
		}
	}
	if got, want := b.n.WithOutputs(7).Outputs(), 7; got != want {
		t.Errorf("WithOutputs(7) has %d", got)
	}
	if got := b.n.WithOutputs(7).Task(); got != b.n.Task() {
		t.Errorf("WithOutputs made the task %s, it was %s", got, b.n.Task())
	}
	if now := fmt.Sprintf("%+v", b.n); now != was {
		t.Errorf("WithOutputs changed the network from %s to %s", was, now)
	}
}

// rank is the number of axes of a task's answers.
func rank(task zoo.Task) int {
	switch task {
	case zoo.Language:
		return 3
	case zoo.Segment, zoo.Translate, zoo.Denoise:
		return 4
	}
	return 2
}

func (b bench) norm(t *testing.T) {
	plain := b.n.WithNorm(norm.Identity{})
	_, _, before := b.call(t, model.NewStore(), b.n.Apply)
	_, _, after := b.call(t, model.NewStore(), plain.Apply)
	if _, own := b.n.(zoo.OwnNorms); own {
		if !slices.Equal(before, after) {
			t.Errorf("the network has norms of its own; WithNorm made its variables %v, they were %v", after, before)
		}
		return
	}
	for _, p := range after {
		if path.Base(path.Dir(p)) == "norm" {
			t.Errorf("without norms there is a variable %s", p)
		}
	}
	_, _, scaled := b.call(t, model.NewStore(), plain.WithNorm(norm.NewRMS(-1)).Apply)
	if len(scaled) == len(after) {
		t.Errorf("with rms there are as many variables as without norms: %v", scaled)
	}
}

func (b bench) parts(t *testing.T) {
	store := model.NewStore()
	want, _, paths := b.call(t, store, b.n.Apply)
	equal := func(what string, f apply) {
		t.Helper()
		got, _, _ := b.call(t, store, f)
		if !slices.Equal(got, want) {
			t.Errorf("%s gives %v, the network %v", what, got, want)
		}
		fresh := model.NewStore()
		if _, _, made := b.call(t, fresh, f); !slices.Equal(made, paths) {
			t.Errorf("%s makes the variables %v, the network %v", what, made, paths)
		}
	}

	if n, ok := b.n.(zoo.Featured); ok {
		equal("Head of Features", func(s *model.Scope, x *graph.Node) *graph.Node { return n.Head(s, n.Features(s, x)) })
	}
	n, ok := b.n.(zoo.Layered)
	if !ok {
		return
	}
	items := n.Layers()
	if last := items[len(items)-1].Scope; last != param.OutputScope {
		t.Errorf("the last layer is under %q, not %q", last, param.OutputScope)
	}
	equal("Run of Layers", func(s *model.Scope, x *graph.Node) *graph.Node { return stack.Run(s, items, x) })
	equal("Layers one by one", func(s *model.Scope, x *graph.Node) *graph.Node {
		for _, item := range items {
			x = item.Layer.Apply(stack.Below(s, item.Scope), x)
		}
		return x
	})
}

func (b bench) named() bool {
	if _, itself := b.n.(own.Named); itself {
		return true
	}
	for _, kind := range zoo.All() {
		if kind.Name == zoo.Name(b.n) {
			return true
		}
	}
	return false
}

func (b bench) bundle(t *testing.T) {
	labels := make([]string, b.n.Outputs())
	for i := range labels {
		labels[i] = fmt.Sprintf("label %d", i)
	}
	m := bundle.NewManifest(zoo.Choice{Network: b.n}, b.dims[1:], labels)
	m.Name = "test"
	made := &bundle.Bundle{Manifest: m, Store: model.NewStore()}
	if err := made.Declare(b.e.Backend); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "model")
	if err := made.Save(dir); err != nil {
		t.Fatal(err)
	}
	var mine own.Registry
	if named, itself := b.n.(own.Named); itself {
		mine = own.Registry{named}
	}
	opened, err := bundle.Open(dir, mine)
	if err != nil {
		t.Fatal(err)
	}

	if got := opened.Manifest.Network; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", m.Network) {
		t.Errorf("the network was %+v, opened it is %+v", m.Network, got)
	}
	var answers [2][]float32
	for i, each := range []*bundle.Bundle{made, opened} {
		forward, err := each.NewForward(b.e, b.dims[0])
		if err != nil {
			t.Fatal(err)
		}
		answers[i], err = forward.Logits(b.input(), b.dims[0])
		forward.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(answers[0], answers[1]) {
		t.Errorf("opened it answers %v, it was %v", answers[1], answers[0])
	}
}
