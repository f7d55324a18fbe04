package strict_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ballast-ml/ballast/internal/strict"
)

type inner struct {
	Momentum float64 `json:"momentum"`
	Epsilon  float64 `json:"eps"`
}

type upper string

func (u *upper) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*u = upper(strings.ToUpper(s))
	return nil
}

type outer struct {
	inner
	Steps int            `json:"steps"`
	Name  upper          `json:"name"`
	List  []int          `json:"list"`
	Deep  *inner         `json:"deep"`
	Pair  [2]float64     `json:"pair"`
	Table map[string]int `json:"table"`
	Free  any            `json:"free"`
}

func TestDecodeKeepsDefaultsAndReachesEverything(t *testing.T) {
	got := struct {
		Embedded
		Steps int    `json:"steps"`
		Name  upper  `json:"name"`
		Deep  *inner `json:"deep"`
	}{Embedded: Embedded{Momentum: 0.1, Epsilon: 1e-5}, Steps: 3}
	if err := strict.Decode([]byte(`{"eps": 0, "name": "abc", "deep": {"momentum": 1}}`), &got); err != nil {
		t.Fatal(err)
	}
	if got.Momentum != 0.1 || got.Epsilon != 0 || got.Steps != 3 || got.Name != "ABC" || got.Deep == nil || got.Deep.Momentum != 1 {
		t.Errorf("got %+v", got)
	}
}

// Embedded lends its fields.
type Embedded struct {
	Momentum float64 `json:"momentum"`
	Epsilon  float64 `json:"eps"`
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"stepz": 1}`, "unknown key stepz (did you mean steps?)"},
		{`{"deep": {"momentun": 1}}`, "unknown key deep.momentun (did you mean momentum?)"},
		{`{"zzzzzzzzzz": 1}`, "unknown key zzzzzzzzzz; known here: deep, eps, free, list, momentum, name, pair, steps, table"},
		{`{"steps": 1.5}`, "steps: want a whole number that fits int, got 1.5"},
		{`{"steps": "a"}`, `steps: want a whole number, got "a"`},
		{`{"list": [1, "x"]}`, `list.1: want a whole number, got "x"`},
		{`{"list": 3}`, "list: want a list, got 3"},
		{`{"pair": [1]}`, "pair: want 2 values, got 1"},
		{`{"table": {"a": null}}`, "table.a: want a whole number, got null"},
		{`{"steps": 1, "steps": 2}`, "steps: given twice"},
		{`{"steps": 1`, "not JSON"},
		{`[]`, "want a mapping, got []"},
		{`{"name": 3}`, "name: "},
	} {
		err := strict.Decode([]byte(c.in), &outer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.in, err, c.want)
		}
	}
}

func TestYAML(t *testing.T) {
	m, err := strict.YAML([]byte("a: yes\nb: 1e-3\nc: [1, off]\nd:\n  e: 0x10\nf: .inf\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := struct {
		A string         `json:"a"`
		B float64        `json:"b"`
		C []any          `json:"c"`
		D map[string]int `json:"d"`
		F float64        `json:"f"`
	}{}
	if err := strict.DecodeMap(m, &got); err != nil {
		t.Fatal(err)
	}
	if got.A != "yes" || got.B != 1e-3 || !cmp.Equal(got.C, []any{1.0, "off"}) || got.D["e"] != 16 || !math.IsInf(got.F, 1) {
		t.Errorf("got %+v", got)
	}
	for in, want := range map[string]string{"a: 1\na: 2\n": "[2:1]", "a: [1\n": "not YAML", "- 1\n": "not YAML"} {
		if _, err := strict.YAML([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"optdigits", "mnist", "fashion-mnist", "lr"}
	for word, want := range map[string]string{"opdigits": "optdigits", "mnits": "mnist", "fashon-mnist": "fashion-mnist", "lrr": "lr", "imagenet": ""} {
		if got, _ := strict.Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDocuments(t *testing.T) {
	word := func(text string, value any) strict.Word { return strict.Word{Text: text, Value: value} }
	docs, err := strict.Documents([]byte("---\nx: &m ./a\nhalf: &half {scale: 0.5, t: &t 1}\nown: &own 3\nlist:\n- <<: *half\n  model: *m\n--- # next\ny: 1e-3\n---\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []strict.Document{
		{Values: map[string]any{
			"x": "./a", "half": map[string]any{"scale": word("0.5", 0.5), "t": word("1", int64(1))}, "own": word("3", int64(3)),
			"list": []any{map[string]any{"scale": word("0.5", 0.5), "t": word("1", int64(1)), "model": "./a"}},
		}, Anchors: []string{"x", "half"}},
		{Values: map[string]any{"y": word("1e-3", 1e-3)}},
	}
	if diff := cmp.Diff(want, docs); diff != "" {
		t.Error(diff)
	}
	if _, err := strict.YAML([]byte("a: 1\n---\nb: 2\n")); err == nil || err.Error() != "not YAML: more than one document" {
		t.Errorf("the error is %v", err)
	}
	for _, text := range []string{"a: 1\n---\n---\nb: 2\n", "---\n# nothing\n---\nb: 2\n"} {
		if _, err := strict.Documents([]byte(text)); err == nil || !strings.Contains(err.Error(), "the document that begins here is empty") {
			t.Errorf("%q: the error is %v", text, err)
		}
	}
}
