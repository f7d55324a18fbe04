package hf

import (
	"bytes"
	"regexp"
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
