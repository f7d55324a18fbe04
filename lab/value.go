package lab

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/internal/strict"
)

// parseValue reads the right-hand side of an override. Nothing at all is an empty text; blanks alone are a mistake, as of an empty
// variable of a shell.
func parseValue(text string) (any, error) {
	trimmed := strings.TrimLeft(text, " ")
	switch {
	case text == "":
		return "", nil
	case strings.TrimSpace(text) == "":
		return nil, errors.New("the value is blank; give one, or '' for an empty text")
	case !strings.ContainsRune(`[{'"`, rune(trimmed[0])):
		return scalar(text), nil // whatever stands there: paths, URLs, a=b
	}
	p := &values{text: text}
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
				return fmt.Errorf("a mapping needs key:value, got %q", strict.Short(written(key)))
			}
			p.at++
			m[written(key)], err = p.value()
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

// scalar reads an unquoted word as recipes do (strict.Number), and inf and nan without their dot. What is a number, null, true or false is
// a strict.Word, which keeps its text. yes, no, on and off are strings.
func scalar(text string) any {
	word := strings.TrimSpace(text)
	switch strings.ToLower(word) {
	case "null", "~":
		return strict.Word{Text: text}
	case "true":
		return strict.Word{Text: text, Value: true}
	case "false":
		return strict.Word{Text: text, Value: false}
	case "inf", "+inf":
		return strict.Word{Text: text, Value: math.Inf(1)}
	case "-inf":
		return strict.Word{Text: text, Value: math.Inf(-1)}
	case "nan":
		return strict.Word{Text: text, Value: math.NaN()}
	}
	if v, ok := strict.Number(word); ok {
		return strict.Word{Text: text, Value: v}
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

// isSet reports whether a value is the name of a data set of files, which may hold commas.
func isSet(value string) bool {
	value = strings.TrimLeft(value, " ")
	return slices.ContainsFunc(data.Forms(), func(f data.Form) bool { return strings.HasPrefix(value, f.Prefix) })
}

// whole puts the names of data sets together again that were cut at their commas. npy: has two files; after the other prefixes and the files of npy:
// comes what is neither such a name nor that of a set.
func whole(parts []string) []string {
	var out []string
	for _, part := range parts {
		last := len(out) - 1
		pair := last >= 0 && strings.HasPrefix(strings.TrimSpace(out[last]), "npy:") && !strings.Contains(out[last], ",")
		if pair || last >= 0 && isSet(out[last]) && !isSet(part) && !data.IsNamed(strings.TrimSpace(part)) && strings.TrimSpace(part) != "" {
			out[last] += "," + part
			continue
		}
		out = append(out, part)
	}
	return out
}
