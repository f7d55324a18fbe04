package norm_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/norm/normtest"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/nn/pass/passtest"
)

var whole, of = normtest.Whole, normtest.GroupsOf

// TestBattery runs the battery over every norm that has a name. A norm with statistics fails it until it says here what it
// collects.
func TestBattery(t *testing.T) {
	promises := map[string][]normtest.Claim{
		"batch":         {normtest.Collects(0.1, true, whole)},
		"ghost":         {normtest.Collects(0.1, true, whole)}, // groups of 32 hold the whole batch
		"instance":      {normtest.NeedsPositions()},
		"ibn":           {normtest.KeepsState(), normtest.NeedsPositions()},
		"estimated":     {normtest.KeepsState(), normtest.DetachedStatistics()},
		"batch-channel": {normtest.KeepsState(), normtest.DetachedStatistics()},
		"power":         {normtest.KeepsState(), normtest.DetachedStatistics()},
		"power-paper":   {normtest.KeepsState(), normtest.DetachedStatistics()},
		"power-v":       {normtest.KeepsState()},
		"unified":       {normtest.KeepsState(), normtest.DetachedStatistics()},
		"evonorm-b0":    {normtest.KeepsState(), normtest.NeedsPositions()},
		"evonorm-b1":    {normtest.KeepsState(), normtest.NeedsPositions()},
		"genome":        {normtest.NeedsPositions()},
		"evonorm-b2":    {normtest.KeepsState(), normtest.NeedsPositions()},
	}
	for _, kind := range norm.All() {
		t.Run(kind.Name, func(t *testing.T) { normtest.Run(t, kind.New(), promises[kind.Name]...) })
	}
}

// TestPasses: every norm in every kind of pass, and those options with other state.
func TestPasses(t *testing.T) {
	run := func(name string, n norm.Layer, sites ...passtest.Claim) {
		t.Run(name, func(t *testing.T) { passtest.Run(t, n, []int{normtest.Batch, 3, 1, 4}, sites...) })
	}
	for _, kind := range norm.All() {
		if kind.Name == "identity" || kind.Name == "offset" { // which normalise nothing
			run(kind.Name, kind.New())
			continue
		}
		if kind.Name == "batch" {
			run(kind.Name, kind.New(), passtest.Shows(pass.Norm), passtest.Compiled())
			continue
		}
		run(kind.Name, kind.New(), passtest.Shows(pass.Norm))
	}

	ragged := norm.NewGhost(5)
	ragged.Ragged = true
	run("ghost, ragged", ragged)
	shortPower, shortUnified := norm.NewPower("running"), norm.NewUnified()
	shortPower.Warmup, shortPower.MaxRatio = 1, 3
	shortUnified.Warmup, shortUnified.Floor, shortUnified.Window, shortUnified.Filter = 1, 1, 2, true
	run("power, short warm-up", shortPower)
	run("unified, short warm-up", shortUnified)
	run("genome over the batch", norm.Genome{Groups: 1, Epsilon: 1e-3, Decay: 0.5, Nodes: []norm.GenomeNode{
		{"rms:bwh", []int{0}}, {"mean:bwh", []int{0}}, {"std:bwh", []int{0}}, {"add", []int{4, 5}}, {"add", []int{6, 7}}, {"mul", []int{8, 0}},
	}})
	run("region, learned", norm.NewRegionLearned(), passtest.Shows(pass.Norm, pass.Input, pass.Kernel))
}

// TestBatteryOptions runs the battery over options that change what a norm computes.
func TestBatteryOptions(t *testing.T) {
	biased := norm.NewGhost(3)
	biased.Momentum, biased.Unbiased = 0.3, false
	last := norm.NewBatch()
	last.Momentum = 1 // the running values are those of the last batch
	ragged := norm.NewGhost(5)
	ragged.Ragged = true
	uneven := norm.NewGhost(10)
	uneven.Ragged = true
	transductive := norm.NewGhost(4)
	shortPower, shortUnified := norm.NewPower("running"), norm.NewUnified()
	shortPower.Warmup, shortPower.MaxRatio = 5, 3
	shortUnified.Warmup, shortUnified.Floor, shortUnified.Window, shortUnified.Filter = 4, 5, 3, true
	transductive.Inference = norm.FromBatch{}
	for _, c := range []struct {
		name     string
		layer    norm.Layer
		promises []normtest.Claim
	}{
		{"ghost 4", norm.NewGhost(4), []normtest.Claim{normtest.Collects(0.1, true, of(4))}},
		{"ghost 3 biased", biased, []normtest.Claim{normtest.Collects(0.3, false, of(3))}},
		{"batch last", last, []normtest.Claim{normtest.Collects(1, true, whole)}},
		{"ghost 5 ragged", ragged, []normtest.Claim{normtest.Collects(0.1, true, func(batch int) []int {
			if batch == normtest.Batch {
				return []int{4, 4, 4}
			}
			return []int{batch}
		})}},
		{"ghost 10 ragged", uneven, []normtest.Claim{normtest.Collects(0.1, true, of(6))}},
		{"layer, epsilon outside", norm.LayerNorm{Axes: []int{-1}, Epsilon: 1e-5, OutsideRoot: true, NoOffset: true}, nil},
		{"group 1", norm.Group{Groups: 1, Epsilon: 1e-3}, nil},
		{"batch-channel of batches", norm.BatchChannel{Groups: 1, Momentum: 0.1, Epsilon: 1e-5}, []normtest.Claim{normtest.Collects(0.1, true, whole)}},
		{"ibn for DenseNets", norm.IBN{Ratio: 0.4, Order: "bn_first", Momentum: 0.3, Epsilon: 1e-5}, []normtest.Claim{normtest.KeepsState(), normtest.NeedsPositions()}},
		{"genome B0", norm.Genome{Groups: 1, Epsilon: 1e-5, Decay: 0.9, Nodes: []norm.GenomeNode{
			{"mul", []int{0, 2}}, {"std:wh", []int{0}}, {"add", []int{4, 5}}, {"std:bwh", []int{0}}, {"max", []int{6, 7}}, {"div", []int{0, 8}},
		}}, []normtest.Claim{normtest.KeepsState(), normtest.NeedsPositions()}},
		{"genome of everything", norm.Genome{Groups: 3, Epsilon: 1e-3, Decay: 0.5, Nodes: []norm.GenomeNode{
			{"rms:bwh", []int{0}}, {"mean:bwh", []int{0}}, {"mean:whc", []int{0}}, {"rms:whc/g", []int{0}}, {"sqrt", []int{4}}, {"abs", []int{5}},
			{"add", []int{8, 9}}, {"tanh", []int{6}}, {"exp", []int{11}}, {"mul", []int{10, 12}}, {"neg", []int{13}}, {"square", []int{7}},
			{"add", []int{14, 15}},
		}}, []normtest.Claim{normtest.KeepsState(), normtest.NeedsPositions()}},
		{"power, short warm-up", shortPower, []normtest.Claim{normtest.KeepsState(), normtest.DetachedStatistics()}},
		{"unified, short warm-up", shortUnified, []normtest.Claim{normtest.KeepsState(), normtest.DetachedStatistics()}},
		{"unified, window 1", norm.Unified{Window: 1, GradientWindow: 1, Momentum: 0.9, Epsilon: 1e-5}, []normtest.Claim{normtest.KeepsState(), normtest.DetachedStatistics()}},
		{"evonorm without activation", norm.NewEvoNorm("S0").WithoutActivation(false), nil},
		{"ghost from batch", transductive, []normtest.Claim{normtest.Collects(0.1, true, of(4)), normtest.DependsOnBatch()}},
	} {
		t.Run(c.name, func(t *testing.T) { normtest.Run(t, c.layer, c.promises...) })
	}
}

// train applies a layer once in training mode on a new store, and returns y and the store.
func train(t *testing.T, e *engine.Engine, layer norm.Layer, x gradcheck.Input) ([]float64, *model.Store) {
	t.Helper()
	store := model.NewStore()
	return apply(t, e, store, true, layer, x), store
}

func apply(t *testing.T, e *engine.Engine, store *model.Store, training bool, layer norm.Layer, x gradcheck.Input) []float64 {
	t.Helper()
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
		scope.Store().SetTraining(x.Graph(), training)
		return layer.Apply(scope.In("n"), x)
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Call(tensors.FromFlatDataAndDimensions(slices.Clone(x.Data), x.Shape...))
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float64](out[0])
}

func flat(t *testing.T, store *model.Store, path string) []float64 {
	t.Helper()
	v := store.GetVariable(path)
	if v == nil {
		t.Fatalf("no variable %s", path)
	}
	return tensors.MustCopyFlatData[float64](v.MustValue())
}

func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestGhostOfTheWholeBatch: a group of the batch or more is batch normalisation, bit for bit, with one running update.
func TestGhostOfTheWholeBatch(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(1, 6, 2, 2, 3)
		want, store := train(t, e, norm.NewBatch(), x)
		for _, size := range []int{6, 7, 1000} {
			got, other := train(t, e, norm.NewGhost(size), x)
			near(t, "y", got, want, 0)
			near(t, "mean", flat(t, other, "/n/mean"), flat(t, store, "/n/mean"), 0)
			near(t, "variance", flat(t, other, "/n/variance"), flat(t, store, "/n/variance"), 0)
		}
	})
}

// TestGhostRagged compares a batch that no group size divides with the same groups normalised one after the other.
func TestGhostRagged(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		const per = 2 * 3
		x := gradcheck.Normal(2, 11, 2, 3)
		ragged := norm.NewGhost(4) // 3 groups of ceil(11/3) = 4, the last one of 3
		ragged.Ragged = true
		got, store := train(t, e, ragged, x)
		one := model.NewStore()
		var want []float64
		for _, span := range [][2]int{{0, 4}, {4, 8}, {8, 11}} {
			part := gradcheck.Input{Shape: []int{span[1] - span[0], 2, 3}, Data: x.Data[span[0]*per : span[1]*per]}
			want = append(want, apply(t, e, one, true, norm.NewBatch(), part)...)
		}
		near(t, "y", got, want, 1e-12)
		near(t, "mean", flat(t, store, "/n/mean"), flat(t, one, "/n/mean"), 1e-12)
		near(t, "variance", flat(t, store, "/n/variance"), flat(t, one, "/n/variance"), 1e-12)
		gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, in []*graph.Node) *graph.Node {
			scope.Store().SetTraining(in[0].Graph(), true)
			return ragged.Apply(scope.In("n"), in[0])
		}, x)
	})
}

// TestGhostGroupsAreContiguous: order inside a group does not matter, the group does.
func TestGhostGroupsAreContiguous(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(3, 6, 2)
		swap := func(i, j int) gradcheck.Input {
			y := gradcheck.Input{Shape: x.Shape, Data: slices.Clone(x.Data)}
			copy(y.Data[i*2:], x.Data[j*2:j*2+2])
			copy(y.Data[j*2:], x.Data[i*2:i*2+2])
			return y
		}
		base, store := train(t, e, norm.NewGhost(3), x)
		inside, other := train(t, e, norm.NewGhost(3), swap(0, 2))
		near(t, "variance", flat(t, other, "/n/variance"), flat(t, store, "/n/variance"), 1e-12)
		near(t, "a swapped example", inside[:2], base[4:6], 1e-12)
		across, _ := train(t, e, norm.NewGhost(3), swap(0, 5))
		if math.Abs(across[2]-base[2]) < 1e-3 {
			t.Error("an example does not feel that another left its group")
		}
	})
}

// TestSourceAtInference runs a trained layer with the statistics of the batch it is given.
func TestSourceAtInference(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(4, 8, 3)
		want, store := train(t, e, norm.NewBatch(), x)
		adapted := norm.NewBatch()
		adapted.Inference = norm.FromBatch{}
		near(t, "y", apply(t, e, store, false, adapted, x), want, 1e-12)
		if plain := apply(t, e, store, false, norm.NewBatch(), x); math.Abs(plain[0]-want[0]) < 1e-6 {
			t.Error("running values gave the result of the batch's statistics")
		}
	})
}

// TestLayerNormClaims are the numbers of the method: rows of mean 0 and deviation 1, deaf to scale and shift of x.
func TestLayerNormClaims(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(5, 4, 32)
		y, _ := train(t, e, norm.NewLayerNorm(-1), x)
		for row := range 4 {
			mean, square := 0.0, 0.0
			for _, v := range y[row*32 : row*32+32] {
				mean += v / 32
				square += v * v / 32
			}
			if math.Abs(mean) > 1e-6 || math.Abs(math.Sqrt(square)-1) > 1e-3 {
				t.Errorf("row %d has mean %v and deviation %v", row, mean, math.Sqrt(square))
			}
		}
		moved := gradcheck.Input{Shape: x.Shape, Data: slices.Clone(x.Data)}
		for i := range moved.Data {
			moved.Data[i] = 3*moved.Data[i] + 2
		}
		got, _ := train(t, e, norm.NewLayerNorm(-1), moved)
		near(t, "3x+2", got, y, 1e-4)
	})
}

func TestRefuses(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		slow := norm.NewBatch()
		slow.Momentum = 0
		fast := norm.NewGhost(2)
		fast.Momentum = 1.1
		ragged := norm.NewGhost(2)
		ragged.Ragged = true
		for _, c := range []struct {
			layer norm.Layer
			x     []int
			want  string
		}{
			{norm.NewGhost(0), []int{4, 2}, "norm.Ghost /n: GroupSize is 0; use at least 1"},
			{norm.NewGhost(4), []int{10, 2}, "norm.Ghost /n: batch 10 is not a multiple of GroupSize 4; use 2 or 5, or allow a smaller last group with Ragged"},
			{norm.NewGhost(8), []int{10, 2}, "batch 10 is not a multiple of GroupSize 8; use 5 or 10"},
			{norm.NewGhost(1), []int{4, 2}, "norm.Ghost /n: a group of x (Float64)[4, 2] has 1 value a channel; statistics need at least 2"},
			{ragged, []int{5, 3}, "has 1 value a channel"},
			{norm.NewBatch(), []int{1, 3}, "norm.Batch /n: a group of x (Float64)[1, 3] has 1 value a channel"},
			{slow, []int{4, 2}, "norm.Batch /n: Momentum is 0; it is the share of the new value, in (0, 1]; use 0.1"},
			{fast, []int{4, 2}, "norm.Ghost /n: Momentum is 1.1"},
			{norm.NewLayerNorm(), []int{4, 2}, "norm.LayerNorm /n: no axes to normalise over; use -1"},
			{norm.NewLayerNorm(-2), []int{4, 2}, "norm.LayerNorm /n: axes [-2] do not fit x (Float64)[4, 2]; use each of 1 to 1"},
			{norm.NewLayerNorm(2), []int{4, 2}, "axes [2] do not fit"},
			{norm.NewLayerNorm(-1, 1), []int{4, 2}, "axes [-1 1] do not fit"},
			{norm.Group{Groups: 4}, []int{2, 3, 6}, "norm.Group /n: 6 channels do not split into 4 groups; use a number that divides them, or allow fewer groups with Fallback"},
			{norm.Group{Groups: 0}, []int{2, 3, 6}, "norm.Group /n: Groups is 0; use at least 1"},
			{norm.Group{Groups: 6}, []int{2, 6}, "norm.Group /n: each group of x (Float64)[2, 6] has 1 value; its normalised value is always 0, so use fewer groups"},
			{norm.BatchChannel{Groups: 5, Momentum: 0.1}, []int{2, 3, 6}, "norm.BatchChannel /n: 6 channels do not split into 5 groups"},
			{norm.Power{Variant: "running", GroupScaling: true, Groups: 4, AlphaForward: 0.9, AlphaBackward: 0.9}, []int{2, 3, 6}, "norm.Power /n: 6 channels do not split into 4 groups"},
			{norm.Power{Variant: "fast"}, []int{2, 6}, `norm.Power /n: Variant is "fast"; use running, paper or v`},
			{norm.Power{Variant: "v", AlphaForward: 1.5, AlphaBackward: 0.9}, []int{2, 6}, "norm.Power /n: AlphaForward is 1.5; it is a share of the old value, in (0, 1]; use 0.9"},
			{norm.NewInstance(), []int{4, 6}, "norm.Instance /n: x (Float64)[4, 6] has 1 position an example; its normalised value is always 0, so use a norm over channels or the batch here"},
			{norm.IBN{Ratio: 0.1, Order: "in_first", Momentum: 0.1}, []int{4, 2, 6}, "norm.IBN /n: a ratio of 0.1 leaves one part of 6 channels empty; use a ratio nearer 0.5, or norm.Batch or norm.Instance alone"},
			{norm.IBN{Ratio: 0.99, Order: "bn_first", Momentum: 0.1}, []int{4, 2, 6}, "norm.IBN /n: a ratio of 0.99 leaves one part of 6 channels empty"},
			{norm.IBN{Ratio: 0.5, Order: "first"}, []int{4, 2, 6}, `norm.IBN /n: Order is "first"; use in_first or bn_first`},
			{norm.NewIBN(), []int{4, 6}, "norm.IBN /n: x (Float64)[4, 6] has 1 position an example"},
			{norm.Genome{Nodes: []norm.GenomeNode{{"add", []int{0, 5}}}}, []int{4, 2, 6}, "norm.Genome /n: norm: node 4 of the genome refers forward to 5; use an earlier value, 0 to 3"},
			{norm.Genome{Nodes: []norm.GenomeNode{{"std:hw", []int{0}}}}, []int{4, 2, 6}, `no operation "std:hw" (did you mean std:wh?)`},
			{norm.Genome{Nodes: []norm.GenomeNode{{"add", []int{0}}}}, []int{4, 2, 6}, "node 4 of the genome: add takes 2 arguments, got [0]"},
			{norm.NewEvoNorm("B3"), []int{4, 6}, `norm.EvoNorm /n: Kind is "B3"; use B0, B1, B2, S0, S1 or S2`},
			{norm.NewEvoNorm("B0"), []int{4, 6}, "norm.EvoNorm /n: B0 needs positions, x is (Float64)[4, 6]; use S0 for dense layers"},
			{norm.Estimated{Rate: 2}, []int{4, 6}, "norm.Estimated /n: Rate is 2; it is the share of the new value in the estimate, in [0, 1]; use 0.02"},
			{norm.Unified{Window: 0, GradientWindow: 4, Momentum: 0.9}, []int{4, 6}, "norm.Unified /n: windows are 0 and 4; use at least 1"},
			{norm.Unified{Window: 4, GradientWindow: 4, Momentum: 1}, []int{4, 6}, "norm.Unified /n: Momentum is 1; it is the share of the old value, in (0, 1); use 0.9"},
			{norm.NewRMS(-1), []int{4, 1}, "norm.RMS /n: axes [-1] of x (Float64)[4, 1] have 1 element"},
			{norm.NewLayerNorm(-1), []int{4, 1}, "have 1 element; its normalised value is always the same, so normalise over more axes"},
		} {
			in := gradcheck.Normal(1, c.x...)
			err := exceptions.TryCatch[error](func() {
				model.MustNewExec(e.Backend, model.NewStore(), func(scope *model.Scope, x *graph.Node) *graph.Node {
					scope.Store().SetTraining(x.Graph(), true)
					return c.layer.Apply(scope.In("n"), x)
				}).MustCall(tensors.FromFlatDataAndDimensions(in.Data, in.Shape...))
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v on %v: got %v, want %q", c.layer, c.x, err, c.want)
			}
		}
	})
}

// TestNarrowStatistics: in bfloat16 a channel of mean 100 and deviation 0.5 keeps its variance, because moments are float32.
func TestNarrowStatistics(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		store := model.NewStore()
		exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
			scope.Store().SetTraining(x.Graph(), true)
			y := norm.NewBatch().Apply(scope.In("n"), graph.ConvertDType(x, dtypes.BFloat16))
			return graph.ConvertDType(y, dtypes.Float32)
		})
		x := make([]float32, 256)
		for i := range x {
			x[i] = 100 + 0.5*float32(1-2*(i%2)) // both exact in bfloat16
		}
		y := tensors.MustCopyFlatData[float32](exec.MustCall(tensors.FromFlatDataAndDimensions(x, 256, 1))[0])
		if math.Abs(float64(y[0])-1) > 1e-2 {
			t.Errorf("y is %v, want 1", y[0])
		}
	})
}

func TestChoice(t *testing.T) {
	for _, c := range []struct {
		in, out string
	}{
		{`"batch"`, `{"name":"batch","momentum":0.1,"eps":0.00001,"running_var_unbiased":true}`},
		{`{"name":"ghost","ghost_size":8,"ragged_last_group":true}`, `{"name":"ghost","ghost_size":8,"momentum":0.1,"eps":0.00001,"running_var_unbiased":true,"ragged_last_group":true}`},
		{`{"name":"layer","axes":[-3,-2,-1]}`, `{"name":"layer","axes":[-3,-2,-1],"eps":0.00001,"eps_outside_root":false,"no_scale":false,"no_offset":false}`},
		{`"identity"`, `{"name":"identity"}`},
		{`"evonorm-s0"`, `{"name":"evonorm-s0","kind":"S0","groups":32,"fallback":true,"decay":0.9,"eps":0.00001,"no_activation":false,"init_zero":false}`},
	} {
		var choice norm.Choice
		if err := json.Unmarshal([]byte(c.in), &choice); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		out, err := json.Marshal(choice)
		if err != nil || string(out) != c.out {
			t.Errorf("%s became %s (%v), want %s", c.in, out, err, c.out)
		}
	}
	for in, want := range map[string]string{
		`"gost"`:                            `no norm "gost" (did you mean ghost?)`,
		`{"name":"ghost","ghost_sise":8}`:   "ghost_size",
		`{"ghost_size":8}`:                  "a norm needs a name: batch, ghost, layer, rms, ",
		`{"name":"ghost","ghost_size":"a"}`: "ghost_size",
		`7`:                                 "want the name of a norm",
	} {
		var choice norm.Choice
		if err := json.Unmarshal([]byte(in), &choice); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
}

func TestPadding(t *testing.T) {
	if err := norm.CheckPadding([]bool{true, false}); err != nil {
		t.Error(err)
	}
	want := "norm: every position is masked as padding; drop the batch, or turn the mask around: true means padding"
	if err := norm.CheckPadding([]bool{true, true}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, layer := range []norm.Masked{norm.NewPower("v"), norm.NewUnified()} {
			message := gradcheck.Panics(e.Backend, func(in []*graph.Node) *graph.Node {
				return layer.ApplyMasked(model.NewStore().RootScope().In("n"), in[0], graph.Const(in[0].Graph(), [][]bool{{true, false}}))
			}, gradcheck.Normal(1, 2, 2, 3))
			if want := "/n: the padding mask is (Bool)[1, 2]; want [2 2], one value for each position of x (Float64)[2, 2, 3]"; !strings.Contains(message, want) {
				t.Errorf("%T: got %q, want %q", layer, message, want)
			}
		}
	})
}

// TestGroupFallback: with 32 groups asked for, 16 channels make 8 groups of two, 6 channels 3, and 3 channels one.
func TestGroupFallback(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for channels, groups := range map[int]int{16: 8, 6: 3, 3: 1} {
			x := gradcheck.Normal(14, 2, 4, channels)
			want, _ := train(t, e, norm.Group{Groups: groups, Epsilon: 1e-5}, x)
			got, _ := train(t, e, norm.NewGroup(), x)
			near(t, "y", got, want, 0)
		}
	})
}

// TestEvoNormGroupsOfOne: S2 does not centre, so that a group may be one value; S0 takes fewer groups then.
func TestEvoNormGroupsOfOne(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		x := gradcheck.Normal(15, 2, 4)
		want := make([]float64, len(x.Data))
		for i, v := range x.Data {
			want[i] = v / (1 + math.Exp(-v)) / math.Sqrt(v*v+1e-5)
		}
		got, _ := train(t, e, norm.NewEvoNorm("S2"), x)
		near(t, "S2", got, want, 1e-12)
		two := norm.NewEvoNorm("S0")
		two.Groups = 2
		fewer, _ := train(t, e, two, x)
		got, _ = train(t, e, norm.NewEvoNorm("S0"), x)
		near(t, "S0", got, fewer, 0)
	})
}

// TestWarnings: odd options that are not wrong say so.
func TestWarnings(t *testing.T) {
	filter := norm.NewUnified()
	filter.Filter, filter.Warmup = true, 2
	for want, layer := range map[string]interface{ Warning() string }{
		"update_rate is 0":                     norm.Estimated{},
		"norm.Estimated: update_rate is 0":     norm.BatchChannel{Estimate: true},
		"warmup_iters 2 is below window_fwd 4": filter,
	} {
		if got := layer.Warning(); !strings.Contains(got, want) {
			t.Errorf("%T warns %q, want %q", layer, got, want)
		}
	}
	for _, layer := range []interface{ Warning() string }{norm.NewEstimated(), norm.NewBatchChannel(), norm.NewUnified()} {
		if got := layer.Warning(); got != "" {
			t.Errorf("the defaults of %T warn: %s", layer, got)
		}
	}
}

// TestSetRates: the rate of the estimates can change under a compiled network, which then follows the data at once.
func TestSetRates(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		store := model.NewStore()
		exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, x *graph.Node) *graph.Node {
			store.SetTraining(x.Graph(), true)
			return norm.NewEstimated().Apply(scope.In("n"), x)
		})
		x := tensors.FromValue([][]float32{{1}, {3}})
		exec.MustCall(x)
		near(t, "the mean at rate 0.02", []float64{float64(tensors.MustCopyFlatData[float32](store.GetVariable("/n/mean").MustValue())[0])}, []float64{0.04}, 1e-6)
		if n, err := norm.SetRates(store, 1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		exec.MustCall(x)
		near(t, "the mean at rate 1", []float64{float64(tensors.MustCopyFlatData[float32](store.GetVariable("/n/mean").MustValue())[0])}, []float64{2}, 1e-6)
	})
}

// TestFold: what a foldable layer says of itself at inference is what it computes.
func TestFold(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		plain := norm.NewPower("running")
		plain.GroupScaling = false
		x := gradcheck.Normal(11, 5, 3)
		for _, layer := range []norm.Foldable{norm.NewBatch(), norm.NewGhost(5), norm.NewEstimated(), plain, norm.NewUnified(), norm.Offset{}} {
			_, store := train(t, e, layer, x)
			values := map[string][]float64{}
			for v := range store.IterVariables() {
				if v.DType() == dtypes.Float64 {
					values[v.Name()] = tensors.MustCopyFlatData[float64](v.MustValue())
				}
			}
			scale, offset := layer.Fold(values)
			want := make([]float64, len(x.Data))
			for i, v := range x.Data {
				want[i] = scale[i%3]*v + offset[i%3]
			}
			near(t, norm.Name(layer), apply(t, e, store, false, layer, x), want, 1e-12)
		}
	})
}

// TestResetIterations brings the warm-up back and leaves all other state.
func TestResetIterations(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		layer := norm.NewUnified()
		layer.Window, layer.Warmup = 2, 3
		x := gradcheck.Normal(12, 4, 3)
		_, store := train(t, e, layer, x)
		for range 4 {
			apply(t, e, store, true, layer, gradcheck.Normal(13, 4, 3))
		}
		running := flat(t, store, "/n/variance")
		smoothed := apply(t, e, store, true, layer, x)
		if n, err := norm.ResetIterations(store); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if now := flat(t, store, "/n/variance"); slices.Equal(now, running) {
			t.Error("the running value did not move in training")
		}
		warm := apply(t, e, store, true, layer, x)
		square := make([]float64, 3)
		for i, v := range x.Data {
			square[i%3] += v * v / 4
		}
		for i, v := range x.Data {
			if want := v / math.Sqrt(square[i%3]+1e-5); math.Abs(warm[i]-want) > 1e-9 {
				t.Fatalf("after the reset value %d is %v, want %v of the batch's own statistics", i, warm[i], want)
			}
		}
		if slices.Equal(warm, smoothed) {
			t.Error("the window made no difference")
		}
	})
}
