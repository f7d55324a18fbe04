package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// Ref names a model: a file or a folder; behind +, the folder of an adapter that is added to it, or of several in turn.
type Ref string

// UnmarshalJSON reads a path, or {model: {path: ...}} and {path: ...}, with lora: {path: ...} beside it for an adapter.
func (r *Ref) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var long struct {
			Model                Ref             `json:"model"`
			Path                 Ref             `json:"path"`
			Revision             json.RawMessage `json:"revision"`
			LoRA                 Ref             `json:"lora"`
			OverrideArchitecture json.RawMessage `json:"override_architecture"`
		}
		if err := strict.Decode(data, &long); err != nil {
			return err
		}
		for _, key := range []struct {
			name, why string
			given     json.RawMessage
		}{
			{"revision", "revisions are not looked up: name the folder of the one you want", long.Revision},
			{"override_architecture", "tensors are matched by their names, whatever the architecture is called: leave it out", long.OverrideArchitecture},
		} {
			if key.given != nil && string(key.given) != "null" {
				return fmt.Errorf("%s: %s", key.name, key.why)
			}
		}
		*r = long.Model + long.Path
		if long.LoRA != "" {
			*r += "+" + long.LoRA
		}
		return nil
	}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	text := ""
	if err := strict.Decode(data, &text); err != nil {
		return err
	}
	*r = Ref(text)
	return nil
}

// Parameters are values by their names.
type Parameters map[string]Value

// Value is a number, true, false or a word for all tensors; a list of numbers, a Gradient over the layers; a list that has words,
// one for each range of layers; or a {filter, value} or a list of them, of which the first applies with a filter that is part of the
// tensor's name, or "*", or missing. Numbers may be written as text.
type Value struct {
	scalar   any
	gradient Gradient
	words    []any // bool, float64 or string
	filters  []filtered
}

type filtered struct {
	Filter string `json:"filter,omitempty"`
	Value  *Value `json:"value"`
}

// Number is a value that is a number.
func Number(v float64) Value { return Value{scalar: v} }

// UnmarshalJSON reads any of the forms.
func (v *Value) UnmarshalJSON(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("{")):
		f := filtered{}
		if err := f.read(data); err != nil {
			return err
		}
		v.filters = []filtered{f}
		return nil
	case bytes.HasPrefix(data, []byte("[")):
		return v.readList(data)
	}
	scalar, err := readScalar(data)
	v.scalar = scalar
	return err
}

func (v *Value) readList(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("the list is empty; give a number, or numbers from the first layer to the last")
	}
	if bytes.HasPrefix(list[0], []byte("{")) {
		v.filters = make([]filtered, len(list))
		for i, item := range list {
			if err := v.filters[i].read(item); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	}

	numbers := true
	for i, item := range list {
		scalar, err := readScalar(item)
		if err != nil {
			return fmt.Errorf("%d: %w", i, err)
		}
		if number, err := asNumber(scalar); err == nil {
			if _, isBool := scalar.(bool); !isBool {
				scalar = number
			}
		}
		number, ok := scalar.(float64)
		numbers = numbers && ok
		v.gradient = append(v.gradient, number)
		v.words = append(v.words, scalar)
	}
	if numbers {
		v.words = nil
	} else {
		v.gradient = nil
	}
	return nil
}

func readScalar(data []byte) (any, error) {
	var scalar any
	if err := json.Unmarshal(data, &scalar); err != nil {
		return nil, err
	}
	switch scalar.(type) {
	case float64, bool, string:
		return scalar, nil
	}
	return nil, fmt.Errorf("want a number, a list of numbers or a list of {filter, value}, got %s", strict.Short(string(data)))
}

// read decodes {filter, value}; a filter that is null is none.
func (f *filtered) read(data []byte) error {
	var raw struct {
		Filter *string `json:"filter"`
		Value  *Value  `json:"value"`
	}
	if err := strict.Decode(data, &raw); err != nil {
		return err
	}
	if raw.Value == nil {
		return errors.New("value: it is missing; give the value for the tensors that the filter names")
	}
	f.Value = raw.Value
	if raw.Filter != nil {
		f.Filter = *raw.Filter
	}
	return nil
}

// MarshalJSON writes what was read.
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case v.filters != nil:
		return json.Marshal(v.filters)
	case v.gradient != nil:
		return json.Marshal([]float64(v.gradient))
	case v.words != nil:
		return json.Marshal(v.words)
	}
	return json.Marshal(v.scalar)
}

// at is the value for a tensor at a position of the layers; ok is false where no filter fits. Of a list, a parameter that is chosen and not counted
// takes one of the values, not a number between two.
func (v Value) at(tensor string, position float64, chosen bool) (value any, ok bool) {
	switch {
	case v.filters != nil:
		for _, f := range v.filters {
			if f.Filter == "" || f.Filter == "*" || strings.Contains(tensor, f.Filter) {
				return f.Value.at(tensor, position, chosen)
			}
		}
		return nil, false
	case v.words != nil:
		return v.words[int(position*float64(len(v.words)-1))], true
	case v.gradient != nil && chosen:
		return v.gradient[int(position*float64(len(v.gradient)-1))], true
	case v.gradient != nil:
		return v.gradient.At(position), true
	}
	return v.scalar, v.scalar != nil
}

// asNumber reads a number, text of one, or true and false as 1 and 0.
func asNumber(value any) (float64, error) {
	switch v := value.(type) {
	case float64:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case string:
		if number, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			return number, nil
		}
		return 0, fmt.Errorf("want a number, got %q", strict.Short(v))
	}
	return 0, fmt.Errorf("want a number, got %v", value)
}

// asBool reads true and false, 1 and 0, and the words for them that other tools read so.
func asBool(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case float64:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	case string:
		switch strings.ToLower(v) {
		case "true", "yes", "on", "y", "t", "1":
			return true, nil
		case "false", "no", "off", "n", "f", "0":
			return false, nil
		}
	}
	return false, fmt.Errorf("want true or false, got %v", value)
}

// asWhole reads a whole number.
func asWhole(value any) (int64, error) {
	number, err := asNumber(value)
	if err == nil && (number != math.Trunc(number) || math.Abs(number) > 1<<53) {
		err = fmt.Errorf("want a whole number, got %v", value)
	}
	return int64(number), err
}
