package hf

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
)

// pythonNumbers are what Python's json module writes for numbers that JSON has none for, as it stands in a text outside of its strings.
var pythonNumbers = [][]byte{[]byte("-Infinity"), []byte("Infinity"), []byte("NaN")}

// marked begins the string that stands for one of them: no text of a config begins so.
const marked = `"\u0000`

var markedNumber = regexp.MustCompile(`"\\u0000(-Infinity|Infinity|NaN)"`)

// Standard makes JSON of what Python writes: NaN, Infinity and -Infinity become strings that Restore turns back. A text without them is
// returned as it is.
func Standard(text []byte) []byte {
	var out []byte
	from, quoted := 0, false // what is copied begins at from
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '-' || c == 'I' || c == 'N'):
			for _, word := range pythonNumbers {
				if bytes.HasPrefix(text[i:], word) {
					out = append(append(append(append(out, text[from:i]...), marked...), word...), '"')
					from = i + len(word)
					i = from - 1
					break
				}
			}
		}
	}
	if from == 0 {
		return text
	}
	return append(out, text[from:]...)
}

// Restore is the other way round.
func Restore(text []byte) []byte { return markedNumber.ReplaceAll(text, []byte("$1")) }

// WithoutKeys is the text of a JSON object without the members of these keys, its own and those of the objects in it. All else stays as it
// is, byte for byte. A text that is not an object is returned unchanged.
func WithoutKeys(text []byte, keys ...string) []byte {
	out, err := without(Standard(text), keys, 0)
	if err != nil {
		return text
	}
	return Restore(out)
}

// without does the work of WithoutKeys on one object.
func without(object []byte, keys []string, depth int) ([]byte, error) {
	const deepest = 16 // objects in configs lie two or three deep
	d := json.NewDecoder(bytes.NewReader(object))
	if token, err := d.Token(); err != nil || token != json.Delim('{') || depth > deepest {
		return object, err
	}
	out := bytes.Clone(object[:d.InputOffset()])
	end, kept := d.InputOffset(), 0
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		begin, named := end, d.InputOffset()
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		end = d.InputOffset()
		if key, ok := token.(string); ok && slices.Contains(keys, key) {
			continue
		}
		lead := object[begin:named] // the comma, white space and the key
		if comma := bytes.IndexByte(lead, ','); kept == 0 && comma >= 0 && comma < bytes.IndexByte(lead, '"') {
			lead = append(bytes.Clone(lead[:comma]), lead[comma+1:]...)
		}
		out = append(append(out, lead...), object[named:end-int64(len(value))]...)
		if value[0] == '{' {
			if value, err = without(value, keys, depth+1); err != nil {
				return nil, err
			}
		}
		out, kept = append(out, value...), kept+1
	}
	return append(out, object[end:]...), nil
}
