// Package choice reads and writes values that are chosen by name: "ghost", or {"name": "ghost", "ghost_size": 32}.
package choice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Kind is one thing that can be chosen.
type Kind[T any] struct {
	Name string
	New  func() T // the defaults, a plain struct value
}

// Encode writes a value as {"name": ..., its fields}. what names the family in errors.
func Encode[T any](what string, kinds []Kind[T], value T) ([]byte, error) {
	if !reflect.ValueOf(value).IsValid() {
		return nil, fmt.Errorf("%s: none is chosen", what)
	}
	k, ok := nearest(kinds, value)
	if !ok {
		return nil, fmt.Errorf("%s: %T has no name to write; only those in the package's list can be saved", what, value)
	}
	fields, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, k.Name, err)
	}
	if string(fields) == "{}" {
		return json.Marshal(map[string]string{"name": k.Name})
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"name":%q,`, k.Name)
	b.Write(fields[1:])
	return b.Bytes(), nil
}

// nearest is the kind of the value's type; of several, that whose defaults differ from the value in the fewest fields.
func nearest[T any](kinds []Kind[T], value T) (best Kind[T], ok bool) {
	least := 0
	for _, k := range kinds {
		differing, same := differences(reflect.ValueOf(k.New()), reflect.ValueOf(value))
		if same && (!ok || differing < least) {
			best, least, ok = k, differing, true
		}
	}
	return best, ok
}

// differences counts the fields in which two structs of one type differ; same says whether they are of one type.
func differences(a, b reflect.Value) (n int, same bool) {
	if !b.IsValid() || a.Type() != b.Type() { // an interface that holds nothing is of no type
		return 0, false
	}
	if a.Kind() != reflect.Struct {
		return 0, true
	}
	for i := range a.NumField() {
		if a.Type().Field(i).IsExported() && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			n++
		}
	}
	return n, true
}

// Decode reads a name, or an object with a name and fields that replace the defaults. An unknown name is an error that
// names the nearest.
func Decode[T any](what string, kinds []Kind[T], data []byte) (T, error) {
	var zero T
	var name string
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &name); err != nil {
		if err := json.Unmarshal(data, &fields); err != nil {
			return zero, fmt.Errorf("want the name of a %s or {name: ..., its options}, got %s", what, strict.Short(string(data)))
		}
		raw, ok := fields["name"]
		if !ok {
			return zero, fmt.Errorf("%s needs a name: %s", article(what), names(kinds))
		}
		if err := json.Unmarshal(raw, &name); err != nil {
			return zero, fmt.Errorf("name: want a string, got %s", strict.Short(string(raw)))
		}
		delete(fields, "name")
	}
	for _, k := range kinds {
		if k.Name != name {
			continue
		}
		options, err := json.Marshal(fields)
		if err != nil {
			return zero, err
		}
		// A struct inside an interface cannot be set: decode into a copy of it.
		value := reflect.New(reflect.TypeOf(k.New()))
		value.Elem().Set(reflect.ValueOf(k.New()))
		if err := strict.Decode(options, value.Interface()); err != nil {
			return zero, err
		}
		if err := finite(what+" "+k.Name, value.Elem()); err != nil {
			return zero, err
		}
		return value.Elem().Interface().(T), nil
	}
	known := make([]string, len(kinds))
	for i, k := range kinds {
		known[i] = k.Name
	}
	if near, ok := strict.Nearest(name, known); ok {
		return zero, fmt.Errorf("no %s %q (did you mean %s?)", what, strict.Short(name), near)
	}
	return zero, errors.New("no " + what + " " + fmt.Sprintf("%q", strict.Short(name)) + "; there are " + names(kinds))
}

// finite refuses options that are no finite numbers: none of them means anything, and JSON could not hold it.
func finite(path string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%s is %v; use a finite number", path, f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() || name == "-" {
				continue
			}
			if err := finite(path+": "+name, v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := finite(path, v.Index(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// NameOf returns the name of a value, the nearest where several have its type, or the type if it is not in the list.
func NameOf[T any](kinds []Kind[T], value T) string {
	if k, ok := nearest(kinds, value); ok {
		return k.Name
	}
	return fmt.Sprintf("%T", value)
}

// article puts a or an in front of a family.
func article(what string) string {
	if strings.ContainsRune("aeio", rune(what[0])) {
		return "an " + what
	}
	return "a " + what
}

func names[T any](kinds []Kind[T]) string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = k.Name
	}
	return strings.Join(list, ", ")
}
