package weights

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format/gguf"
)

// CarriedGGUF and CarriedTensors begin the keys under which one format's metadata stand in the other's.
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

// Carry writes a value of GGUF as text, for the metadata of formats that have only that. Texts that are not UTF-8 cannot be.
func Carry(value any) (string, bool) {
	var list []any
	typ := ""
	switch v := value.(type) {
	case []uint8:
		typ, list = "array of u8", anys(v)
	case []int8:
		typ, list = "array of i8", anys(v)
	case []uint16:
		typ, list = "array of u16", anys(v)
	case []int16:
		typ, list = "array of i16", anys(v)
	case []uint32:
		typ, list = "array of u32", anys(v)
	case []int32:
		typ, list = "array of i32", anys(v)
	case []uint64:
		typ, list = "array of u64", anys(v)
	case []int64:
		typ, list = "array of i64", anys(v)
	case []float32:
		typ, list = "array of f32", anys(v)
	case []float64:
		typ, list = "array of f64", anys(v)
	case []bool:
		typ, list = "array of bool", anys(v)
	case []string:
		typ, list = "array of string", anys(v)
	default:
		one, name, ok := carryOne(value)
		if !ok {
			return "", false
		}
		text, err := json.Marshal(carriedValue{name, one})
		return string(text), err == nil
	}
	items := make([]json.RawMessage, len(list))
	for i, item := range list {
		var ok bool
		if items[i], _, ok = carryOne(item); !ok {
			return "", false
		}
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return "", false
	}
	text, err := json.Marshal(carriedValue{typ, raw})
	return string(text), err == nil
}

func anys[T any](v []T) []any {
	out := make([]any, len(v))
	for i := range v {
		out[i] = v[i]
	}
	return out
}

func carryOne(value any) (raw json.RawMessage, typ string, ok bool) {
	switch v := value.(type) {
	case float32:
		return number(float64(v), 32), "f32", true
	case float64:
		return number(v, 64), "f64", true
	case string:
		raw, err := json.Marshal(v)
		return raw, "string", err == nil && utf8.ValidString(v)
	case bool:
		return json.RawMessage(strconv.FormatBool(v)), "bool", true
	case uint8, uint16, uint32, uint64:
		return json.RawMessage(fmt.Sprint(v)), strings.Replace(fmt.Sprintf("%T", v), "uint", "u", 1), true
	case int8, int16, int32, int64:
		return json.RawMessage(fmt.Sprint(v)), strings.Replace(fmt.Sprintf("%T", v), "int", "i", 1), true
	}
	return nil, "", false
}

// number writes a float with all its digits; what JSON cannot hold is text.
func number(v float64, bits int) json.RawMessage {
	text := strconv.FormatFloat(v, 'g', -1, bits)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		text = `"` + text + `"`
	}
	return json.RawMessage(text)
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
	var raws []json.RawMessage
	if json.Unmarshal(c.Value, &raws) != nil {
		return nil
	}
	switch item {
	case "u8":
		return uncarryList[uint8](item, raws)
	case "i8":
		return uncarryList[int8](item, raws)
	case "u16":
		return uncarryList[uint16](item, raws)
	case "i16":
		return uncarryList[int16](item, raws)
	case "u32":
		return uncarryList[uint32](item, raws)
	case "i32":
		return uncarryList[int32](item, raws)
	case "u64":
		return uncarryList[uint64](item, raws)
	case "i64":
		return uncarryList[int64](item, raws)
	case "f32":
		return uncarryList[float32](item, raws)
	case "f64":
		return uncarryList[float64](item, raws)
	case "bool":
		return uncarryList[bool](item, raws)
	case "string":
		return uncarryList[string](item, raws)
	}
	return nil
}

func uncarryList[T any](item string, raws []json.RawMessage) any {
	out := make([]T, len(raws))
	for i, raw := range raws {
		v, ok := uncarryOne(item, raw).(T)
		if !ok {
			return nil
		}
		out[i] = v
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
		if key == gguf.AlignmentKey {
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
