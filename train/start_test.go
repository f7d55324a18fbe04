package train_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// twofold is digits by whether they are odd.
type twofold struct{ data.Dataset }

func (d twofold) Info() data.Info {
	info := d.Dataset.Info()
	info.Classes = []string{"even", "odd"}
	return info
}

func (d twofold) Label(i int) int32 { return d.Dataset.Label(i) % 2 }

// begun is a trained model in a folder, with batch normalisation, whose statistics must come along.
func begun(t *testing.T, e train.Options) (dir string, model *train.Result) {
	t.Helper()
	r := small(40)
	r.Norm = &norm.Choice{Layer: norm.NewBatch()}
	model = run(t, r, e)
	dir = filepath.Join(t.TempDir(), "model")
	if err := model.Bundle.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir, model
}

// still is a recipe that begins with a model and moves next to nothing.
func still(dir string) train.Recipe {
	r := small(1)
	r.Norm, r.Init.Model, r.Optimizer, r.Seed = &norm.Choice{Layer: norm.NewBatch()}, dir, sgd(1e-30), 7
	return r
}

// TestStart: fine-tuning begins with the weights and the standardisation of a model, and resumes to the bit.
func TestStart(t *testing.T) {
	e := train.Options{Engine: goEngine(t)}
	dir, model := begun(t, e)
	want := weights(t, model.Bundle)

	r := still(dir)
	r.Prepare = subset(200) // other means than those of all digits
	tuned := run(t, r, e)
	for path, bytes := range weights(t, tuned.Bundle) {
		if statistic := strings.HasSuffix(path, "/mean") || strings.HasSuffix(path, "/variance"); !statistic && bytes != want[path] {
			t.Errorf("%s is not that of the model", path)
		}
	}
	if got, want := tuned.Bundle.Manifest.Preprocess, model.Bundle.Manifest.Preprocess; !reflect.DeepEqual(got, want) {
		t.Errorf("the standardisation is %v, that of the model %v", got, want)
	}

	longer := still(dir)
	longer.Optimizer, longer.Steps, longer.Checkpoint.EverySteps = sgd(0.05), 20, 8
	whole := weights(t, run(t, longer, e).Bundle)
	cut := e
	cut.Dir = t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	cut.Sink = stopper{journal: journal{}, at: 10, cancel: func() { cancel(errors.New("enough")) }}
	if _, err := train.Run(ctx, longer, cut); err == nil {
		t.Fatal("the run was not cut")
	}
	cancel(nil)
	cut.Resume, cut.Sink = true, nil
	own := e
	own.Dir = t.TempDir()
	if err := os.CopyFS(own.Dir, os.DirFS(cut.Dir)); err != nil {
		t.Fatal(err)
	}
	if got := weights(t, run(t, longer, cut).Bundle); !maps.Equal(got, whole) {
		t.Error("a run that was cut and resumed ends with other weights")
	}

	model.Bundle.Manifest.Preprocess.Mean[0]++
	if err := model.Bundle.Replace(dir); err != nil {
		t.Fatal(err)
	}
	own.Resume = true
	if _, err := train.Run(t.Context(), longer, own); err == nil || !strings.Contains(err.Error(), "is not the model that") {
		t.Errorf("another model in the place of the first: %v", err)
	}
}

// TestStartTrainsTheLastLayer: with all else frozen, only the last layer leaves the model.
func TestStartTrainsTheLastLayer(t *testing.T) {
	e := train.Options{Engine: goEngine(t)}
	dir, model := begun(t, e)
	r := still(dir)
	r.Optimizer, r.Steps, r.Freeze.Train = sgd(0.05), 20, []string{"output"}

	want := weights(t, model.Bundle)
	for path, bytes := range weights(t, run(t, r, e).Bundle) {
		statistic := strings.HasSuffix(path, "/mean") || strings.HasSuffix(path, "/variance")
		if last := strings.Contains(path, "/output/"); !statistic && last == (bytes == want[path]) {
			t.Errorf("%s: kept %v", path, bytes == want[path])
		}
	}
}

// TestStartSaysOtherOptions: a network whose variables fit and whose options differ trains, and a remark says so.
func TestStartSaysOtherOptions(t *testing.T) {
	e := train.Options{Engine: goEngine(t)}
	dir, _ := begun(t, e)
	for activation, want := range map[string]bool{"relu": false, "gelu": true} {
		said := ""
		e.Remark = func(line string) { said += line }
		r := still(dir)
		network := small(1).Network.Network.(zoo.MLP)
		network.Activation = linear.Named(activation)
		r.Network = zoo.Choice{Network: network}
		run(t, r, e)
		if got := strings.Contains(said, "its options are others"); got != want {
			t.Errorf("%s: said %q", activation, said)
		}
	}
}

// TestStartWithOtherClasses: the last layer begins anew, the others with the model's weights, and a remark says so.
func TestStartWithOtherClasses(t *testing.T) {
	e := train.Options{Engine: goEngine(t)}
	dir, model := begun(t, e)
	want := weights(t, model.Bundle)

	digits, err := data.Open("optdigits", "train")
	if err != nil {
		t.Fatal(err)
	}
	r, said := still(dir), ""
	r.Test, r.EvaluateEvery = "", 0
	tuned := run(t, r, train.Options{Engine: e.Engine, Data: twofold{digits}, Remark: func(line string) { said += line }})
	for path, bytes := range weights(t, tuned.Bundle) {
		kept := strings.Contains(path, "/kernel") && !strings.Contains(path, "/output/")
		if kept && bytes != want[path] {
			t.Errorf("%s is not that of the model", path)
		}
	}
	if n := tuned.Bundle.Manifest.Network.Outputs(); n != 2 {
		t.Errorf("the network has %d outputs", n)
	}
	if want := "the last layer begins anew: " + dir + " has 10 outputs"; !strings.Contains(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

// TestStartRefuses: another network, first values from two places, no model.
func TestStartRefuses(t *testing.T) {
	e := train.Options{Engine: goEngine(t)}
	dir, _ := begun(t, e)
	for name, c := range map[string]struct {
		change func(*train.Recipe)
		want   string
		input  bool // a bad file
	}{
		"wider":      {func(r *train.Recipe) { r.Network = zoo.Choice{Network: zoo.NewMLP()} }, "is of another network", false},
		"other norm": {func(r *train.Recipe) { r.Norm = &norm.Choice{Layer: norm.NewGroup()} }, "is of another network", false},
		"kernels":    {func(r *train.Recipe) { r.Init.Kernels = "binary" }, "leave init.norms and init.kernels out", false},
		"nothing":    {func(r *train.Recipe) { r.Init.Model = filepath.Join(dir, "absent") }, "there is no model here", true},
	} {
		r := still(dir)
		c.change(&r)
		_, err := train.Run(t.Context(), r, e)
		if err == nil || !strings.Contains(err.Error(), c.want) || c.input != fault.IsInput(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
