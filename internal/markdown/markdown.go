// Package markdown escapes untrusted text for Markdown so that it is shown as plain text: names of models, classes, metrics and
// files may contain links, HTML, table bars and terminal control characters.
package markdown

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/internal/printable"
)

// special are the characters that Markdown, its tables and its extensions give a meaning anywhere within a line. An underscore has
// one too, but not within a word.
const special = "\\`*{}[]<>|~$&"

// Text returns text as one line of Markdown that shows it and nothing else. At the beginning of a line it is not a heading, list, quote
// or rule, and addresses in it do not become links.
func Text(text string) string {
	text = printable.Line(text)
	var b strings.Builder
	for i, r := range text {
		switch {
		case strings.ContainsRune(special, r), r == '_' && !withinWord(text, i):
			b.WriteByte('\\')
		case i == 0 && strings.ContainsRune("#-+=:", r), starts(text, i):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// starts reports whether the character at i, escaped, keeps what stands there from being a numbered item ("1. ", "1) ") or an address
// (http://, www.), which some readers make a link without being asked.
func starts(text string, i int) bool {
	switch text[i] {
	case '.', ')':
		return strings.Trim(text[:i], "0123456789") == "" && i > 0 || strings.HasSuffix(strings.ToLower(text[:i]), "www")
	case ':':
		return strings.HasPrefix(text[i:], "://") || strings.HasSuffix(strings.ToLower(text[:i]), "mailto")
	}
	return false
}

func withinWord(text string, i int) bool {
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	after, _ := utf8.DecodeRuneInString(text[i+1:])
	return letter(before) && letter(after)
}

// Code returns text as a span of code. Nothing in it has a meaning but a table's bar, for which there is CodeCell.
func Code(text string) string { return code(printable.Line(text)) }

// CodeCell is Code within a table.
func CodeCell(text string) string { return code(strings.ReplaceAll(printable.Line(text), "|", `\|`)) }

func code(text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if text == "" || strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") || strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") {
		text = " " + text + " " // which readers take off again
	}
	return fence + text + fence
}
