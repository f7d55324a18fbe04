package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/subject"
)

// These tests run the command on files that others made. "ballast data get" brings them into the user's own data folder, so they are
// downloaded once; without a network the tests are skipped and say so, but not where CI is set.

// fetched gets data sets and trained networks by name and returns the folder of the last.
func fetched(t *testing.T, names ...string) (dir string) {
	t.Helper()
	for _, name := range names {
		var err error
		dir, _, err = data.Get(t.Context(), name, data.GetOptions{})
		var unreachable net.Error
		var address *url.Error
		if err != nil && os.Getenv("CI") == "" && (errors.As(err, &unreachable) || errors.As(err, &address)) {
			t.Skipf("%s is not on this machine and cannot be downloaded, so nothing is tested on it: %v", name, err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// command runs ballast and returns what it printed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := commandCode(t, args...)
	if code != 0 {
		t.Fatalf("ballast %s: exit code %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

// commandCode runs ballast and returns its exit code and what it printed.
func commandCode(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	dir := t.TempDir()
	var files [2]*os.File
	for i, name := range []string{"out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read below
		files[i] = f
	}
	code = run(args, files[0], files[1])
	var texts [2]string
	for i, f := range files {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	return code, texts[0], texts[1]
}

// TestRealDigitNets: the networks of others score on MNIST's 10,000 test digits what they score in the framework they were made with,
// 99.05 %, 87.9 % and 73.6 %, and one report shows them side by side. Where the Go engine alone is there, the network for SVHN is left
// out of the scores: it takes minutes.
func TestRealDigitNets(t *testing.T) {
	fetched(t, "mnist", "digit-nets")
	got := command(t, "data", "get", "digit-nets", "--json")
	for _, folder := range []string{"mnist", "usps", "svhn"} {
		if !strings.Contains(got, filepath.Join("digit-nets", folder)) {
			t.Errorf("no bundle %s in %s", folder, got)
		}
	}
	e, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	kind := e.Kind
	e.Close()
	names, want := []string{"digit-nets/mnist", "digit-nets/usps", "digit-nets/svhn"}, []float64{0.9905, 0.8788, 0.7360}
	if kind == engine.KindGo {
		names = names[:2]
	}
	page := filepath.Join(t.TempDir(), "digits.html")
	args := append(append([]string{"evaluate"}, names...), "--data", "mnist", "--suite", "clean", "--html", page, "--json", "--quiet")
	var found report.Several
	if err := json.Unmarshal([]byte(command(t, args...)), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Reports) != len(names) {
		t.Fatalf("%d reports", len(found.Reports))
	}
	for i, r := range found.Reports {
		// Two digits of 10,000 may fall otherwise on another engine.
		accuracy, _ := r.Number("acc")
		if r.Examples != 10000 || math.Abs(accuracy.Value-want[i]) > 0.00021 || r.Model != names[i] {
			t.Errorf("%s: %.4f of %d, want %.4f of 10000", r.Model, accuracy.Value, r.Examples, want[i])
		}
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(names, "99.05 %", "side by side", "Which classes are right?") {
		if !strings.Contains(string(html), text) {
			t.Errorf("no %q in the report", text)
		}
	}
}

// TestRealCheckpoints reads PyTorch checkpoints of both layouts. The sums over all float32 values were computed by another program.
func TestRealCheckpoints(t *testing.T) {
	digits, lite := fetched(t, "digit-nets"), fetched(t, "efficientnet-lite0")
	for _, c := range []struct {
		path                string
		tensors, parameters int // batches counted and running statistics left out of the parameters
		sum                 float64
	}{
		{filepath.Join(digits, "mnist.pth"), 8, 421642, -2855.9604863048967},
		{filepath.Join(digits, "usps.pth"), 18, 151498, -480.70740257544253},
		{filepath.Join(digits, "svhn.pth"), 46, 815018, 6559.011486156082},
		{filepath.Join(lite, "efficientnet-lite0.pth"), 296, 4652008, 425663.2450015556},
	} {
		file, err := weights.Open(c.path)
		if err != nil {
			t.Fatal(err)
		}
		parameters, sum := 0, 0.0
		for _, info := range file.Tensors() {
			if strings.HasSuffix(info.Name, "num_batches_tracked") {
				continue
			}
			values := make([]float32, info.Elements)
			if err := file.ReadFloat32s(info.Name, 0, values); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				sum += float64(v)
			}
			if !strings.Contains(info.Name, ".running_") {
				parameters += info.Elements
			}
		}
		if n := len(file.Tensors()); n != c.tensors || parameters != c.parameters || math.Abs(sum-c.sum) > 1e-9*math.Abs(c.sum) || file.Kind() != weights.PyTorch {
			t.Errorf("%s: %s, %d tensors, %d parameters, sum %v; want %d, %d, %v", c.path, file.Kind(), n, parameters, sum, c.tensors, c.parameters, c.sum)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}

// sentences are texts of many scripts, the numbers that the tokenizers library gives them, and the first numbers of the vectors that
// onnxruntime computes from the network's ONNX file.
type sentences struct {
	Texts   []string
	IDs     [][]int
	Vectors [][]float64
}

func readSentences(t *testing.T) (s sentences) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "minilm.json"))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || len(s.Texts) != len(s.IDs) || len(s.Texts) != len(s.Vectors) || len(s.Texts) < 15 {
		t.Fatalf("%d texts, %v", len(s.Texts), err)
	}
	return s
}

// realVectors are the vectors of all-MiniLM-L6-v2 from its safetensors, by Ballast's own encoder.
func realVectors(t *testing.T, e *engine.Engine, texts []string) [][]float32 {
	t.Helper()
	enc, err := bundle.OpenEncoder(fetched(t, "minilm-l6"))
	if err != nil {
		t.Fatal(err)
	}
	forward, err := enc.NewForward(e)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	vectors, err := forward.Vectors(texts)
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

func TestRealSentences(t *testing.T) {
	s := readSentences(t)
	enc, err := bundle.OpenEncoder(fetched(t, "minilm-l6"))
	if err != nil {
		t.Fatal(err)
	}
	if enc.Most != 256 || !enc.Network.Normalize || enc.Network.Dim != 384 {
		t.Errorf("at most %d tokens, %+v", enc.Most, enc.Network)
	}
	for i, text := range s.Texts {
		if got := enc.Tokenizer.Encode(text, enc.Most); !slices.Equal(got, s.IDs[i]) {
			t.Errorf("%q: tokens %v, want %v", text, got, s.IDs[i])
		}
	}
	e, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i, v := range realVectors(t, e, s.Texts) {
		largest := 0.0
		for j, want := range s.Vectors[i] {
			largest = max(largest, math.Abs(float64(v[j])-want))
		}
		if largest > 2e-6 {
			t.Errorf("%q: a number of the vector is %v off", s.Texts[i], largest)
		}
	}
	// Alike and unlike.
	v := realVectors(t, e, []string{"A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."})
	cosine := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}
	if alike, unlike := cosine(v[0], v[1]), cosine(v[0], v[2]); !(alike > 0.6 && unlike < 0.3) {
		t.Errorf("cosine %v of alike sentences, %v of unlike ones", alike, unlike)
	}
}

// TestRealInspect: what others made is recognised.
func TestRealInspect(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"digit-nets", "mnist.pth", []string{"pytorch", "421642"}},
		{"efficientnet-lite0", "efficientnet-lite0.pth", []string{"pytorch", "296"}},
		{"minilm-l6", "model.safetensors", []string{"safetensors", "bert", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}},
	} {
		got := command(t, "inspect", filepath.Join(fetched(t, c.name), c.file), "--quiet")
		for _, want := range c.want {
			if !strings.Contains(strings.ToLower(got), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, fmt.Sprintf("%.1500s", got))
			}
		}
	}
}

// TestRealWeights opens the file of weights as PyTorch saved it: it must become the bundle that was made of it, to the bit, and say what was
// assumed.
func TestRealWeights(t *testing.T) {
	fetched(t, "efficientnet-lite0")
	command(t, "data", "get", "efficientnet-lite0", "--quiet")
	path, err := data.ModelPath("efficientnet-lite0/imagenet")
	if err != nil {
		t.Fatal(err)
	}
	want, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := subject.Open("efficientnet-lite0/efficientnet-lite0.pth", subject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, preprocess := m.Bundle.Variables(), m.Bundle.Manifest.Preprocess
	for i, v := range want.Variables() {
		a, errA := flatOf(v)
		b, errB := flatOf(got[i])
		if err := errors.Join(errA, errB); err != nil || v.Path() != got[i].Path() || !slices.Equal(a, b) {
			t.Fatalf("%s and %s are not the same (%v)", v.Path(), got[i].Path(), err)
		}
	}
	for c := range 3 {
		if math.Abs(preprocess.Mean[c]-want.Manifest.Preprocess.Mean[c])+math.Abs(preprocess.Std[c]-want.Manifest.Preprocess.Std[c]) > 1e-12 {
			t.Errorf("the preprocessing is %v, that of the bundle %v", preprocess, want.Manifest.Preprocess)
		}
	}
	if len(m.Assumed()) < 4 || !m.Assumed()[3].Guess {
		t.Errorf("assumed: %v", m.Assumed())
	}
}

// flatOf are the values of a variable.
func flatOf(v *model.Variable) ([]float32, error) {
	value, err := v.Value()
	if err != nil {
		return nil, err
	}
	return tensors.CopyFlatData[float32](value)
}

// TestRealEfficientNet runs a made picture through the network. The logits were computed by another program in float64.
func TestRealEfficientNet(t *testing.T) {
	fetched(t, "efficientnet-lite0")
	command(t, "data", "get", "efficientnet-lite0", "--quiet")
	path, err := data.ModelPath("efficientnet-lite0/imagenet")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	forward, err := b.NewForward(e, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	x := make([]float32, 224*224*3)
	for i := range x {
		x[i] = float32(0.5 + 0.5*math.Sin(float64(i)*0.037+float64(i/672)*0.11))
	}
	logits, err := forward.Logits(x, 1)
	if err != nil {
		t.Fatal(err)
	}
	for class, want := range map[int]float64{
		807: 8.516096400126715, 905: 8.130612154446943, 753: 5.797187340233997, 401: 5.1307469532076855, 811: 4.895326582512107,
		0: -0.23161649524697042, 1: -1.3109951793549885, 2: 0.9213958418897079, 3: -1.7991436444463398, 4: -0.955409990295911,
	} {
		if math.Abs(float64(logits[class])-want) > 1e-4 {
			t.Errorf("logit of class %d is %v, want %v", class, logits[class], want)
		}
	}
}
