package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tree is the flags of every verb by its path, those of the whole command among them; "" is the command itself.
func tree() map[string][]string {
	root := newRoot(&app{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	verbs := map[string][]string{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		path := strings.TrimSpace(strings.TrimPrefix(c.CommandPath(), root.Name()))
		verbs[path] = []string{}
		add := func(f *pflag.Flag) { verbs[path] = append(verbs[path], f.Name) }
		c.LocalFlags().VisitAll(add)
		c.InheritedFlags().VisitAll(add)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return verbs
}

// texts calls f with every string of the source that is not a test's, and where it stands.
func texts(t *testing.T, f func(text, where string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "testdata" || e.Name() == "peers" || strings.HasPrefix(e.Name(), ".") && path != root) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil {
					f(text, files.Position(literal.Pos()).String())
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	flagWord = regexp.MustCompile(`(?:^|[\s("'=|;,])--([a-z][a-z0-9-]*)(_?)`)
	verbWord = regexp.MustCompile(`\bballast ([a-z]+(?: [a-z]+)?)`)
	// foreign are flags of other programs in texts about them.
	foreign = []string{"version"}
)

// TestMessagesOfferWhatThereIs: every flag and every verb that a message or a help text names is there, so that what it offers to do can be
// done.
func TestMessagesOfferWhatThereIs(t *testing.T) {
	verbs := tree()
	known := map[string]bool{}
	for _, flags := range verbs {
		for _, name := range flags {
			known[name] = true
		}
	}
	for _, name := range foreign {
		known[name] = true
	}

	seen := 0
	texts(t, func(text, where string) {
		for _, m := range flagWord.FindAllStringSubmatch(text, -1) {
			seen++
			if !known[m[1]] && m[2] == "" { // flags of XLA have underscores
				t.Errorf("%s: no verb has the flag --%s: %q", where, m[1], text)
			}
		}
		// A line that is a command is one: its verb has its flags.
		for line := range strings.Lines(text) {
			for _, part := range strings.Split(line, "&&") {
				checkCommand(t, verbs, part, where)
			}
		}
	})
	if seen < 100 {
		t.Errorf("%d flags were seen; the source has more", seen)
	}
}

// checkCommand checks the first command within a text.
func checkCommand(t *testing.T, verbs map[string][]string, text, where string) {
	t.Helper()
	at := verbWord.FindStringSubmatchIndex(text)
	if at == nil {
		return
	}
	words := strings.Fields(text[at[2]:at[3]])
	verb, ok := "", false
	if len(words) == 2 {
		if _, ok = verbs[strings.Join(words, " ")]; ok {
			verb = strings.Join(words, " ")
		}
	}
	if !ok {
		if _, ok = verbs[words[0]]; ok {
			verb = words[0]
		}
	}
	if words[0] == "lock" { // a lock file says whose it is
		return
	}
	if !ok {
		if before := text[:at[0]]; strings.HasSuffix(before, `"`) || strings.TrimSpace(before) == "" || strings.HasSuffix(before, ": ") {
			t.Errorf("%s: there is no verb %q: %q", where, words[0], text)
		}
		return
	}
	rest := text[at[3]:]
	if end := strings.IndexAny(rest, `";|`); end >= 0 {
		rest = rest[:end]
	}
	for _, m := range flagWord.FindAllStringSubmatch(rest, -1) {
		if !slices.Contains(verbs[verb], m[1]) {
			t.Errorf("%s: ballast %s has no flag --%s: %q", where, verb, m[1], text)
		}
	}
}
