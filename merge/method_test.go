package merge_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/merge"
)

// drawTensors draws a base and models of one shape.
func drawTensors(t *rapid.T, models int) (merge.Target, []float32, [][]float32) {
	target := merge.Target{Name: "w", Shape: []int{rapid.IntRange(1, 6).Draw(t, "rows"), rapid.IntRange(1, 9).Draw(t, "columns")}, Seed: rapid.Uint64().Draw(t, "seed")}
	values := rapid.SliceOfN(rapid.Map(rapid.IntRange(-256, 256), func(i int) float32 { return float32(i) / 64 }), target.Elements(), target.Elements())
	base := values.Draw(t, "base")
	var list [][]float32
	for range models {
		list = append(list, values.Draw(t, "model"))
	}
	return target, base, list
}

func must(t interface{ Fatal(...any) }, m merge.Method, target merge.Target, base []float32, models [][]float32) []float32 {
	out, err := merge.Values(m, target, base, models)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// near compares with a tolerance relative to values of size 10.
func near(t *rapid.T, what string, got, want []float32, tolerance float64) {
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= tolerance*10) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestIdentities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target, base, models := drawTensors(t, 2)
		a, b := models[0], models[1]
		if got := must(t, merge.Linear{Weight: []float64{1, 0}, Normalize: true}, target, nil, models); !slices.Equal(got, a) {
			t.Fatalf("linear with weights 1 and 0 is %v, want %v", got, a)
		}
		w := []float64{0.3, 0.7}
		near(t, "the order of the models", must(t, merge.Linear{Weight: w}, target, nil, models),
			must(t, merge.Linear{Weight: []float64{0.7, 0.3}}, target, nil, [][]float32{b, a}), 1e-7)
		slerp := merge.NewSLERP()
		for end, want := range models {
			slerp.T = float64(end)
			near(t, "an end of slerp", must(t, slerp, target, nil, models), want, 1e-6)
		}
		arithmetic := must(t, merge.TaskArithmetic{Weight: w, Lambda: 0.8}, target, base, models)
		ones := []float64{1, 1}
		for _, rescale := range []merge.Rescale{merge.RescaleNone, merge.RescaleInverseDensity, merge.RescaleL1} {
			if got := must(t, merge.DARE{Weight: w, Density: ones, Rescale: rescale, Lambda: 0.8}, target, base, models); !slices.Equal(got, arithmetic) {
				t.Fatalf("dare with density 1 is %v, task arithmetic %v", got, arithmetic)
			}
		}
		if got := must(t, merge.Breadcrumbs{Weight: w, Density: ones, Gamma: []float64{0, 0}, Lambda: 0.8}, target, base, models); !slices.Equal(got, arithmetic) {
			t.Fatalf("breadcrumbs that drop nothing give %v, task arithmetic %v", got, arithmetic)
		}
		near(t, "ties of one model", must(t, merge.TIES{Weight: []float64{1}, Density: []float64{1}, Normalize: true, Lambda: 0.5}, target, base, models[:1]),
			must(t, merge.TaskArithmetic{Weight: []float64{1}, Lambda: 0.5}, target, base, models[:1]), 1e-6)
		same := [][]float32{a, a, a}
		multi := merge.NewMultiSLERP()
		multi.Weight = []float64{1, 2, 3}
		near(t, "multislerp of equal models", must(t, multi, target, nil, same), a, 1e-6)
		near(t, "karcher of equal models", must(t, merge.NewKarcher(), target, nil, same), a, 1e-6)
		swap := merge.NearSwap{T: 100}
		near(t, "nearswap with a large t", must(t, swap, target, base, models[:1]), a, 1e-6)
	})
}

// TestDAREIsUnbiased averages 400 masks: with the rest divided by the density the mean is the whole difference, without it is the density's share of
// it, to 6 standard errors; l1 keeps the sum of magnitudes.
func TestDAREIsUnbiased(t *testing.T) {
	const n, masks, density = 500, 400, 0.1
	target := merge.Target{Name: "w", Shape: []int{n}}
	base, model := make([]float32, n), make([]float32, n)
	whole := 0.0
	for i := range model {
		model[i] = float32(math.Sin(float64(3*i))) + 2
		whole += math.Abs(float64(model[i]))
	}
	mean := map[merge.Rescale][]float64{merge.RescaleNone: make([]float64, n), merge.RescaleInverseDensity: make([]float64, n)}
	for seed := range uint64(masks) {
		target.Seed = seed
		for rescale, sum := range mean {
			for i, v := range must(t, merge.DARE{Weight: []float64{1}, Density: []float64{density}, Rescale: rescale, Lambda: 1}, target, base, [][]float32{model}) {
				sum[i] += float64(v) / masks
			}
		}
		sum := 0.0
		for _, v := range must(t, merge.DARE{Weight: []float64{1}, Density: []float64{density}, Rescale: merge.RescaleL1, Lambda: 1}, target, base, [][]float32{model}) {
			sum += math.Abs(float64(v))
		}
		if math.Abs(sum-whole) > 1e-5*whole {
			t.Fatalf("l1 keeps %v of %v", sum, whole)
		}
	}
	for rescale, scale := range map[merge.Rescale]float64{merge.RescaleNone: 1, merge.RescaleInverseDensity: 1 / density} {
		for i, got := range mean[rescale] {
			want := density * scale * float64(model[i])
			if e := scale * float64(model[i]) * math.Sqrt(density*(1-density)/masks); math.Abs(got-want) > 6*e {
				t.Fatalf("%s: the mean of element %d is %v, want %v within 6 x %v", rescale, i, got, want, e)
			}
		}
	}
}

func TestMasksDependOnNames(t *testing.T) {
	base, model := make([]float32, 64), make([]float32, 64)
	for i := range model {
		model[i] = 1
	}
	drop := func(target merge.Target) []float32 {
		target.Shape = []int{64}
		return must(t, merge.DARE{Weight: []float64{1}, Density: []float64{0.5}, Rescale: merge.RescaleNone, Lambda: 1}, target, base, [][]float32{model})
	}
	first := drop(merge.Target{Name: "w"})
	if !slices.Equal(first, drop(merge.Target{Name: "w"})) {
		t.Error("two runs differ")
	}
	for _, other := range []merge.Target{{Name: "v"}, {Name: "w", Seed: 1}, {Name: "w", Which: []int{1}}} {
		if slices.Equal(first, drop(other)) {
			t.Errorf("%+v has the same mask", other)
		}
	}
}

func TestMethodErrors(t *testing.T) {
	base, models := []float32{1, 2}, [][]float32{{1, 2}, {3, 4}}
	for _, c := range []struct {
		m    merge.Method
		want string
	}{
		{merge.Linear{Weight: []float64{1}}, "merge: linear: tensor w: weight has 1 values for 2 models; give each model one"},
		{merge.TIES{Weight: []float64{1, 1}, Density: []float64{0.5}, Lambda: 1}, "density has 1 values for 2 models"},
		{merge.TIES{Weight: []float64{1, 1}, Density: []float64{0.5, -0.2}, Lambda: 1}, "density of model 1 is -0.2; it must be from 0 to 1"},
		{merge.TIES{Weight: []float64{1, 1}, Density: []float64{0.5, 0.2}, Rescale: merge.RescaleInverseDensity}, `rescale is "inverse_density"; use none or l1`},
		{merge.SCE{SelectTopK: 2}, "select_topk is 2; it must be from 0 to 1"},
		{merge.RAM{Epsilon: -1}, "epsilon is -1; give a number of at least 0"},
		{merge.ArceeFusion{}, "models are 2 beside the base; give one"},
		{merge.DARE{Weight: []float64{1, 1}, Density: []float64{0.5, 0.2}, Rescale: "l2"}, `rescale is "l2"; use none, inverse_density or l1`},
		{merge.DELLA{Weight: []float64{1, 1}, Density: []float64{0.5, 0.9}, Epsilon: []float64{0.1, 0.1}, Rescale: "l1"}, "density 0.9 and epsilon 0.1 of model 1: density - epsilon must lie above 0 and density + epsilon below 1"},
		{merge.Breadcrumbs{Weight: []float64{1, 1}, Density: []float64{1, 1}, Gamma: []float64{0, 1}}, "gamma of model 1 is 1"},
		{merge.NearSwap{T: 1}, "models are 2 beside the base; give one"},
		{merge.NewSLERP(), "t is NaN"},
		{merge.Passthrough{Scale: 1}, "models are 2; a tensor is copied from one"},
		{merge.Karcher{}, "max_iter is 0"},
		{merge.MultiSLERP{Weight: []float64{1, -1}, NormalizeWeights: true}, "weight [1 -1] sum to 0"},
	} {
		if _, err := merge.Values(c.m, merge.Target{Name: "w", Shape: []int{2}}, base, models); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: the error is %v\nwant %s", c.m, err, c.want)
		}
	}
}

// A density of 1, the default, keeps all: with it DELLA is task arithmetic.
func TestDELLAKeepsAll(t *testing.T) {
	target, base, models := merge.Target{Name: "w", Shape: []int{2, 2}}, []float32{1, 2, 3, 4}, [][]float32{{2, 1, 0, 4}, {0, 3, 3, 5}}
	della, task := merge.NewDELLA(), merge.NewTaskArithmetic()
	della.Weight, della.Density, della.Epsilon = []float64{0.5, 0.25}, []float64{1, 1}, []float64{0.15, 0.15}
	task.Weight = della.Weight
	for _, rescale := range []merge.Rescale{merge.RescaleNone, merge.RescaleL1, merge.RescaleInverseDensity} {
		della.Rescale = rescale
		if got, want := must(t, della, target, base, models), must(t, task, target, base, models); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", rescale, got, want)
		}
	}
}

// Of a model with density 0 nothing remains, by whatever method and scaling; a small density keeps one value of a small tensor.
func TestDensityZero(t *testing.T) {
	target, base := merge.Target{Name: "w", Shape: []int{2, 3}}, []float32{1, 2, 3, 4, 5, 6}
	models := [][]float32{{2, 1, 0, 4, 9, 1}, {0, 3, 3, 5, 5, 5}}
	weight, gamma, epsilon := []float64{0.5, 0.25}, []float64{0, 0}, []float64{0.1, 0.1}
	for _, density := range [][]float64{{0, 0}, {0, 1}, {1, 0}} {
		want := must(t, merge.TaskArithmetic{Weight: []float64{weight[0] * density[0], weight[1] * density[1]}, Lambda: 1}, target, base, models)
		for _, rescale := range []merge.Rescale{merge.RescaleNone, merge.RescaleL1, merge.RescaleInverseDensity} {
			methods := []merge.Method{
				merge.DARE{Weight: weight, Density: density, Rescale: rescale, Lambda: 1},
				merge.DELLA{Weight: weight, Density: density, Epsilon: epsilon, Rescale: rescale, Lambda: 1},
			}
			if rescale != merge.RescaleInverseDensity {
				methods = append(methods,
					merge.TIES{Weight: weight, Density: density, Rescale: rescale, Lambda: 1},
					merge.Breadcrumbs{Weight: weight, Density: density, Gamma: gamma, Rescale: rescale, Lambda: 1})
			}
			for _, m := range methods {
				if got := must(t, m, target, base, models); !slices.Equal(got, want) {
					t.Errorf("%T of density %v, %s: %v, want %v", m, density, rescale, got, want)
				}
			}
		}
	}

	small := merge.TIES{Weight: []float64{1}, Density: []float64{0.01}, Rescale: merge.RescaleL1, Lambda: 1}
	if got, want := must(t, small, target, base, models[:1]), []float32{1, 2, 3, 4, 5, 6 - 5 - 4 - 3 - 1 - 1}; !slices.Equal(got, want) {
		t.Errorf("a density of 0.01 gives %v, want %v", got, want)
	}
}
