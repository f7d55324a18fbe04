package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// special is the number that a text stands for where JSON has none: nan, inf, infinity, with a sign and in any case.
func special(text string) (float64, bool) {
	switch strings.ToLower(text) {
	case "nan":
		return math.NaN(), true
	case "inf", "+inf", "infinity", "+infinity":
		return math.Inf(1), true
	case "-inf", "-infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// Number reads a number, or one of the strings that stand for NaN and the infinities.
func Number(raw json.RawMessage) (float64, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if v, ok := special(text); ok {
			return v, nil
		}
	}
	var v float64
	return v, json.Unmarshal(raw, &v)
}

// Values are the values of a parameter that a case gives as one number or as a list of them.
type Values []float64

// UnmarshalJSON reads a number, or a list of numbers.
func (v *Values) UnmarshalJSON(text []byte) error {
	raw := []json.RawMessage{text}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		if err := json.Unmarshal(text, &raw); err != nil {
			return err
		}
	}
	*v = make(Values, len(raw))
	for i, r := range raw {
		var err error
		if (*v)[i], err = Number(r); err != nil {
			return err
		}
	}
	return nil
}

// decodeTensor reads a tensor: {"shape", "data"}, or a number or nested lists of them, whose shape is what they show.
func decodeTensor(raw json.RawMessage) (Tensor, error) {
	var file struct {
		Shape *[]int            `json:"shape"`
		Data  []json.RawMessage `json:"data"`
		DType string            `json:"dtype"`
	}
	if !strings.HasPrefix(strings.TrimSpace(string(raw)), "{") {
		t := Tensor{}
		return t, t.nested(raw, 0)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return Tensor{}, err
	}
	if file.Shape == nil {
		return Tensor{}, errors.New("not a tensor")
	}
	t := Tensor{Shape: *file.Shape, Data: make([]float64, len(file.Data))}
	size := 1
	for _, n := range t.Shape {
		size *= n
	}
	if size != len(t.Data) {
		return Tensor{}, fmt.Errorf("shape %v with %d values", t.Shape, len(t.Data))
	}
	for i, v := range file.Data {
		var err error
		if t.Data[i], err = Number(v); err != nil {
			return Tensor{}, err
		}
	}
	return t, nil
}

// nested appends a number, or lists of them as deep as the first of them is.
func (t *Tensor) nested(raw json.RawMessage, depth int) error {
	var list []json.RawMessage
	if !strings.HasPrefix(strings.TrimSpace(string(raw)), "[") {
		if depth != len(t.Shape) {
			return errors.New("lists of different depths are not a tensor")
		}
		v, err := Number(raw)
		t.Data = append(t.Data, v)
		return err
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	switch {
	case depth < len(t.Shape):
		if t.Shape[depth] != len(list) {
			return fmt.Errorf("lists of %d and of %d are not a tensor", t.Shape[depth], len(list))
		}
	case len(t.Data) > 0:
		return errors.New("lists of different depths are not a tensor")
	default:
		t.Shape = append(t.Shape, len(list))
	}
	for _, item := range list {
		if err := t.nested(item, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// marks stand for NaN and the infinities while a text is decoded into numbers. float32 holds them too.
var marks = []struct{ mark, means float64 }{
	{3.0303030303030304e37, math.NaN()}, {3.1313131313131313e37, math.Inf(1)}, {-3.232323232323232e37, math.Inf(-1)},
}

// decode decodes with how. Where that fails, and a text in it stands for NaN or an infinity, the text is read as the number.
func decode(raw json.RawMessage, into any, how func(text []byte, into any) error) error {
	err := how(raw, into)
	if err == nil {
		return nil
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // large whole numbers stay as they are written
	if d.Decode(&tree) != nil {
		return err
	}
	found := false
	marked, failed := json.Marshal(mark(tree, &found))
	if !found || failed != nil || how(marked, into) != nil {
		return err
	}
	unmark(reflect.ValueOf(into))
	return nil
}

// mark puts marks in the place of texts that stand for numbers.
func mark(v any, found *bool) any {
	switch v := v.(type) {
	case string:
		number, ok := special(v)
		if !ok {
			return v
		}
		*found = true
		for _, m := range marks {
			if m.means == number || math.IsNaN(m.means) && math.IsNaN(number) {
				return m.mark
			}
		}
	case []any:
		for i := range v {
			v[i] = mark(v[i], found)
		}
	case map[string]any:
		for key := range v {
			v[key] = mark(v[key], found)
		}
	}
	return v
}

// unmark puts the numbers in the place of their marks.
func unmark(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			unmark(v.Elem())
		}
	case reflect.Interface:
		if !v.IsNil() && v.CanSet() {
			v.Set(unmarked(v.Elem()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				unmark(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			unmark(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			v.SetMapIndex(key, unmarked(v.MapIndex(key)))
		}
	case reflect.Float32, reflect.Float64:
		for _, m := range marks {
			if v.CanSet() && (v.Float() == m.mark || v.Float() == float64(float32(m.mark))) {
				v.SetFloat(m.means)
			}
		}
	default: // holds no number that could be marked
	}
}

// unmarked is a copy with the numbers in the place of their marks, of what cannot be set where it is.
func unmarked(v reflect.Value) reflect.Value {
	item := reflect.New(v.Type()).Elem()
	item.Set(v)
	unmark(item)
	return item
}

// plain is a value as JSON would give it back, but with NaN and infinite numbers as they are.
func plain(value any) (any, error) {
	v := reflect.ValueOf(value)
	kind := v.Kind()
	if _, own := value.(json.Marshaler); own {
		kind = reflect.Invalid
	}
	switch kind {
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice, reflect.Array:
		if kind == reflect.Slice && v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		list := make([]any, v.Len())
		for i := range list {
			var err error
			if list[i], err = plain(v.Index(i).Interface()); err != nil {
				return nil, err
			}
		}
		return list, nil
	case reflect.Map:
		if v.IsNil() || v.Type().Key().Kind() != reflect.String {
			break
		}
		members := map[string]any{}
		for _, key := range v.MapKeys() {
			member, err := plain(v.MapIndex(key).Interface())
			if err != nil {
				return nil, err
			}
			members[key.String()] = member
		}
		return members, nil
	default: // as JSON has it
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(text, &out)
}
