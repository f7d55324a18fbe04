package choice

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/own"
)

// With is kinds and what r has of T. Two of one name are a usage error.
func With[T any](what string, kinds []Kind[T], r own.Registry) ([]Kind[T], error) {
	all := slices.Clone(kinds)
	for _, n := range r {
		if _, ok := any(n).(T); !ok {
			continue
		}
		if reflect.ValueOf(n).Kind() == reflect.Pointer && reflect.ValueOf(n).IsNil() {
			return nil, usage("the registry has a %T that is nil; give it a value with its defaults", n)
		}
		name := n.Name()
		switch {
		case name == "":
			return nil, usage("the registry's %T has no name; let its method Name return one", n)
		case slices.ContainsFunc(kinds, func(k Kind[T]) bool { return k.Name == name }):
			return nil, usage("the registry's %T is named %q, as %s of Ballast's; give it another name", n, name, article(what))
		case slices.ContainsFunc(all, func(k Kind[T]) bool { return k.Name == name }):
			return nil, usage("the registry has two of the name %q that are %s; leave one out", name, article(what))
		}
		all = append(all, Kind[T]{Name: name, New: func() T { return copied(n).(T) }})
	}
	return all, nil
}

// copied is a value with its options; of a pointer, what it points to is copied too.
func copied(n own.Named) any {
	v := reflect.ValueOf(n)
	if v.Kind() != reflect.Pointer {
		return n
	}
	fresh := reflect.New(v.Type().Elem())
	fresh.Elem().Set(v.Elem())
	return fresh.Interface()
}

// ownName is the name of a value that is not in kinds.
func ownName[T any](what string, kinds []Kind[T], value T) (string, error) {
	n, ok := any(value).(own.Named)
	if !ok {
		return "", fmt.Errorf("%s: %T has no name to write; give it a method Name() string, see package own", what, value)
	}
	name := n.Name()
	switch {
	case name == "":
		return "", usage("%s: %T has no name to write; let its method Name return one", what, value)
	case slices.Contains(names(kinds), name):
		return "", usage("%s: %T is named %q, as %s of Ballast's; give it another name", what, value, name, article(what))
	}
	return name, nil
}

// otherSeam is the error of a name that r has for something else than T.
func otherSeam[T any](what, name string, r own.Registry) error {
	for _, n := range r {
		if n.Name() != name {
			continue
		}
		seam := reflect.TypeFor[T]()
		for i := range seam.NumMethod() {
			m := seam.Method(i)
			if has, ok := reflect.TypeOf(n).MethodByName(m.Name); !ok {
				return usage("no %s %q: the registry's %T lacks the method %s of %s", what, name, n, m.Name, seam)
			} else if signature(has.Type, 1) != signature(m.Type, 0) {
				return usage("no %s %q: the method %s of the registry's %T is %s; that of %s is %s", what, name, m.Name, n,
					signature(has.Type, 1), seam, signature(m.Type, 0))
			}
		}
	}
	return nil
}

// signature is a function's parameters, from one on, and results.
func signature(t reflect.Type, from int) string {
	list := func(n int, at func(int) reflect.Type, from int) string {
		var all []string
		for i := from; i < n; i++ {
			all = append(all, at(i).String())
		}
		return "(" + strings.Join(all, ", ") + ")"
	}
	return list(t.NumIn(), t.In, from) + " " + list(t.NumOut(), t.Out, 0)
}

// carried refuses a program's own value that would not be read back from its JSON as it is.
func carried(who string, v reflect.Value, fields []byte) error {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(fields, &members) != nil || members == nil {
		return usage("%s is not a struct; options are the exported fields of a struct", who)
	}
	if _, taken := members["name"]; taken {
		return usage("%s has an option %q, which is where its name is written; name the option otherwise in its json tag", who, "name")
	}
	if _, itself := v.Interface().(json.Marshaler); itself {
		return nil
	}
	if err := kept(v); err != nil {
		return usage("%s %w", who, err)
	}
	return nil
}

// kept refuses fields whose values JSON does not hold, and those that it leaves out when they are 0: they would come back as defaults.
func kept(v reflect.Value) error {
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		embedded := f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct
		switch {
		case embedded:
		case !f.IsExported() && !v.Field(i).IsZero():
			return fmt.Errorf("has the field %s, which is not exported and would be lost; export it, or compute it where it is needed", f.Name)
		case name == "-" && !v.Field(i).IsZero():
			return fmt.Errorf("has the field %s, which its tag leaves out, so that it would be lost; give it a name", f.Name)
		case !f.IsExported() || name == "-":
			continue
		case strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"):
			return fmt.Errorf("has the field %s, whose 0 would be read as its default; take omitempty and omitzero out of its tag", f.Name)
		}
		if v.Field(i).CanInterface() {
			if _, itself := v.Field(i).Interface().(json.Marshaler); itself {
				continue
			}
		}
		if err := kept(v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// Misuse is the error of a registry or of a program's own value that cannot be what it is used as.
type Misuse struct{ Usage *fault.Usage }

// Error is what is wrong, and the fix.
func (m *Misuse) Error() string { return m.Usage.Error() }

// Unwrap is a usage error.
func (m *Misuse) Unwrap() error { return m.Usage }

func usage(format string, a ...any) error {
	return &Misuse{&fault.Usage{Err: fmt.Errorf(format, a...)}}
}

// Missing is the name that an error says nothing has.
func Missing(err error) (*Unknown, bool) {
	var u *Unknown
	ok := errors.As(err, &u)
	return u, ok
}
