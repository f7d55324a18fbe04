package choice_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

type circle struct {
	Radius float64  `json:"radius"`
	Colors []string `json:"colors"`
}

func (circle) Name() string                   { return "circle" }
func (c circle) area() float64                { return 3 * c.Radius * c.Radius }
func (c *pointed) Name() string               { return "pointed" }
func (c *pointed) area() float64              { return c.Size }
func (hidden) Name() string                   { return "hidden" }
func (h hidden) area() float64                { return h.size }
func (tagged) Name() string                   { return "tagged" }
func (t tagged) area() float64                { return t.Size }
func (emptied) Name() string                  { return "emptied" }
func (e emptied) area() float64               { return e.Size }
func (titled) Name() string                   { return "titled" }
func (titled) area() float64                  { return 0 }
func (plainly) Name() string                  { return "plainly" }
func (p plainly) area() float64               { return float64(p) }
func (impostor) Name() string                 { return "dot" }
func (impostor) area() float64                { return 0 }
func (nameless) Name() string                 { return "" }
func (nameless) area() float64                { return 0 }
func (stranger) Name() string                 { return "stranger" }
func (odd) Name() string                      { return "o\"d\x01" }
func (odd) area() float64                     { return 0 }
func (nested) Name() string                   { return "nested" }
func (n nested) area() float64                { return n.Of.of.area() }
func (n *inner) MarshalJSON() ([]byte, error) { return choice.Encode("shape", kinds, n.of) }

type (
	pointed struct{ Size float64 }
	hidden  struct{ size float64 }
	tagged  struct {
		Size float64 `json:"-"`
	}
	emptied struct {
		Size float64 `json:"size,omitempty"`
	}
	titled struct {
		Title string `json:"name"`
	}
	plainly  float64
	impostor struct{}
	nameless struct{}
	stranger struct{}
	odd      struct{ Side float64 }
	nested   struct {
		Of *inner `json:"of"`
	}
	inner struct{ of shape }
)

// UnmarshalJSON is needed where UnmarshalOwn is.
func (n *inner) UnmarshalJSON(data []byte) error { return n.UnmarshalOwn(data, nil) }

// UnmarshalOwn hands the registry on.
func (n *inner) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	n.of, err = choice.Decode("shape", kinds, data, r)
	return err
}

func TestOwn(t *testing.T) {
	mine := own.Registry{circle{Radius: 2, Colors: []string{"red"}}, &pointed{Size: 7}, odd{Side: 1}, nested{Of: &inner{of: dot{}}}, stranger{}}
	for text, want := range map[string]float64{
		`"circle"`: 12, `{"name":"circle","radius":1}`: 3, `"pointed"`: 7, `{"name":"pointed","Size":8}`: 8, `"square"`: 1,
		`{"name":"nested","of":{"name":"circle","radius":3}}`: 27, `{"name":"nested","of":"circle"}`: 12,
	} {
		got, err := choice.Decode("shape", kinds, []byte(text), mine)
		if err != nil || got.area() != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
			continue
		}
		encoded, err := choice.Encode("shape", kinds, got)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if again, err := choice.Decode("shape", kinds, encoded, mine); err != nil || again.area() != want {
			t.Errorf("%s encodes to %s, which is %v, %v", text, encoded, again, err)
		}
		if strings.Contains(text, "nested") || text == `"square"` {
			continue
		}
		_, err = choice.Decode("shape", kinds, encoded, nil)
		if missing, ok := choice.Missing(err); !ok || missing.What != "shape" || !strings.Contains(text, missing.Name) {
			t.Errorf("%s without the registry: %v", encoded, err)
		}
	}
	if mine[1].(*pointed).Size != 7 {
		t.Error("decoding moved the value in the registry")
	}
	text, err := choice.Encode[shape]("shape", kinds, odd{})
	if again, err2 := choice.Decode("shape", kinds, text, mine); err != nil || err2 != nil || again != (odd{}) {
		t.Errorf("%s is %v: %v, %v", text, again, err, err2)
	}
}

func TestOwnRefuses(t *testing.T) {
	for want, r := range map[string]own.Registry{
		`the registry's choice_test.impostor is named "dot", as a shape of Ballast's; give it another name`:   {impostor{}},
		`the registry has two of the name "circle" that are a shape; leave one out`:                           {circle{}, circle{Radius: 1}},
		`the registry's choice_test.nameless has no name`:                                                     {nameless{}},
		`the registry has a *choice_test.pointed that is nil`:                                                 {(*pointed)(nil)},
		`no shape "stranger": the registry's choice_test.stranger lacks the method area of choice_test.shape`: {stranger{}},
		`no shape "stranger" (did you mean strange?)`:                                                         {strange{}},
	} {
		_, err := choice.Decode("shape", kinds, []byte(`"stranger"`), r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, missing := choice.Missing(err); !missing {
			var usage *fault.Usage
			if !errors.As(err, &usage) {
				t.Errorf("%v is no usage error", err)
			}
		}
	}
	for want, value := range map[string]shape{
		"has the field size, which is not exported and would be lost": hidden{size: 1},
		"has the field Size, which its tag leaves out":                tagged{Size: 1},
		"take omitempty and omitzero out of its tag":                  emptied{},
		`has an option "name"`:                                        titled{},
		"is not a struct":                                             plainly(3),
		`is named "dot", as a shape of Ballast's`:                     impostor{},
		"has no name to write; let its method":                        nameless{},
	} {
		if text, err := choice.Encode("shape", kinds, value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%T: got %s, %v; want %q", value, text, err, want)
		}
	}
	if text, err := choice.Encode[shape]("shape", kinds, hidden{}); err != nil || string(text) != `{"name":"hidden"}` {
		t.Errorf("got %s, %v", text, err)
	}
}

type strange struct{ circle }

// Name is near that of another.
func (strange) Name() string { return "strange" }
