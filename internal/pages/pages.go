// Package pages reads the documentation's pages so that tests can check them: code blocks with their languages, headings and links.
// It reads only the subset of Markdown that this repository uses.
package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Page is one file of Markdown.
type Page struct {
	Path    string   // as it was opened
	Title   string   // the first heading
	Blocks  []Block  // in order
	Anchors []string // of the headings, as GitHub names them
	Links   []Link
	Spans   []Span   // code within lines
	Wrong   []string // what breaks the rules of Markdown here, each with its line
}

// Block is one block of code between fences.
type Block struct {
	Line     int      // of the opening fence, from 1 on
	Language string   // the first word behind the fence
	Words    []string // the others
	Text     string   // with a line break at its end
	With     string   // what a comment <!-- with ... --> right before the block declares for it
	Follows  bool     // nothing but blank lines lies between the block before and this one
}

// Link is one link or picture.
type Link struct {
	Line   int
	Target string
}

// Span is one piece of code within a line.
type Span struct {
	Line int
	Text string
}

// Word reports whether a word follows the language.
func (b Block) Word(word string) bool { return slices.Contains(b.Words, word) }

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	spanPattern    = regexp.MustCompile("`([^`]+)`")
	withPattern    = regexp.MustCompile(`^<!-- with (.*) -->$`)
	headingPattern = regexp.MustCompile(`^#{1,6} +(.*)$`)
)

// All opens the README, what lies beside it, and every page of docs. root is the folder of the repository.
func All(root string) ([]*Page, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"} {
		paths = append(paths, filepath.Join(root, name))
	}

	all := make([]*Page, 0, len(paths))
	for _, path := range paths {
		text, err := os.ReadFile(path) //nolint:gosec // a page of the repository
		if err != nil {
			return nil, err
		}
		all = append(all, Read(path, string(text)))
	}
	return all, nil
}

// Read reads a page. What breaks the rules is in Wrong: a fence that is not closed, and code that is set apart by spaces, which has no
// language.
func Read(path, text string) *Page {
	r := &reader{page: &Page{Path: path}}
	for line := range strings.SplitSeq(text, "\n") {
		r.line++
		r.take(line)
	}
	if r.open != nil {
		r.wrong("the block is not closed")
	}
	return r.page
}

// reader is where reading a page stands.
type reader struct {
	page *Page
	line int

	open  *Block // the block that is being read
	body  strings.Builder
	with  string // the comment before the next block
	blank bool   // the line before was blank, or there was none
	text  bool   // something but blank lines lies behind the last block
}

func (r *reader) wrong(format string, args ...any) {
	r.page.Wrong = append(r.page.Wrong, fmt.Sprintf("%s:%d: ", r.page.Path, r.line)+fmt.Sprintf(format, args...))
}

func (r *reader) take(line string) {
	if r.open != nil {
		r.within(line)
		return
	}

	trimmed := strings.TrimSpace(line)
	info, fence := strings.CutPrefix(trimmed, "```")
	switch {
	case fence:
		words := strings.Fields(info)
		r.open = &Block{Line: r.line, With: r.with, Follows: !r.text && len(r.page.Blocks) > 0}
		if len(words) > 0 {
			r.open.Language, r.open.Words = words[0], words[1:]
		}
		r.with, r.text = "", false
		r.body.Reset()
	case trimmed == "":
	case withPattern.MatchString(trimmed):
		r.with = withPattern.FindStringSubmatch(trimmed)[1]
	default:
		if strings.HasPrefix(line, "    ") && r.blank {
			r.wrong("code that is set apart by spaces; put it between fences that name its language")
		}
		r.with, r.text = "", true
		r.prose(line)
	}
	r.blank = trimmed == ""
}

// within takes a line of a block.
func (r *reader) within(line string) {
	if strings.TrimSpace(line) != "```" {
		r.body.WriteString(line + "\n")
		return
	}
	r.open.Text = r.body.String()
	r.page.Blocks = append(r.page.Blocks, *r.open)
	r.open = nil
}

// prose takes a line of text.
func (r *reader) prose(line string) {
	if m := headingPattern.FindStringSubmatch(line); m != nil {
		if r.page.Title == "" {
			r.page.Title = m[1]
		}
		r.page.Anchors = append(r.page.Anchors, Anchor(m[1], r.page.Anchors))
	}
	for _, m := range spanPattern.FindAllStringSubmatch(line, -1) {
		r.page.Spans = append(r.page.Spans, Span{r.line, m[1]})
	}
	for _, m := range linkPattern.FindAllStringSubmatch(spanPattern.ReplaceAllString(line, "`"), -1) {
		r.page.Links = append(r.page.Links, Link{r.line, m[1]})
	}
}

// Anchor is what GitHub calls a heading in addresses: small letters, digits, - and _, spaces as -, with a number where the name is taken.
func Anchor(heading string, taken []string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(linkPattern.ReplaceAllString(heading, "]")) {
		switch {
		case c == ' ':
			b.WriteByte('-')
		case c == '-', c == '_', unicode.IsLetter(c), unicode.IsDigit(c):
			b.WriteRune(c)
		}
	}
	name := b.String()
	for n := 1; slices.Contains(taken, name); n++ {
		name = fmt.Sprintf("%s-%d", b.String(), n)
	}
	return name
}

// Match reports where an output differs from what a page shows of it, as a sentence; "" if it does not. In what is shown a line of ... stands
// for any lines, and ... within a line for any text. Spaces at the end of a line do not count.
func Match(shown, got string) string {
	want, have := lines(shown), lines(got)
	if matchLines(want, have) {
		return ""
	}
	for i, line := range want {
		if strings.TrimSpace(line) == "..." {
			break
		}
		if i >= len(have) {
			return fmt.Sprintf("it ends before the line %q", line)
		}
		if !matchLine(line, have[i]) {
			return fmt.Sprintf("line %d is %q; the page shows %q", i+1, have[i], line)
		}
	}
	return fmt.Sprintf("it is %q; the page shows %q", got, shown)
}

func lines(text string) []string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range all {
		all[i] = strings.TrimRight(all[i], " \t")
	}
	return all
}

func matchLines(want, have []string) bool {
	if len(want) == 0 {
		return len(have) == 0
	}
	if strings.TrimSpace(want[0]) == "..." {
		for skip := range len(have) + 1 {
			if matchLines(want[1:], have[skip:]) {
				return true
			}
		}
		return false
	}
	return len(have) > 0 && matchLine(want[0], have[0]) && matchLines(want[1:], have[1:])
}

func matchLine(want, have string) bool {
	parts := strings.Split(want, "...")
	for i, part := range parts {
		at := strings.Index(have, part)
		if at < 0 || i == 0 && at != 0 {
			return false
		}
		if i == len(parts)-1 && i > 0 {
			return strings.HasSuffix(have, part)
		}
		have = have[at+len(part):]
	}
	return have == ""
}
