package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format/gguf"
)

// CarriedGGUF and CarriedTensors begin the keys under which one format's metadata are stored in the other's.
const (
	CarriedGGUF    = "gguf."
	CarriedTensors = "safetensors."
)

// carriedValue is a value of GGUF in the metadata of another format: its type in GGUF's words, "u32" or "array of string", and the
// value.
type carriedValue struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// maxCarried bounds the elements of an array that is carried. The longest arrays of models, the merges of a tokenizer, have 600,000.
const maxCarried = 1 << 20

// Carry writes a value of GGUF as text, for the metadata of formats that have only that. Texts that are not UTF-8 cannot be, nor
// arrays of more than a million elements.
func Carry(value any) (string, bool) {
	text, typ, ok := carryAny(value)
	if !ok {
		return "", false
	}
	whole, err := json.Marshal(carriedValue{typ, text})
	return string(whole), err == nil
}

// carryAny writes a value as JSON, and its type in GGUF's words.
func carryAny(value any) (text json.RawMessage, typ string, ok bool) {
	switch v := value.(type) {
	case []uint8:
		return carryList(v)
	case []int8:
		return carryList(v)
	case []uint16:
		return carryList(v)
	case []int16:
		return carryList(v)
	case []uint32:
		return carryList(v)
	case []int32:
		return carryList(v)
	case []uint64:
		return carryList(v)
	case []int64:
		return carryList(v)
	case []float32:
		return carryList(v)
	case []float64:
		return carryList(v)
	case []bool:
		return carryList(v)
	case []string:
		return carryList(v)
	}
	text, ok = carryOne(nil, value)
	return text, carriedType(value), ok
}

func carryList[T any](list []T) (text json.RawMessage, typ string, ok bool) {
	if len(list) > maxCarried {
		return nil, "", false
	}
	text = append(text, '[')
	for i, item := range list {
		if i > 0 {
			text = append(text, ',')
		}
		if text, ok = carryOne(text, item); !ok {
			return nil, "", false
		}
	}
	var zero T
	return append(text, ']'), "array of " + carriedType(zero), true
}

// carriedType is the type of a single value in GGUF's words: "u8", "i64", "f32", "bool", "string".
func carriedType(value any) string {
	typ := fmt.Sprintf("%T", value)
	for _, word := range [][2]string{{"uint", "u"}, {"int", "i"}, {"float", "f"}} {
		if bits, ok := strings.CutPrefix(typ, word[0]); ok {
			return word[1] + bits
		}
	}
	return typ
}

// carryOne appends a single value.
func carryOne(to json.RawMessage, value any) (text json.RawMessage, ok bool) {
	switch v := value.(type) {
	case float32:
		return number(to, float64(v), 32), true
	case float64:
		return number(to, v, 64), true
	case string:
		raw, err := json.Marshal(v)
		return append(to, raw...), err == nil && utf8.ValidString(v)
	case bool:
		return strconv.AppendBool(to, v), true
	case uint8, uint16, uint32, uint64, int8, int16, int32, int64:
		return fmt.Append(to, v), true
	}
	return to, false
}

// number appends a float with all its digits; what JSON cannot hold is text.
func number(to json.RawMessage, v float64, bits int) json.RawMessage {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(strconv.AppendFloat(append(to, '"'), v, 'g', -1, bits), '"')
	}
	return strconv.AppendFloat(to, v, 'g', -1, bits)
}

// Uncarry reads a value that Carry wrote; nil if it is none.
func Uncarry(text string) any {
	var c carriedValue
	if json.Unmarshal([]byte(text), &c) != nil {
		return nil
	}
	item, isList := strings.CutPrefix(c.Type, "array of ")
	if !isList {
		return uncarryOne(c.Type, c.Value)
	}
	switch item {
	case "u8":
		return uncarryList[uint8](item, c.Value)
	case "i8":
		return uncarryList[int8](item, c.Value)
	case "u16":
		return uncarryList[uint16](item, c.Value)
	case "i16":
		return uncarryList[int16](item, c.Value)
	case "u32":
		return uncarryList[uint32](item, c.Value)
	case "i32":
		return uncarryList[int32](item, c.Value)
	case "u64":
		return uncarryList[uint64](item, c.Value)
	case "i64":
		return uncarryList[int64](item, c.Value)
	case "f32":
		return uncarryList[float32](item, c.Value)
	case "f64":
		return uncarryList[float64](item, c.Value)
	case "bool":
		return uncarryList[bool](item, c.Value)
	case "string":
		return uncarryList[string](item, c.Value)
	}
	return nil
}

// uncarryList reads a list one item after the other: a list of messages takes twenty times the text of short numbers.
func uncarryList[T any](item string, list json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(list))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return nil
	}
	out := []T{}
	var raw json.RawMessage
	for d.More() {
		if len(out) == maxCarried || d.Decode(&raw) != nil {
			return nil
		}
		v, ok := uncarryOne(item, raw).(T)
		if !ok {
			return nil
		}
		out = append(out, v)
	}
	return out
}

func uncarryOne(typ string, raw json.RawMessage) any {
	word := strings.Trim(string(raw), `"`)
	switch typ {
	case "string":
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil
		}
		return s
	case "bool":
		return word == "true"
	case "f32":
		v, err := strconv.ParseFloat(word, 32)
		return orNil(float32(v), err)
	case "f64":
		v, err := strconv.ParseFloat(word, 64)
		return orNil(v, err)
	case "u8":
		v, err := strconv.ParseUint(word, 10, 8)
		return orNil(uint8(v), err)
	case "u16":
		v, err := strconv.ParseUint(word, 10, 16)
		return orNil(uint16(v), err)
	case "u32":
		v, err := strconv.ParseUint(word, 10, 32)
		return orNil(uint32(v), err)
	case "u64":
		v, err := strconv.ParseUint(word, 10, 64)
		return orNil(v, err)
	case "i8":
		v, err := strconv.ParseInt(word, 10, 8)
		return orNil(int8(v), err)
	case "i16":
		v, err := strconv.ParseInt(word, 10, 16)
		return orNil(int16(v), err)
	case "i32":
		v, err := strconv.ParseInt(word, 10, 32)
		return orNil(int32(v), err)
	case "i64":
		v, err := strconv.ParseInt(word, 10, 64)
		return orNil(v, err)
	}
	return nil
}

func orNil(v any, err error) any {
	if err != nil {
		return nil
	}
	return v
}

// CarriedMetadata is the metadata of a model as safetensors keeps them: the keys of a GGUF file behind CarriedGGUF, those apart that came from
// there; the metadata of any other file as they are. left are keys whose texts are not UTF-8.
func CarriedMetadata(f File) (meta map[string]string, left []string) {
	file, ok := AsGGUF(f)
	if !ok {
		return f.Metadata(), nil
	}
	meta = map[string]string{}
	for key, v := range file.All() {
		if key == gguf.AlignmentKey || key == gguf.SplitNumberKey || key == gguf.SplitCountKey || key == gguf.SplitTensorsKey { // of the file, not of the model
			continue
		}
		if name, ours := strings.CutPrefix(key, CarriedTensors); ours {
			if text, ok := v.(string); ok {
				meta[name] = text
				continue
			}
		}
		text, ok := Carry(v)
		if !ok {
			left = append(left, key)
			continue
		}
		meta[CarriedGGUF+key] = text
	}
	return meta, left
}
