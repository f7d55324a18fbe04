package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// YAML reads a YAML 1.2 mapping: yes, no, on and off are strings, 1e-3 is a number, a key given twice is an error. Errors
// name the line. An empty document is an empty mapping. Documents of more than MaxYAML bytes, of more than 64 levels, of more than
// 5000 keys or 100 anchors, or that aliases make larger than 50,000 values are refused before they are parsed.
func YAML(data []byte) (map[string]any, error) {
	docs, err := Documents(data)
	switch {
	case err != nil:
		return nil, err
	case len(docs) > 1:
		return nil, errors.New("not YAML: more than one document")
	case len(docs) == 0:
		return map[string]any{}, nil
	}
	return docs[0].Values, nil
}

// Document is one of the mappings of a YAML file.
type Document struct {
	Values map[string]any

	// Anchors are the keys of the mapping whose values hold an anchor that stands for something under another key: what they are for is
	// seen there.
	Anchors []string
}

// Documents reads the mappings of a YAML file, which --- sets apart, as YAML reads one. An empty one at the end is left out.
func Documents(data []byte) (docs []Document, err error) {
	if err := checkText(data); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	if err := checkEmpty(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, notYAML(data, err)
	}

	for _, doc := range file.Docs {
		body := doc.Body
		if body == nil {
			continue
		}
		if _, err := (&expansion{anchors: map[string]int{}}).count(body); err != nil {
			return nil, err
		}
		ast.Walk(floats{}, body)
		d := Document{Values: map[string]any{}, Anchors: anchorKeys(body)}
		if err := yaml.NodeToValue(body, &d.Values); err != nil {
			return nil, notYAML(data, err)
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// anchorKeys are the keys of a mapping whose values hold an anchor that is used under another key.
func anchorKeys(body ast.Node) (keys []string) {
	mapping, ok := body.(*ast.MappingNode)
	if !ok {
		return nil
	}
	var made, used []names
	for _, v := range mapping.Values {
		n := anchorNames{made: names{}, used: names{}}
		ast.Walk(n, v.Value)
		made, used = append(made, n.made), append(used, n.used)
	}
	for i, v := range mapping.Values {
		for k := range used {
			if k != i && made[i].meets(used[k]) {
				keys = append(keys, v.Key.GetToken().Value)
				break
			}
		}
	}
	return keys
}

// names is a set.
type names map[string]bool

func (n names) meets(other names) bool {
	for name := range n {
		if other[name] {
			return true
		}
	}
	return false
}

// anchorNames collects the names of anchors and of aliases.
type anchorNames struct{ made, used names }

func (a anchorNames) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.AnchorNode:
		a.made[n.Name.String()] = true
	case *ast.AliasNode:
		a.used[n.Value.String()] = true
	}
	return a
}

// notYAML is what the parser says, with its line of the document. The parser's own account shows the lines around too, but takes time
// by the square of their length.
func notYAML(data []byte, err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return fmt.Errorf("not YAML: %w", err)
	}
	text := cut(at.GetMessage(), 200)
	t := at.GetToken()
	if t == nil || t.Position == nil {
		return fmt.Errorf("not YAML: %s", text)
	}
	for range t.Position.Line - 1 {
		_, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return yamlError(t.Position, "%s\n>  %d | %s", text, t.Position.Line, Short(strings.TrimRight(string(line[:min(len(line), 200)]), "\r ")))
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
