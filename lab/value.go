package lab

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// parseValue reads the right-hand side of an override.
func parseValue(text string) (any, error) {
	if text == "" {
		return "", nil
	}
	p := &values{text: text}
	if !strings.ContainsRune(`[{'"`, rune(strings.TrimLeft(text, " ")[:1][0])) {
		return scalar(text), nil // whatever stands there: paths, URLs, a=b
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.skip(); p.at < len(p.text) {
		return nil, fmt.Errorf("text after the value: %q", strict.Short(p.text[p.at:]))
	}
	return v, nil
}

// values reads lists, mappings and quoted strings.
type values struct {
	text  string
	at    int
	depth int
}

func (p *values) skip() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

func (p *values) value() (any, error) {
	if p.depth++; p.depth > 50 {
		return nil, errors.New("lists and mappings are nested too deep")
	}
	defer func() { p.depth-- }()
	p.skip()
	if p.at == len(p.text) {
		return nil, errors.New("a value is missing")
	}
	switch p.text[p.at] {
	case '[':
		items := []any{}
		err := p.items(']', func() error {
			v, err := p.value()
			items = append(items, v)
			return err
		})
		return items, err
	case '{':
		m := map[string]any{}
		return m, p.items('}', func() error {
			key, err := p.value()
			if err != nil {
				return err
			}
			if p.skip(); p.at == len(p.text) || p.text[p.at] != ':' {
				return fmt.Errorf("a mapping needs key:value, got %q", strict.Short(show(key)))
			}
			p.at++
			m[show(key)], err = p.value()
			return err
		})
	case '\'', '"':
		return p.quoted()
	}
	from := p.at
	for p.at < len(p.text) && !strings.ContainsRune(",]}:", rune(p.text[p.at])) {
		p.at++
	}
	return scalar(strings.TrimSpace(p.text[from:p.at])), nil
}

// items reads what stands between brackets, separated by commas.
func (p *values) items(end byte, item func() error) error {
	p.at++
	for {
		p.skip()
		if p.at == len(p.text) {
			return fmt.Errorf("unterminated %c", end)
		}
		if p.text[p.at] == end {
			p.at++
			return nil
		}
		if err := item(); err != nil {
			return err
		}
		p.skip()
		if p.at < len(p.text) && p.text[p.at] == ',' {
			p.at++
		} else if p.at < len(p.text) && p.text[p.at] != end {
			return fmt.Errorf("want , or %c, got %q", end, strict.Short(p.text[p.at:]))
		}
	}
}

func (p *values) quoted() (any, error) {
	quote := p.text[p.at]
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '\\' && i+1 < len(p.text) && (p.text[i+1] == quote || p.text[i+1] == '\\'):
			i++
			b.WriteByte(p.text[i])
		case c == quote:
			p.at = i + 1
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return nil, errors.New("unterminated quote")
}

var (
	wholeNumber = regexp.MustCompile(`^[-+]?[0-9][0-9_]*$`)
	floatNumber = regexp.MustCompile(`^[-+]?([0-9][0-9_]*)?\.?[0-9]*([eE][-+]?[0-9]+)?$`)
)

// scalar reads an unquoted word. yes, no, on and off are strings.
func scalar(text string) any {
	switch strings.ToLower(text) {
	case "null":
		return nil
	case "true":
		return true
	case "false":
		return false
	case "inf", "+inf":
		return math.Inf(1)
	case "-inf":
		return math.Inf(-1)
	case "nan":
		return math.NaN()
	}
	plain := strings.ReplaceAll(text, "_", "")
	if wholeNumber.MatchString(text) {
		if i, err := strconv.ParseInt(plain, 10, 64); err == nil {
			return i
		}
	}
	if floatNumber.MatchString(text) {
		if f, err := strconv.ParseFloat(plain, 64); err == nil {
			return f
		}
	}
	return text
}

// splitTop splits at the commas that stand outside brackets, parentheses, ${...} and quotes.
func splitTop(text string) ([]string, error) {
	var parts []string
	depth, from := 0, 0
	blank := true // nothing but blanks since from
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		before := blank
		blank = blank && strings.IndexByte(" \t\n\r", c) >= 0
		switch {
		case quote != 0:
			switch c {
			case '\\':
				i++
			case quote:
				quote = 0
			}
		case (c == '\'' || c == '"') && before || depth > 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '[' || c == '{' || c == '(':
			depth++
		case c == ']' || c == '}' || c == ')':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, text[from:i])
			from, blank = i+1, true
		}
	}
	if quote != 0 {
		return nil, errors.New("unterminated quote")
	}
	return append(parts, text[from:]), nil
}
