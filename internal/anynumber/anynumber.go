// Package anynumber writes JSON with floats that may be infinite or not a number. JSON cannot express those, so they become the
// strings "Infinity", "-Infinity" and "NaN", which package strict reads back. Everything else is what encoding/json writes.
package anynumber

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Marshal is json.Marshal for any floats.
func Marshal(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	var odd *json.UnsupportedValueError
	if err == nil || !errors.As(err, &odd) {
		return text, err
	}
	var b bytes.Buffer
	if err := write(&b, reflect.ValueOf(v), 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// MarshalIndent is json.MarshalIndent for any floats.
func MarshalIndent(v any, indent string) ([]byte, error) {
	text, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, text, "", indent)
	return b.Bytes(), err
}

// maxDepth is more than any result has; a circle of pointers has no end.
const maxDepth = 100

// write writes a value that holds such a float somewhere.
func write(b *bytes.Buffer, v reflect.Value, depth int) error {
	if depth > maxDepth {
		return errors.New("anynumber: the value is nested too deep")
	}
	if !v.IsValid() {
		b.WriteString("null")
		return nil
	}
	if done, err := writeItself(b, v); done || err != nil {
		return err
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		return writeFloat(b, v)
	case reflect.Pointer, reflect.Interface:
		return write(b, v.Elem(), depth+1)
	case reflect.Struct:
		return writeStruct(b, v, depth)
	case reflect.Map:
		return writeMap(b, v, depth)
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && (v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8) {
			break // null, and bytes as encoding/json has them
		}
		b.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := write(b, v.Index(i), depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	}
	return plain(b, v)
}

// plain writes what encoding/json can write.
func plain(b *bytes.Buffer, v reflect.Value) error {
	text, err := json.Marshal(v.Interface())
	b.Write(text)
	return err
}

// writeItself writes a value that has a way of its own, unless that cannot write a float of its own either.
func writeItself(b *bytes.Buffer, v reflect.Value) (done bool, err error) {
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		return false, nil
	}
	switch v.Interface().(type) {
	case json.Marshaler, encoding.TextMarshaler:
		text, err := json.Marshal(v.Interface())
		var odd *json.UnsupportedValueError
		if errors.As(err, &odd) {
			return false, nil
		}
		b.Write(text)
		return true, err
	}
	return false, nil
}

func writeFloat(b *bytes.Buffer, v reflect.Value) error {
	switch f := v.Float(); {
	case math.IsNaN(f):
		b.WriteString(`"NaN"`)
	case math.IsInf(f, 1):
		b.WriteString(`"Infinity"`)
	case math.IsInf(f, -1):
		b.WriteString(`"-Infinity"`)
	default:
		return plain(b, v)
	}
	return nil
}

func writeMap(b *bytes.Buffer, v reflect.Value, depth int) error {
	if v.IsNil() {
		b.WriteString("null")
		return nil
	}
	if v.Type().Key().Kind() != reflect.String {
		return fmt.Errorf("anynumber: a map of %s", v.Type().Key())
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	b.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeMember(b, key.String(), v.MapIndex(key), depth); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeMember(b *bytes.Buffer, name string, v reflect.Value, depth int) error {
	key, err := json.Marshal(name)
	if err != nil {
		return err
	}
	b.Write(key)
	b.WriteByte(':')
	return write(b, v, depth+1)
}

func writeStruct(b *bytes.Buffer, v reflect.Value, depth int) error {
	b.WriteByte('{')
	taken := map[string]bool{}
	own(v.Type(), taken)
	if err := members(b, v, depth, taken, true); err != nil {
		return err
	}
	b.WriteByte('}')
	return nil
}

// own are the names of a struct's fields that are not lent by embedded ones: they win over those.
func own(t reflect.Type, names map[string]bool) {
	for i := range t.NumField() {
		if name, _, lends := tag(t.Field(i)); !lends && name != "" {
			names[name] = true
		}
	}
}

// members writes the fields of a struct, and those that embedded structs lend, where they stand. own is false within the latter.
func members(b *bytes.Buffer, v reflect.Value, depth int, taken map[string]bool, own bool) error {
	for i := range v.NumField() {
		name, options, lends := tag(v.Type().Field(i))
		field := v.Field(i)
		switch {
		case lends:
			if field.Kind() == reflect.Pointer {
				if field.IsNil() {
					continue
				}
				field = field.Elem()
			}
			if err := members(b, field, depth, taken, false); err != nil {
				return err
			}
			continue
		case name == "", !own && taken[name]:
			continue
		case strings.Contains(options, "omitempty") && empty(field), strings.Contains(options, "omitzero") && field.IsZero():
			continue
		}
		taken[name] = true
		if text := b.Bytes(); text[len(text)-1] != '{' {
			b.WriteByte(',')
		}
		if err := writeMember(b, name, field, depth); err != nil {
			return err
		}
	}
	return nil
}

// tag is the name of a field in JSON, "" for none, and its options; lends says that it is an embedded struct whose fields are the outer's.
func tag(f reflect.StructField) (name, options string, lends bool) {
	name, options, _ = strings.Cut(f.Tag.Get("json"), ",")
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case name == "-" && options == "":
		return "", "", false
	case f.Anonymous && name == "" && t.Kind() == reflect.Struct:
		return "", "", true
	case !f.IsExported():
		return "", "", false
	case name == "":
		name = f.Name
	}
	return name, options, false
}

func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
