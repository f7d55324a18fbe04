// Package adapttest tests the contract of methods of adapting. Your own method can run it too.
package adapttest

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// Claim is something that a method promises beyond what every one must keep, or does not promise.
type Claim func(*claims)

type claims struct {
	stateless bool
	anyNorms  bool
	single    bool
	on        func(zoo.Network) zoo.Network
}

// Stateless promises that nothing is kept: the state is empty, and the answers to a batch do not depend on those before.
func Stateless() Claim { return func(c *claims) { c.stateless = true } }

// AnyNorms promises that the method does not refuse a network without norms.
func AnyNorms() Claim { return func(c *claims) { c.anyNorms = true } }

// Single promises that batches of one example work with a norm behind a dense layer, too.
func Single() Claim { return func(c *claims) { c.single = true } }

// On says which network made of one of the battery the method is for; without it, that one.
func On(f func(zoo.Network) zoo.Network) Claim { return func(c *claims) { c.on = f } }

// Batch is the number of examples of a step of the battery.
const Batch = 4

// Run runs the battery on a method:
//
//   - answers have their shape and are finite, and the model that was given is as it was
//   - a stream gives the same bits again after Reset, whose state is that of the start, and in a new adapter
//   - the state behind each step, put into a new adapter, goes on to the bit
//   - many examples in one call are steps one after the other; the rest is a step of its own
//   - a state of another layout is refused as bad input and changes nothing; so does a wrong number of values
//   - a network without norms and, of one with a norm behind a dense layer, a batch of one are refused as usage errors, or work as claimed
//   - the options go through adapt.Choice and come back, for methods of adapt.All
//
// It runs on the Go engine: what a step computes is held against golden numbers on all of them.
func Run(t *testing.T, method adapt.Method, promises ...Claim) {
	c := claims{on: func(n zoo.Network) zoo.Network { return n }}
	for _, promise := range promises {
		promise(&c)
	}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		b := battery{e: e, method: method, claims: c, bundle: NewBundle(t, e, c.on(Network(norm.NewBatch())), []int{6, 6, 1})}
		t.Run("stream", b.stream)
		t.Run("steps", b.steps)
		t.Run("refused", b.refused)
		t.Run("single", b.single)
		t.Run("norms", b.withoutNorms)
		t.Run("options", b.options)
	})
}

// Network is a small one for images of one channel and three classes, with a norm.
func Network(n norm.Layer) zoo.Network {
	net := zoo.NewConvNet()
	net.Filters, net.Strides, net.Classes, net.Norm = []int{4, 5}, []int{1, 2}, 3, norm.Choice{Layer: n}
	return net
}

// NewBundle is a model of a network with weights and statistics that are drawn, as if it had been trained.
func NewBundle(t testing.TB, e *engine.Engine, network zoo.Network, shape []int) *bundle.Bundle {
	t.Helper()
	labels := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}[:network.Outputs()]
	b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: network}, shape, labels), Store: model.NewStore()}
	b.Manifest.Name = "a model of the battery"
	param.Seed(b.Store, 3)
	if err := b.Declare(e.Backend); err != nil {
		t.Fatal(err)
	}

	r := rand.New(rand.NewPCG(5, 5))
	for _, v := range b.Variables() {
		if v.DType() != dtypes.Float32 || param.Of(v) == param.Kernel {
			continue
		}
		values := make([]float32, v.Shape().Size())
		for i := range values {
			values[i] = float32(0.2 * r.NormFloat64())
			if v.Name() == "variance" || v.Name() == "scale" {
				values[i] = float32(0.5 + r.Float64())
			}
		}
		if err := v.SetValue(tensors.FromFlatDataAndDimensions(values, v.Shape().Dimensions...)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// Inputs are n examples of a shape with values in [0, 1], drawn by the seed.
func Inputs(seed uint64, n int, shape ...int) []float32 {
	r := rand.New(rand.NewPCG(seed, 11))
	for _, d := range shape {
		n *= d
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = r.Float32()
	}
	return x
}

// battery is a method on an engine.
type battery struct {
	e      *engine.Engine
	method adapt.Method
	claims claims
	bundle *bundle.Bundle
}

func (b battery) start(t *testing.T) adapt.Adapter {
	t.Helper()
	a, err := b.method.Start(adapt.Model{Bundle: b.bundle, Engine: b.e, Batch: Batch, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func answer(t *testing.T, a adapt.Adapter, x []float32, n int) []float32 {
	t.Helper()
	y, err := a.Answer(t.Context(), x, n)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func state(t *testing.T, a adapt.Adapter) weights.Set {
	t.Helper()
	s, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// same compares bits.
func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// batches are those of the battery's stream.
func batches(n int) [][]float32 {
	var all [][]float32
	for i := range n {
		x := Inputs(uint64(i), Batch, 6, 6, 1)
		for j := range x {
			x[j] = x[j]*0.5 + float32(i)*0.1
		}
		all = append(all, x)
	}
	return all
}

// stream repeats a stream, after a reset, in another adapter, and from each state on.
func (b battery) stream(t *testing.T) {
	before, err := b.bundle.Weights()
	if err != nil {
		t.Fatal(err)
	}
	a := b.start(t)
	begun := state(t, a)
	if b.claims.stateless && len(begun) > 0 {
		t.Errorf("the state has %v; want none", begun.Names())
	}

	stream := batches(4)
	var answers [][]float32
	states := []weights.Set{begun}
	for _, x := range stream {
		y := answer(t, a, x, Batch)
		if len(y) != Batch*3 {
			t.Fatalf("%d answers; want %d", len(y), Batch*3)
		}
		for _, v := range y {
			if v-v != 0 {
				t.Fatalf("an answer is %v", v)
			}
		}
		answers, states = append(answers, y), append(states, state(t, a))
	}
	if moved := states[len(states)-1].Checksum() != begun.Checksum(); moved == b.claims.stateless {
		t.Errorf("the state has moved: %v; stateless: %v", moved, b.claims.stateless)
	}
	if after, err := b.bundle.Weights(); err != nil || after.Checksum() != before.Checksum() {
		t.Errorf("the model that was given has changed (%v)", err)
	}

	b.repeats(t, a, stream, answers, states)
}

// repeats resets and reopens.
func (b battery) repeats(t *testing.T, a adapt.Adapter, stream, answers [][]float32, states []weights.Set) {
	again := func(what string, a adapt.Adapter, from int) {
		t.Helper()
		for i := from; i < len(stream); i++ {
			if !same(answer(t, a, stream[i], Batch), answers[i]) {
				t.Errorf("%s: batch %d has other answers", what, i)
			}
		}
		if state(t, a).Checksum() != states[len(states)-1].Checksum() {
			t.Errorf("%s: the state at the end is another", what)
		}
	}

	if err := a.Reset(); err != nil {
		t.Fatal(err)
	}
	if state(t, a).Checksum() != states[0].Checksum() {
		t.Error("the state after Reset is not that of the start")
	}
	again("after Reset", a, 0)

	other := b.start(t)
	again("in another adapter", other, 0)
	for i, s := range states {
		if err := other.SetState(s.Clone()); err != nil {
			t.Fatal(err)
		}
		again("from a state on", other, i)
	}
}

// steps gives many examples at once.
func (b battery) steps(t *testing.T) {
	a, one := b.start(t), b.start(t)
	const n = 2*Batch + 2
	x := Inputs(20, n, 6, 6, 1)
	all := answer(t, a, x, n)

	var parts []float32
	for start := 0; start < n; start += Batch {
		count := min(Batch, n-start)
		parts = append(parts, answer(t, one, x[start*36:(start+count)*36], count)...)
	}
	if !same(all, parts) || state(t, a).Checksum() != state(t, one).Checksum() {
		t.Error("one call is not its steps one after the other")
	}
	if y := answer(t, a, nil, 0); len(y) != 0 {
		t.Errorf("no examples have %d answers", len(y))
	}
	if b.claims.stateless && !same(answer(t, a, x[:Batch*36], Batch), all[:Batch*3]) {
		t.Error("the answers to a batch depend on those before")
	}
}

// refused gives what cannot be taken.
func (b battery) refused(t *testing.T) {
	a := b.start(t)
	before := state(t, a)
	if _, err := a.Answer(t.Context(), make([]float32, 35), 1); err == nil {
		t.Error("35 values for an example of 36 are taken")
	}
	err := a.SetState(append(before.Clone(), weights.Tensor{Name: "strange", Shape: []int{1}, Values: []float32{1}}))
	if !fault.IsInput(err) {
		t.Errorf("a state with another tensor: %v", err)
	}
	if len(before) > 0 {
		if err := a.SetState(before.Clone()[1:]); !fault.IsInput(err) {
			t.Errorf("a state without a tensor: %v", err)
		}
		short := before.Clone()
		short[0].Values = short[0].Values[1:]
		if err := a.SetState(short); !fault.IsInput(err) {
			t.Errorf("a state with a shorter tensor: %v", err)
		}
	}
	if state(t, a).Checksum() != before.Checksum() {
		t.Error("what was refused has changed the state")
	}
	if _, err := b.method.Start(adapt.Model{Bundle: b.bundle, Engine: b.e, Batch: 0}); !usage(err) {
		t.Errorf("batches of 0: %v", err)
	}
}

func usage(err error) bool {
	var u *fault.Usage
	return errors.As(err, &u)
}

// single answers one example: of images, and with a norm behind a dense layer.
func (b battery) single(t *testing.T) {
	one, err := b.method.Start(adapt.Model{Bundle: b.bundle, Engine: b.e, Batch: 1, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	for _, v := range answer(t, one, Inputs(1, 2, 6, 6, 1), 2) {
		if v-v != 0 {
			t.Fatalf("an answer is %v", v)
		}
	}

	net := zoo.NewCNN()
	net.Filters, net.Dense, net.Classes = []int{3}, 4, 3
	dense := NewBundle(t, b.e, b.claims.on(net), []int{6, 6, 1})
	a, err := b.method.Start(adapt.Model{Bundle: dense, Engine: b.e, Batch: 1, Seed: 7})
	switch {
	case b.claims.single && err != nil:
		t.Errorf("a batch of one: %v", err)
	case !b.claims.single && !usage(err):
		t.Errorf("a batch of one is not refused: %v", err)
	}
	if err == nil {
		a.Close()
	}
}

// withoutNorms starts on a network without norms.
func (b battery) withoutNorms(t *testing.T) {
	bare := NewBundle(t, b.e, b.claims.on(Network(norm.Identity{})), []int{6, 6, 1})
	a, err := b.method.Start(adapt.Model{Bundle: bare, Engine: b.e, Batch: Batch, Seed: 7})
	switch {
	case b.claims.anyNorms && err != nil:
		t.Errorf("a network without norms: %v", err)
	case !b.claims.anyNorms && !usage(err):
		t.Errorf("a network without norms is not refused: %v", err)
	}
	if err == nil {
		a.Close()
	}
}

// options writes and reads the method.
func (b battery) options(t *testing.T) {
	if !slices.Contains(adapt.Names(), adapt.Name(b.method)) {
		return // a program's own
	}
	text, err := adapt.Choice{Method: b.method}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var back adapt.Choice
	if err := back.UnmarshalJSON(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	again, err := back.MarshalJSON()
	if err != nil || string(again) != string(text) {
		t.Errorf("%s becomes %s (%v)", text, again, err)
	}
}
