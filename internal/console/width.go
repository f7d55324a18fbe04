package console

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
	"golang.org/x/text/width"
)

// Bounds of a terminal's width: narrower ones are written to as if they had the least, and one that does not say has the usual.
const (
	leastColumns = 20
	usualColumns = 80
)

// Columns is the width of the terminal that a writer ends in, 0 if it does not end in one. A writer says what is below it by a method
// Unwrap() io.Writer, or its width by Columns() int.
func Columns(w io.Writer) int {
	for w != nil {
		switch v := w.(type) {
		case interface{ Columns() int }:
			return v.Columns()
		case *os.File:
			return columnsOf(v)
		case interface{ Unwrap() io.Writer }:
			w = v.Unwrap()
		default:
			return 0
		}
	}
	return 0
}

// columnsOf asks a terminal for its width. It is asked each time, since a window changes its size.
func columnsOf(f *os.File) int {
	if f == nil || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return max(n, leastColumns)
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return max(n, leastColumns)
	}
	return usualColumns
}

// Width is how many columns a text takes: two for wide East Asian characters, none for marks of colour and combining characters.
func Width(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case isMark(r), unicode.Is(unicode.Mn, r), unicode.Is(unicode.Me, r):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut is a text of at most so many columns; what is cut off at its end is an ellipsis.
func Cut(text string, most int) string {
	if Width(text) <= most {
		return text
	}
	head, _ := split(text, most-1)
	return head + "…"
}

// split cuts a text behind at most so many columns.
func split(text string, most int) (head, rest string) {
	n := 0
	for i, r := range text {
		if n += runeWidth(r); n > most {
			return text[:i], text[i:]
		}
	}
	return text, ""
}

// Wrap breaks a text at blanks into lines of at most so many columns. Lines behind the first begin with indent. A word that is longer stays
// whole: a path that is copied must be one.
func Wrap(text string, most int, indent string) []string {
	if Width(text) <= most {
		return []string{text}
	}
	var lines []string
	line, empty := leading(text), true
	for _, word := range strings.Fields(text) {
		switch {
		case empty:
			line, empty = line+word, false
		case Width(line)+1+Width(word) <= most:
			line += " " + word
		default:
			lines = append(lines, line)
			line = indent + word
		}
	}
	return append(lines, line)
}

// leading is the blanks that a text begins with.
func leading(text string) string { return text[:len(text)-len(strings.TrimLeft(text, " "))] }

// breakAnywhere breaks a text into lines of at most so many columns: at blanks, else behind a mark of punctuation, else within a word.
func breakAnywhere(text string, most int) []string {
	indent := leading(text)
	var lines []string
	for _, line := range Wrap(text, most, indent) {
		for Width(line) > most {
			head, _ := split(line, most)
			at := strings.LastIndexAny(head, "-/._=,:;)") + 1
			if at <= max(len(indent), len(head)/3) {
				at = len(head)
			}
			if at == 0 { // a wide character in one column
				_, at = utf8.DecodeRuneInString(line)
			}
			lines = append(lines, line[:at])
			line = indent + line[at:]
		}
		lines = append(lines, line)
	}
	return lines
}
