package safetensors

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// golden is one case file. Strict decoding makes a key that no test looks at a failure.
type golden struct {
	Method, Case, Notes string
	Params              struct{ Format string }
	Tolerance           map[string]float64
	Inputs              struct {
		File     *[]byte           `json:"file_base64"`
		Index    string            `json:"index_json"`
		Files    map[string][]byte `json:"files_base64"`
		Metadata map[string]string
		Tensors  map[string]struct {
			DType DType
			Shape []int
			Hex   string
		}
	}
	Outputs struct {
		Expect    json.RawMessage
		Reference string `json:"reference_verdict"`
		Reason    string
		Policy    string
		Tensors   map[string]goldenTensor
		Metadata  map[string]string
		File      []byte `json:"file_base64"`
	}
}

type goldenTensor struct {
	DType  DType
	Shape  []int
	Values []goldenNumber
}

// goldenNumber is a JSON number or one of the strings NaN, +Inf, -Inf.
type goldenNumber float64

func (n *goldenNumber) UnmarshalJSON(b []byte) error {
	special := map[string]float64{`"NaN"`: math.NaN(), `"+Inf"`: math.Inf(1), `"-Inf"`: math.Inf(-1)}
	if v, ok := special[string(b)]; ok {
		*n = goldenNumber(v)
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

func goldens(t testing.TB) map[string]*golden {
	t.Helper()
	paths, err := filepath.Glob("../../papers/safetensors/testdata/golden/safetensors/*.json")
	if err != nil || len(paths) < 30 {
		t.Fatalf("want at least 30 golden cases, got %d (%v)", len(paths), err)
	}
	out := map[string]*golden{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		g := new(golden)
		d := json.NewDecoder(f)
		d.DisallowUnknownFields()
		if err := errors.Join(d.Decode(g), f.Close()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".json")] = g
	}
	return out
}

func TestGolden(t *testing.T) {
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			switch {
			case g.Inputs.Tensors != nil:
				testWriter(t, g)
			case g.Inputs.Index != "":
				testSharded(t, g)
			case g.Inputs.File != nil:
				testFile(t, g)
			default:
				t.Fatal("the case has no input this test knows")
			}
		})
	}
}

func testFile(t *testing.T, g *golden) {
	f, err := Parse(*g.Inputs.File)
	verdict := "ok"
	if err != nil {
		verdict = "error"
	}
	if want := string(g.Outputs.Expect); `"`+verdict+`"` != want {
		t.Fatalf("want %s, got %s (%v)", want, verdict, err)
	}
	if err != nil {
		var typed *Error
		if !errors.As(err, &typed) || !typed.BadInput() {
			t.Fatalf("want bad input of type *Error, got %T %v", err, err)
		}
		if Reference(typed) != g.Outputs.Reference {
			t.Errorf("reference verdict: want %s, got %s (%v)", g.Outputs.Reference, Reference(typed), err)
		}
		t.Log(err)
		return
	}
	checkFile(t, f, g)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, *g.Inputs.File, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mapped := range []bool{true, false} {
		f, err := open(path, mapped)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.parse(f.reader(), NewOptions()); err != nil {
			t.Fatal(err)
		}
		if (f.data != nil) != mapped {
			t.Errorf("mapped: want %v", mapped)
		}
		checkFile(t, f, g)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func checkFile(t *testing.T, f *File, g *golden) {
	t.Helper()
	if diff := cmp.Diff(g.Outputs.Metadata, f.Metadata()); diff != "" {
		t.Errorf("metadata: %s", diff)
	}
	got := map[string]goldenTensor{}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		values, err := f.Float64s(name)
		if err != nil {
			t.Fatal(err)
		}
		tensor := goldenTensor{info.DType, info.Shape, []goldenNumber{}}
		narrow, err := f.Float32s(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			tensor.Values = append(tensor.Values, goldenNumber(v))
			if math.Float32bits(narrow[i]) != math.Float32bits(float32(v)) {
				t.Errorf("%s[%d]: Float32s gives %v, Float64s %v", name, i, narrow[i], v)
			}
		}
		got[name] = tensor
	}
	near := cmp.Comparer(func(a, b goldenNumber) bool {
		x, y := float64(a), float64(b)
		return x == y || (math.IsNaN(x) && math.IsNaN(y)) || math.Abs(x-y) <= 1e-6*math.Abs(x)
	})
	if diff := cmp.Diff(g.Outputs.Tensors, got, near); diff != "" {
		t.Errorf("tensors: %s", diff)
	}
}

func testSharded(t *testing.T, g *golden) {
	dir := t.TempDir()
	files := maps.Clone(g.Inputs.Files)
	files[indexName] = []byte(g.Inputs.Index)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want struct {
		Verdict, Warning string
		Tensors          map[string][]float64
	}
	if err := json.Unmarshal(g.Outputs.Expect, &want); err != nil {
		t.Fatal(err)
	}
	m, err := OpenSharded(dir)
	if err != nil {
		if want.Verdict != "error" {
			t.Fatal(err)
		}
		t.Log(err)
		return
	}
	defer m.Close() //nolint:errcheck // the test is over
	if want.Verdict != "ok" {
		t.Fatalf("want an error, got none")
	}
	got := map[string][]float64{}
	for _, name := range m.Names() {
		if got[name], err = m.Float64s(name); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want.Tensors, got); diff != "" {
		t.Error(diff)
	}
	var warnings []string
	for _, w := range m.Warnings {
		warnings = append(warnings, w.Field)
	}
	if slices.Contains(warnings, want.Warning) != (want.Warning != "") || len(warnings) > 1 {
		t.Errorf("want warning %q, got %v", want.Warning, m.Warnings)
	}
}

func testWriter(t *testing.T, g *golden) {
	var tensors []Tensor
	for name, in := range g.Inputs.Tensors { // in Go's random order
		data, err := hex.DecodeString(in.Hex)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, Tensor{Name: name, DType: in.DType, Shape: in.Shape, Data: data})
	}
	var b strings.Builder
	if err := Write(&b, tensors, g.Inputs.Metadata); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(g.Outputs.File), b.String()); diff != "" {
		t.Error(diff)
	}
}

// Each invalid file is refused within 10 ms and 1 MB.
func TestInvalidIsCheap(t *testing.T) {
	checked := 0
	for name, g := range goldens(t) {
		if g.Inputs.File == nil || string(g.Outputs.Expect) != `"error"` {
			continue
		}
		checked++
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		_, err := Parse(*g.Inputs.File)
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 || took > 10*time.Millisecond {
			t.Errorf("%s: %d bytes, %v", name, spent, took)
		}
	}
	if checked < 17 {
		t.Errorf("want 17 invalid files, got %d", checked)
	}
}
