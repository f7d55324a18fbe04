package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/strict"
)

// recorder stands in for *testing.T, so that failures can be looked at.
type recorder struct{ failures []string }

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

type fatal struct{}

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); panic(fatal{}) }

var double = Kind{
	Name:  "double",
	Match: func(c *Case) bool { return c.Has("inputs.x") },
	Run: func(_ T, c *Case) {
		p := struct {
			Factor float64 `json:"factor"`
		}{}
		c.Params(&p)
		x := c.Tensor("inputs.x")
		y := make([]float64, len(x.Data))
		for i, v := range x.Data {
			y[i] = v * p.Factor
		}
		c.Got("y", x.Shape, y)
		c.GotJSON("names", map[string]any{"a": 1, "b": "two"})
	},
}

func TestACaseFailsForWhatIsWrongAndNothingElse(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"right", `{"params":{"factor":2},"inputs":{"x":{"shape":[2],"data":[1,"NaN"]}},"outputs":{"y":{"shape":[2],"data":[2.00001,"NaN"]},"names":{"a":1,"b":"two"}}}`, ""},
		{"scalar", `{"params":{"factor":2},"inputs":{"x":{"shape":[1],"data":[1]}},"outputs":{"y":{"shape":[],"data":[2]}}}`, ""},
		{"wrong value", `{"params":{"factor":2},"inputs":{"x":{"shape":[1],"data":[1]}},"outputs":{"y":{"shape":[1],"data":[2.1]}}}`, "y[0] is 2, want 2.1"},
		{"tolerance", `{"params":{"factor":2},"inputs":{"x":{"shape":[1],"data":[1]}},"outputs":{"y":{"shape":[1],"data":[2.1]}},"tolerance":{"abs":0.2}}`, ""},
		{"nan and inf", `{"params":{"factor":1},"inputs":{"x":{"shape":[3],"data":["nan","inf","-inf"]}},"outputs":{"y":{"shape":[3],"data":["NaN","+Inf","-Infinity"]}}}`, ""},
		{"inf is not -inf", `{"params":{"factor":-1},"inputs":{"x":{"shape":[1],"data":["inf"]}},"outputs":{"y":{"shape":[1],"data":["inf"]}}}`, "y[0] is -Inf, want +Inf"},
		{"an infinite parameter", `{"params":{"factor":"inf"},"inputs":{"x":{"shape":[1],"data":[-1]}},"outputs":{"y":{"shape":[1],"data":["-inf"]}}}`, ""},
		{"no number", `{"params":{"factor":"much"},"inputs":{"x":{"shape":[1],"data":[-1]}},"outputs":{"y":{"shape":[1],"data":["-inf"]}}}`, "params: "},
		{"nan where a name is wanted", `{"params":{"factr":"nan"},"inputs":{"x":{"shape":[1],"data":[-1]}},"outputs":{"y":{"shape":[1],"data":["-inf"]}}}`, "unknown key factr"},
		{"lists", `{"params":{"factor":2},"inputs":{"x":[[1,2],[3,"inf"]]},"outputs":{"y":[[2,4],[6,"inf"]]}}`, ""},
		{"a number", `{"params":{"factor":2},"inputs":{"x":3},"outputs":{"y":6}}`, ""},
		{"ragged lists", `{"params":{"factor":2},"inputs":{"x":[[1,2],[3]]},"outputs":{"y":6}}`, "lists of 2 and of 1 are not a tensor"},
		{"lists of two depths", `{"params":{"factor":2},"inputs":{"x":[1,[3]]},"outputs":{"y":6}}`, "different depths"},
		{"lists of two depths, the deeper first", `{"params":{"factor":2},"inputs":{"x":[[3],1]},"outputs":{"y":6}}`, "different depths"},
		{"wrong shape", `{"params":{"factor":2},"inputs":{"x":{"shape":[2],"data":[1,1]}},"outputs":{"y":{"shape":[2,1],"data":[2,2]}}}`, "has shape [2], want [2 1]"},
		{"unknown parameter", `{"params":{"factr":2},"inputs":{"x":{"shape":[1],"data":[1]}},"outputs":{"y":{"shape":[1],"data":[2]}}}`, "unknown key factr"},
		{"missing output", `{"params":{"factor":2},"inputs":{"x":{"shape":[1],"data":[1]}},"outputs":{"y":{"shape":[1],"data":[2]},"z":{"shape":[1],"data":[2]}}}`, "output z was not computed"},
		{"other JSON", `{"params":{"factor":2},"inputs":{"x":{"shape":[1],"data":[1]}},"outputs":{"names":{"a":2,"b":"two"}}}`, "names.a is 1, want 2"},
		{"no kind", `{"params":{},"inputs":{},"outputs":{"y":{"shape":[1],"data":[2]}}}`, "0 kinds of case match"},
		{"no output", `{"params":{},"inputs":{},"outputs":{}}`, "names no output"},
		{"not JSON", `{`, "unexpected end"},
	} {
		path := filepath.Join(t.TempDir(), "case.json")
		if err := os.WriteFile(path, []byte(c.file), 0o644); err != nil {
			t.Fatal(err)
		}
		r := &recorder{}
		func() {
			defer func() {
				if p := recover(); p != nil {
					if _, ok := p.(fatal); !ok {
						panic(p)
					}
				}
			}()
			runFile(r, path, []Kind{double})
		}()
		if got := strings.Join(r.failures, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestListRefusesEmptyFolders(t *testing.T) {
	root := t.TempDir()
	if _, err := List(root, "slug"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.Mkdir(filepath.Join(root, "slug"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := List(root, "slug"); err == nil || !strings.Contains(err.Error(), "slug has no case") {
		t.Errorf("got %v", err)
	}
}

func TestARelativeFolderIsLookedForUpwards(t *testing.T) {
	module := t.TempDir()
	for _, folder := range []string{"cases", "papers/one/testdata"} {
		if err := os.MkdirAll(filepath.Join(module, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(module, "papers", "one"))
	for folder, want := range map[string]string{"testdata": "testdata", "cases": "../../cases", filepath.Join(module, "cases"): filepath.Join(module, "cases")} {
		if got, err := find(folder); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", folder, got, err, want)
		}
	}
	for _, folder := range []string{"none", filepath.Join(module, "none")} {
		if _, err := find(folder); err == nil || !strings.Contains(err.Error(), "which BALLAST_GOLDEN names") {
			t.Errorf("%s: got %v", folder, err)
		}
	}
}

func TestJSONWithNumbersThatJSONLacks(t *testing.T) {
	c, err := Parse("case.json", []byte(`{"outputs":{"a":{"x":"nan","y":["inf",1,"-Inf"],"z":"inf"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{"x": math.NaN(), "y": []float32{float32(math.Inf(1)), 1, float32(math.Inf(-1))}, "z": "Inf"}
	r := &recorder{}
	c.t = r
	c.GotJSON("a", got)
	if len(r.failures) > 0 {
		t.Error(r.failures)
	}
	got["x"] = 1.0
	c.GotJSON("a", got)
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "a.x is 1, want NaN") {
		t.Error(r.failures)
	}
}

func TestAParameterOfOneValueOrOfSeveral(t *testing.T) {
	for text, want := range map[string]string{`2`: "[2]", `[1, "inf", "nan"]`: "[1 +Inf NaN]", `"-inf"`: "[-Inf]", `[]`: "[]"} {
		p := struct {
			Values Values `json:"values"`
		}{}
		if err := decode([]byte(`{"values":`+text+`}`), &p, strict.Decode); err != nil || fmt.Sprint(p.Values) != want {
			t.Errorf("%s: got %v, %v", text, p.Values, err)
		}
	}
	var p struct {
		Values Values `json:"values"`
	}
	if err := decode([]byte(`{"values":"much"}`), &p, strict.Decode); err == nil {
		t.Errorf("got %v for a word", p.Values)
	}
}

func TestMarkedNumbersAreFoundEverywhere(t *testing.T) {
	var p struct {
		Any     any                `json:"any"`
		Lists   [][]float32        `json:"lists"`
		Members map[string]float64 `json:"members"`
		At      *float64           `json:"at"`
		Name    string             `json:"name"`
	}
	// Strict decoding knows these words by itself; json does not.
	if err := decode([]byte(`{"any":["nan"],"lists":[["inf",1]],"members":{"a":"-inf"},"at":"nan"}`), &p, json.Unmarshal); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Any, p.Lists, p.Members, *p.At); got != "[NaN] [[+Inf 1]] map[a:-Inf] NaN" {
		t.Errorf("got %s", got)
	}
	if err := decode([]byte(`{"name":"inf"}`), &p, strict.Decode); err != nil || p.Name != "inf" {
		t.Errorf("a name: got %q, %v", p.Name, err)
	}
}
