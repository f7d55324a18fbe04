package bundle_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

var classes = strings.Split("0123456789", "")

// digits is an untrained MLP with everything a manifest can say.
func digits(t *testing.T) *bundle.Bundle {
	t.Helper()
	network := zoo.NewMLP()
	network.Hidden = []int{6, 5}
	b := &bundle.Bundle{Manifest: bundle.NewManifest(zoo.Choice{Network: network}, []int{4, 4, 2}, classes), Store: model.NewStore()}
	b.Manifest.Name = "test"
	b.Manifest.Preprocess = bundle.Preprocess{Mean: []float64{0.25, 0.5}, Std: []float64{0.5, 2}}
	b.Manifest.Calibration.Temperature = 2
	b.Manifest.Metrics = map[string]float64{"accuracy": 0.1}
	param.Seed(b.Store, 7)
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := b.Declare(e.Backend); err != nil {
		t.Fatal(err)
	}
	return b
}

func inputs(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n*32)
	for i := range x {
		x[i] = r.Float32()
	}
	return x
}

func logits(t *testing.T, b *bundle.Bundle, e *engine.Engine, batch int, x []float32) []float32 {
	t.Helper()
	f, err := b.NewForward(e, batch)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	y, err := f.Logits(x, len(x)/32)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func TestRoundTripIsBitExact(t *testing.T) {
	b := digits(t)
	v := b.Variables()[0] // values a careless writer would change
	flat := tensors.MustCopyFlatData[float32](v.MustValue())
	copy(flat, []float32{math.Float32frombits(0x7fc00001), float32(math.Inf(-1)), float32(math.Copysign(0, -1)), math.Float32frombits(1)})
	if err := v.SetValue(tensors.FromFlatDataAndDimensions(flat, v.Shape().Dimensions...)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "model")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Variables()) != len(b.Variables()) {
		t.Fatalf("%d variables, want %d", len(got.Variables()), len(b.Variables()))
	}
	for _, v := range b.Variables() {
		w := got.Store.GetVariable(v.Path())
		if w == nil || w.Trainable != v.Trainable || !bytes.Equal(raw(t, v), raw(t, w)) {
			t.Errorf("%s differs", v.Path())
		}
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := got.Save(again); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{bundle.WeightsFile, bundle.ManifestFile, bundle.CardFile} {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(again, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs after a second round (%v, %v)", name, errA, errB)
		}
	}
}

func raw(t *testing.T, v *model.Variable) []byte {
	t.Helper()
	var all []byte
	if err := v.MustValue().ConstBytes(func(data []byte) { all = bytes.Clone(data) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestForward(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		b, x := digits(t), inputs(7)
		want := logits(t, b, e, 7, x)
		dir := filepath.Join(t.TempDir(), "model")
		if err := b.Save(dir); err != nil {
			t.Fatal(err)
		}
		opened, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := logits(t, opened, e, 7, x); !slices.Equal(got, want) {
			t.Error("logits differ after Save and Open")
		}
		for _, batch := range []int{1, 3, 16} { // padding and splitting change nothing
			if got := logits(t, b, e, batch, x); !near(got, want, 1e-6) {
				t.Errorf("logits in batches of %d differ", batch)
			}
		}
		// The temperature divides, the preprocessing is (x - mean) / std.
		plain := *b
		plain.Manifest.Calibration.Temperature = 1
		plain.Manifest.Preprocess = bundle.Preprocess{}
		standardised := slices.Clone(x)
		for i := range standardised {
			standardised[i] = float32((float64(x[i]) - []float64{0.25, 0.5}[i%2]) / []float64{0.5, 2}[i%2])
		}
		doubled := slices.Clone(want)
		for i := range doubled {
			doubled[i] *= 2
		}
		if got := logits(t, &plain, e, 7, standardised); !near(got, doubled, 1e-5) {
			t.Error("temperature and preprocessing are not what the manifest says")
		}
	})
}

func near(a, b []float32, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x)-float64(y)) <= tolerance })
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	change := func(name, old, new string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(text, []byte(old)) {
				t.Fatalf("%s has no %q", name, old)
			}
			if err := os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(new), 1), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tensor := func(edit func([]safetensors.Tensor) []safetensors.Tensor) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, bundle.WeightsFile)
			file, err := safetensors.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			var list []safetensors.Tensor
			for info := range file.All() {
				data, err := file.Bytes(info.Name)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, safetensors.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: bytes.Clone(data)})
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			if err := safetensors.WriteFile(path, edit(list), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	find := func(list []safetensors.Tensor, name string) int {
		return slices.IndexFunc(list, func(s safetensors.Tensor) bool { return s.Name == name })
	}
	const output = "model/output/kernel"
	for name, c := range map[string]struct {
		spoil func(*testing.T, string)
		want  []string
	}{
		"shape": {tensor(func(l []safetensors.Tensor) []safetensors.Tensor {
			l[find(l, output)].Shape = []int{10, 5}
			return l
		}), []string{bundle.WeightsFile, output, "F32 [10 5]", "needs F32 [5 10]", "ballast.json"}},
		"type": {tensor(func(l []safetensors.Tensor) []safetensors.Tensor {
			l[find(l, output)].DType = safetensors.I32
			return l
		}), []string{output, "I32 [5 10]", "needs F32 [5 10]"}},
		"missing tensor": {tensor(func(l []safetensors.Tensor) []safetensors.Tensor {
			i := find(l, output)
			return slices.Delete(l, i, i+1)
		}), []string{output, "missing"}},
		"unknown tensor": {tensor(func(l []safetensors.Tensor) []safetensors.Tensor {
			return append(l, safetensors.FromFloat32s("model/output/kernal", []int{1}, []float32{0}))
		}), []string{"model/output/kernal", "no such tensor", `did you mean "model/output/kernel"`}},
		"cut weights": {func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Truncate(filepath.Join(dir, bundle.WeightsFile), 900); err != nil {
				t.Fatal(err)
			}
		}, []string{bundle.WeightsFile}},
		"unknown key":    {change(bundle.ManifestFile, `"input_shape"`, `"input_shap"`), []string{bundle.ManifestFile, "input_shap", "input_shape"}},
		"newer version":  {change(bundle.ManifestFile, `"schema_version": 1`, `"schema_version": 9`), []string{"schema_version is 9", "newer ballast"}},
		"temperature":    {change(bundle.ManifestFile, `"temperature": 2`, `"temperature": 0`), []string{"calibration.temperature is 0"}},
		"no weight file": {func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, bundle.WeightsFile)) }, []string{bundle.WeightsFile}},
		"no manifest":    {func(t *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, bundle.ManifestFile)) }, []string{"no model here", "ballast train"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			if err := digits(t).Save(dir); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			_, err := bundle.Open(dir)
			var bad interface{ BadInput() bool }
			if err == nil || !errors.As(err, &bad) && !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("error is %v; want bad input", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if name == "shape" {
				var input *fault.Input
				if !errors.As(err, &input) || input.Field != output {
					t.Errorf("error is %#v; want a *fault.Input for %s", err, output)
				}
			}
		})
	}
}

func TestInterruptedSaveLeavesTheOldOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	b := digits(t)
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	broken := *b
	broken.Manifest.Provenance.Recipe = func() {} // cannot be written
	if err := broken.Save(dir); err == nil {
		t.Fatal("no error")
	}
	if _, err := bundle.Open(dir); err != nil {
		t.Error(err)
	}
	// A crash between the two renames of systems that cannot exchange folders: the old one stands aside, where it is read.
	aside := filepath.Join(filepath.Dir(dir), ".model.ballast-old")
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Open(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Errorf("opening moved it: %v", err)
	}
}

func TestCardTellsTheModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := digits(t).Save(dir); err != nil {
		t.Fatal(err)
	}
	card, err := os.ReadFile(filepath.Join(dir, bundle.CardFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# test", "accuracy | 0.1", "temperature 2", `"name":"mlp"`} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card does not say %q", want)
		}
	}
}

// TestTask: a manifest of a classifier says no task, one may, and another one than the network's is refused.
func TestTask(t *testing.T) {
	b := digits(t)
	if b.Manifest.Task != "" || b.Manifest.Answers() != zoo.Classify {
		t.Errorf("a classifier's task is %q, its answers %q", b.Manifest.Task, b.Manifest.Answers())
	}
	b.Manifest.Task = zoo.Classify
	if err := b.Manifest.Validate(); err != nil {
		t.Error(err)
	}
	b.Manifest.Task = zoo.Regress
	want := `task is "regress", the network's is "classify"; correct task, or leave it out for classify`
	if err := b.Manifest.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
