package strict

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Word is a plain scalar of a recipe or of an override, with the text that it was written as. It is that text where text is wanted, so
// that a name of 1.10 stays 1.10, and Value elsewhere.
type Word struct {
	Text  string
	Value any // bool, int64, uint64 beyond int64, or float64
}

// MarshalJSON writes the value, as if the text had never been kept.
func (w Word) MarshalJSON() ([]byte, error) { return json.Marshal(jsonable(w.Value)) }

var (
	wholeNumber = regexp.MustCompile(`^[-+]?[0-9][0-9_]*$`)
	basedNumber = regexp.MustCompile(`^[-+]?0(x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)$`)
	floatNumber = regexp.MustCompile(`^[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$`)
)

// Number reads a number as recipes and overrides write it: 1_000, +1, 007 (seven), 0x10, 0o17, 0b101, 1.5, .5, 5., 1e-3, .inf, -.inf
// and .nan. A whole number is an int64, or a uint64 where that is too small; one beyond both is a float64, as every other number is.
func Number(text string) (value any, ok bool) {
	switch strings.ToLower(text) {
	case ".inf", "+.inf":
		return math.Inf(1), true
	case "-.inf":
		return math.Inf(-1), true
	case ".nan":
		return math.NaN(), true
	}

	plain := strings.ReplaceAll(text, "_", "")
	base := 10
	switch {
	case basedNumber.MatchString(text):
		base = 0
	case !wholeNumber.MatchString(text) && !floatNumber.MatchString(text):
		return nil, false
	}
	if i, err := strconv.ParseInt(plain, base, 64); err == nil {
		return i, true
	}
	if u, err := strconv.ParseUint(strings.TrimPrefix(plain, "+"), base, 64); err == nil {
		return u, true
	}
	if base == 10 {
		if f, err := strconv.ParseFloat(plain, 64); err == nil {
			return f, true
		}
	}
	return nil, false
}

// Plain replaces every Word of a tree by its value.
func Plain(v any) any {
	switch v := v.(type) {
	case Word:
		return v.Value
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = Plain(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = Plain(item)
		}
		return out
	}
	return v
}
