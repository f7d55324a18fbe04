package position_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/position"
)

// bowl is the loss (1/2) |w - target|^2.
func bowl(target weights.Set) position.Loss {
	return func(_ int, w weights.Set) (float64, weights.Set, error) {
		value, gradient := 0.0, w.Clone()
		for t := range w {
			for j, v := range w[t].Values {
				d := float64(v) - float64(target[t].Values[j])
				value += d * d / 2
				gradient[t].Values[j] = float32(d)
			}
		}
		return value, gradient, nil
	}
}

// wide is what lies behind a loss in float64: base + lambda sum of c_i V_i from coefficients, so that differences see no rounding of
// float32 weights.
func wideBowl(base weights.Set, models []weights.Set, target weights.Set, coefficients [][]float64) float64 {
	value := 0.0
	for t := range base {
		row := coefficients[0]
		if len(coefficients) > 1 {
			row = coefficients[t]
		}
		for j := range base[t].Values {
			v := float64(base[t].Values[j])
			for i, c := range row {
				v += c * (float64(models[i][t].Values[j]) - float64(base[t].Values[j]))
			}
			d := v - float64(target[t].Values[j])
			value += d * d / 2
		}
	}
	return value
}

// TestPositionGradients holds the gradients in a and lambda against differences, for every fold.
func TestPositionGradients(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(rt, "models")
		method := position.New()
		method.Fold = rapid.SampledFrom([]string{position.FoldSlerp, position.FoldLinear}).Draw(rt, "fold")
		method.Accumulate = rapid.SampledFrom([]string{position.AccumulateMean, position.AccumulateSum}).Draw(rt, "accumulate")
		method.PerTensor = rapid.Bool().Draw(rt, "per tensor")
		method.Mu = 0.03
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
		base := weightstest.Drawn(r, weightstest.Blank(), 1)
		var models []weights.Set
		for range n {
			models = append(models, weightstest.Drawn(r, base, 1))
		}
		target := weightstest.Drawn(r, base, 1)
		search, err := method.NewSearch(base, models, nil)
		if err != nil {
			rt.Fatal(err)
		}
		a := make([]float64, n)
		for i := range a {
			a[i] = 0.2 + 2*r.Float64()
		}
		lambda := 0.3 + r.Float64()
		objective := func() float64 {
			place, err := search.At(a, lambda)
			if err != nil {
				rt.Fatal(err)
			}
			return wideBowl(base, models, target, place.Coefficients) + method.Mu*lambda
		}
		place, err := search.At(a, lambda)
		if err != nil {
			rt.Fatal(err)
		}
		_, gradient, err := bowl(target)(0, place.Weights)
		if err != nil {
			rt.Fatal(err)
		}
		slopeA, slopeLambda, err := search.Gradient(a, lambda, gradient)
		if err != nil {
			rt.Fatal(err)
		}
		const h = 1e-5
		difference := func(x *float64) float64 {
			old := *x
			*x = old + h
			up := objective()
			*x = old - h
			down := objective()
			*x = old
			return (up - down) / (2 * h)
		}
		for i := range a {
			if want := difference(&a[i]); math.Abs(slopeA[i]-want) > 1e-4*math.Max(1, math.Abs(want)) {
				rt.Fatalf("a[%d]: %v, difference %v", i, slopeA[i], want)
			}
		}
		if want := difference(&lambda); math.Abs(slopeLambda-want) > 1e-4*math.Max(1, math.Abs(want)) {
			rt.Fatalf("lambda: %v, difference %v", slopeLambda, want)
		}
	})
}

// TestSlerpOfUnitVectorsKeepsLength, and the middle of equal weights lies between.
func TestSlerpOfUnitVectors(t *testing.T) {
	vector := func(x, y float32) weights.Set {
		return weights.Set{{Name: "v", Shape: []int{2}, Values: []float32{x, y}}}
	}
	method := position.New()
	search, err := method.FromTaskVectors(vector(0, 0), []weights.Set{vector(1, 0), vector(0, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, beta := range []float64{0.1, 0.5, 0.8} {
		place, err := search.At(position.Betas(beta)[0], 1)
		if err != nil {
			t.Fatal(err)
		}
		angle := math.Atan2(float64(place.Vector[0].Values[1]), float64(place.Vector[0].Values[0]))
		if math.Abs(place.Vector.Norm()-1) > 1e-6 || math.Abs(angle-beta*math.Pi/2) > 1e-6 || math.Abs(place.Angles[0][0]-math.Pi/2) > 1e-12 {
			t.Errorf("beta %v: length %v, angle %v", beta, place.Vector.Norm(), angle)
		}
	}
	// Equal weights: with the mean the last of three has half, with the sum a third of the way is left to it.
	three := []weights.Set{vector(1, 0), vector(1, 0), vector(2, 0)} // parallel, so shares can be read off
	for accumulate, want := range map[string]float64{position.AccumulateMean: 1.5, position.AccumulateSum: 4.0 / 3} {
		method.Accumulate = accumulate
		search, err := method.FromTaskVectors(vector(0, 0), three, nil)
		if err != nil {
			t.Fatal(err)
		}
		place, err := search.At([]float64{1, 1, 1}, 1)
		if err != nil || math.Abs(float64(place.Vector[0].Values[0])-want) > 1e-6 {
			t.Errorf("%s: %v, %v; want %v", accumulate, place.Vector[0].Values, err, want)
		}
	}
}

func TestPositionFit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	base := weightstest.Drawn(r, weightstest.Blank(), 1)
	models := []weights.Set{weightstest.Drawn(r, base, 1), weightstest.Drawn(r, base, 1)}
	for _, optimizer := range []string{"adam", "sgd"} {
		method := position.New()
		method.Optimizer, method.Mu, method.Steps = optimizer, 0, 400
		search, err := method.NewSearch(base, models, nil)
		if err != nil {
			t.Fatal(err)
		}
		goal, err := search.At([]float64{0.5, 2}, 0.8)
		if err != nil {
			t.Fatal(err)
		}
		fit, found, err := search.Fit(bowl(goal.Weights))
		if err != nil {
			t.Fatal(err)
		}
		if d := weightstest.Largest(found, goal.Weights); d > 0.01 || math.Abs(fit.Lambda-0.8) > 0.01 || math.Abs(fit.A[1]/(fit.A[0]+fit.A[1])-0.8) > 0.01 {
			t.Errorf("%s: %v away at %+v", optimizer, d, fit.A)
		}
		if len(fit.Losses) != 400 || len(fit.Coefficients) != 1 || len(fit.Angles[0]) != 1 {
			t.Errorf("%d losses, %v, %v", len(fit.Losses), fit.Coefficients, fit.Angles)
		}
		// The coefficients say the whole model.
		for k := range found {
			for j, v := range found[k].Values {
				want := float64(base[k].Values[j])
				for i, c := range fit.Coefficients[0] {
					want += c * (float64(models[i][k].Values[j]) - float64(base[k].Values[j]))
				}
				if math.Abs(float64(v)-want) > 1e-5 {
					t.Fatalf("%s[%d] is %v, by the coefficients %v", found[k].Name, j, v, want)
				}
			}
		}
	}
	// A price on length makes it shorter, and it never goes below 0.
	method := position.New()
	method.Mu, method.Steps = 1000, 200
	search, err := method.NewSearch(base, models, nil)
	if err != nil {
		t.Fatal(err)
	}
	fit, found, err := search.Fit(bowl(base))
	if err != nil || fit.Lambda != 0 || weightstest.Largest(found, base) > 0 {
		t.Errorf("lambda %v, %v", fit.Lambda, err)
	}
}

func TestPositionKeepsAndTies(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	base := weightstest.Drawn(r, weightstest.Blank(), 1)
	models := []weights.Set{weightstest.Drawn(r, base, 1), weightstest.Drawn(r, base, 1)}
	for _, m := range models { // the second kernel is a copy that would count twice
		copy(m[2].Values, m[0].Values)
	}
	copy(base[2].Values, base[0].Values)
	method := position.New()
	method.Keep, method.Tied = []string{"a/bias"}, []string{"b/*"}
	search, err := method.NewSearch(base, models, nil)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := position.New().NewSearch(base[:1], []weights.Set{models[0][:1], models[1][:1]}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := search.At([]float64{1, 2}, 0.7)
	if err != nil {
		t.Fatal(err)
	}
	want, err := alone.At([]float64{1, 2}, 0.7)
	if err != nil {
		t.Fatal(err)
	}
	if got.Angles[0][0] != want.Angles[0][0] || got.Coefficients[0][0] != want.Coefficients[0][0] {
		t.Errorf("angle %v, want %v", got.Angles, want.Angles)
	}
	if (weights.Set{got.Weights[1]}).Checksum() != (weights.Set{base[1]}).Checksum() {
		t.Error("a kept tensor moved")
	}
	if got.Weights[2].Values[3] != got.Weights[0].Values[3] {
		t.Error("a tied tensor was merged in another way")
	}
	method.Keep = []string{"c/*"}
	if _, err := method.NewSearch(base, models, nil); err == nil || !strings.Contains(err.Error(), `no tensor is called "c/*"`) {
		t.Errorf("got %v", err)
	}
}

func TestPositionErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	base := weightstest.Drawn(r, weightstest.Blank(), 1)
	one := weightstest.Drawn(r, base, 1)
	opposite := base.Clone()
	for k := range opposite {
		for j := range opposite[k].Values {
			opposite[k].Values[j] -= one[k].Values[j] - base[k].Values[j]
		}
	}
	names := []string{"base", "one", "two"}
	method := position.New()
	if _, err := method.NewSearch(base, []weights.Set{one}, nil); err == nil || !strings.Contains(err.Error(), "1 models; there is a position between 2 or more") {
		t.Errorf("got %v", err)
	}
	if _, err := method.NewSearch(base, []weights.Set{one, base}, names); err == nil || !strings.Contains(err.Error(), "two: it equals the base") {
		t.Errorf("got %v", err)
	}
	if _, err := method.NewSearch(base, []weights.Set{one, one[:2]}, names); err == nil || !strings.Contains(err.Error(), "two: b/kernel: the tensor is missing") {
		t.Errorf("got %v", err)
	}
	// Opposite up to the rounding of float32, which is far more than the default tells apart.
	method.SinEpsilon = 1e-3
	search, err := method.NewSearch(base, []weights.Set{one, opposite}, names)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := search.At([]float64{1, 1}, 1); err == nil || !strings.Contains(err.Error(), "points opposite to those before it") {
		t.Errorf("got %v", err)
	}
	method.AllowLinear = true
	if search, err = method.NewSearch(base, []weights.Set{one, opposite}, names); err != nil {
		t.Fatal(err)
	}
	place, err := search.At([]float64{1, 1}, 1)
	if err != nil || place.Vector.Norm() > 1e-5 {
		t.Errorf("%v, %v: the middle of opposite vectors is the base", place.Vector.Norm(), err)
	}
	if _, err := search.At([]float64{0, 0}, 1); err == nil || !strings.Contains(err.Error(), "they must be above 0") {
		t.Errorf("got %v", err)
	}
	if _, err := search.At([]float64{1}, 1); err == nil || !strings.Contains(err.Error(), "1 weights for 2 models") {
		t.Errorf("got %v", err)
	}
	fails := errors.New("no batch")
	if _, _, err := search.Fit(func(int, weights.Set) (float64, weights.Set, error) { return 0, nil, fails }); !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	if _, _, err := search.Fit(func(_ int, w weights.Set) (float64, weights.Set, error) { return math.NaN(), w, nil }); err == nil || !strings.Contains(err.Error(), "loss of step 0 is NaN") {
		t.Errorf("got %v", err)
	}
	for _, change := range []func(*position.Position){
		func(p *position.Position) { p.Fold = "slrep" }, func(p *position.Position) { p.Accumulate = "meen" }, func(p *position.Position) { p.Optimizer = "adm" },
		func(p *position.Position) { p.LR = 0 }, func(p *position.Position) { p.Mu = -1 }, func(p *position.Position) { p.Steps = -1 },
	} {
		bad := position.New()
		change(&bad)
		if bad.Validate() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

func TestGrid(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	base := weightstest.Drawn(r, weightstest.Blank(), 1)
	search, err := position.New().NewSearch(base, []weights.Set{weightstest.Drawn(r, base, 1), weightstest.Drawn(r, base, 1)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	goal, err := search.At([]float64{0.3, 0.7}, 1)
	if err != nil {
		t.Fatal(err)
	}
	probed, err := search.Grid(position.Betas(0.1, 0.3, 0.5, 0.7, 0.9), 1, func(w weights.Set) (float64, error) { return weightstest.Largest(w, goal.Weights), nil })
	if err != nil || math.Abs(probed[0].A[1]-0.7) > 1e-12 || probed[0].Loss > 1e-6 || len(probed) != 5 {
		t.Errorf("%v, %v", probed, err)
	}
	if _, err := search.Grid(nil, 1, nil); err == nil || !strings.Contains(err.Error(), "the grid is empty") {
		t.Errorf("got %v", err)
	}
}

func TestBaselines(t *testing.T) {
	models := weightstest.Family(8, 3, 0.5)
	equal, err := position.Average(models, nil)
	if err != nil {
		t.Fatal(err)
	}
	ones := models[0].ZerosLike()
	for k := range ones {
		for j := range ones[k].Values {
			ones[k].Values[j] = 2
		}
	}
	same, err := position.FisherMerge(models, []weights.Set{ones, ones, ones}, nil)
	if err != nil || weightstest.Largest(same, equal) > 1e-6 {
		t.Errorf("%v: equal Fisher weights give the mean", err)
	}
	zero := ones.ZerosLike()
	plain, err := position.FisherMerge(models, []weights.Set{zero, zero, zero}, nil)
	if err != nil || weightstest.Largest(plain, equal) > 1e-6 {
		t.Errorf("%v: no Fisher weights give the mean", err)
	}
	first, err := position.FisherMerge(models, []weights.Set{ones, zero, zero}, nil)
	if err != nil || weightstest.Largest(first, models[0]) > 1e-6 {
		t.Errorf("%v: one task alone cares", err)
	}
	var f position.Fisher
	if _, err := f.Mean(); err == nil {
		t.Error("a mean of nothing")
	}
	for _, m := range models {
		if err := f.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	mean, err := f.Mean()
	want := 0.0
	for _, m := range models {
		want += float64(m[0].Values[3]) * float64(m[0].Values[3]) / 3
	}
	if err != nil || math.Abs(float64(mean[0].Values[3])-want) > 1e-6 {
		t.Errorf("%v, want %v, %v", mean[0].Values[3], want, err)
	}
	zero[0].Values[0] = -1
	for text, run := range map[string]func() error{
		"2 weights for 3 models": func() error { _, err := position.Average(models, []float64{1, 2}); return err },
		"sum to 0":               func() error { _, err := position.Average(models, []float64{1, -1, 0}); return err },
		"there is no model":      func() error { _, err := position.Average(nil, nil); return err },
		"weights is -1":          func() error { _, err := position.FisherMerge(models, []weights.Set{zero, ones, ones}, nil); return err },
		"factor 1 is -2": func() error {
			_, err := position.FisherMerge(models, []weights.Set{ones, ones, ones}, []float64{1, -2, 1})
			return err
		},
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

// TestRegMeanIsLeastSquares: without shrinking, small changes of the kernel make the squared error over all tasks larger.
func TestRegMeanIsLeastSquares(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	const in, out, rows = 3, 2, 9
	var inputs [][]float64
	var kernels []position.Kernel
	for range 3 {
		x, k := make([]float64, rows*in), position.Kernel{In: in, Out: out, Values: make([]float64, in*out)}
		for i := range x {
			x[i] = r.NormFloat64()
		}
		for i := range k.Values {
			k.Values[i] = r.NormFloat64()
		}
		inputs, kernels = append(inputs, x), append(kernels, k)
	}
	merged, err := position.RegMean{OffDiagonal: 1}.Merge(inputs, kernels)
	if err != nil {
		t.Fatal(err)
	}
	loss := func(w []float64) float64 {
		sum := 0.0
		for task, x := range inputs {
			for row := range rows {
				for o := range out {
					d := 0.0
					for i := range in {
						d += x[row*in+i] * (w[i*out+o] - kernels[task].Values[i*out+o])
					}
					sum += d * d
				}
			}
		}
		return sum
	}
	at := loss(merged.Values)
	for i := range merged.Values {
		for _, h := range []float64{1e-3, -1e-3} {
			moved := append([]float64{}, merged.Values...)
			moved[i] += h
			if loss(moved) <= at {
				t.Fatalf("moving %d by %v helps", i, h)
			}
		}
	}
	alone, err := position.NewRegMean().Merge(inputs[:1], kernels[:1])
	for i, v := range alone.Values {
		if err != nil || math.Abs(v-kernels[0].Values[i]) > 1e-9 {
			t.Errorf("%v, %v: one model stays as it is", alone, err)
			break
		}
	}
	for text, run := range map[string]func() error{
		"do not span the layer": func() error {
			_, err := position.RegMean{OffDiagonal: 1}.Merge([][]float64{{1, 0, 0}}, kernels[:1])
			return err
		},
		"not whole rows of 3": func() error { _, err := position.NewRegMean().Merge([][]float64{{1, 0}}, kernels[:1]); return err },
		"inputs of 1 models":  func() error { _, err := position.NewRegMean().Merge(inputs[:1], kernels); return err },
		"off_diagonal is 2":   func() error { _, err := position.RegMean{OffDiagonal: 2}.Merge(inputs, kernels); return err },
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
}

func ExamplePosition() {
	vector := func(x, y float32) weights.Set {
		return weights.Set{{Name: "w", Shape: []int{2}, Values: []float32{x, y}}}
	}
	method := position.New()
	method.Steps, method.Mu = 300, 0
	search, err := method.NewSearch(vector(0, 0), []weights.Set{vector(1, 0), vector(0, 1)}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	// The loss is measured on a probe set; here it is the distance to (0.5, 0.5).
	fit, _, err := search.Fit(bowl(vector(0.5, 0.5)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("beta %.2f, lambda %.2f\n", fit.A[1]/(fit.A[0]+fit.A[1]), fit.Lambda)
	// Output: beta 0.50, lambda 0.71
}
