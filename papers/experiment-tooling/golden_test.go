package experimenttooling

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/lab"
)

func TestGolden(t *testing.T) { golden.Run(t, "experiment-tooling", kinds()...) }

// kinds tests overrides, sweeps, interpolation and smoothing.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "overrides", Match: func(c *golden.Case) bool { return c.Has("inputs.base", "outputs.cases") }, Run: goldenOverrides},
		{Name: "smoothing", Match: func(c *golden.Case) bool { return c.Has("params.weight", "inputs.x") }, Run: func(_ golden.T, c *golden.Case) {
			p := struct {
				Weight float64 `json:"weight"`
			}{}
			c.Params(&p)
			x := c.Tensor("inputs.x")
			c.Got("y", x.Shape, lab.Smooth(x.Data, p.Weight))
		}},
	}
}

func goldenOverrides(t golden.T, c *golden.Case) {
	p := struct {
		Types any `json:"types"` // a table, or words that say it is the table of another file: then the values decide
	}{}
	c.Params(&p)
	types := lab.Types{}
	if table, ok := p.Types.(map[string]any); ok {
		for path, kind := range table {
			types[path] = kind.(string)
		}
	}
	var raw json.RawMessage
	c.Decode("inputs.base", &raw)
	base, err := lab.ConfigOf(raw)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var cases []struct {
		Overrides []string       `json:"overrides"`
		Result    map[string]any `json:"result"`
		Error     string         `json:"error"`
	}
	c.Decode("outputs.cases", &cases)
	c.Compared("cases")
	for _, want := range cases {
		got, err := lab.Apply(base, types, want.Overrides)
		if want.Error != "" {
			if err == nil || !strings.Contains(err.Error(), want.Error) {
				t.Errorf("%v: got %v, %v; want the error %q", want.Overrides, got, err, want.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", want.Overrides, err)
			continue
		}
		if where := c.Differ("result", plain(map[string]any(got)), any(want.Result)); where != "" || len(got) != len(want.Result) {
			t.Errorf("%v: %s", want.Overrides, where)
		}
	}
	if c.Has("outputs.sweep") {
		goldenSweep(t, c)
	}
	if c.Has("outputs.resolved_out_of_base") {
		out, err := base.Get("out")
		if err != nil {
			t.Errorf("%v", err)
		}
		c.GotJSON("resolved_out_of_base", out)
	}
	if c.Has("outputs.reading_data_root_of_base") {
		got := "no error"
		if _, err := base.Get("data.root"); errors.Is(err, lab.ErrMandatory) {
			got = "error: " + lab.ErrMandatory.Error()
		}
		c.GotJSON("reading_data_root_of_base", got)
	}
}

func goldenSweep(t golden.T, c *golden.Case) {
	var sweep struct{ Args []string }
	c.Decode("outputs.sweep", &sweep)
	runs, err := lab.Expand(sweep.Args)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.GotJSON("sweep", map[string]any{"args": sweep.Args, "count": len(runs), "first": runs[0], "second": runs[1], "last": runs[len(runs)-1]})
}

// plain is a configuration as JSON would give it back, with the strings that stand for infinite numbers.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			out[key] = plain(item)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range v {
			out = append(out, plain(item))
		}
		return out
	case int64:
		return float64(v)
	case float64:
		if math.IsInf(v, 1) {
			return "+Inf"
		}
	}
	return v
}
