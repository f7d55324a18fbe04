package choice_test

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/choice"
)

type shape interface{ area() float64 }

type square struct {
	Side float64 `json:"side"`
}

type dot struct{}

func (s square) area() float64 { return s.Side * s.Side }
func (dot) area() float64      { return 0 }

var kinds = []choice.Kind[shape]{
	{Name: "square", New: func() shape { return square{Side: 1} }},
	{Name: "dot", New: func() shape { return dot{} }},
}

func TestRoundTrip(t *testing.T) {
	for text, want := range map[string]shape{
		`"square"`: square{1}, `{"name":"square","side":3}`: square{3}, `{"side":0,"name":"square"}`: square{0}, `"dot"`: dot{},
	} {
		got, err := choice.Decode("shape", kinds, []byte(text), nil)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
			continue
		}
		encoded, err := choice.Encode("shape", kinds, got)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if again, err := choice.Decode("shape", kinds, encoded, nil); err != nil || again != want {
			t.Errorf("%s encodes to %s, which is %v, %v", text, encoded, again, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`"squar"`:                   `no shape "squar" (did you mean square?)`,
		`"polyhedron"`:              "there are square, dot",
		`{"side":1}`:                "a shape needs a name: square, dot",
		`{"name":"square","sid":1}`: "unknown key sid (did you mean side?)",
		`{"name":3}`:                "name: want a string",
		`3`:                         "want the name of a shape",
	} {
		if _, err := choice.Decode("shape", kinds, []byte(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := choice.Encode[shape]("shape", kinds, nil); err == nil || err.Error() != "shape: none is chosen" {
		t.Errorf("got %v", err)
	}
	if _, err := choice.Encode[shape]("shape", kinds[:1], dot{}); err == nil || !strings.Contains(err.Error(), "has no name to write") {
		t.Errorf("got %v", err)
	}
}
