package strict

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/ballast-ml/ballast/internal/memory"
)

// MaxYAML is the most bytes of a YAML document that is read. The recipes of this repository have at most 10 kB, and the longest chat
// templates, which merges may hold, 20 kB. The parser takes about 30 bytes for each.
const MaxYAML = 256 << 10

// The limits of a YAML document. The parser takes memory by the square of the depth and time by the square of the keys, so they are
// checked on the tokens, which cost about 200 bytes each, before it begins.
const (
	maxIndicators = 20_000 // characters that may begin a token; they are counted before there are tokens. Recipes have at most 1000
	maxYAMLKeys   = 5_000  // of all mappings together; a merge of 100 layers with values of their own has 2000
	maxAnchors    = 100    // the parser goes through all of them for each
	maxYAMLDepth  = 64     // lists, mappings, tags and anchors within each other
	maxYAMLValues = 50_000 // with aliases replaced by what they stand for
)

// yamlError is an error at a place of a document.
func yamlError(position *token.Position, format string, args ...any) error {
	if position == nil {
		return fmt.Errorf("not YAML: "+format, args...)
	}
	return fmt.Errorf("not YAML: [%d:%d] "+format, append([]any{position.Line, position.Column}, args...)...)
}

// checkText refuses a document that is too large to be cut into tokens.
func checkText(data []byte) error {
	if len(data) > MaxYAML {
		return fmt.Errorf("not YAML: it has %s; a recipe has at most %s", memory.Size(int64(len(data))), memory.Size(MaxYAML))
	}
	if !utf8.Valid(data) {
		return errors.New("not YAML: it is not UTF-8; save it as text in UTF-8")
	}
	line, start, n := 1, 0, 0
	for i, c := range data {
		if c == '\n' {
			line, start = line+1, i+1
		}
		if strings.IndexByte(",:-[]{}?&*!|>%#\"'@`", c) >= 0 {
			n++
		}
		if n > maxIndicators {
			return yamlError(&token.Position{Line: line, Column: i - start + 1}, "more than %d keys, items, brackets and quotes up to here; split the recipe", maxIndicators)
		}
	}
	return nil
}

// checkTokens refuses a document whose tokens would take the parser too long.
func checkTokens(tokens token.Tokens) error {
	var (
		keys    int
		anchors int
		flow    int   // open brackets
		columns []int // of the block lists and mappings that are open
		before  int   // tags and anchors in a row
	)
	for i, t := range tokens {
		column := 0
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.AnchorType:
			if anchors++; anchors > maxAnchors {
				return yamlError(t.Position, "more than %d anchors up to here; write values out", maxAnchors)
			}
		case token.SequenceEntryType, token.MappingKeyType:
			column = t.Position.Column
		case token.MappingValueType:
			if keys++; keys > maxYAMLKeys {
				return yamlError(t.Position, "more than %d keys up to here; split the recipe", maxYAMLKeys)
			}
			if i > 0 {
				column = tokens[i-1].Position.Column
			}
		}
		if flow == 0 && column > 0 {
			for len(columns) > 0 && columns[len(columns)-1] > column {
				columns = columns[:len(columns)-1]
			}
			if len(columns) == 0 || columns[len(columns)-1] < column {
				columns = append(columns, column)
			}
		}
		if t.Type == token.TagType || t.Type == token.AnchorType {
			before++
		} else if t.Prev == nil || t.Prev.Type != token.AnchorType { // a name follows the & of an anchor
			before = 0
		}
		if flow+len(columns)+before > maxYAMLDepth {
			return yamlError(t.Position, "lists and mappings are nested in more than %d levels; write it flatter", maxYAMLDepth)
		}
	}
	return nil
}

// checkEmpty refuses a document of nothing before another: the parser leaves out what follows it.
func checkEmpty(tokens token.Tokens) error {
	var empty *token.Token // the --- that nothing has followed yet
	for i, t := range tokens {
		switch {
		case t.Type == token.CommentType:
		case t.Type != token.DocumentHeaderType:
			empty = nil
		case empty != nil && i < len(tokens)-1:
			return yamlError(empty.Position, "the document that begins here is empty; take one of the --- out")
		default:
			empty = t
		}
	}
	return nil
}

// expansion counts the values of a document with aliases replaced by what they stand for.
type expansion struct {
	anchors map[string]int // values under each anchor; openAnchor while it is counted
}

const openAnchor = -1

// count returns the number of values under a node, at most a little more than maxYAMLValues.
func (e *expansion) count(n ast.Node) (values int, err error) {
	add := func(nodes ...ast.Node) {
		for _, n := range nodes {
			if err != nil || n == nil {
				return
			}
			var more int
			if more, err = e.count(n); err == nil {
				if values += more; values > maxYAMLValues {
					err = yamlError(positionOf(n), "more than %d values with aliases expanded; use fewer", maxYAMLValues)
				}
			}
		}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			add(v)
		}
	case *ast.MappingValueNode:
		add(n.Key, n.Value)
	case *ast.MappingKeyNode:
		add(n.Value)
	case *ast.SequenceNode:
		add(n.Values...)
	case *ast.TagNode:
		add(n.Value)
	case *ast.AnchorNode:
		name := n.Name.String()
		e.anchors[name] = openAnchor
		add(n.Value)
		e.anchors[name] = values
	case *ast.AliasNode:
		name := n.Value.String()
		if values = e.anchors[name]; values == openAnchor {
			return 0, yamlError(positionOf(n), "alias %s is inside the value it refers to; write the value out", Short(name))
		}
	}
	return values + 1, err
}

func positionOf(n ast.Node) *token.Position {
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}
