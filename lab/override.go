package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Config is a tree of settings: nil, bool, int64 (uint64 where that is too small), float64, string, []any and map[string]any.
type Config map[string]any

// Types says what kind of value a path takes, by dotted path: int, float, string, bool, list<...>, mapping or any. Words after
// the kind, such as "or null" and "(mandatory)", are read as what they say. A path that is missing takes the kind of the value
// it has.
type Types map[string]string

// Apply applies overrides to a copy of base, from left to right:
//
//	key=value     the key must be there
//	+key=value    the key must not be there
//	++key=value   either way
//	~key          removes it; ~key=value only if it has that value
//
// A key is a path with dots; numbers count into lists. A value is null, true, false, a number (1_000, 0x10, 1e-3, .5, inf, nan), a
// 'quoted' or "quoted" string, a list [a,b], a mapping {a:1,b:2}, or else a string as it stands; yes and no are
// strings. Where a string is wanted it is the text as it was given: 1.10, null, a,b. Errors name the override, and the nearest key for
// one that is not there.
func Apply(base Config, types Types, overrides []string) (Config, error) {
	c := Config(clone(map[string]any(base)).(map[string]any))
	for _, o := range overrides {
		if err := c.apply(types, o); err != nil {
			return nil, fmt.Errorf("%s: %w", strict.Short(o), err)
		}
	}
	return strict.Plain(map[string]any(c)).(map[string]any), nil
}

// maxNames is the most names of a path; the recipe's have 3.
const maxNames = 50

func (c Config) apply(types Types, override string) error {
	text := override
	mode := ""
	for _, prefix := range []string{"++", "+", "~"} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			mode, text = prefix, rest
			break
		}
	}
	path, value, hasValue := strings.Cut(text, "=")
	switch {
	case strings.TrimSpace(path) == "":
		return fmt.Errorf("empty key; write key=value")
	case !hasValue && mode != "~":
		return fmt.Errorf("missing =; write key=value")
	}
	var parsed any
	if hasValue {
		var err error
		if parsed, err = c.one(types, path, value); err != nil {
			return err
		}
	}
	if mode == "~" {
		return c.remove(path, parsed, hasValue)
	}
	return c.set(types, path, parsed, mode)
}

// one reads a value that is not a sweep.
func (c Config) one(types Types, path, value string) (any, error) {
	parts, err := splitTop(value)
	if err != nil {
		return nil, err
	}
	switch {
	case len(parts) > 1 && (isSet(value) || c.wantsText(types, path)):
		return value, nil // a text has its commas, and the name of a data set too: npy:X.npy,Y.npy
	case len(parts) > 1:
		return nil, fmt.Errorf("%d values are a sweep, which only a comparison runs; quote the value if the comma belongs to it", len(parts))
	}
	v, err := parseValue(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strict.Short(path), err)
	}
	return v, nil
}

// wantsText reports whether a path takes a string.
func (c Config) wantsText(types Types, path string) bool {
	kind := types[path]
	if kind == "" {
		names := strings.Split(path, ".")
		if parent, err := c.descend(names, false); err == nil {
			if m, ok := parent.(map[string]any); ok {
				kind = kindOf(m[names[len(names)-1]])
			}
		}
	}
	return strings.HasPrefix(kind, "string")
}

// set puts a value at a path.
func (c Config) set(types Types, path string, value any, mode string) error {
	names := strings.Split(path, ".")
	if len(names) > maxNames {
		return fmt.Errorf("the key has %d names; at most %d are read", len(names), maxNames)
	}
	parent, err := c.descend(names, mode != "")
	if err != nil {
		return err
	}
	last := names[len(names)-1]
	switch p := parent.(type) {
	case map[string]any:
		old, exists := p[last]
		if mode == "+" && exists {
			return fmt.Errorf("key %s already exists; without the + it is changed", path)
		}
		// The options of a choice by name are checked when the choice is made.
		free := types[strings.Join(names[:len(names)-1], ".")] == "any"
		if mode == "" && !exists && !free {
			return unknownKey(names, p)
		}
		if named, ok := value.(string); ok && free && isChoice(old) {
			p[last] = named // another choice within a choice, with its own defaults
			return nil
		}
		if exists || types[path] != "" {
			if value, err = convert(types, path, old, value); err != nil {
				return err
			}
		}
		p[last] = value
	case []any:
		i, err := index(last, len(p))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		element := Types{path: elementType(types[strings.Join(names[:len(names)-1], ".")], p)}
		if p[i], err = convert(element, path, p[i], value); err != nil {
			return err
		}
	}
	return nil
}

// isChoice says whether a value is a choice with its options: {name: ghost, ghost_size: 32}.
func isChoice(v any) bool {
	m, ok := v.(map[string]any)
	_, named := m["name"].(string)
	return ok && named
}

func (c Config) remove(path string, value any, compare bool) error {
	names := strings.Split(path, ".")
	parent, err := c.descend(names, false)
	if err != nil {
		return err
	}
	p, ok := parent.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: only keys of mappings can be removed", path)
	}
	last := names[len(names)-1]
	old, ok := p[last]
	if !ok {
		return unknownKey(names, p)
	}
	if compare && !equal(old, value) {
		return fmt.Errorf("value does not match: %s is %s", strict.Short(path), strict.Short(show(old)))
	}
	delete(p, last)
	return nil
}

// descend finds what holds the last name of a path; create makes mappings on the way.
func (c Config) descend(names []string, create bool) (any, error) {
	var at any = map[string]any(c)
	for depth, name := range names[:len(names)-1] {
		switch v := at.(type) {
		case map[string]any:
			next, ok := v[name]
			if !ok && !create {
				return nil, unknownKey(names[:depth+1], v)
			}
			switch choice := next.(type) {
			case nil:
				if !create && ok {
					return nil, fmt.Errorf("unknown key %s: %s is null", strings.Join(names, "."), strings.Join(names[:depth+1], "."))
				}
				next = map[string]any{}
				v[name] = next
			case string: // a choice by name alone takes options: norm=ghost norm.ghost_size=8
				next = map[string]any{"name": choice}
				v[name] = next
				create = true
			}
			at = next
		case []any:
			i, err := index(name, len(v))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", strings.Join(names[:depth+1], "."), err)
			}
			at = v[i]
		default:
			return nil, fmt.Errorf("type: mapping expected at %s, got %s", strict.Short(strings.Join(names[:depth], ".")), strict.Short(show(at)))
		}
	}
	switch at.(type) {
	case map[string]any, []any:
		return at, nil
	}
	return nil, fmt.Errorf("type: mapping expected at %s, got %s", strict.Short(strings.Join(names[:len(names)-1], ".")), strict.Short(show(at)))
}

func unknownKey(names []string, known map[string]any) error {
	path := strings.Join(names, ".")
	parent := strings.Join(names[:len(names)-1], ".")
	if near, ok := strict.Nearest(names[len(names)-1], slices.Sorted(maps.Keys(known))); ok {
		if parent != "" {
			near = parent + "." + near
		}
		return &unknown{path, fmt.Sprintf("unknown key %s (did you mean %s?)", strict.Short(path), near)}
	}
	return &unknown{path, fmt.Sprintf("unknown key %s; there are %s, and +%s=... adds it", strict.Short(path), few(slices.Sorted(maps.Keys(known))), strict.Short(path))}
}

// few lists names for an error: the first 50, and how many more there are.
func few(names []string) string {
	const most = 50
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func index(name string, n int) (int, error) {
	i, err := strconv.Atoi(name)
	if err != nil {
		return 0, fmt.Errorf("a list is counted with numbers, not %q", strict.Short(name))
	}
	if i < 0 || i >= n {
		return 0, fmt.Errorf("index out of range: %d of %d", i, n)
	}
	return i, nil
}

// convert makes a value the kind that the path takes, or says which kind that is.
func convert(types Types, path string, old, value any) (any, error) {
	kind := types[path]
	if kind == "" {
		kind = kindOf(old)
	}
	return convertTo(kind, value)
}

func convertTo(kind string, value any) (any, error) {
	kind, words, _ := strings.Cut(kind, " ")
	wrong := func() (any, error) {
		if value == "" {
			return nil, fmt.Errorf("type: %s expected, got nothing; give a value", kind)
		}
		return nil, fmt.Errorf("type: %s expected, got %s", kind, strict.Short(show(value)))
	}

	if s, ok := value.(string); ok && strings.Contains(s, "${") {
		return value, nil // checked when it is resolved
	}

	if w, ok := value.(strict.Word); ok {
		switch {
		case kind == "any" || w.Value == nil && strings.Contains(words, "null"):
			return w.Value, nil
		case kind == "string":
			return w.Text, nil
		}
		value = w.Value
	}

	if value == nil && (strings.Contains(words, "null") || kind == "any") {
		return nil, nil
	}

	switch {
	case kind == "any":
		return value, nil
	case kind == "float":
		switch v := value.(type) {
		case float64:
			return v, nil
		case int64:
			return float64(v), nil
		case uint64:
			return float64(v), nil
		}
	case kind == "int":
		switch v := value.(type) {
		case int64, uint64:
			return v, nil
		}
	case kind == "bool":
		if v, ok := value.(bool); ok {
			return v, nil
		}
	case kind == "string":
		switch v := value.(type) {
		case string:
			return v, nil
		case int64, uint64, float64, bool:
			return show(v), nil
		}
	case kind == "mapping":
		if v, ok := value.(map[string]any); ok {
			return v, nil
		}
	case strings.HasPrefix(kind, "list"):
		items, ok := value.([]any)
		if !ok {
			return wrong()
		}
		element := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(kind, "list"), "<"), ">")
		for i := range items {
			if element == "" {
				continue
			}
			var err error
			if items[i], err = convertTo(element, items[i]); err != nil {
				return nil, fmt.Errorf("item %d: %w", i, err)
			}
		}
		return items, nil
	}
	return wrong()
}

func kindOf(v any) string {
	switch v := v.(type) {
	case strict.Word:
		return kindOf(v.Value)
	case bool:
		return "bool"
	case int64, uint64:
		return "int"
	case float64:
		return "float"
	case string:
		return "string"
	case map[string]any:
		return "mapping"
	case []any:
		if len(v) > 0 {
			return "list<" + kindOf(v[0]) + ">"
		}
		return "list"
	}
	return "any"
}

func elementType(list string, items []any) string {
	if list == "" {
		list = kindOf(items)
	}
	list, _, _ = strings.Cut(list, " ")
	if element := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(list, "list"), "<"), ">"); element != "" {
		return element
	}
	return "any"
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = clone(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	case json.Number:
		if n, ok := strict.Number(string(v)); ok {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return string(v)
		}
		return f
	case int:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
	case float32:
		return float64(v)
	}
	return v
}

func equal(a, b any) bool {
	number := func(v any) (float64, bool) {
		switch v := v.(type) {
		case strict.Word:
			return asFloat(v.Value, true)
		}
		return asFloat(v, true)
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	if w, ok := b.(strict.Word); ok {
		if s, ok := a.(string); ok {
			return s == w.Text
		}
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// written is a key as it stands.
func written(v any) string {
	if w, ok := v.(strict.Word); ok {
		return w.Text
	}
	return show(v)
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case strict.Word:
		return strings.TrimSpace(v.Text)
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
