package adapt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/zoo"
)

// Memory chooses which examples of a stream are kept: PBRS or CSTU.
type Memory interface {
	Offer(class int, uncertainty float64, r *rand.Rand) (slot int)
	Items() []Held
}

// keeper is a memory whose content can be put back.
type keeper interface {
	Memory
	restore(held []Held, seen []int)
	counts() []int // examples of each class so far; nil where the memory does not count them
}

func (m *PBRS) restore(held []Held, seen []int) { m.held, m.seen = held, seen }

func (m *PBRS) counts() []int {
	if m.seen == nil {
		return make([]int, m.Classes)
	}
	return m.seen
}

func (m *CSTU) restore(held []Held, _ []int) { m.held = held }
func (m *CSTU) counts() []int                { return nil }

var (
	_ keeper = (*PBRS)(nil)
	_ keeper = (*CSTU)(nil)
)

// rememberer is an adapter that answers, keeps some of the examples, and behind every so many of them takes a step on what it holds.
type rememberer struct {
	*copied
	norms    norms
	memory   keeper
	capacity int
	every    int
	answers  *program                           // x -> logits
	learn    func(x, live, age []float32) error // on the slots of the memory [capacity, ...]; live and age are 0 where one is free
	fresh    func() keeper                      // an empty memory
	values   []float32                          // [capacity, InputShape...]
	seen     int                                // examples so far
}

var _ Preparer = (*rememberer)(nil)

// memoryPrefix begins the names of the state that the host keeps.
const memoryPrefix = "memory/"

// newRememberer is one without programs, which the caller builds.
func newRememberer(who string, m Model, capacity, every int, fresh func(classes int) keeper) (*rememberer, error) {
	c, err := newCopy(who, m)
	if err != nil {
		return nil, err
	}
	a := &rememberer{copied: c, capacity: capacity, every: every}
	if c.Bundle.Manifest.Answers() != zoo.Classify {
		c.Close()
		return nil, usage(who, "the task of %s is %s; the method needs the logits of a model that classifies", c.name(), c.Bundle.Manifest.Answers())
	}
	if a.norms, err = c.collecting(); err != nil {
		c.Close()
		return nil, err
	}
	classes := c.Bundle.Manifest.Network.Outputs()
	a.fresh = func() keeper { return fresh(classes) }
	a.memory, a.values = a.fresh(), make([]float32, capacity*c.size())
	return a, nil
}

// trained are the scales and offsets of the norms; a network without any is refused.
func (a *rememberer) trained() ([]*model.Variable, error) {
	variables := a.affine(a.norms)
	if len(variables) == 0 {
		return nil, usage(a.who, "the network %s of %s has no norm with a scale or an offset, which is what the method trains; choose a model with norms",
			zoo.Name(a.Bundle.Manifest.Network.Network), a.name())
	}
	return variables, nil
}

// Prepare compiles the answers of n examples.
func (a *rememberer) Prepare(n int) error { return a.answers.compile(a.shape(n)) }

// Answer takes the steps one after the other.
func (a *rememberer) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	return inSteps(ctx, a.copied, x, n, a.step)
}

// step answers, and then offers the examples to the memory one after the other.
func (a *rememberer) step(x []float32, n int) ([]float32, error) {
	if err := a.Prepare(n); err != nil {
		return nil, err
	}
	out, err := a.answers.call(input{x, a.shape(n)})
	if err != nil {
		return nil, err
	}

	logits, size := out[0], a.size()
	var before weights.Set // behind the last whole step, where learning may fail
	if (a.seen+n)/a.every > a.seen/a.every {
		if before, err = a.State(); err != nil {
			return nil, err
		}
	}
	for i := range n {
		a.offer(x[i*size:(i+1)*size], logits[i*len(logits)/n:(i+1)*len(logits)/n])
		if a.seen%a.every != 0 || len(a.memory.Items()) < a.norms.least(2) {
			continue
		}
		if err := a.learnNow(); err != nil {
			return nil, errors.Join(err, a.SetState(before))
		}
	}
	return logits, nil
}

// offer gives the memory an example and its logits.
func (a *rememberer) offer(x, logits []float32) {
	class, entropy := judged(logits)
	slot := a.memory.Offer(class, entropy, a.random())
	if slot >= 0 {
		copy(a.values[slot*len(x):], x)
	}
	a.seen++
}

// random is the stream of draws for the next example.
func (a *rememberer) random() *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte("memory"))
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(a.seen))
	h.Write(b[:])
	return rand.New(rand.NewPCG(a.Seed, h.Sum64()))
}

// judged is the class of the largest logit, the first of several, and the entropy of their softmax in nats, which is kept as float32.
func judged(logits []float32) (class int, entropy float64) {
	wide := make([]float64, len(logits))
	for c, v := range logits {
		wide[c] = float64(v)
		if v > logits[class] {
			class = c
		}
	}
	logSoftmax(wide, len(wide))
	for _, log := range wide {
		entropy -= math.Exp(log) * log
	}
	if math.IsNaN(entropy) {
		entropy = math.Log(float64(len(logits)))
	}
	return class, float64(float32(entropy))
}

// learnNow takes a step on what is held.
func (a *rememberer) learnNow() error {
	live, age := make([]float32, a.capacity), make([]float32, a.capacity)
	for _, h := range a.memory.Items() {
		live[h.Slot], age[h.Slot] = 1, float32(h.Age)/float32(a.capacity)
	}
	return a.learn(a.values, live, age)
}

// Reset empties the memory, too.
func (a *rememberer) Reset() error {
	if err := a.copied.Reset(); err != nil {
		return err
	}
	a.memory, a.seen = a.fresh(), 0
	clear(a.values)
	return nil
}

// State is what moves, and the memory.
func (a *rememberer) State() (weights.Set, error) {
	set, err := a.copied.State()
	if err != nil {
		return nil, err
	}
	rows := make([]float32, a.capacity*heldNumbers)
	for i := range rows {
		rows[i] = -1
	}
	for i, h := range a.memory.Items() {
		copy(rows[i*heldNumbers:], []float32{float32(h.Slot), float32(h.Class), float32(h.Uncertainty), float32(h.Age)})
	}
	counts := append([]int{a.seen}, a.memory.counts()...)
	var numbers []float32
	for _, n := range counts {
		numbers = append(numbers, float32(n&lowMask), float32(n>>lowBits))
	}
	return append(set,
		weights.Tensor{Name: memoryPrefix + "counts", Shape: []int{len(counts), 2}, Values: numbers},
		weights.Tensor{Name: memoryPrefix + "items", Shape: []int{a.capacity, heldNumbers}, Values: rows},
		weights.Tensor{Name: memoryPrefix + "values", Shape: append([]int{a.capacity}, a.Bundle.Manifest.InputShape...), Values: slices.Clone(a.values)},
	), nil
}

// Whole numbers are kept as two floats: below 2^24, and how often 2^24 goes in.
const (
	lowBits     = 24
	lowMask     = 1<<lowBits - 1
	heldNumbers = 4 // slot, class, uncertainty, age
)

// SetState puts back what moves, and the memory.
func (a *rememberer) SetState(state weights.Set) error {
	layout, err := a.State()
	if err != nil {
		return err
	}
	if err := state.CheckShapes("the state"); err != nil {
		return err
	}
	if err := layout.SameLayout("the adapter "+a.who, state, "the state"); err != nil {
		return err
	}
	var moved weights.Set
	kept := map[string][]float32{}
	for _, t := range state {
		if name, host := strings.CutPrefix(t.Name, memoryPrefix); host {
			kept[name] = t.Values
			continue
		}
		moved = append(moved, t)
	}

	counts, err := a.readCounts(kept["counts"])
	if err != nil {
		return err
	}
	held, err := a.readHeld(kept["items"])
	if err != nil {
		return err
	}
	if err := a.copied.SetState(moved); err != nil {
		return err
	}
	a.memory, a.seen = a.fresh(), counts[0]
	a.memory.restore(held, counts[1:])
	copy(a.values, kept["values"])
	return nil
}

// readCounts reads whole numbers.
func (a *rememberer) readCounts(numbers []float32) ([]int, error) {
	var counts []int
	for i := 0; i+1 < len(numbers); i += 2 {
		low, high := numbers[i], numbers[i+1]
		if !whole(low, 1<<lowBits) || !whole(high, 1<<lowBits) {
			return nil, wrongState("counts", "entry %d is %v and %v; want whole numbers from 0 to 2^24", i/2, low, high)
		}
		counts = append(counts, int(low)+int(high)<<lowBits)
	}
	return counts, nil
}

// readHeld reads the items of a memory.
func (a *rememberer) readHeld(rows []float32) ([]Held, error) {
	var held []Held
	used := map[int]bool{}
	for i := range a.capacity {
		row := rows[i*heldNumbers : (i+1)*heldNumbers]
		if row[0] == -1 {
			continue
		}
		slot, class, doubt, age := row[0], row[1], row[2], row[3]
		good := len(held) == i && whole(slot, a.capacity) && whole(class, a.Bundle.Manifest.Network.Outputs()) && whole(age, math.MaxInt32)
		if !good || used[int(slot)] || doubt-doubt != 0 {
			return nil, wrongState("items", "entry %d is slot %v, class %v, uncertainty %v, age %v", i, slot, class, doubt, age)
		}
		used[int(slot)] = true
		held = append(held, Held{Slot: int(slot), Class: int(class), Uncertainty: float64(doubt), Age: int(age)})
	}
	return held, nil
}

// whole reports whether v is a whole number from 0 to below n.
func whole(v float32, n int) bool {
	return v >= 0 && float64(v) < float64(n) && v == float32(math.Trunc(float64(v)))
}

// wrongState is an error of a state whose memory cannot be.
func wrongState(field, format string, args ...any) error {
	return &fault.Input{File: "the state", Field: memoryPrefix + field, Err: fmt.Errorf(format, args...), Fix: "adapt the model anew"}
}
