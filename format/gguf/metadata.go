package gguf

import (
	"fmt"
	"iter"
	"math"
	"unicode/utf8"
)

// ValueType is the type of a value of the metadata. Its number is the one in the file.
type ValueType uint32

// The types of values.
const (
	Uint8   ValueType = 0
	Int8    ValueType = 1
	Uint16  ValueType = 2
	Int16   ValueType = 3
	Uint32  ValueType = 4
	Int32   ValueType = 5
	Float32 ValueType = 6
	Bool    ValueType = 7
	String  ValueType = 8
	Array   ValueType = 9
	Uint64  ValueType = 10
	Int64   ValueType = 11
	Float64 ValueType = 12
)

// valueTypes are the names and sizes of the types by number; texts and arrays have no one size.
var valueTypes = [...]struct {
	name string
	size int64
}{{"u8", 1}, {"i8", 1}, {"u16", 2}, {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8}}

// String is the short name of the type, such as "u32".
func (t ValueType) String() string {
	if int(t) < len(valueTypes) {
		return valueTypes[t].name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// KeyValue is an entry of the metadata. Its value is a uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32, float64, bool or
// string, or a slice of one of them.
type KeyValue struct {
	Key   string
	Value any
}

// ValueInfo describes an entry of the metadata without its value.
type ValueInfo struct {
	Key  string
	Type ValueType
	Elem ValueType // of an array
	Len  int       // of an array
}

// String is the type in words, such as "u32" or "array of string".
func (v ValueInfo) String() string {
	if v.Type == Array {
		return "array of " + v.Elem.String()
	}
	return v.Type.String()
}

// valueEntry is what is kept of a value, which is decoded when it is asked for.
type valueEntry struct {
	key   string
	at    int64 // of the value's first byte, behind the type, or behind the count of an array
	count int64
	typ   ValueType
	elem  ValueType
}

// value reads one entry of the metadata and passes over its value.
func (s *scanner) value() error {
	f := s.f
	s.key, s.field = "", "key"
	at := s.at
	key, err := s.text(true)
	if err != nil {
		return err
	}
	s.key = key
	if _, twice := f.byKey[key]; twice {
		return s.fail(at, ErrDuplicate, fixRewrite, "entry %d and entry %d", f.byKey[key], len(f.values))
	}
	e := valueEntry{key: key, count: 1}
	if e.typ, err = s.valueType("type"); err != nil {
		return err
	}
	e.elem = e.typ
	if e.typ == Array {
		at := s.at
		if e.elem, err = s.valueType("element type"); err != nil {
			return err
		}
		if e.elem == Array {
			return s.fail(at, ErrNested, "write its lists as arrays of their own", "other readers refuse it, and so does this one")
		}
		smallest := max(valueTypes[e.elem].size, 1)
		if e.elem == String {
			smallest = 8
		}
		if e.count, err = s.count("array length", smallest, s.o.Limits.MaxArray); err != nil {
			return err
		}
	}
	s.field = "value"
	e.at = s.at
	if err := s.skip(e); err != nil {
		return err
	}
	f.byKey[key] = int32(len(f.values))
	f.values = append(f.values, e)
	return nil
}

func (s *scanner) valueType(field string) (ValueType, error) {
	s.field = field
	at := s.at
	t, err := s.uint32()
	if err == nil && int64(t) >= int64(len(valueTypes)) {
		err = s.fail(at, ErrValueType, fixRewrite, "%d, the last known is %d", t, len(valueTypes)-1)
	}
	return ValueType(t), err
}

// skip passes over a value and checks it.
func (s *scanner) skip(e valueEntry) error {
	if e.elem == String {
		for range e.count {
			if _, err := s.text(!s.o.Lenient); err != nil {
				return err
			}
		}
		return nil
	}
	b, err := s.take(e.count * valueTypes[e.elem].size)
	if err != nil || e.elem != Bool {
		return err
	}
	for i, v := range b {
		if v > 1 {
			return s.fail(e.at+int64(i), ErrBool, fixRewrite, "%d", v)
		}
	}
	return nil
}

// Keys lists the keys of the metadata in the order of the file.
func (f *File) Keys() []string {
	out := make([]string, len(f.values))
	for i := range f.values {
		out[i] = f.values[i].key
	}
	return out
}

// ValueInfo describes a value; ok is false if there is none of that key.
func (f *File) ValueInfo(key string) (info ValueInfo, ok bool) {
	i, ok := f.byKey[key]
	if !ok {
		return ValueInfo{}, false
	}
	e := &f.values[i]
	info = ValueInfo{Key: e.key, Type: e.typ}
	if e.typ == Array {
		info.Elem, info.Len = e.elem, int(e.count)
	}
	return info, true
}

// Value decodes a value, see KeyValue for what it may be; ok is false if there is none of that key.
func (f *File) Value(key string) (value any, ok bool) {
	i, ok := f.byKey[key]
	if !ok {
		return nil, false
	}
	return f.decodeValue(&f.values[i]), true
}

// Metadata decodes all entries, in the order of the file.
func (f *File) Metadata() []KeyValue {
	out := make([]KeyValue, len(f.values))
	for i := range f.values {
		out[i] = KeyValue{f.values[i].key, f.decodeValue(&f.values[i])}
	}
	return out
}

// All gives the entries one after the other, so that long arrays need not be in memory together.
func (f *File) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for i := range f.values {
			if !yield(f.values[i].key, f.decodeValue(&f.values[i])) {
				return
			}
		}
	}
}

// decodeValue decodes what skip has checked.
func (f *File) decodeValue(e *valueEntry) any {
	b := f.head[e.at:]
	switch e.elem {
	case Uint8:
		return values(e, func(i int64) uint8 { return b[i] })
	case Int8:
		return values(e, func(i int64) int8 { return int8(b[i]) })
	case Uint16:
		return values(e, func(i int64) uint16 { return u16(b[2*i:]) })
	case Int16:
		return values(e, func(i int64) int16 { return int16(u16(b[2*i:])) })
	case Uint32:
		return values(e, func(i int64) uint32 { return u32(b[4*i:]) })
	case Int32:
		return values(e, func(i int64) int32 { return int32(u32(b[4*i:])) })
	case Uint64:
		return values(e, func(i int64) uint64 { return u64(b[8*i:]) })
	case Int64:
		return values(e, func(i int64) int64 { return int64(u64(b[8*i:])) })
	case Float32:
		return values(e, func(i int64) float32 { return math.Float32frombits(u32(b[4*i:])) })
	case Float64:
		return values(e, func(i int64) float64 { return math.Float64frombits(u64(b[8*i:])) })
	case Bool:
		return values(e, func(i int64) bool { return b[i] == 1 })
	}
	return values(e, func(int64) string {
		n := u64(b)
		text := string(b[8 : 8+n])
		b = b[8+n:]
		return text
	})
}

// values makes one value, or a slice of them.
func values[T any](e *valueEntry, at func(i int64) T) any {
	if e.typ != Array {
		return at(0)
	}
	out := make([]T, e.count)
	for i := range out {
		out[i] = at(int64(i))
	}
	return out
}

// wrong is the error for a value that is missing or of another type.
func (f *File) wrong(key, want string) error {
	e := &Error{File: f.path, Key: key, Offset: -1, Kind: ErrKey, Fix: "see Keys for what it holds"}
	i, ok := f.byKey[key]
	if !ok {
		e.Text = fmt.Sprintf("the file holds %d others", len(f.values))
		return e
	}
	info, _ := f.ValueInfo(key)
	e.Offset, e.Text, e.Fix = f.values[i].at, fmt.Sprintf("it is %s, not %s", info, want), "read it with Value"
	return e
}

// Int is a value of any of the types of whole numbers, since programs do not agree about which to write.
func (f *File) Int(key string) (int64, error) {
	v, _ := f.Value(key)
	switch v := v.(type) {
	case uint8:
		return int64(v), nil
	case int8:
		return int64(v), nil
	case uint16:
		return int64(v), nil
	case int16:
		return int64(v), nil
	case uint32:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case int64:
		return v, nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
	}
	return 0, f.wrong(key, "a whole number below 2^63")
}

// Float is a value of type f32 or f64, or a whole number.
func (f *File) Float(key string) (float64, error) {
	v, _ := f.Value(key)
	switch v := v.(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	case uint64:
		return float64(v), nil
	}
	if n, err := f.Int(key); err == nil {
		return float64(n), nil
	}
	return 0, f.wrong(key, "a number")
}

// Text is a value of type string.
func (f *File) Text(key string) (string, error) {
	if info, ok := f.ValueInfo(key); ok && info.Type == String {
		v, _ := f.Value(key)
		return v.(string), nil
	}
	return "", f.wrong(key, "a text")
}

// Bool is a value of type bool.
func (f *File) Bool(key string) (bool, error) {
	v, _ := f.Value(key)
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, f.wrong(key, "a truth value")
}

// Texts is a value of type array of string.
func (f *File) Texts(key string) ([]string, error) {
	if info, ok := f.ValueInfo(key); ok && info.Type == Array && info.Elem == String {
		v, _ := f.Value(key)
		return v.([]string), nil
	}
	return nil, f.wrong(key, "an array of texts")
}

// Ints is an array of any of the types of whole numbers.
func (f *File) Ints(key string) ([]int64, error) {
	v, _ := f.Value(key)
	var out []int64
	switch v := v.(type) {
	case []uint8:
		out = widened(v)
	case []int8:
		out = widened(v)
	case []uint16:
		out = widened(v)
	case []int16:
		out = widened(v)
	case []uint32:
		out = widened(v)
	case []int32:
		out = widened(v)
	case []int64:
		out = v
	case []uint64:
		for _, n := range v {
			if n > math.MaxInt64 {
				return nil, f.wrong(key, "an array of whole numbers below 2^63")
			}
		}
		out = widened(v)
	default:
		return nil, f.wrong(key, "an array of whole numbers")
	}
	return out, nil
}

func widened[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64](v []T) []int64 {
	out := make([]int64, len(v))
	for i := range v {
		out[i] = int64(v[i])
	}
	return out
}

// Print writes a value as text for people: whole, or the first of a long array and its length.
func (f *File) Print(key string) string {
	const most = 8
	i, ok := f.byKey[key]
	if !ok {
		return ""
	}
	e := f.values[i]
	if e.typ == Array && e.count > most {
		first := e
		first.count = most
		text := fmt.Sprint(f.decodeValue(&first))
		return fmt.Sprintf("%s ... (%d of %s)", text[:len(text)-1], e.count, e.elem) + "]"
	}
	v := f.decodeValue(&e)
	if s, ok := v.(string); ok && !utf8.ValidString(s) {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}
