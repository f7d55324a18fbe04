package markdown_test

import (
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/markdown"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"digits-cnn 3.5":           "digits-cnn 3.5",
		"norm=batch batch\u202e":   `norm=batch batch\\u202e`,
		"a|b":                      `a\|b`,
		"[x](javascript:alert(1))": `\[x\](javascript:alert(1))`,
		"<script>&amp;":            `\<script\>\&amp;`,
		"`code`":                   "\\`code\\`",
		"# head":                   `\# head`,
		"- item":                   `\- item`,
		"+ item":                   `\+ item`,
		"12. item":                 `12\. item`,
		"a\n# forged":              `a\\n# forged`,
		"\x1b[31mred":              `\\u001b\[31mred`,
		"https://example.com":      `https\://example.com`,
		"www.example.com":          `www\.example.com`,
		"name_of_it":               "name_of_it",
		"_this_ and __that":        `\_this\_ and \_\_that`,
		"===":                      `\===`,
		"":                         "",
	} {
		if got := markdown.Text(text); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCode(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1}`: "`{\"a\":1}`", "a`b": "``a`b``", "``": "``` `` ```", "": "`  `", "a\nb": "`a\\nb`", " x ": "`  x  `", "\x1b": "`\\u001b`",
	} {
		if got := markdown.Code(text); got != want {
			t.Errorf("Code(%q) = %q, want %q", text, got, want)
		}
	}
	if got := markdown.CodeCell("a|b"); got != "`a\\|b`" {
		t.Errorf("CodeCell: %q", got)
	}
}

// FuzzText: whatever the text, nothing in it is a character of Markdown that is not escaped, and it stays a line.
func FuzzText(f *testing.F) {
	f.Add("[a](b) <i> `c` | \n# d")
	f.Fuzz(func(t *testing.T, text string) {
		got := markdown.Text(text)
		if strings.ContainsAny(got, "\n\r\x1b") {
			t.Errorf("%q holds a line break or ESC", got)
		}
		bare := strings.ReplaceAll(got, `\\`, "")
		for _, c := range "`*[]<>|&" {
			if strings.Contains(strings.ReplaceAll(bare, `\`+string(c), ""), string(c)) {
				t.Errorf("%q holds a bare %q", got, c)
			}
		}
	})
}
