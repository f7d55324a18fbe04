// Package choice decodes and encodes values chosen by name: "ghost", or {"name": "ghost", "ghost_size": 32}.
package choice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
)

// Kind is one thing that can be chosen.
type Kind[T any] struct {
	Name string
	New  func() T // the defaults, a plain struct value
}

// Encode writes a value as {"name": ..., its fields}. what names the family in errors. A value of a program's own has the name that it
// says itself.
func Encode[T any](what string, kinds []Kind[T], value T) ([]byte, error) {
	if !reflect.ValueOf(value).IsValid() {
		return nil, fmt.Errorf("%s: none is chosen", what)
	}
	k, ok := nearest(kinds, value)
	name := k.Name
	if !ok {
		var err error
		if name, err = ownName(what, kinds, value); err != nil {
			return nil, err
		}
	}
	fields, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, name, err)
	}
	if !ok {
		if err := carried(fmt.Sprintf("%s %s: %T", what, name, value), reflect.ValueOf(value), fields); err != nil {
			return nil, err
		}
	}
	if string(fields) == "{}" {
		return json.Marshal(map[string]string{"name": name})
	}
	quoted, err := json.Marshal(name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"name":%s,`, quoted)
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

// Unknown is the error of a name that nothing has, neither Ballast nor the registry.
type Unknown struct {
	What, Name string
	known      []string
}

// NewUnknown is the error of a name that is none of those known.
func NewUnknown(what, name string, known []string) error {
	return &Unknown{What: what, Name: name, known: known}
}

// Error offers the nearest name, or lists all.
func (u *Unknown) Error() string {
	if near, ok := strict.Nearest(u.Name, u.known); ok {
		return fmt.Sprintf("no %s %q (did you mean %s?)", u.What, strict.Short(u.Name), near)
	}
	return fmt.Sprintf("no %s %q; there are %s", u.What, strict.Short(u.Name), strings.Join(u.known, ", "))
}

// Decode reads a name, or an object with a name and fields that replace the defaults. Names are those of kinds and of what r has of
// T. An unknown name is an *Unknown, which names the nearest.
func Decode[T any](what string, kinds []Kind[T], data []byte, r own.Registry) (T, error) {
	var zero T
	var name string
	fields := map[string]json.RawMessage{}
	all, err := With(what, kinds, r)
	if err != nil {
		return zero, err
	}
	if err := json.Unmarshal(data, &name); err != nil {
		if err := json.Unmarshal(data, &fields); err != nil {
			return zero, fmt.Errorf("want the name of a %s or {name: ..., its options}, got %s", what, strict.Short(string(data)))
		}
		raw, ok := fields["name"]
		if !ok {
			return zero, fmt.Errorf("%s needs a name: %s", article(what), strings.Join(names(all), ", "))
		}
		if err := json.Unmarshal(raw, &name); err != nil {
			return zero, fmt.Errorf("name: want a string, got %s", strict.Short(string(raw)))
		}
		delete(fields, "name")
	}
	for _, k := range all {
		if k.Name == name {
			return withOptions(what, k, fields, r)
		}
	}
	if err := otherSeam[T](what, name, r); err != nil {
		return zero, err
	}
	return zero, &Unknown{What: what, Name: name, known: names(all)}
}

// withOptions is the default of a kind with fields in the place of its own.
func withOptions[T any](what string, k Kind[T], fields map[string]json.RawMessage, r own.Registry) (T, error) {
	var zero T
	if len(fields) == 0 {
		return k.New(), nil
	}
	options, err := json.Marshal(fields)
	if err != nil {
		return zero, err
	}
	// A struct inside an interface cannot be set: decode into a copy of it.
	value := reflect.New(reflect.TypeOf(k.New()))
	value.Elem().Set(reflect.ValueOf(k.New()))
	if err := strict.DecodeOwn(options, value.Interface(), r); err != nil {
		return zero, err
	}
	if err := finite(what+" "+k.Name, value.Elem()); err != nil {
		return zero, err
	}
	return value.Elem().Interface().(T), nil
}

// finite refuses options that are no finite numbers: none of them means anything, and JSON could not hold it.
func finite(path string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%s is %v; use a finite number", path, f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return finite(path, v.Elem())
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

// NameOf returns the name of a value, the nearest where several have its type; if it is not in the list, the name that it says
// itself, or its type.
func NameOf[T any](kinds []Kind[T], value T) string {
	if k, ok := nearest(kinds, value); ok {
		return k.Name
	}
	if n, ok := any(value).(own.Named); ok {
		return n.Name()
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

func names[T any](kinds []Kind[T]) []string {
	list := make([]string, len(kinds))
	for i, k := range kinds {
		list[i] = k.Name
	}
	return list
}
