// Package strict decodes JSON and YAML onto a struct that already holds its defaults. An unknown key is an error that names the
// nearest known key; a value of the wrong kind is an error that names its path, the kind that was expected and the value found.
//
// Struct fields are named by their json tags. Fields of embedded structs are promoted, as in encoding/json, and a type with an
// UnmarshalJSON method decodes itself.
//
// The input may be untrusted: decoding takes time linear in its length, the depth and the number of members are limited, and an error
// names the first few faults and says how many more there are.
package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/own"
)

// The limits of what is decoded.
const (
	maxDepth   = 100     // lists and mappings within each other; each level is scanned again, recipes have 6
	maxMembers = 1 << 18 // of a mapping, or of a list of mappings; a model's labels, metrics and tensors are fewer
	maxFree    = 1 << 20 // bytes of a value that may be anything: in memory it takes up to 20 times as much
	maxFaults  = 8       // told in full by one error
)

// Decode decodes one JSON value onto *into. What the JSON does not mention keeps its value.
func Decode(data []byte, into any) error { return DecodeOwn(data, into, nil) }

// DecodeOwn is Decode where names may be a program's own.
func DecodeOwn(data []byte, into any, r own.Registry) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("strict: Decode needs a pointer, got %T", into)
	}
	if depthOf(data) > maxDepth {
		return fmt.Errorf("lists and mappings are nested in more than %d levels", maxDepth)
	}
	if !json.Valid(data) {
		var syntax any
		return fmt.Errorf("not JSON: %w", json.Unmarshal(data, &syntax))
	}

	d := decoder{own: r}
	d.value(nil, data[skipSpace(data, 0):], v.Elem())
	return d.err()
}

// decoder collects the faults of one value.
type decoder struct {
	own    own.Registry
	faults []error
	more   int // faults beyond maxFaults
}

// place is where a value stands, for errors.
type place struct {
	above *place
	key   string
	index int // in a list; -1 in a mapping
}

func (p *place) member(key string) *place { return &place{above: p, key: key, index: -1} }
func (p *place) item(index int) *place    { return &place{above: p, index: index} }

// String is the path: its keys and numbers with dots between.
func (p *place) String() string {
	var parts []string
	for ; p != nil; p = p.above {
		if p.index >= 0 {
			parts = append(parts, strconv.Itoa(p.index))
		} else {
			parts = append(parts, Short(p.key))
		}
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

// Short is text from a stranger for an error: its first 60 characters, and what would act on a terminal escaped.
func Short(text string) string { return cut(text, 60) }

// cut is Short for another length.
func cut(text string, most int) string {
	if len(text) <= most {
		return printable.Line(text)
	}
	end := most - len("...")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return printable.Line(text[:end]) + "..."
}

// fail notes a fault. The path stands before it, unless the value is the whole.
func (d *decoder) fail(p *place, err error) {
	switch {
	case err == nil:
		return
	case len(d.faults) == maxFaults:
		d.more++
		return
	case p != nil:
		err = fmt.Errorf("%s: %w", p, err)
	}
	d.faults = append(d.faults, err)
}

func (d *decoder) err() error {
	if d.more > 0 {
		d.faults = append(d.faults, fmt.Errorf("and %d more faults of this kind", d.more))
	}
	return errors.Join(d.faults...)
}

// value decodes one JSON value that begins data.
func (d *decoder) value(p *place, data []byte, v reflect.Value) {
	if v.Kind() != reflect.Pointer && v.CanAddr() {
		switch u := v.Addr().Interface().(type) {
		case own.Unmarshaler:
			d.fail(p, u.UnmarshalOwn(data[:skipValue(data, 0)], d.own))
			return
		case json.Unmarshaler:
			d.fail(p, u.UnmarshalJSON(data[:skipValue(data, 0)]))
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isNull(data) {
			v.SetZero()
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(p, data, v.Elem())
	case reflect.Struct:
		d.structure(p, data, v)
	case reflect.Slice:
		d.slice(p, data, v)
	case reflect.Array:
		d.array(p, data, v)
	case reflect.Map:
		d.mapping(p, data, v)
	case reflect.Interface:
		text := data[:skipValue(data, 0)]
		if len(text) > maxFree {
			d.fail(p, fmt.Errorf("it has %d bytes; at most %d are read", len(text), maxFree))
			return
		}
		d.fail(p, json.Unmarshal(text, v.Addr().Interface()))
	default:
		d.scalar(p, data[:skipValue(data, 0)], v)
	}
}

func isNull(data []byte) bool { return data[0] == 'n' }

func (d *decoder) structure(p *place, data []byte, v reflect.Value) {
	if data[0] != '{' {
		d.wrongKind(p, "a mapping", data)
		return
	}
	fields := map[string]reflect.Value{}
	collect(v, fields)
	seen := map[string]bool{}
	eachMember(data, func(key string, value []byte) bool {
		field, known := fields[key]
		switch {
		case !known && len(d.faults) == maxFaults:
			d.more++
		case !known:
			d.faults = append(d.faults, unknown(p, key, fields))
		case seen[key]:
			d.fail(p.member(key), errTwice)
		default:
			seen[key] = true
			d.value(p.member(key), value, field)
		}
		return true
	})
}

var errTwice = errors.New("given twice")

// collect lists the fields of a struct by their JSON names, those of embedded structs last, so that outer ones win.
func collect(v reflect.Value, fields map[string]reflect.Value) {
	t := v.Type()
	var embedded []reflect.Value
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			embedded = append(embedded, v.Field(i))
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if _, taken := fields[name]; !taken {
			fields[name] = v.Field(i)
		}
	}
	for _, e := range embedded {
		collect(e, fields)
	}
}

func (d *decoder) slice(p *place, data []byte, v reflect.Value) {
	if isNull(data) {
		v.SetZero()
		return
	}
	if data[0] != '[' {
		d.wrongKind(p, "a list", data)
		return
	}
	n := countItems(data)
	if n > maxMembers && !plain(v.Type().Elem().Kind()) {
		d.fail(p, fmt.Errorf("it has %d items; at most %d are read", n, maxMembers))
		return
	}
	out := reflect.MakeSlice(v.Type(), n, n)
	eachItem(data, func(i int, item []byte) { d.value(p.item(i), item, out.Index(i)) })
	v.Set(out)
}

// plain kinds take about as many bytes as their JSON.
func plain(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Float64 || k == reflect.String
}

func (d *decoder) array(p *place, data []byte, v reflect.Value) {
	if data[0] != '[' {
		d.wrongKind(p, "a list", data)
		return
	}
	if n := countItems(data); n != v.Len() {
		d.fail(p, fmt.Errorf("want %d values, got %d", v.Len(), n))
		return
	}
	eachItem(data, func(i int, item []byte) { d.value(p.item(i), item, v.Index(i)) })
}

func (d *decoder) mapping(p *place, data []byte, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		d.fail(p, fmt.Errorf("strict: maps need string keys, %s does not have them", v.Type()))
		return
	}
	if data[0] != '{' {
		d.wrongKind(p, "a mapping", data)
		return
	}
	out := reflect.MakeMap(v.Type())
	item := reflect.New(v.Type().Elem()).Elem()
	eachMember(data, func(key string, value []byte) bool {
		if out.Len() == maxMembers {
			d.fail(p, fmt.Errorf("it has more than %d keys", maxMembers))
			return false
		}
		k := reflect.ValueOf(key).Convert(v.Type().Key())
		if out.MapIndex(k).IsValid() {
			d.fail(p.member(key), errTwice)
			return true
		}
		item.SetZero()
		d.value(p.member(key), value, item)
		out.SetMapIndex(k, item)
		return true
	})
	v.Set(out)
}

func (d *decoder) scalar(p *place, data []byte, v reflect.Value) {
	want, ok := "", false
	switch v.Kind() {
	case reflect.String:
		want, ok = "a string", data[0] == '"'
	case reflect.Bool:
		want, ok = "true or false", string(data) == "true" || string(data) == "false"
	case reflect.Float32, reflect.Float64:
		want, ok = "a number", isNumber(data)
		if f, special := specialFloat(data); special {
			v.SetFloat(f)
			return
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		want, ok = "a whole number", isNumber(data)
	default:
		d.fail(p, fmt.Errorf("strict: cannot decode into %s", v.Type()))
		return
	}
	if !ok {
		if v.Kind() == reflect.String && (isNumber(data) || data[0] == 't' || data[0] == 'f') {
			want += " (in quotes)"
		}
		d.wrongKind(p, want, data)
		return
	}
	if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
		d.wrongKind(p, want+" that fits "+v.Kind().String(), data)
	}
}

// specialFloat reads the strings that stand for the floats JSON has no notation for.
func specialFloat(data []byte) (float64, bool) {
	switch strings.ToLower(string(data)) {
	case `"nan"`:
		return math.NaN(), true
	case `"+inf"`, `"inf"`, `"infinity"`, `"+infinity"`:
		return math.Inf(1), true
	case `"-inf"`, `"-infinity"`:
		return math.Inf(-1), true
	}
	return 0, false
}

func isNumber(data []byte) bool { return data[0] == '-' || data[0] >= '0' && data[0] <= '9' }

func (d *decoder) wrongKind(p *place, want string, got []byte) {
	if len(d.faults) == maxFaults {
		d.more++
		return
	}
	d.fail(p, fmt.Errorf("want %s, got %s", want, Short(string(got[:min(skipValue(got, 0), 100)]))))
}

func unknown(p *place, key string, fields map[string]reflect.Value) error {
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	path := p.member(key)
	if near, ok := Nearest(key, known); ok {
		return fmt.Errorf("unknown key %s (did you mean %s?)", path, near)
	}
	return fmt.Errorf("unknown key %s; known here: %s", path, strings.Join(known, ", "))
}
