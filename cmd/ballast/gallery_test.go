package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/engine"
)

// hostile is one input from a stranger and what the command must make of it. Each runs the real command in a child process
// whose address space is limited; whatever the input, the child must end in time, without a stack, without an unescaped control
// character, and leave its folder as it was.
type hostile struct {
	kind  string // kind of attack, as SECURITY.md lists them: "amplification", "checksum", "overflow" ...
	name  string
	files func(dir string) error // writes the input into the working folder of the command
	run   []string               // the command's arguments; paths are relative to that folder
	env   []string               // NAME=VALUE of its environment, on top of the test's; BALLAST_HOME may be relative to that folder too
	exit  []int                  // exit codes that are right; nil means 3
	want  string                 // regular expression for standard output and error together; "" for any

	engine bool          // the verb opens an engine: it is run on each, and its memory is held against memory instead
	memory int64         // most resident bytes; 0 means 64 MB + 4 x the size of the input (2 GB where an engine is opened)
	within time.Duration // most time; 0 means 10 s
	writes bool          // the verb writes into its folder
}

// gallery is every hostile input, area by area.
func gallery() []hostile {
	return slices.Concat(galleryArrays(), galleryPyTorch(), galleryONNX(), galleryRecipes(), galleryBundles(), galleryData(), galleryReaders(), galleryNames(), galleryEscapes(), galleryPaths())
}

// TestGallery runs a sample of the gallery, or all of it if BALLAST_GALLERY is all ("make gallery").
func TestGallery(t *testing.T) {
	all := os.Getenv("BALLAST_GALLERY") == "all"
	if testing.Short() && !all {
		t.Skip("make gallery runs it")
	}
	seen, counts := map[string]bool{}, map[string]int{}
	for i, h := range gallery() {
		if id := h.kind + "/" + h.name; seen[id] {
			t.Errorf("%s stands in the gallery twice", id)
		} else {
			seen[id] = true
		}
		first := counts[h.kind] == 0
		counts[h.kind]++
		if !all && !first && i%galleryEvery != 0 {
			continue
		}
		kinds := []string{"go"}
		if h.engine && galleryXLA() {
			kinds = append(kinds, "xla:cpu")
		}
		for _, kind := range kinds {
			t.Run(h.kind+"/"+h.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				h.check(t, kind)
			})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%-20s %d", kind, counts[kind])
	}
}

// galleryEvery is the stride of the sample that every check runs.
const galleryEvery = 5

// galleryXLA reports whether XLA's plugin is installed here.
var galleryXLA = sync.OnceValue(func() bool {
	e, err := engine.Open("xla:cpu")
	if err != nil {
		return false
	}
	e.Close()
	return true
})

func (h hostile) check(t *testing.T, engine string) {
	dir := t.TempDir()
	if err := h.files(dir); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	within := h.within
	if within == 0 {
		within = 10 * time.Second
	}
	result := runHostileWith(t, dir, engine, within, h.env, h.run...)
	if result.late {
		t.Fatalf("it still ran after %v\n%s", within, result.text)
	}
	want := h.exit
	if want == nil {
		want = []int{exitBadInput}
	}
	if !slices.Contains(want, result.code) {
		t.Errorf("exit code %d, want %v\n%s", result.code, want, cut(result.text))
	}
	if h.want != "" && !regexp.MustCompile(h.want).MatchString(result.text) {
		t.Errorf("want %q in\n%s", h.want, cut(result.text))
	}
	for _, trace := range []string{"goroutine ", "panic:", "runtime error", "terminate called", "fatal error:", "SIGABRT", "nil pointer"} {
		if strings.Contains(result.text, trace) {
			t.Errorf("%q reached the user:\n%s", trace, cut(result.text))
		}
	}
	for i, r := range result.text {
		raw := false // a byte that is not UTF-8; the replacement character itself may stand there
		if r == utf8.RuneError {
			_, width := utf8.DecodeRuneInString(result.text[i:])
			raw = width <= 1
		}
		if raw || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && r != '\n' && r != '\t' {
			t.Errorf("%U came through at byte %d of\n%s", r, i, cut(fmt.Sprintf("%q", result.text)))
			break
		}
	}
	if strings.Contains("\n"+result.text, "\nFORGED") {
		t.Errorf("a line break in a name begins a line:\n%s", cut(result.text))
	}
	if len(result.text) > 1<<20 {
		t.Errorf("it printed %d bytes", len(result.text))
	}
	most := h.memory
	switch {
	case most == 0 && h.engine:
		most = 2 << 30
	case most == 0:
		most = 64<<20 + 4*before.bytes
	}
	if result.peak > most {
		t.Errorf("it took %d MB, at most %d MB are right for %d bytes", result.peak>>20, most>>20, before.bytes)
	}
	if after := listing(t, dir); !h.writes && after.names != before.names {
		t.Errorf("the folder was\n%s\nand is\n%s", before.names, after.names)
	}
}

// childResult is how a child process ended.
type childResult struct {
	text string // standard output, then standard error
	code int
	peak int64 // resident bytes
	late bool
}

// runHostile runs the command in dir as a child process with a limited address space.
func runHostile(t *testing.T, dir, engine string, within time.Duration, args ...string) childResult {
	t.Helper()
	return runHostileWith(t, dir, engine, within, nil, args...)
}

// runHostileWith is runHostile with variables on top of the test's environment.
func runHostileWith(t *testing.T, dir, engine string, within time.Duration, env []string, args ...string) childResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, installed(), args...) //nolint:gosec // the test itself
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asCommand+"=1", addressSpace+"=12884901888", "BALLAST_ENGINE="+engine)
	noted := filepath.Join(t.TempDir(), "peak")
	cmd.Env = append(append(cmd.Env, env...), peakFile+"="+noted)
	cmd.WaitDelay = time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	r := childResult{text: out.String() + errOut.String(), late: ctx.Err() != nil}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !r.late {
		t.Fatal(err)
	}
	if cmd.ProcessState != nil {
		r.code, r.peak = cmd.ProcessState.ExitCode(), peakOf(cmd.ProcessState, noted)
	}
	return r
}

// installed is a copy of the test itself. The pages of a program that was just linked count 14 MB more for its memory than those of one
// that was copied into place, as installing does.
var installed = sync.OnceValue(func() string {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		return os.Args[0]
	}
	dir, err := os.MkdirTemp("", "ballast-gallery-")
	if err != nil {
		return os.Args[0]
	}
	removeAtEnd = append(removeAtEnd, dir)
	path := filepath.Join(dir, filepath.Base(os.Args[0]))
	if os.WriteFile(path, content, 0o755) != nil { //nolint:gosec // a program
		return os.Args[0]
	}
	return path
})

// asCommand is the variable that makes the test binary the command itself.
const asCommand = "BALLAST_TEST_AS_COMMAND"

type folderListing struct {
	names string
	bytes int64
}

// listing is the names, sizes and times of all that is in a folder.
func listing(t *testing.T, dir string) (l folderListing) {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if info.Mode().IsRegular() {
			l.bytes += info.Size()
			fmt.Fprintf(&b, "%s %d %v\n", rel, info.Size(), info.ModTime())
		} else {
			fmt.Fprintf(&b, "%s %v\n", rel, info.Mode().Type())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	l.names = b.String()
	return l
}

func cut(text string) string {
	if len(text) > 2000 {
		return text[:1000] + "\n...\n" + text[len(text)-1000:]
	}
	return text
}

// file writes one file.
func file(name string, content []byte) func(dir string) error {
	return func(dir string) error { return put(filepath.Join(dir, filepath.FromSlash(name)), content) }
}

// put writes a file and the folders above it.
func put(path string, content []byte) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644))
}
