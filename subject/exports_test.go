package subject_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/onnxtest"
	"github.com/ballast-ml/ballast/subject"
)

// pair is a graph of features [n, 2] that gives an embedding tanh(x) and one number of it for each of some classes.
func pair(t *testing.T, classes int, batch any, outputs []string, end string, metadata map[string]string) string {
	t.Helper()
	weights := make([]float32, 2*classes)
	for i := range weights {
		weights[i] = float32(i%3) - 0.5
	}
	nodes := []onnxtest.Node{
		{Op: "Tanh", Inputs: []string{"x"}, Outputs: []string{"b"}},
		{Op: "Gemm", Inputs: []string{"b", "w"}, Outputs: []string{"a"}, Attributes: map[string]any{"transB": 1}},
	}
	if end != "" {
		nodes = append(nodes, onnxtest.Node{Op: end, Inputs: []string{"a"}, Outputs: []string{"p"}})
	}
	m := onnxtest.Model{
		Opset: 17, Nodes: nodes, Metadata: metadata, Tensors: []onnxtest.Tensor{onnxtest.Floats("w", []int{classes, 2}, weights...)},
		Inputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{batch, 2}}},
	}
	widths := map[string]int{"a": classes, "b": 2, "p": classes}
	for _, name := range outputs {
		m.Outputs = append(m.Outputs, onnxtest.Value{Name: name, Type: onnxtest.Float, Shape: []any{batch, widths[name]}})
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// line is a set of features (2i, -2i): the scores of its first example are all 0.
type line struct{}

func (line) Info() data.Info {
	return data.Info{Name: "line", Shape: []int{2}, Classes: []string{"cat", "dog"}}
}
func (line) Len() int        { return 8 }
func (line) Label(int) int32 { return 0 }

func (line) Read(i int, dst []float32) error {
	dst[0], dst[1] = 2*float32(i), -2*float32(i)
	return nil
}

// TestOfTwoOutputs: of an embedding and the scores made of it, the scores are taken, whatever they are called and wherever they stand.
func TestOfTwoOutputs(t *testing.T) {
	for _, outputs := range [][]string{{"a", "b"}, {"b", "a"}} {
		m, err := subject.Open(pair(t, 4, "n", outputs, "", nil), subject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Graph.Output != "a" {
			t.Fatalf("%v: output %s was taken", outputs, m.Graph.Output)
		}
	}
}

// TestOfOneScore: one score is that of class 1 of two, whose names are used; that it is a logit is seen by more than the first example, however
// few go through the graph at a time.
func TestOfOneScore(t *testing.T) {
	path := pair(t, 1, 1, []string{"a"}, "", map[string]string{"names": "cat,dog"})
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m, err := subject.Open(path, subject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		answers, err := m.On(t.Context(), e, line{}, 8)
		if err != nil {
			t.Fatal(err)
		}
		defer answers.Close()
		if !slices.Equal(answers.Labels(), []string{"cat", "dog"}) || !strings.Contains(said(m), "2: cat, dog") {
			t.Fatalf("labels %v\n%s", answers.Labels(), said(m))
		}
		x := []float32{-2, 1}
		got, err := answers.Answer(context.Background(), x, 1)
		if err != nil {
			t.Fatal(err)
		}
		want := -0.5*math.Tanh(-2) + 0.5*math.Tanh(1)
		if got[0] != 0 || math.Abs(float64(got[1])-want) > 1e-6 {
			t.Fatalf("got %v; want 0 and %v", got, want)
		}
	})
}

// TestSaidToBeLogits: probabilities that are said to be logits are refused, whatever a graph ends in.
func TestSaidToBeLogits(t *testing.T) {
	path := pair(t, 3, "n", []string{"p"}, "Softmax", nil)
	enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
		m, err := subject.Open(path, subject.Options{Outputs: subject.Logits})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.On(t.Context(), e, line{}, 8); err == nil || !strings.Contains(err.Error(), "the outputs are no logits") {
			t.Fatalf("got %v", err)
		}
	})
}

// TestLook: the features of a graph are what goes into its last layer, and the answers are those without them.
func TestLook(t *testing.T) {
	for _, end := range []string{"", "Softmax"} {
		path := pair(t, 3, 2, []string{map[string]string{"": "a", "Softmax": "p"}[end]}, end, nil)
		enginetest.Go(t, func(t *testing.T, e *engine.Engine) {
			m, err := subject.Open(path, subject.Options{})
			if err != nil {
				t.Fatal(err)
			}
			answers, err := m.On(t.Context(), e, line{}, 8)
			if err != nil {
				t.Fatal(err)
			}
			defer answers.Close()
			x := []float32{1, 2, -1, 0.5, 0, 3}
			logits, features, err := subject.LookOf(answers)(t.Context(), x, 3)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := answers.Answer(t.Context(), x, 3)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(logits, plain) || len(features) != len(x) {
				t.Fatalf("logits %v and %v, features %v", logits, plain, features)
			}
			for i, v := range features {
				if math.Abs(float64(v)-math.Tanh(float64(x[i]))) > 1e-6 {
					t.Fatalf("features %v of %v", features, x)
				}
			}
		})
	}
}
