// Package strict decodes JSON and YAML onto a struct that already holds its defaults. What the struct does not know is an
// error that names the nearest key it knows; a value of the wrong kind is an error that names the path, what was wanted and
// what was there.
//
// Struct fields go by their json tags. Embedded structs lend their fields, as in encoding/json, and a type with an
// UnmarshalJSON method decodes itself.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Decode decodes one JSON value onto *into. What the JSON does not mention keeps its value.
func Decode(data []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("strict: Decode needs a pointer, got %T", into)
	}
	if !json.Valid(data) {
		var syntax any
		return fmt.Errorf("not JSON: %w", json.Unmarshal(data, &syntax))
	}
	return decode("", data, v.Elem())
}

func decode(path string, data json.RawMessage, v reflect.Value) error {
	data = bytes.TrimSpace(data)
	if v.Kind() != reflect.Pointer && v.CanAddr() {
		if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
			return at(path, u.UnmarshalJSON(data))
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if string(data) == "null" {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return decode(path, data, v.Elem())
	case reflect.Struct:
		return decodeStruct(path, data, v)
	case reflect.Slice:
		return decodeSlice(path, data, v)
	case reflect.Array:
		return decodeArray(path, data, v)
	case reflect.Map:
		return decodeMap(path, data, v)
	case reflect.Interface:
		return at(path, json.Unmarshal(data, v.Addr().Interface()))
	}
	return decodeScalar(path, data, v)
}

func decodeStruct(path string, data json.RawMessage, v reflect.Value) error {
	members, err := object(path, data)
	if err != nil {
		return err
	}
	fields := map[string]reflect.Value{}
	collect(v, fields)
	var errs []error
	for _, m := range members {
		field, ok := fields[m.key]
		if !ok {
			errs = append(errs, unknown(join(path, m.key), m.key, fields))
			continue
		}
		errs = append(errs, decode(join(path, m.key), m.value, field))
	}
	return errors.Join(errs...)
}

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

func decodeSlice(path string, data json.RawMessage, v reflect.Value) error {
	if string(data) == "null" {
		v.SetZero()
		return nil
	}
	items, err := array(path, data)
	if err != nil {
		return err
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	var errs []error
	for i, item := range items {
		errs = append(errs, decode(join(path, strconv.Itoa(i)), item, out.Index(i)))
	}
	v.Set(out)
	return errors.Join(errs...)
}

func decodeArray(path string, data json.RawMessage, v reflect.Value) error {
	items, err := array(path, data)
	if err != nil {
		return err
	}
	if len(items) != v.Len() {
		return fmt.Errorf("%s: want %d values, got %d", path, v.Len(), len(items))
	}
	var errs []error
	for i, item := range items {
		errs = append(errs, decode(join(path, strconv.Itoa(i)), item, v.Index(i)))
	}
	return errors.Join(errs...)
}

func decodeMap(path string, data json.RawMessage, v reflect.Value) error {
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("%s: strict: maps need string keys, %s has not", path, v.Type())
	}
	members, err := object(path, data)
	if err != nil {
		return err
	}
	out := reflect.MakeMapWithSize(v.Type(), len(members))
	var errs []error
	for _, m := range members {
		item := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, decode(join(path, m.key), m.value, item))
		out.SetMapIndex(reflect.ValueOf(m.key).Convert(v.Type().Key()), item)
	}
	v.Set(out)
	return errors.Join(errs...)
}

func decodeScalar(path string, data json.RawMessage, v reflect.Value) error {
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
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		want, ok = "a whole number", isNumber(data)
	default:
		return fmt.Errorf("%s: strict: cannot decode into %s", path, v.Type())
	}
	if !ok {
		return wrongKind(path, want, data)
	}
	if err := json.Unmarshal(data, v.Addr().Interface()); err != nil {
		return wrongKind(path, want+" that fits "+v.Kind().String(), data)
	}
	return nil
}

// specialFloat reads the strings that stand for the floats JSON has no notation for.
func specialFloat(data []byte) (float64, bool) {
	switch string(data) {
	case `"NaN"`:
		return math.NaN(), true
	case `"+Inf"`, `"Inf"`:
		return math.Inf(1), true
	case `"-Inf"`:
		return math.Inf(-1), true
	}
	return 0, false
}

type member struct {
	key   string
	value json.RawMessage
}

// object splits a JSON object into its members, in order. A key given twice is an error.
func object(path string, data json.RawMessage) ([]member, error) {
	if data[0] != '{' {
		return nil, wrongKind(path, "a mapping", data)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return nil, at(path, err)
	}
	var members []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, at(path, err)
		}
		m := member{key: key.(string)} // the keys of valid JSON are strings
		if err := d.Decode(&m.value); err != nil {
			return nil, at(path, err)
		}
		if slices.ContainsFunc(members, func(o member) bool { return o.key == m.key }) {
			return nil, fmt.Errorf("%s: given twice", join(path, m.key))
		}
		members = append(members, m)
	}
	return members, nil
}

func array(path string, data json.RawMessage) ([]json.RawMessage, error) {
	if data[0] != '[' {
		return nil, wrongKind(path, "a list", data)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil && !errors.Is(err, io.EOF) {
		return nil, at(path, err)
	}
	return items, nil
}

func isNumber(data []byte) bool { return data[0] == '-' || data[0] >= '0' && data[0] <= '9' }

func wrongKind(path, want string, got json.RawMessage) error {
	text := string(got)
	if len(text) > 60 {
		text = text[:57] + "..."
	}
	if path == "" {
		return fmt.Errorf("want %s, got %s", want, text)
	}
	return fmt.Errorf("%s: want %s, got %s", path, want, text)
}

func unknown(path, key string, fields map[string]reflect.Value) error {
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	if near, ok := Nearest(key, known); ok {
		return fmt.Errorf("unknown key %s (did you mean %s?)", path, near)
	}
	return fmt.Errorf("unknown key %s; known here: %s", path, strings.Join(known, ", "))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// at puts the path in front of an error that does not know it.
func at(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
