package console

import (
	"regexp"
	"strings"
)

// listItem is a line of a help text that gives a name and, behind two blanks or more, what it is.
var listItem = regexp.MustCompile(`^( +\S+(?: \S+)* {2,})(\S.*)$`)

// Flow fits a help text to a width. Paragraphs, which empty lines set apart, are filled. An indented line that has a name and, behind two
// blanks or more, a text is filled within its place, with the indented lines below it that have none; other indented lines stay.
func Flow(text string, columns int) string {
	var out []string
	for _, p := range strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n\n") {
		out = append(out, strings.Join(flowParagraph(p, columns), "\n"))
	}
	return strings.Join(out, "\n\n")
}

func flowParagraph(text string, columns int) (lines []string) {
	var head, filling string // the name of an item, with its blanks; what is being filled
	end := func() {
		if filling == "" {
			return
		}
		for i, line := range Wrap(filling, columns-Width(head), "") {
			if i > 0 {
				head = strings.Repeat(" ", Width(head))
			}
			lines = append(lines, head+line)
		}
		head, filling = "", ""
	}
	for _, line := range strings.Split(strings.Trim(text, "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		m := listItem.FindStringSubmatch(line)
		indented := strings.HasPrefix(line, "  ")
		switch {
		case m != nil:
			end()
			head, filling = m[1], m[2]
		case indented && head != "":
			filling += " " + strings.TrimSpace(line)
		case indented:
			end()
			lines = append(lines, line)
		case head != "":
			end()
			filling = line
		default:
			filling = strings.TrimSpace(filling + " " + line)
		}
	}
	end()
	return lines
}

// Command breaks a command of a shell at blanks outside quotes into lines of at most so many columns, with the backslash that makes them one.
func Command(text string, columns int) []string {
	indent := leading(text)
	var words []string
	word, quote := "", rune(0)
	for _, r := range strings.TrimSpace(text) {
		switch {
		case quote == 0 && r == ' ':
			words = append(words, word)
			word = ""
			continue
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case r == quote:
			quote = 0
		}
		word += string(r)
	}
	words = append(words, word)

	var lines []string
	line := indent + words[0]
	for i, w := range words[1:] {
		room := columns
		if i < len(words)-2 {
			room -= 2 // for the backslash
		}
		if Width(line)+1+Width(w) > room {
			lines = append(lines, line+` \`)
			line = indent + "    " + w
			continue
		}
		line += " " + w
	}
	return append(lines, line)
}
