// Package printable makes untrusted text safe to show: names of tensors, labels, metadata, paths and refused keys may contain
// characters that move a terminal's cursor, change its title or reverse the order of the text.
package printable

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Line returns text as it may stand within a line: control characters, line breaks and tabs among them, characters that set the
// direction of text, other invisible ones and bytes that are not UTF-8 are written as \n, \t, \u001b, \U000e0001 or \xff.
func Line(text string) string { return escape(text, false) }

// Text is Line for text of several lines: line breaks and tabs stay.
func Text(text string) string { return escape(text, true) }

func escape(text string, breaks bool) string {
	if !needsEscape(text, breaks) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, width := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && width <= 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !hidden(r, breaks):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += width
	}
	return b.String()
}

func needsEscape(text string, breaks bool) bool {
	for i, r := range text {
		if hidden(r, breaks) {
			return true
		}
		if r == utf8.RuneError {
			if _, width := utf8.DecodeRuneInString(text[i:]); width <= 1 {
				return true
			}
		}
	}
	return false
}

// hidden reports whether a character does something other than be seen.
func hidden(r rune, breaks bool) bool {
	if r == '\n' || r == '\t' {
		return !breaks
	}
	if r < 0x20 || r >= 0x7f && r < 0xa0 {
		return true
	}
	// Cf holds the marks of direction, zero-width characters and tags; Zl and Zp break lines; the block from U+FDD0 on is kept by Unicode for
	// a program's own use, which is marks of colour here.
	return r > 0x7f && (unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' || r >= 0xfdd0 && r <= 0xfdef)
}

// Writer passes on what is printable and escapes the rest as Text does: the last door before a terminal. In JSON, where such
// characters stand within strings alone, \u202e is the same character. It keeps the first error of the writer below, so that a
// full disk is noticed though single writes go unchecked.
type Writer struct {
	mu      sync.Mutex // progress is reported from several goroutines
	w       io.Writer
	marks   map[rune]string // what is written in the place of marks of colour; nil = they are escaped as the rest is
	pending []byte          // the beginning of a character that the next Write completes
	err     error
}

// NewWriter returns a Writer onto w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Paint has the Writer put a terminal's own sequences in the place of marks of colour.
func (w *Writer) Paint(marks map[rune]string) { w.marks = marks }

// Painted reports whether marks of colour may be written.
func (w *Writer) Painted() bool { return w.marks != nil }

// Write writes text. A character that is cut off at its end waits for the next call.
func (w *Writer) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	whole := append(w.pending, text...)
	keep := incomplete(whole)
	w.pending = append([]byte(nil), whole[len(whole)-keep:]...)
	w.write(string(whole[:len(whole)-keep]))
	if w.err != nil {
		return 0, w.err
	}
	return len(text), nil
}

func (w *Writer) write(text string) {
	if text == "" || w.err != nil {
		return
	}
	_, w.err = io.WriteString(w.w, w.printed(text))
}

// printed is text as it goes to the writer below.
func (w *Writer) printed(text string) string {
	if w.marks == nil {
		return Text(text)
	}
	var b strings.Builder
	from := 0
	for i, r := range text {
		if sequence, ok := w.marks[r]; ok {
			b.WriteString(Text(text[from:i]) + sequence)
			from = i + utf8.RuneLen(r)
		}
	}
	b.WriteString(Text(text[from:]))
	return b.String()
}

// Err writes what is pending and returns the first error of any write.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending := string(w.pending)
	w.pending = nil
	w.write(pending)
	return w.err
}

// Unwrap returns the writer below, for those who ask whether it is a terminal.
func (w *Writer) Unwrap() io.Writer { return w.w }

// incomplete returns how many bytes at the end begin a character without completing it.
func incomplete(text []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(text)); n++ {
		if b := text[len(text)-n]; utf8.RuneStart(b) {
			if !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// longest is how many bytes of a name go into a message.
const longest = 100

// Quote is a name in quotation marks, as %q writes it, with its length where it is cut.
func Quote(name string) string {
	if len(name) <= longest {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(name[:longest], "?"), len(name))
}

// Short is a name for use in a path, escaped as by Line and shortened if it is long.
func Short(name string) string {
	if len(name) <= longest {
		return Line(name)
	}
	return Line(strings.ToValidUTF8(name[:longest], "?")) + "..."
}
