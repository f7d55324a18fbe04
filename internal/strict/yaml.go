package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/ballast-ml/ballast/own"
)

// YAML reads a YAML 1.2 mapping: yes, no, on and off are strings, 1e-3 is a number (see Number), a key given twice is an error. Errors
// name the line. An empty document is an empty mapping. Documents of more than MaxYAML bytes, of more than 64 levels, of more than
// 5000 keys or 100 anchors, or that aliases make larger than 50,000 values are refused before they are parsed.
func YAML(data []byte) (map[string]any, error) {
	m, err := Settings(data)
	if err != nil {
		return nil, err
	}
	return Plain(m).(map[string]any), nil
}

// Settings is YAML with every plain number, true and false as a Word, so that DecodeMap can take its text where text is wanted.
func Settings(data []byte) (map[string]any, error) {
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
	Values map[string]any // as Settings has them

	// Anchors are the keys of the mapping whose values hold an anchor that stands for something under another key: what they are for is
	// seen there.
	Anchors []string
}

// Documents reads the mappings of a YAML file, which --- sets apart, as Settings reads one. An empty one at the end is left out.
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
		ast.Walk(words{}, body)
		d := Document{Values: map[string]any{}, Anchors: anchorKeys(body)}
		if err := yaml.NodeToValue(body, &d.Values); err != nil {
			return nil, notYAML(data, err)
		}
		d.Values = unmark(d.Values).(map[string]any)
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

// words marks the plain scalars that are a number, true or false: the parser gives what they stand for and drops their text, takes 010
// for octal, and 1e-3 and 08 for strings.
type words struct{}

// The marks of a string that a document holds: what follows is a word, or text that begins as a mark does.
const (
	wordMark = "\x00word:"
	textMark = "\x00text:"
)

func (w words) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.MappingValueNode:
		n.Value = marked(n.Value)
	case *ast.SequenceNode:
		for i := range n.Values {
			n.Values[i] = marked(n.Values[i])
		}
	case *ast.AnchorNode:
		n.Value = marked(n.Value)
	case *ast.TagNode: // it says itself what its value is
		return nil
	}
	return w
}

// marked is a scalar with its mark, if it needs one.
func marked(n ast.Node) ast.Node {
	t := n.GetToken()
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode, *ast.BoolNode:
	case *ast.StringNode:
		if strings.HasPrefix(n.Value, "\x00") {
			n.Value = textMark + n.Value
			return n
		}
		if _, number := Number(t.Value); !number || t.Type != token.StringType {
			return n
		}
	default:
		return n
	}
	s := ast.String(t)
	s.Value = wordMark + t.Value
	return s
}

// unmark makes words of what was marked.
func unmark(v any) any {
	switch v := v.(type) {
	case string:
		if text, ok := strings.CutPrefix(v, textMark); ok {
			return text
		}
		text, ok := strings.CutPrefix(v, wordMark)
		if !ok {
			return v
		}
		if value, number := Number(text); number {
			return Word{Text: text, Value: value}
		}
		if value, err := strconv.ParseBool(text); err == nil {
			return Word{Text: text, Value: value}
		}
		return text // a number of more digits than any type holds
	case map[string]any:
		for key, item := range v {
			v[key] = unmark(item)
		}
	case []any:
		for i, item := range v {
			v[i] = unmark(item)
		}
	}
	return v
}

// DecodeYAML decodes a YAML mapping onto *into, as Decode does.
func DecodeYAML(data []byte, into any) error {
	m, err := Settings(data)
	if err != nil {
		return err
	}
	return DecodeMap(m, into)
}

// DecodeMap decodes a mapping, as YAML or Settings returns it, onto *into.
func DecodeMap(m map[string]any, into any) error { return DecodeMapOwn(m, into, nil) }

// DecodeMapOwn is DecodeMap where names may be a program's own.
func DecodeMapOwn(m map[string]any, into any, r own.Registry) error {
	data, err := json.Marshal(jsonable(settled(m, reflect.TypeOf(into))))
	if err != nil {
		return err
	}
	return DecodeOwn(data, into, r)
}

// settled makes the words of a tree text where a value of type t takes text, and their values elsewhere. What decodes itself gets values.
func settled(v any, t reflect.Type) any {
	for t != nil && t.Kind() == reflect.Pointer && !decodesItself(t) {
		t = t.Elem()
	}
	if t == nil || decodesItself(t) {
		return Plain(v)
	}
	switch v := v.(type) {
	case Word:
		if t.Kind() == reflect.String {
			return v.Text
		}
		return v.Value
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			switch t.Kind() {
			case reflect.Struct:
				out[key] = settled(item, fieldType(t, key))
			case reflect.Map:
				out[key] = settled(item, t.Elem())
			default:
				out[key] = Plain(item)
			}
		}
		return out
	case []any:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return Plain(v)
		}
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = settled(item, t.Elem())
		}
		return out
	}
	return v
}

var itself = reflect.TypeFor[json.Unmarshaler]()

// decodesItself reports whether a value of type t has a way of its own to read JSON.
func decodesItself(t reflect.Type) bool {
	return t.Implements(itself) || reflect.PointerTo(t).Implements(itself)
}

// fieldType is the type of the field that a key of JSON names, nil if there is none.
func fieldType(t reflect.Type, key string) reflect.Type {
	fields := map[string]reflect.Value{}
	collect(reflect.New(t).Elem(), fields)
	if f, ok := fields[key]; ok {
		return f.Type()
	}
	return nil
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
