//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/pages"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/merge/checkpoint"
	"github.com/ballast-ml/ballast/metric"
)

// documents are the pages of this repository; CONTRIBUTING.md says what their blocks mean.
func documents(t *testing.T) []*pages.Page {
	t.Helper()
	all, err := pages.All(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pageTime is the longest that one block of commands may take.
const pageTime = 2 * time.Minute

// TestDocumentsRun runs the commands that the documents show, as a reader would: the blocks of a page one after the other, in a new folder
// with what readerFiles makes, with the command itself, on the Go engine, without a network and with a home of its own. What a block
// prints is compared with the text behind it.
func TestDocumentsRun(t *testing.T) {
	ran := 0
	for _, p := range documents(t) {
		blocks := p.Blocks
		if slices.ContainsFunc(blocks, func(b pages.Block) bool { return b.Language == "sh" }) {
			ran++
			t.Run(filepath.Base(p.Path), func(t *testing.T) {
				t.Parallel()
				runPage(t, p.Path, blocks)
			})
		}
	}
	if ran < 5 {
		t.Errorf("%d pages have commands that run; there are more", ran)
	}
}

// runPage runs the blocks of a page.
func runPage(t *testing.T, path string, blocks []pages.Block) {
	dir := t.TempDir()
	if err := readerFiles(dir); err != nil {
		t.Fatal(err)
	}
	bin := commandFolder(t)
	var printed string
	for _, b := range blocks {
		switch {
		case b.Language == "yaml" && len(b.Words) > 1: // a file that the commands behind it read
			if err := os.WriteFile(filepath.Join(dir, b.Words[1]), []byte(b.Text), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.Language == "sh":
			began := time.Now()
			var err error
			if printed, err = runBlock(dir, bin, b); err != nil {
				t.Fatalf("%s:%d: %v", path, b.Line, err)
			}
			t.Logf("line %d: %s", b.Line, time.Since(began).Round(time.Millisecond))
		case b.Language == "text" && (b.Follows && printed != "" || b.Word("output")):
			if wrong := pages.Match(b.Text, printed); wrong != "" {
				t.Errorf("%s:%d: what the commands above print is not what the page shows: %s\nprinted:\n%s", path, b.Line, wrong, printed)
			}
		}
		if b.Language != "sh" {
			printed = ""
		}
	}
}

// runBlock runs the commands of a block and returns what they print.
func runBlock(dir, bin string, b pages.Block) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pageTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", b.Text)
	var out, errOut bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errOut
	const nowhere = "http://127.0.0.1:9"
	cmd.Env = append(os.Environ(),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+filepath.Join(dir, ".home"), "BALLAST_HOME="+filepath.Join(dir, ".home", "ballast"),
		"BALLAST_ENGINE=go", "GOPROXY=off", "PIP_INDEX_URL="+nowhere, "http_proxy="+nowhere, "https_proxy="+nowhere, "BALLAST_TEST_WITH="+settingsOf(b),
	)
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w\n%s%s", err, cut(out.String()), cut(errOut.String()))
	}
	return out.String(), nil
}

// settingsOf are the settings of ```sh with KEY=VALUE ..., by which training is made short.
func settingsOf(b pages.Block) string {
	if len(b.Words) == 0 || b.Words[0] != "with" {
		return ""
	}
	return strings.Join(b.Words[1:], " ")
}

// commandFolder is a folder for PATH with the command: the test binary as child runs it, with the settings of the block where it trains.
func commandFolder(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\ncase \"$1\" in train|compare|inpaint) ;; *) BALLAST_TEST_WITH= ;; esac\n%s=1 exec %q \"$@\" $BALLAST_TEST_WITH\n", asCommand, self)
	if err := os.WriteFile(filepath.Join(bin, "ballast"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return bin
}

// TestDocumentsParse: commands that are not run have verbs, flags, settings and numbers of arguments that there are; recipes, merges and
// data sets are read, and JSON is JSON.
func TestDocumentsParse(t *testing.T) {
	seen := map[string]int{}
	for _, p := range documents(t) {
		for _, b := range p.Blocks {
			where := fmt.Sprintf("%s:%d", p.Path, b.Line)
			seen[strings.Join(append([]string{b.Language}, b.Words...), " ")]++
			var err error
			switch b.Language {
			case "console", "sh":
				err = parseCommands(b.Text)
			case "yaml":
				err = decodeYAML(b)
			case "json":
				if !json.Valid([]byte(b.Text)) {
					err = errors.New("this is not JSON")
				}
			}
			if err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
		for _, s := range p.Spans {
			if strings.HasPrefix(s.Text, "ballast ") {
				checkCommand(t, tree(), s.Text, fmt.Sprintf("%s:%d", p.Path, s.Line))
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("blocks %v; there are more kinds", seen)
	}
}

// decodeYAML reads a block as what its second word says it is.
func decodeYAML(b pages.Block) error {
	switch b.Words[0] {
	case "recipe":
		settings, err := strict.Settings([]byte(b.Text))
		if err == nil {
			_, err = lab.Recipe(settings)
		}
		return err
	case "merge":
		_, err := checkpoint.ParseRecipes("recipe.yaml", []byte(b.Text))
		return err
	}
	settings, err := strict.YAML([]byte("sets:\n" + b.Text))
	if err != nil {
		return err
	}
	var list struct {
		Sets []data.Choice `json:"sets"`
	}
	return strict.DecodeMap(settings, &list)
}

// hereDocument is a file that commands write: its name and what is in it.
var hereDocument = regexp.MustCompile(`(?s)cat > (\S+) <<END\n(.*?\n)END\n`)

// parseCommands holds the commands of a block against the verbs.
func parseCommands(text string) error {
	for _, m := range hereDocument.FindAllStringSubmatch(text, -1) {
		if strings.HasSuffix(m[1], ".yaml") {
			if err := decodeYAML(pages.Block{Words: []string{"recipe"}, Text: m[2]}); err != nil {
				return fmt.Errorf("%s: %w", m[1], err)
			}
		}
	}
	text = hereDocument.ReplaceAllString(text, "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		for _, words := range commandsOf(line) {
			if words[0] != "ballast" {
				continue
			}
			if err := parseCommand(words[1:]); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
			}
		}
	}
	return nil
}

// parseCommand holds one command against its verb: flags, number of arguments, and settings of a recipe.
func parseCommand(args []string) error {
	var out bytes.Buffer
	root := newRoot(&app{out: &out, err: &out})
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err = cmd.ParseFlags(rest); err != nil {
		return err
	}
	rest = cmd.Flags().Args()
	if err = cmd.ValidateArgs(rest); err != nil {
		return err
	}
	if cmd.Name() != "train" && cmd.Name() != "compare" {
		return nil
	}
	if len(rest) > 0 && cmd.Name() == "train" && isRecipeFile(rest[0]) {
		rest = rest[1:]
	}
	combinations, err := lab.Expand(rest)
	for _, overrides := range combinations {
		if _, err := lab.Recipe(map[string]any{}, overrides...); err != nil {
			return err
		}
	}
	return err
}

// commandsOf are the words of each command of a line, without what redirects it and without a comment.
func commandsOf(line string) [][]string {
	var all [][]string
	var words []string
	var word strings.Builder
	begun := false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	next := func() {
		end()
		if at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, ">") || strings.HasPrefix(w, "2>") }); at >= 0 {
			words = words[:at]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	quote := rune(0)
	for _, c := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == '#' && !begun:
			next()
			return all
		case c == ' ':
			end()
		case c == '|' || c == ';' || c == '&':
			next()
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	next()
	return all
}

// TestGlossaryHasEveryNumber: the glossary has the name and the title of every number that evaluate prints.
func TestGlossaryHasEveryNumber(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var printed []byte
	for _, args := range []string{
		"train prepare=[{name:long-tail,most:120,ratio:50,least:2}] network=mlp network.hidden=[8] steps=2 --out run -q",
		"evaluate run/model --data optdigits --suite " + strings.Join(evaluate.Names(), ",") + " --training optdigits --json -q",
	} {
		cmd := child(dir, strings.Fields(args)...)
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		if printed, err = cmd.Output(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, errOut.String())
		}
	}
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(printed, &sections); err != nil {
		t.Fatal(err)
	}

	seen := 0
	for suite, raw := range sections {
		var section struct {
			Numbers []metric.Number `json:"numbers"`
		}
		if json.Unmarshal(raw, &section) != nil { // what is said of the whole
			continue
		}
		for _, n := range section.Numbers {
			seen++
			row := glossaryRow(n)
			if !strings.Contains(string(text), row) {
				t.Errorf("%s: docs/glossary.md has no row that begins %s", suite, row)
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d numbers were seen; evaluate prints more", seen)
	}
}

var (
	anyNumber = regexp.MustCompile(`[0-9]+`)
	inDetail  = regexp.MustCompile(` \(.*`)
)

// glossaryRow is how the row of a number begins: its name and its title, with N for digits.
func glossaryRow(n metric.Number) string {
	name := anyNumber.ReplaceAllString(n.Name, "N")
	title := anyNumber.ReplaceAllString(inDetail.ReplaceAllString(n.Title, ""), "N")
	return "| `" + name + "` | " + title
}
