package console

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Modes are what a flag --color takes.
func Modes() []string { return []string{"auto", "always", "never"} }

// Coloured decides whether text to a stream is coloured. mode is "auto", "always" or "never"; with auto, in this order: NO_COLOR that is not
// empty says no, CLICOLOR_FORCE that is neither empty nor 0 says yes, CLICOLOR=0 and TERM=dumb say no, and else a terminal says yes.
func Coloured(mode string, terminal bool) bool {
	force := os.Getenv("CLICOLOR_FORCE")
	switch {
	case mode == "always":
		return true
	case mode == "never", os.Getenv("NO_COLOR") != "":
		return false
	case force != "" && force != "0":
		return true
	case os.Getenv("CLICOLOR") == "0", os.Getenv("TERM") == "dumb":
		return false
	}
	return terminal
}

// The marks of colour are characters that Unicode keeps for a program's own use. Text from files never holds one that was not escaped, and
// the last writer before the terminal puts the terminal's own sequences in their place.
const (
	markEnd = 0xfdd0 + iota
	markStrong
	markGood
	markBad
	markWarning
	markFaint
	markLast
)

func isMark(r rune) bool { return r >= markEnd && r < markLast }

// Escapes are the sequences of a terminal that stand for the marks of a Palette.
func Escapes() map[rune]string {
	return map[rune]string{
		markEnd: "\x1b[0m", markStrong: "\x1b[1m", markGood: "\x1b[32m", markBad: "\x1b[31m", markWarning: "\x1b[33m", markFaint: "\x1b[2m",
	}
}

// Palette colours text, or leaves it as it is where the stream wants no colour.
type Palette struct{ on bool }

// PaletteOf is the palette of a writer: one that colours if a writer on the way to the terminal says by Painted() bool that it knows the marks.
func PaletteOf(w io.Writer) Palette {
	for w != nil {
		if p, ok := w.(interface{ Painted() bool }); ok && p.Painted() {
			return Palette{true}
		}
		below, ok := w.(interface{ Unwrap() io.Writer })
		if !ok {
			break
		}
		w = below.Unwrap()
	}
	return Palette{}
}

// Strong is for headings.
func (p Palette) Strong(text string) string { return p.paint(markStrong, text) }

// Good is for what is better, held or met.
func (p Palette) Good(text string) string { return p.paint(markGood, text) }

// Bad is for errors, and for what is worse, not held or not met.
func (p Palette) Bad(text string) string { return p.paint(markBad, text) }

// Warning is for what a person should look at.
func (p Palette) Warning(text string) string { return p.paint(markWarning, text) }

// Faint is for what matters less than what is around it.
func (p Palette) Faint(text string) string { return p.paint(markFaint, text) }

func (p Palette) paint(mark rune, text string) string {
	if !p.on || strings.TrimSpace(text) == "" {
		return text
	}
	return fmt.Sprintf("%c%s%c", mark, text, markEnd)
}

// unpainted takes the marks around a text off, and returns what puts them on again.
func unpainted(text string) (plain string, again func(string) string) {
	inner := strings.TrimLeft(text, " ")
	for _, mark := range []rune{markStrong, markGood, markBad, markWarning, markFaint} {
		rest, ok := strings.CutPrefix(inner, string(mark))
		if rest, closed := strings.CutSuffix(rest, string(rune(markEnd))); ok && closed {
			return leading(text) + rest, func(s string) string { return Palette{true}.paint(mark, s) }
		}
	}
	return text, func(s string) string { return s }
}
