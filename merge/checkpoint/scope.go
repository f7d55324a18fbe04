package checkpoint

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/merge"
)

// perModelDefaults are the values of parameters that a model need not have. weight has none.
var perModelDefaults = map[string]float64{"density": 1, "gamma": 0.01, "epsilon": 0.15}

// scope is where parameters of a tensor are looked up, from the narrowest: those of each source, then those of the slice, the module and
// the recipe.
type scope struct {
	sources []Parameters
	outer   []Parameters
	only    int // the source whose parameters hold for whole tensors, because the method merges no other; -1 = there are several
}

// place is a tensor of the output: its name there and in each source, and where it lies between the first layer, 0, and the last, 1.
type place struct {
	name     string
	in       func(source int) string
	position float64
}

// everywhere is a place whose name is the same in all sources.
func everywhere(name string, position float64) place {
	return place{name, func(int) string { return name }, position}
}

// configure returns a method with its parameters for a tensor. models are the places of the models among the sources. Filters of what holds for a
// model are compared with the tensor's name in that model.
func (s scope) configure(c merge.Choice, models []int, at place) (merge.Method, error) {
	m := c.New()
	v := reflect.New(reflect.TypeOf(m)).Elem()
	v.Set(reflect.ValueOf(m))
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Tag.Get("json"), v.Field(i)
		if name == "-" {
			continue
		}
		if field.Kind() == reflect.Slice {
			values, err := s.perModel(name, models, at)
			if err != nil {
				return nil, err
			}
			field.Set(reflect.ValueOf(values))
			continue
		}

		chosen := field.Kind() == reflect.Bool || field.Kind() == reflect.String
		value, ok := any(nil), false
		if s.only >= 0 {
			value, ok = lookup(s.sources[s.only:s.only+1], name, at.in(s.only), at.position, chosen)
		}
		if !ok {
			tensor := at.name
			if s.only >= 0 && c.Base == merge.NoBase { // copied from one model
				tensor = at.in(s.only)
			}
			value, ok = lookup(s.outer, name, tensor, at.position, chosen)
		}
		if ok {
			if err := set(field, value); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return v.Interface().(merge.Method), nil
}

// perModel is a parameter that each model has one of.
func (s scope) perModel(name string, models []int, at place) ([]float64, error) {
	values := make([]float64, len(models))
	for k, source := range models {
		value, ok := lookup(append([]Parameters{s.sources[source]}, s.outer...), name, at.in(source), at.position, false)
		if !ok {
			fallback, has := perModelDefaults[name]
			if !has {
				return nil, fmt.Errorf("%s: model %d has none for tensor %s; give it under the model's parameters", name, k+1, at.name)
			}
			value = fallback
		}
		if err := set(reflect.ValueOf(&values[k]).Elem(), value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return values, nil
}

func lookup(scopes []Parameters, name, tensor string, position float64, chosen bool) (any, bool) {
	for _, p := range scopes {
		if v, ok := p[name]; ok {
			if value, ok := v.at(tensor, position, chosen); ok {
				return value, true
			}
		}
	}
	return nil, false
}

// set puts a value of a recipe into a field. Numbers may be text, 0 and 1 stand for false and true.
func set(field reflect.Value, value any) (err error) {
	switch field.Kind() {
	case reflect.Bool:
		var b bool
		if b, err = asBool(value); err == nil {
			field.SetBool(b)
		}
		return err
	case reflect.Float64:
		var number float64
		if number, err = asNumber(value); err == nil {
			field.SetFloat(number)
		}
		return err
	case reflect.Int:
		var number int64
		if number, err = asWhole(value); err == nil {
			field.SetInt(number)
		}
		return err
	}

	if b, err := asBool(value); err == nil { // a name that may be said by true and false
		value = b
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return strict.Decode(text, field.Addr().Interface())
}
