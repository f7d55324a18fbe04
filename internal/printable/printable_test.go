package printable_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/internal/printable"
)

func TestEscapes(t *testing.T) {
	for _, c := range []struct{ in, line, text string }{
		{"layer.0.weight", "layer.0.weight", "layer.0.weight"},
		{"größe 重み", "größe 重み", "größe 重み"},
		{"a\x1b]0;title\a", `a\u001b]0;title\u0007`, `a\u001b]0;title\u0007`},
		{"a\nb\tc\r", `a\nb\tc\u000d`, "a\nb\tc\\u000d"},
		{"user\u202egnp.exe", `user\u202egnp.exe`, `user\u202egnp.exe`},
		{"\u2066x\u2069\u200b\u2028", `\u2066x\u2069\u200b\u2028`, `\u2066x\u2069\u200b\u2028`},
		{"csi\u009b31m", `csi\u009b31m`, `csi\u009b31m`},
		{"tag\U000e0041", `tag\U000e0041`, `tag\U000e0041`},
		{"bad\xff\x9b", `bad\xff\x9b`, `bad\xff\x9b`},
		{"\ufffd stays", "\ufffd stays", "\ufffd stays"},
		{"del\x7f", `del\u007f`, `del\u007f`},
	} {
		if got := printable.Line(c.in); got != c.line {
			t.Errorf("Line(%q) = %q, want %q", c.in, got, c.line)
		}
		if got := printable.Text(c.in); got != c.text {
			t.Errorf("Text(%q) = %q, want %q", c.in, got, c.text)
		}
	}
}

// However the text is cut into writes, the writer lets through what Text does.
func TestWriterEqualsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		var out strings.Builder
		w := printable.NewWriter(&out)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			if got, err := fmt.Fprint(w, rest[:n]); got != n || err != nil {
				t.Fatalf("wrote %d of %d: %v", got, n, err)
			}
			rest = rest[n:]
		}
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
		if out.String() != printable.Text(text) {
			t.Fatalf("got %q, want %q", out.String(), printable.Text(text))
		}
		for _, r := range out.String() {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Fatalf("%U came through", r)
			}
		}
	})
}

type full struct{}

var errFull = errors.New("no space")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriterKeepsTheError(t *testing.T) {
	w := printable.NewWriter(full{})
	fmt.Fprintln(w, "lost")
	if !errors.Is(w.Err(), errFull) {
		t.Errorf("got %v", w.Err())
	}
}
