package subject_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/subject"
	"github.com/ballast-ml/ballast/zoo"
)

// said is what a model was taken for, a line each.
func said(m *subject.Model) string {
	var b strings.Builder
	for _, a := range m.Assumed() {
		fmt.Fprintf(&b, "%s: %s\n", a.What, a.Text())
	}
	return b.String()
}

// testSet is the digits that models are asked about.
func testSet(t *testing.T) data.Dataset {
	t.Helper()
	set, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// flat is a set whose examples are rows of numbers.
type flat struct{ data.Dataset }

func (f flat) Info() data.Info {
	info := f.Dataset.Info()
	info.Shape, info.Images = []int{info.Size()}, false
	return info
}

// TestGraphs: whatever a classifier in an ONNX file takes and gives, it answers the same logits, and says what it was taken for.
func TestGraphs(t *testing.T) {
	d, set := newDigits(t), testSet(t)
	none, err := preprocess.New("none")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		form form
		o    subject.Options
		flat bool
		want []string
	}{
		{"nchw", form{}, subject.Options{}, false, []string{"batches of any size of images of 8x8 with 1 channels", "layout: NCHW (the first convolution takes the input as it is)", "outputs: logits of output scores (the graph ends in Conv, not in a Softmax)", "numbers in [0,1]", "a guess", "10 outputs without names"}},
		{"nhwc", form{nhwc: true, end: "Softmax"}, subject.Options{}, false, []string{"layout: NHWC (the graph moves the last axis", "probabilities of output y; the logits that go into its Softmax are taken"}},
		{"fixed batch", form{batch: 7, end: "LogSoftmax"}, subject.Options{}, false, []string{"batches of 7 of images", "logarithms of probabilities of output y"}},
		{"batch of one", form{batch: 1, nhwc: true}, subject.Options{}, false, []string{"batches of 1 of images"}},
		{"composed softmax", form{end: "exp", unsaid: true}, subject.Options{}, false, []string{"outputs: probabilities of output y: their logarithms are the logits (rows are in [0,1] and sum to 1)"}},
		{"features", form{features: true}, subject.Options{}, true, []string{"x, batches of any size of 64 features", "preprocessing: none: numbers as the data set has them", "logits of output scores (the graph ends in Gemm"}},
		{"features of images", form{features: true, batch: 5}, subject.Options{}, false, []string{"64 features"}},
		{"bytes", form{kind: onnxtest.Uint8, scale: 255}, subject.Options{}, false, []string{"UINT8", "numbers in [0,255]"}},
		{"half", form{kind: onnxtest.Float16}, subject.Options{}, false, []string{"FLOAT16"}},
		{"colours", form{channels: 3}, subject.Options{Preprocess: &none}, false, []string{"with 3 channels", "numbers in [0,1] (preset none)"}},
		{"said to be logits", form{end: "Softmax"}, subject.Options{Outputs: subject.Probabilities}, false, []string{"probabilities of output y: their logarithms are the logits (--outputs)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := d.write(t, filepath.Join(t.TempDir(), "m.onnx"), c.form)
			enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
				ds := set
				if c.flat {
					ds = flat{set}
				}
				answered(t, e, path, c.o, ds, d, c.form.kind != 0, c.want)
			})
		})
	}
}

// answered opens a model and compares what it answers.
func answered(t *testing.T, e *engine.Engine, path string, o subject.Options, ds data.Dataset, d digits, coarse bool, want []string) {
	m, err := subject.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	original := ds
	if ds, err = m.Images(ds); err != nil {
		t.Fatal(err)
	}
	const batch, n = 16, 37
	a, err := m.On(t.Context(), e, ds, batch)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, line := range want {
		if !strings.Contains(said(m), line) {
			t.Errorf("it lacks %q:\n%s", line, said(m))
		}
	}
	if a.Task() != zoo.Classify || a.Engine() != e.Kind || a.Batch() < batch || len(a.Labels()) != 10 || !slices.Equal(a.Shape(), ds.Info().Shape) {
		t.Errorf("task %s, engine %s, batch %d, labels %v, shape %v", a.Task(), a.Engine(), a.Batch(), a.Labels(), a.Shape())
	}
	size := ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := a.Answer(t.Context(), x, n)
	if err != nil || len(got) != 10*n {
		t.Fatalf("%d numbers (%v)", len(got), err)
	}
	tolerance := 1e-4 // of scores up to 30
	if coarse {       // inputs of bytes or of 16 bits
		tolerance = 0.2
	}
	row := make([]float32, 64)
	for i := range n {
		if err := original.Read(i, row); err != nil {
			t.Fatal(err)
		}
		if want := d.expected(row); !likely(got[10*i:10*i+10], want, tolerance) {
			t.Errorf("example %d: %v, want %v", i, got[10*i:10*i+10], want)
		}
	}
}

// likely compares logits up to a constant, and leaves out those so low that their probability is nothing in float32.
func likely(got []float32, want []float64, tolerance float64) bool {
	most := slices.Index(want, slices.Max(want))
	var g []float32
	var w []float64
	for i, v := range want {
		if v > want[most]-60 {
			g, w = append(g, got[i]), append(w, v)
		}
	}
	return alike(g, w, tolerance)
}

// TestOnBothEngines: the graph in pieces on XLA too.
func TestOnBothEngines(t *testing.T) {
	d, set := newDigits(t), testSet(t)
	path := d.write(t, filepath.Join(t.TempDir(), "m.onnx"), form{batch: 10, end: "Softmax"})
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) { answered(t, e, path, subject.Options{}, set, d, false, nil) })
}

// TestResized: images of another size, and grey ones for a network of colours, are fitted.
func TestResized(t *testing.T) {
	d := newDigits(t)
	path := d.write(t, filepath.Join(t.TempDir(), "m.onnx"), form{channels: 3})
	mnist := larger{testSet(t)}
	m, err := subject.Open(path, subject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ds, err := m.Images(mnist)
	if err != nil {
		t.Fatal(err)
	}
	if got := ds.Info().Shape; !slices.Equal(got, []int{8, 8, 3}) {
		t.Errorf("shape %v", got)
	}
	if !strings.Contains(said(m), "preprocessing: mean 0.485, 0.456, 0.406") || len(m.Try()) < 4 {
		t.Errorf("%s\n%v", said(m), m.Try())
	}
}

// larger has every pixel four times.
type larger struct{ data.Dataset }

func (l larger) Info() data.Info {
	info := l.Dataset.Info()
	info.Shape = []int{16, 16, 1}
	return info
}

func (l larger) Read(i int, dst []float32) error {
	x := make([]float32, 64)
	if err := l.Dataset.Read(i, x); err != nil {
		return err
	}
	for k := range dst {
		dst[k] = x[k/32*8+k%16/2]
	}
	return nil
}

// TestLabels: names come from the metadata, from config.json, and from files beside the model.
func TestLabels(t *testing.T) {
	d := newDigits(t)
	names := strings.Split("zero one two three four five six seven eight nine", " ")
	for from, put := range map[string]func(dir string) form{
		"the file's metadata": func(string) form {
			return form{metadata: map[string]string{"names": "{0: 'zero', 1: 'one', 2: 'two', 3: 'three', 4: 'four', 5: 'five', 6: 'six', 7: 'seven', 8: 'eight', 9: 'nine'}"}}
		},
		"config.json": func(dir string) form {
			var entries []string
			for i, name := range names {
				entries = append(entries, fmt.Sprintf("%q: %q", fmt.Sprint(i), name))
			}
			write(t, filepath.Join(dir, "config.json"), `{"model_type": "x", "id2label": {`+strings.Join(entries, ", ")+`}}`)
			return form{}
		},
		"labels.txt": func(dir string) form {
			write(t, filepath.Join(dir, "labels.txt"), strings.Join(names, "\n")+"\n")
			return form{}
		},
		"m.labels.txt": func(dir string) form {
			write(t, filepath.Join(dir, "m.labels.txt"), strings.Join(names, "\r\n"))
			return form{unsaid: true}
		},
	} {
		dir := t.TempDir()
		m, err := subject.Open(d.write(t, filepath.Join(dir, "m.onnx"), put(dir)), subject.Options{})
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if !slices.Equal(m.Graph.Names, names) || !strings.Contains(said(m), "labels: 10: zero, one, two, ... ("+from+")") {
			t.Errorf("%s: %v\n%s", from, m.Graph.Names, said(m))
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPreprocessBeside: what transformers writes beside a model is followed.
func TestPreprocessBeside(t *testing.T) {
	d, dir := newDigits(t), t.TempDir()
	write(t, filepath.Join(dir, "preprocessor_config.json"), `{"image_processor_type": "ViTImageProcessor", "do_resize": true, "size": {"height": 8, "width": 8}, "resample": 3,
		"do_normalize": true, "image_mean": [0.25], "image_std": [0.5]}`)
	for _, path := range []string{filepath.Join(dir, "m.onnx"), filepath.Join(dir, "onnx", "model.onnx")} {
		d.write(t, path, form{})
		m, err := subject.Open(path, subject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := "preprocessing: mean 0.25, std 0.5; resized to 8x8 (bicubic) (preprocessor_config.json)"; !strings.Contains(said(m), want) {
			t.Errorf("%s: it lacks %q:\n%s", path, want, said(m))
		}
	}
}

// TestRefuses: models that are no classifier of one input say what was found.
func TestRefuses(t *testing.T) {
	d, dir := newDigits(t), t.TempDir()
	value := func(name string, kind int, shape ...any) onnxtest.Value {
		return onnxtest.Value{Name: name, Type: kind, Shape: shape}
	}
	graph := func(inputs, outputs []onnxtest.Value) string {
		path := filepath.Join(t.TempDir(), "g.onnx")
		var nodes []onnxtest.Node
		for _, o := range outputs {
			nodes = append(nodes, onnxtest.Node{Op: "Identity", Inputs: []string{inputs[0].Name}, Outputs: []string{o.Name}})
		}
		write(t, path, string(onnxtest.Model{Opset: 17, Nodes: nodes, Inputs: inputs, Outputs: outputs}.Bytes()))
		return path
	}
	for _, c := range []struct{ name, path, want string }{
		{"nothing", filepath.Join(dir, "none"), "there is no model here; name a folder that \"ballast train\" has written, an ONNX file"},
		{"rank 3", graph([]onnxtest.Value{value("x", onnxtest.Float, "n", 16, 40)}, []onnxtest.Value{value("y", onnxtest.Float, "n", 10)}), "its shape is [n, 16, 40], of rank 3; images are [batch, channels, height, width]"},
		{"rank 5", graph([]onnxtest.Value{value("x", onnxtest.Float, "n", 3, 4, 8, 8)}, []onnxtest.Value{value("y", onnxtest.Float, "n", 10)}), "of rank 5"},
		{"one image", graph([]onnxtest.Value{value("x", onnxtest.Float, 3, 16, 40)}, []onnxtest.Value{value("y", onnxtest.Float, 10)}), "export the model with an input of [batch, 3, 16, 40]"},
		{"chosen classes", graph([]onnxtest.Value{value("x", onnxtest.Float, "n", 3, 8, 8)}, []onnxtest.Value{value("y", onnxtest.Int64, "n")}), "export the model with the scores that its answers are chosen by"},
		{"two inputs", graph([]onnxtest.Value{value("a", onnxtest.Float, "n", 4), value("b", onnxtest.Float, "n", 4)}, []onnxtest.Value{value("y", onnxtest.Float, "n", 4)}), "it has 2 inputs (a, b)"},
		{"tokens", graph([]onnxtest.Value{value("ids", onnxtest.Int64, "n", 4)}, []onnxtest.Value{value("y", onnxtest.Float, "n", 4)}), "it takes INT64"},
		{"a map", graph([]onnxtest.Value{value("x", onnxtest.Float, "n", 3, 8, 8)}, []onnxtest.Value{value("y", onnxtest.Float, "n", 3, 8, 8)}), "it gives no scores of classes"},
		{"two scores", graph([]onnxtest.Value{value("x", onnxtest.Float, "n", 4)}, []onnxtest.Value{value("a", onnxtest.Float, "n", 4), value("b", onnxtest.Float, "n", 4)}), "2 outputs that may be scores"},
		{"no shape", graph([]onnxtest.Value{{Name: "x", Type: onnxtest.Float}}, []onnxtest.Value{value("y", onnxtest.Float, "n", 4)}), "its shape is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := subject.Open(c.path, subject.Options{})
			if !fault.IsInput(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}

	path := d.write(t, filepath.Join(dir, "m.onnx"), form{channels: 3})
	nhwc, err := preprocess.Parse("{layout: nhwc}")
	if err != nil {
		t.Fatal(err)
	}
	for what, o := range map[string]subject.Options{
		"would have 8 channels; use nchw": {Preprocess: &nhwc},
		"of a model they are":             {Outputs: "logit"},
	} {
		if _, err := subject.Open(path, o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v; want %q", err, what)
		}
	}
}

// TestScoresChecked: outputs that are said to be probabilities and are not, and what is no number, are refused.
func TestScoresChecked(t *testing.T) {
	d, set := newDigits(t), testSet(t)
	path := d.write(t, filepath.Join(t.TempDir(), "m.onnx"), form{})
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m, err := subject.Open(path, subject.Options{Outputs: subject.Probabilities})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.On(t.Context(), e, set, 8); !fault.IsInput(err) || !strings.Contains(err.Error(), "not rows of numbers in [0,1]") {
			t.Errorf("got %v", err)
		}
		if m, err = subject.Open(path, subject.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.On(t.Context(), e, larger{set}, 8); err == nil || !strings.Contains(err.Error(), "takes 8x8 with 1 channels") {
			t.Errorf("got %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		a, err := m.On(ctx, e, set, 8)
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if _, err := a.Answer(ctx, make([]float32, 64), 1); err == nil {
			t.Error("a run that was stopped answers")
		}
	})
}

// TestFolders: a folder of transformers becomes a bundle that says what it was taken for.
func TestFolders(t *testing.T) {
	for name, want := range map[string][]string{
		"vit-transformers":         {"vit with the names of transformers, 2 blocks of width 12 on patches of 4x4, 5 classes", "images of 16x16 with 3 channels", "mean 0.5, std 0.5"},
		"resnet-basic-torchvision": {"resnet with the names of torchvision or timm, [2 1 1 1] basic blocks, 5 classes", "images of 224x224", "mean 0.485, 0.456, 0.406", "a guess"},
		"convnext-timm":            {"convnext with the names of timm"},
	} {
		m, err := subject.Open(filepath.Join("..", "zoo", "testdata", "peers", name), subject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(said(m), line) {
				t.Errorf("%s: it lacks %q:\n%s", name, line, said(m))
			}
		}
		if m.Bundle == nil || m.Bundle.Manifest.Images == nil || !m.Foreign() {
			t.Fatalf("%s: no bundle that resizes", name)
		}
		ds, err := m.Images(testSet(t))
		if err != nil || !slices.Equal(ds.Info().Shape, m.Bundle.Manifest.InputShape) {
			t.Errorf("%s: digits became %v (%v)", name, ds.Info().Shape, err)
		}
		dir := filepath.Join(t.TempDir(), "saved")
		if err := m.Bundle.Save(dir); err != nil {
			t.Fatal(err)
		}
		again, err := subject.Open(dir, subject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if ds, err = again.Images(testSet(t)); err != nil || !slices.Equal(ds.Info().Shape, m.Bundle.Manifest.InputShape) || again.Foreign() {
			t.Errorf("%s: saved and opened, digits became %v (%v)", name, ds.Info().Shape, err)
		}
	}
	if kind, path, err := subject.Find(filepath.Join("..", "zoo", "testdata", "peers", "vit-timm", "model.safetensors")); kind != subject.OfWeights || err != nil {
		t.Errorf("%s %s (%v)", kind, path, err)
	}
}
