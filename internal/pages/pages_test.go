package pages_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/pages"
)

// repository is every page of it.
func repository(t *testing.T) []*pages.Page {
	t.Helper()
	all, err := pages.All(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("%d pages; there are more", len(all))
	}
	return all
}

func TestRead(t *testing.T) {
	text := strings.Join([]string{
		"# One `two` (three)", "", "See [other](other.md#a), `ballast run` and `[no](link)`.", "",
		"```sh with steps=2", "ls", "    # indented", "```", "", "```text", "a", "```", "", "# One two three", "",
		"<!-- with ctx context.Context -->", "", "```go", "f(ctx)", "```", "", "    not fenced", "```", "open",
	}, "\n")
	p := pages.Read("p.md", text)
	want := []pages.Block{
		{Line: 5, Language: "sh", Words: []string{"with", "steps=2"}, Text: "ls\n    # indented\n"},
		{Line: 10, Language: "text", Words: []string{}, Text: "a\n", Follows: true},
		{Line: 18, Language: "go", Words: []string{}, Text: "f(ctx)\n", With: "ctx context.Context"},
	}
	if len(p.Blocks) != len(want) {
		t.Fatalf("blocks %+v", p.Blocks)
	}
	for i, b := range p.Blocks {
		w := want[i]
		if b.Line != w.Line || b.Language != w.Language || !slices.Equal(b.Words, w.Words) || b.Text != w.Text || b.With != w.With || b.Follows != w.Follows {
			t.Errorf("block %d is %+v, want %+v", i, b, w)
		}
	}
	if p.Title != "One `two` (three)" || !slices.Equal(p.Anchors, []string{"one-two-three", "one-two-three-1"}) {
		t.Errorf("title %q, anchors %q", p.Title, p.Anchors)
	}
	if len(p.Links) != 1 || p.Links[0] != (pages.Link{Line: 3, Target: "other.md#a"}) {
		t.Errorf("links %v", p.Links)
	}
	if len(p.Wrong) != 2 || !strings.Contains(p.Wrong[0], "p.md:22: code that is set apart by spaces") || !strings.Contains(p.Wrong[1], "not closed") {
		t.Errorf("wrong %q", p.Wrong)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		shown, got string
		same       bool
	}{
		{"a\nb\n", "a  \nb\n\n", true}, {"a\n", "a\nb\n", false}, {"a\nb\n", "a\n", false}, {"a\n...\nd\n", "a\nb\nc\nd\n", true},
		{"...\nd\n", "d\n", true}, {"a\n...\n", "a\n", true}, {"a\n...\nd\n", "a\nb\nd\ne\n", false},
		{"took ... s\n", "took 3.1 s\n", true}, {"took ... s\n", "took 3.1 ms\n", false}, {"took ... s\n", "it took 3 s\n", false},
		{"a...b...c\n", "a1b2c\n", true}, {"a...b...c\n", "a1c2b\n", false}, {"ab\n", "a\n", false}, {"b...\n", "ab\n", false},
	} {
		if wrong := pages.Match(c.shown, c.got); (wrong == "") != c.same {
			t.Errorf("Match(%q, %q) = %q", c.shown, c.got, wrong)
		}
	}
}

// languages are what a block may be, and the reasons for which a block of commands is not run.
var languages = map[string][]string{
	"sh": nil, "go": nil, "yaml": {"recipe", "merge", "data"}, "json": nil, "diff": nil, "text": nil,
	"console": {"network", "files", "time", "python", "devices"},
}

// TestBlocks: every block names a language, and what it needs where that has kinds; what is not run says why.
func TestBlocks(t *testing.T) {
	for _, p := range repository(t) {
		for _, wrong := range p.Wrong {
			t.Error(wrong)
		}
		for _, b := range p.Blocks {
			kinds, ok := languages[b.Language]
			switch {
			case !ok:
				t.Errorf("%s:%d: a block of %q; the languages are in CONTRIBUTING.md", p.Path, b.Line, b.Language)
			case kinds != nil && (len(b.Words) == 0 || !slices.Contains(kinds, b.Words[0])):
				t.Errorf("%s:%d: ```%s says none of %s behind its language", p.Path, b.Line, b.Language, strings.Join(kinds, ", "))
			}
		}
	}
}

// TestLinks: every link of a page within the repository leads to a file, and to a heading where it names one.
func TestLinks(t *testing.T) {
	all := repository(t)
	anchors := map[string][]string{}
	for _, p := range all {
		anchors[filepath.Clean(p.Path)] = p.Anchors
	}
	seen := 0
	for _, p := range all {
		for _, l := range p.Links {
			if strings.Contains(l.Target, "://") {
				continue
			}
			seen++
			name, anchor, _ := strings.Cut(l.Target, "#")
			path := filepath.Clean(p.Path)
			if name != "" {
				path = filepath.Join(filepath.Dir(p.Path), filepath.FromSlash(name))
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s:%d: %s leads nowhere: %v", p.Path, l.Line, l.Target, err)
			} else if anchor != "" && !slices.Contains(anchors[path], anchor) {
				t.Errorf("%s:%d: %s: no heading has this name", p.Path, l.Line, l.Target)
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d links within the repository; there are more", seen)
	}
}

// TestIndex: docs/README.md has a line for every page of docs, and no two for one.
func TestIndex(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	text, err := os.ReadFile(filepath.Join(docs, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil || len(paths) < 15 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		if n := strings.Count(string(text), "]("+name+") |"); n != 1 && name != "README.md" {
			t.Errorf("docs/README.md has %d lines for %s", n, name)
		}
	}
}

// address is an address of a server in the source.
var address = regexp.MustCompile(`https?://([a-zA-Z0-9.-]+\.[a-z]{2,})`)

// notFetched are servers that the source names and nothing is fetched from.
var notFetched = map[string]string{
	"arxiv.org": "links to papers", "git-lfs.github.com": "how a pointer of Git LFS begins", "hawser.github.com": "how an old one begins",
}

// TestDownloads: SECURITY.md lists every server that the source, the Makefile and the check fetch from, and no others.
func TestDownloads(t *testing.T) {
	root := filepath.Join("..", "..")
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != root && (name == "testdata" || name == "peers" || name == "pages" || name == "bin" || name == "runs" || name == ".git"):
			return fs.SkipDir
		case e.IsDir() || strings.HasSuffix(name, "_test.go") || filepath.Ext(name) != ".go" && name != "Makefile" && filepath.Base(filepath.Dir(path)) != ".ci":
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range address.FindAllStringSubmatch(string(text), -1) {
			if notFetched[m[1]] == "" {
				found[m[1]] = path
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 3 {
		t.Fatalf("only %v were found", found)
	}

	text, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## What is downloaded")
	section, _, _ = strings.Cut(section, "\n## ")
	for host, path := range found {
		if !strings.Contains(section, "\n| `"+host+"`") {
			t.Errorf("SECURITY.md lists no downloads from %s, which %s names", host, path)
		}
	}
	for _, m := range regexp.MustCompile("\n\\| `([^`]+)`").FindAllStringSubmatch(section, -1) {
		if found[m[1]] == "" {
			t.Errorf("SECURITY.md lists downloads from %s, which the source does not name", m[1])
		}
	}
}

var (
	pathSpan = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)
	symbol   = regexp.MustCompile(`\.[A-Z]\w*(\.\w+)*$`) // of Go, behind its package
)

// TestPathsExist: what a page names as a file or folder of this repository is there.
func TestPathsExist(t *testing.T) {
	root := filepath.Join("..", "..")
	sources := map[string]bool{}
	err := filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(e.Name()) == ".go" {
			sources[e.Name()] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, p := range repository(t) {
		if filepath.Base(p.Path) == "CHANGELOG.md" { // of what was there then
			continue
		}
		for _, s := range p.Spans {
			first, _, inside := strings.Cut(s.Text, "/")
			switch {
			case !pathSpan.MatchString(s.Text), first == "", strings.HasPrefix(first, "."): // no path, or none of the repository
			case inside:
				if stat, err := os.Stat(filepath.Join(root, first)); err != nil || !stat.IsDir() {
					continue
				}
				seen++
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(symbol.ReplaceAllString(s.Text, "")))); err != nil {
					t.Errorf("%s:%d: there is no %s", p.Path, s.Line, s.Text)
				}
			case strings.HasSuffix(s.Text, ".go") && !sources[s.Text]:
				t.Errorf("%s:%d: no file is called %s", p.Path, s.Line, s.Text)
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d paths were seen; the pages name more", seen)
	}
}
