package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// YAML reads a YAML 1.2 mapping: yes, no, on and off are strings, 1e-3 is a number, a key given twice is an error. Errors
// name the line. An empty document is an empty mapping.
func YAML(data []byte) (map[string]any, error) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	m := map[string]any{}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return m, nil
	}
	if len(file.Docs) > 1 {
		return nil, errors.New("not YAML: more than one document")
	}
	ast.Walk(floats{}, file.Docs[0].Body)
	if err := yaml.NodeToValue(file.Docs[0].Body, &m); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	return m, nil
}

// floats makes numbers of the plain scalars that YAML 1.2 counts as floats and the parser takes for strings, such as 1e-3.
type floats struct{}

var exponentFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$`)

func (f floats) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.MappingValueNode:
		n.Value = asFloat(n.Value)
	case *ast.SequenceNode:
		for i := range n.Values {
			n.Values[i] = asFloat(n.Values[i])
		}
	}
	return f
}

func asFloat(n ast.Node) ast.Node {
	s, ok := n.(*ast.StringNode)
	if !ok || s.Token.Type != token.StringType || !exponentFloat.MatchString(s.Value) {
		return n
	}
	v, err := strconv.ParseFloat(s.Value, 64)
	if err != nil {
		return n
	}
	float := ast.Float(s.Token)
	float.Value = v
	return float
}

// DecodeYAML decodes a YAML mapping onto *into, as Decode does.
func DecodeYAML(data []byte, into any) error {
	m, err := YAML(data)
	if err != nil {
		return err
	}
	return DecodeMap(m, into)
}

// DecodeMap decodes a mapping, as YAML returns it, onto *into.
func DecodeMap(m map[string]any, into any) error {
	data, err := json.Marshal(jsonable(m))
	if err != nil {
		return err
	}
	return Decode(data, into)
}

// jsonable replaces the floats that JSON cannot hold by the strings that Decode reads back.
func jsonable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = jsonable(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = jsonable(item)
		}
		return out
	case float64:
		switch {
		case math.IsNaN(v):
			return "NaN"
		case math.IsInf(v, 1):
			return "+Inf"
		case math.IsInf(v, -1):
			return "-Inf"
		}
	}
	return v
}
