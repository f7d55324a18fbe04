package train_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/norm/normtest"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/zoo"
	"github.com/ballast-ml/ballast/zoo/zootest"
)

// slowMean subtracts a running mean of each channel: a norm with state of its own.
type slowMean struct {
	Momentum float64 `json:"momentum"`
}

func (slowMean) Name() string { return "slow-mean" }

func (n slowMean) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = norm.Enter(n, scope, x)
	g, channels := x.Graph(), x.Shape().Dimensions[x.Rank()-1]
	scale, offset := norm.Affine(scope, x)
	mean := norm.Statistic(scope, "mean", x, 0, channels)
	dims := scale.Shape().Dimensions
	if pass.Collecting(scope, g) {
		batch := graph.ReduceMean(graph.Reshape(graph.ConvertDType(x, mean.DType()), -1, channels), 0)
		pass.Move(scope, mean, norm.RunningUpdate(n.Momentum, pass.Weight(mean, g), graph.Reshape(batch, 1, channels)))
	}
	centred := graph.Sub(graph.ConvertDType(x, mean.DType()), graph.StopGradient(graph.Reshape(pass.Weight(mean, g), dims...)))
	return graph.ConvertDType(graph.Add(graph.Mul(centred, scale), offset), x.DType())
}

// bend is an activation: sign(x) log(1 + |x| / slope).
type bend struct {
	Slope float64 `json:"slope"`
}

func (bend) Name() string { return "bend" }
func (b bend) Apply(x *graph.Node) *graph.Node {
	return graph.Mul(graph.Sign(x), graph.OnePlus(graph.Log(graph.OnePlus(graph.DivScalar(graph.Abs(x), b.Slope)))))
}

// twice is a network: two dense layers, a norm and an activation.
type twice struct {
	Units      int               `json:"units"`
	Classes    int               `json:"classes"`
	Norm       norm.Choice       `json:"norm"`
	Activation linear.Activation `json:"activation"`
}

func (twice) Name() string                            { return "twice" }
func (n twice) Validate() error                       { return n.Activation.Validate() }
func (twice) Task() zoo.Task                          { return zoo.Classify }
func (n twice) Outputs() int                          { return n.Classes }
func (n twice) WithOutputs(classes int) zoo.Network   { n.Classes = classes; return n }
func (n twice) WithNorm(layer norm.Layer) zoo.Network { n.Norm = norm.Choice{Layer: layer}; return n }
func (n twice) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	x = graph.Reshape(x, x.Shape().Dimensions[0], -1)
	x = linear.Dense{Units: n.Units}.Apply(scope.In("hidden"), x)
	x = n.Activation.Apply(n.Norm.Apply(scope.In("norm"), x))
	return linear.Dense{Units: n.Classes, InitOf: param.LeCunNormal}.Apply(scope.In(param.OutputScope), x)
}

// soft is a loss: cross-entropy of logits divided by a temperature.
type soft struct {
	Temperature float64 `json:"temperature"`
}

func (soft) Name() string          { return "soft" }
func (soft) Wants() []loss.Targets { return []loss.Targets{loss.Labels} }
func (l soft) Apply(s *model.Scope, in loss.In) *graph.Node {
	in.Out = graph.DivScalar(in.Out, l.Temperature)
	return loss.CrossEntropy{}.Apply(s, in)
}

// halved is an optimizer: SGD at half its rate.
type halved struct{ optim.SGD }

func (halved) Name() string    { return "halved" }
func (h halved) Rate() float64 { return h.LR / 2 }

// backwards is a sampler: the shuffle of Ballast's, read from the end.
type backwards struct {
	sample.Shuffle
	Twice bool `json:"twice"`
}

func (backwards) Name() string { return "backwards" }
func (s backwards) Epoch(r sample.Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	places, err := s.Shuffle.Epoch(r, batch, updates, seed, epoch)
	for i, j := 0, len(places)-1; i < j; i, j = i+1, j-1 {
		places[i], places[j] = places[j], places[i]
	}
	return places, err
}

// plain is an objective: the supervised one under a name of the program's own.
type plain struct{ objective.Supervised }

func (plain) Name() string { return "plain" }

// digits is a data set: another one by its name.
type digits struct {
	Set string `json:"set"`
}

func (digits) Name() string                             { return "digits" }
func (d digits) Open(part string) (data.Dataset, error) { return data.Open(d.Set, part) }
func everythingOwn() own.Registry {
	return own.Registry{
		slowMean{Momentum: 0.1}, bend{Slope: 1}, soft{Temperature: 1}, halved{optim.NewSGD()}, backwards{}, plain{objective.NewSupervised()},
		digits{Set: "optdigits"}, twice{Units: 16, Classes: 10, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU},
	}
}

const ownRecipe = `
data: {name: digits, set: optdigits}
network: {name: twice, units: 24, norm: slow-mean, activation: {name: bend, slope: 2}}
optimizer: {name: halved, lr: 0.2}
objective: {name: plain, loss: {name: soft, temperature: 1.5}}
sampler: {name: backwards, twice: true}
steps: 60
log_every: 10
`

// TestOwn trains with a norm, an activation, a network, a loss, an optimizer, a sampler, an objective and data of a program's own, goes on
// from a checkpoint to the same weights, and opens, audits, calibrates and averages the bundles.
func TestOwn(t *testing.T) {
	mine := everythingOwn()
	recipe, err := train.DecodeYAML([]byte(ownRecipe), mine)
	if err != nil {
		t.Fatal(err)
	}
	want := twice{Units: 24, Classes: 10, Norm: norm.Choice{Layer: slowMean{0.1}}, Activation: linear.Activation{Function: bend{2}}}
	if !reflect.DeepEqual(recipe.Network.Network, zoo.Network(want)) {
		t.Errorf("the network is %+v, want %+v", recipe.Network.Network, want)
	}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		o := train.Options{Engine: e, Registry: mine}
		whole := run(t, recipe, o)
		if acc := whole.Metrics["accuracy"]; acc < 0.8 {
			t.Errorf("accuracy %v of %v", acc, whole.Metrics)
		}

		// A run that ends half-way goes on from its checkpoint.
		o.Dir, o.Resume = t.TempDir(), true
		half := recipe
		half.Checkpoint.EverySteps = 30
		ends := errors.New("half-way")
		stopping := o
		stopping.Sink = endsAt{30, ends}
		if _, err := train.Run(t.Context(), half, stopping); !errors.Is(err, ends) {
			t.Fatal(err)
		}
		if err := train.Resumes(o.Dir, half, mine); err != nil {
			t.Error(err)
		}
		if err := train.Resumes(o.Dir, half); err == nil || !strings.Contains(err.Error(), "digits") {
			t.Errorf("resumes without the registry: %v", err)
		}
		resumed := run(t, half, o)
		if resumed.From != 30 || !reflect.DeepEqual(weights(t, resumed.Bundle), weights(t, whole.Bundle)) {
			t.Errorf("the run that went on from %d has other weights", resumed.From)
		}

		dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
		other := recipe
		other.Seed = 2
		for i, result := range []*train.Result{whole, run(t, other, train.Options{Engine: e, Registry: mine})} {
			if err := result.Bundle.Save(dirs[i]); err != nil {
				t.Fatal(err)
			}
		}
		checkOwnBundle(t, e, dirs[0], mine, whole)
		checkOwnSoup(t, e, dirs, mine)
	})
}

// endsAt ends a run behind the checkpoint of a step.
type endsAt struct {
	step int
	err  error
}

func (endsAt) Rewind(int) error { return nil }
func (s endsAt) Log(step int, _ map[string]float64) error {
	if step > s.step {
		return s.err
	}
	return nil
}

func checkOwnBundle(t *testing.T, e *engine.Engine, dir string, mine own.Registry, trained *train.Result) {
	t.Helper()
	b, err := bundle.Open(dir, mine)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(weights(t, b), weights(t, trained.Bundle)) || !reflect.DeepEqual(b.Manifest.Network, trained.Bundle.Manifest.Network) {
		t.Errorf("opened, the bundle is %+v", b.Manifest.Network)
	}
	test, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	r, err := evaluate.Bundle(t.Context(), b, test, e, evaluate.Options{Suites: []evaluate.Suite{evaluate.Clean{}}})
	if err != nil || len(r.Sections) != 1 {
		t.Errorf("the audit is %+v, %v", r, err)
	}
	if _, err := evaluate.Calibrate(t.Context(), b, test, e, calibrate.NewTemperatureScaling(), evaluate.Options{}); err != nil {
		t.Error(err)
	}
	if _, err := bundle.Inspect(t.Context(), dir, nil, mine); err != nil {
		t.Error(err)
	}

	card, err := os.ReadFile(filepath.Join(dir, bundle.CardFile))
	if err != nil || !strings.Contains(string(card), "Its network `twice` belongs to the program that trained it") || strings.Contains(string(card), "ballast evaluate") {
		t.Errorf("the card is %s, %v", card, err)
	}

	_, err = bundle.Open(dir)
	var input *fault.Input
	if !errors.As(err, &input) || !strings.Contains(err.Error(), `network: no network "twice"; there are mlp`) ||
		!strings.Contains(err.Error(), "bundle.Open(path, own.Registry{...})") {
		t.Errorf("without the registry: %v", err)
	}
	_, err = bundle.Open(dir, mine, own.Registry{slowMean{0.5}})
	var usage *fault.Usage
	if !errors.As(err, &usage) || fault.IsInput(err) {
		t.Errorf("with a registry that has a name twice: %v", err)
	}
	_, err = bundle.Open(dir, own.Registry{mine[7], bend{1}})
	if err == nil || !strings.Contains(err.Error(), `norm: no norm "slow-mean"`) || !strings.Contains(err.Error(), "if slow-mean is a norm of the program") {
		t.Errorf("without the norm: %v", err)
	}
}

func checkOwnSoup(t *testing.T, e *engine.Engine, dirs []string, mine own.Registry) {
	t.Helper()
	s := tuned.NewSoup(dirs...)
	s.Method, s.Data, s.Registry = tuned.SoupGreedy, "optdigits", mine
	out := filepath.Join(t.TempDir(), "soup")
	if _, err := s.Run(t.Context(), out, func() (*engine.Engine, error) { return engine.Open(engine.KindGo) }); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(out, mine)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tuned.Load(out, mine); err != nil {
		t.Error(err)
	}
	if len(weights(t, b)) != 7 {
		t.Errorf("the soup has %d variables", len(weights(t, b)))
	}
	s.Registry = nil
	if _, err := s.Run(t.Context(), out+"2", func() (*engine.Engine, error) { return engine.Open(engine.KindGo) }); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("without the registry: %v", err)
	}
	if _, err := os.Stat(out + "2"); err == nil {
		t.Error("the soup that failed left a folder")
	}
}

// TestOwnCompared compares a norm of the program's with one of Ballast's, and takes the runs up again.
func TestOwnCompared(t *testing.T) {
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		o := lab.CompareOptions{
			Settings: map[string]any{"network": map[string]any{"name": "mlp", "hidden": []any{int64(8)}}, "steps": int64(3)},
			Sweep:    []string{"norm=slow-mean,batch", "seed=1,2"}, Engine: e, Dir: filepath.Join(t.TempDir(), "runs"), Registry: everythingOwn(),
		}
		for _, ran := range []int{4, 0} {
			c, err := lab.Compare(t.Context(), o)
			if err != nil || c.Ran != ran || len(c.Variants) != 2 {
				t.Fatalf("compared: %+v, %v; want %d runs", c, err, ran)
			}
		}
	})
}

// TestOwnRefuses says early what could not be read again.
func TestOwnRefuses(t *testing.T) {
	mine := everythingOwn()
	recipe, err := train.DecodeYAML([]byte(ownRecipe), mine)
	if err != nil {
		t.Fatal(err)
	}
	hidden := recipe
	hidden.Norm = &norm.Choice{Layer: secret{1}}
	nameless := recipe
	nameless.Norm = &norm.Choice{Layer: unnamed{}}
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		for want, c := range map[string]struct {
			recipe train.Recipe
			mine   own.Registry
		}{
			`the recipe has the data source "digits", which Options.Registry does not have; pass it there`: {recipe, nil},
			`the recipe has the norm "slow-mean", which Options.Registry does not have`:                    {recipe, without(mine, "slow-mean")},
			`the recipe has the activation "bend", which`:                                                  {recipe, without(mine, "bend")},
			`the recipe has the sampler "backwards", which`:                                                {recipe, without(mine, "backwards")},
			`the recipe has the loss "soft", which`:                                                        {recipe, without(mine, "soft")},
			`the registry has two of the name "slow-mean"`:                                                 {recipe, append(without(mine, ""), slowMean{0.5})},
			`has the field size, which is not exported`:                                                    {hidden, append(without(mine, ""), secret{})},
			`train_test.unnamed has no name to write; give it a method Name() string`:                      {nameless, mine},
		} {
			dir := filepath.Join(t.TempDir(), "run")
			_, err := train.Run(t.Context(), c.recipe, train.Options{Engine: e, Registry: c.mine, Dir: dir})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s: there is a folder", want)
			}
		}
	})
	if _, err := train.DecodeYAML([]byte("norm: slow-meen"), mine); err == nil || err.Error() != `norm: no norm "slow-meen" (did you mean slow-mean?)` {
		t.Errorf("got %v", err)
	}
	r, err := lab.RecipeOwn(mine, nil, "norm=slow-mean", "norm.momentum=0.25", "optimizer={name: halved, lr: 0.5}")
	if err != nil || r.Norm.Layer != (norm.Layer)(slowMean{0.25}) || r.Optimizer.Rate() != 0.25 {
		t.Errorf("got %+v, %v", r, err)
	}
}

type secret struct{ size int }

func (secret) Name() string                                    { return "secret" }
func (secret) Apply(_ *model.Scope, x *graph.Node) *graph.Node { return x }

type unnamed struct{}

func (unnamed) Apply(_ *model.Scope, x *graph.Node) *graph.Node { return x }

func without(r own.Registry, name string) own.Registry {
	var rest own.Registry
	for _, n := range r {
		if n.Name() != name {
			rest = append(rest, n)
		}
	}
	return rest
}

// TestOwnBatteries runs the batteries of Ballast's own over a norm and a network of a program's, as a program would.
func TestOwnBatteries(t *testing.T) {
	t.Run("norm", func(t *testing.T) {
		normtest.Run(t, slowMean{0.1}, normtest.KeepsState(), normtest.DetachedStatistics())
	})
	t.Run("network", func(t *testing.T) {
		zootest.Run(t, twice{Units: 3, Classes: 4, Norm: norm.Choice{Layer: norm.Identity{}}, Activation: linear.ReLU}, []int{2, 5})
	})
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		x := normtest.Images(1, 4)
		store := model.NewStore()
		y := normtest.Apply(t, e, slowMean{1}, store, true, x)
		mean := 0.0
		for i := 0; i < len(x.Data); i += 3 {
			mean += x.Data[i] / float64(len(x.Data)/3)
		}
		after, want := normtest.Apply(t, e, slowMean{1}, store, false, x)[0], x.Data[0]-mean
		if math.Abs(after-want) > 1e-12 || math.Abs(y[0]-want) > 1e-12 { // a value that moved is read as it is now
			t.Errorf("training gave %v, then inference %v, want %v", y[0], after, want)
		}
		normtest.CheckGradient(t, e, slowMean{1}, false, normtest.Dense(2, 3))
	})
}
