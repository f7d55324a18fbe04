// Package objectivetest tests the contract of objectives. Your own objective can run it too.
package objectivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/train"
)

// Claim is something that is promised beyond what every objective must keep, or not promised.
type Claim func(*claims)

type claims struct {
	parts    bool
	spread   bool // two devices are not refused
	optional []string
	moments  int
	slow     bool
	options  train.Options
}

// Parts promises that an update in two micro-batches is that of the whole batch, within 1e-5.
func Parts() Claim { return func(c *claims) { c.parts = true } }

// Optional says that the objective can do without these streams.
func Optional(streams ...string) Claim {
	return func(c *claims) { c.optional = append(c.optional, streams...) }
}

// Moments says at how many random moments the run is stopped, in the place of 3.
func Moments(n int) Claim { return func(c *claims) { c.moments = n } }

// Slow says that compiling the run takes far longer than running it. Where that is so, the second of two runs is the first one's programs
// begun anew.
func Slow() Claim { return func(c *claims) { c.slow = true } }

// With gives the runs data that their recipe cannot name.
func With(o train.Options) Claim { return func(c *claims) { c.options = o } }

// Updates is how many updates the runs of the battery have.
const Updates = 20

// Run runs the battery on recipes of an objective. make returns one anew, small enough for runs of seconds; its steps are set to Updates.
//
//   - two runs give the same bits, of all variables, on every engine
//   - a run that is stopped at the boundary of a phase, or anywhere, and resumes ends with the same bits as one that was not stopped
//   - nothing moves but what the goals of the update say, the objective's own variables, averages, and statistics
//   - two devices give what one gives, within 1e-5, or the recipe is refused and the error says why
//   - a stream that lacks is asked for by name
//   - micro-batches are refused by name, or give finite numbers, the same each time
func Run(t *testing.T, make func() train.Recipe, promises ...Claim) {
	b := bench{make: make, claims: claims{moments: 3}}
	for _, promise := range promises {
		promise(&b.claims)
	}
	t.Run("twice", func(t *testing.T) { enginetest.Each(t, b.twice) })
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if e.Kind != engine.KindGo {
			t.Run("devices", func(t *testing.T) { b.devices(t, e) })
			return
		}
		t.Run("stopped", func(t *testing.T) { b.stopped(t, e) })
		t.Run("moves", func(t *testing.T) { b.moves(t, e) })
		t.Run("streams", func(t *testing.T) { b.streams(t, e) })
		t.Run("micro-batches", func(t *testing.T) { b.parts(t, e) })
	})
}

type bench struct {
	make   func() train.Recipe
	claims claims
}

// recipe is a small run that writes nothing by itself.
func (b bench) recipe() train.Recipe {
	r := b.make()
	r.Steps, r.LogEvery, r.EvaluateEvery, r.Test = Updates, 1, 0, ""
	r.Validation.Fraction = 0
	r.Checkpoint = train.Checkpoint{KeepLast: 1}
	return r
}

func (b bench) options(e *engine.Engine) train.Options {
	o := b.claims.options
	o.Engine = e
	return o
}

// stop is a sink that ends a run behind some updates.
type stop struct {
	at  int
	end context.CancelFunc
}

func (s stop) Log(step int, _ map[string]float64) error {
	if step == s.at {
		s.end()
	}
	return nil
}

func (stop) Rewind(int) error { return nil }

// run trains in a folder, stopped behind the update at, and goes on from there; 0 stops nowhere. It returns the last checkpoint: all
// variables, and the record.
func (b bench) run(t *testing.T, e *engine.Engine, stops ...int) (state [2][]byte) {
	t.Helper()
	o := b.options(e)
	o.Dir, o.Resume = t.TempDir(), true
	for _, at := range append(stops, 0) {
		ctx, end := context.WithCancel(t.Context())
		o.Sink = stop{at, end}
		_, err := train.Run(ctx, b.recipe(), o)
		end()
		switch {
		case at > 0 && !errors.Is(err, context.Canceled):
			t.Fatalf("stopped behind update %d: the error is %v", at, err)
		case at == 0 && err != nil:
			t.Fatal(err)
		}
	}
	for i, name := range []string{"model.safetensors", "state.json"} {
		raw, err := os.ReadFile(filepath.Join(o.Dir, "checkpoints", fmt.Sprintf("step-%08d", Updates), name))
		if err != nil {
			t.Fatal(err)
		}
		state[i] = raw
	}
	return state
}

// twice: the same bits.
func (b bench) twice(t *testing.T, e *engine.Engine) {
	if b.claims.slow && e.Kind != engine.KindGo {
		b.anew(t, e)
		return
	}
	one, other := b.run(t, e), b.run(t, e)
	if !bytes.Equal(one[0], other[0]) || !bytes.Equal(one[1], other[1]) {
		t.Error("two runs of one recipe end with other bits")
	}
}

// anew: the same bits, of one loop that begins again.
func (b bench) anew(t *testing.T, e *engine.Engine) {
	r := b.recipe()
	loop := b.open(t, r, b.options(e))
	var ends [2]map[string]string
	for i := range ends {
		if err := loop.Begin(r.Seed); err != nil {
			t.Fatal(err)
		}
		if err := loop.Updates(t.Context(), Updates); err != nil {
			t.Fatal(err)
		}
		ends[i], _ = values(t, loop)
	}
	if !maps.Equal(ends[0], ends[1]) {
		t.Error("a run and the same begun anew end with other bits")
	}
}

// open is a loop of the recipe, closed with the test.
func (b bench) open(t *testing.T, r train.Recipe, o train.Options) *train.Loop {
	t.Helper()
	loop, err := train.Open(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loop.Close)
	return loop
}

// stopped: at the boundaries, and at random moments, each alone, and all of them in one run.
func (b bench) stopped(t *testing.T, e *engine.Engine) {
	at := map[int]bool{}
	for _, began := range b.open(t, b.recipe(), b.options(e)).Phases() {
		at[began] = true
	}
	for random := rand.New(rand.NewPCG(1, 1)); len(at) < b.claims.moments+1; {
		at[1+random.IntN(Updates-1)] = true
	}
	delete(at, 0)
	moments := slices.Sorted(maps.Keys(at))
	want := b.run(t, e)
	for _, moment := range moments {
		if got := b.run(t, e, moment); !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
			t.Errorf("stopped after update %d and resumed, the run ends with other bits", moment)
		}
	}
	if got := b.run(t, e, moments...); !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) {
		t.Errorf("stopped after the updates %v and resumed each time, the run ends with other bits", moments)
	}
}

// values are the bytes of all variables, by path, and which can be trained.
func values(t *testing.T, l *train.Loop) (all map[string]string, trainable map[string]bool) {
	t.Helper()
	store, err := l.Store()
	if err != nil {
		t.Fatal(err)
	}
	all, trainable = map[string]string{}, map[string]bool{}
	for v := range store.IterVariables() {
		value, err := v.Value()
		if err == nil {
			err = value.ConstBytes(func(data []byte) { all[v.Path()] = string(data) })
		}
		if err != nil {
			t.Fatal(err)
		}
		trainable[v.Path()] = v.Trainable
	}
	return all, trainable
}

// top is the first scope of a path.
func top(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// moves: what can be trained moves where a goal of the update says so, and other state only beside what some goal moves.
func (b bench) moves(t *testing.T, e *engine.Engine) {
	loop := b.open(t, b.recipe(), b.options(e))
	before, trainable := values(t, loop)
	beside := map[string]bool{"objective": true, "average": true, "optimizer": true, "train": true, "rules": true}
	var moved []string
	for step := range Updates {
		for _, path := range loop.Moves(step) {
			beside[top(path)] = true
			moved = append(moved, path)
		}
	}

	ever := map[string]bool{}
	for step := range Updates {
		if err := loop.Updates(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		now, _ := values(t, loop)
		for path, value := range now {
			if value == before[path] {
				continue
			}
			ever[path] = true
			switch said := slices.Contains(loop.Moves(step), path); {
			case trainable[path] && !said:
				t.Errorf("update %d moves %s, and none of its goals does", step+1, path)
			case !trainable[path] && !beside[top(path)]:
				t.Errorf("update %d changes %s, where no goal moves anything", step+1, path)
			}
		}
		before = now
	}
	if !slices.ContainsFunc(moved, func(path string) bool { return ever[path] }) {
		t.Errorf("in %d updates nothing moves of %v", Updates, moved)
	}
}

// streams: what lacks is asked for.
func (b bench) streams(t *testing.T, e *engine.Engine) {
	for _, name := range slices.Sorted(maps.Keys(b.recipe().Streams)) {
		r := b.recipe()
		r.Streams = maps.Clone(r.Streams)
		delete(r.Streams, name)
		loop, err := train.Open(t.Context(), r, b.options(e))
		if err == nil {
			loop.Close()
		}
		if slices.Contains(b.claims.optional, name) {
			if err != nil {
				t.Errorf("without the stream %s, which is optional: %v", name, err)
			}
			continue
		}
		var usage *fault.Usage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "needs the stream "+name) || !strings.Contains(err.Error(), "streams: {"+name+":") {
			t.Errorf("without the stream %s the error is %v; want one that says how to name it", name, err)
		}
	}
}

// parts: micro-batches.
func (b bench) parts(t *testing.T, e *engine.Engine) {
	r := b.recipe()
	r.Accumulate = 2
	loop, err := train.Open(t.Context(), r, b.options(e))
	if err != nil {
		if b.claims.parts || !strings.Contains(err.Error(), "accumulate") {
			t.Errorf("with accumulate: 2: %v", err)
		}
		return
	}
	defer loop.Close()
	other := b.open(t, r, b.options(e))
	for _, l := range []*train.Loop{loop, other} {
		if err := l.Updates(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := values(t, loop)
	if again, _ := values(t, other); !maps.Equal(got, again) {
		t.Error("micro-batches end with other bits the second time")
	}
	if !b.claims.parts {
		return
	}
	whole := b.open(t, b.recipe(), b.options(e))
	if err := whole.Updates(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if path, by := apart(t, loop, whole); by > 1e-5 {
		t.Errorf("two micro-batches and the whole batch: %s is %g apart", path, by)
	}
}

// Devices runs of the battery only what two devices give, for recipes that they must not refuse: those in which nothing is random.
func Devices(t *testing.T, make func() train.Recipe) {
	b := bench{make: make, claims: claims{spread: true}}
	enginetest.Each(t, b.devices)
}

// devices: within 1e-5, or refused.
func (b bench) devices(t *testing.T, e *engine.Engine) {
	if e.NumDevices() < 2 {
		t.Logf("engine %s has one device", e.Kind)
		return
	}
	o := b.options(e)
	o.Devices = 2
	two, err := train.Open(t.Context(), b.recipe(), o)
	if err != nil && b.claims.spread {
		t.Fatalf("two devices are refused: %v", err)
	}
	if err != nil {
		if !strings.Contains(err.Error(), "devices would") && !strings.Contains(err.Error(), "use one device") {
			t.Errorf("two devices are refused without a reason: %v", err)
		}
		t.Logf("refused: %v", err)
		return
	}
	defer two.Close()
	one := b.open(t, b.recipe(), b.options(e))
	for _, l := range []*train.Loop{one, two} {
		if err := l.Updates(t.Context(), Updates); err != nil {
			t.Fatal(err)
		}
	}
	if path, by := apart(t, one, two); by > 1e-5 {
		t.Errorf("one device and two: %s is %g apart", path, by)
	}
}

// apart is the variable of the networks and the objective that differs most between two loops.
func apart(t *testing.T, a, b *train.Loop) (path string, by float64) {
	t.Helper()
	one, err := a.Store()
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.Store()
	if err != nil {
		t.Fatal(err)
	}
	for v := range one.IterVariables() {
		w := other.GetVariable(v.Path())
		if v.DType() != dtypes.Float32 || w == nil || top(v.Path()) == "train" || top(v.Path()) == "optimizer" {
			continue
		}
		x, y := tensors.MustCopyFlatData[float32](v.MustValue()), tensors.MustCopyFlatData[float32](w.MustValue())
		for i := range x {
			if d := math.Abs(float64(x[i]) - float64(y[i])); d > by || d != d {
				path, by = v.Path(), d
			}
		}
	}
	return path, by
}
