package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// GoSource is the source "go-source": the bytes of packages of Go's standard library, without their tests, as one text. The part train has
// the first nine tenths of each file, test the rest, all both. It reads the installed Go: another version of Go is another text.
type GoSource struct {
	Packages []string `json:"packages"` // of the standard library; [strings, sort]
	Context  int      `json:"context"`  // tokens of an example, at least 1; 32
	Stride   int      `json:"stride"`   // tokens from the start of one example to that of the next, at least 1; 32
}

var _ Source = GoSource{}

// NewGoSource returns the text of strings and sort in pieces of 32 bytes that do not overlap.
func NewGoSource() GoSource {
	return GoSource{Packages: []string{"strings", "sort"}, Context: 32, Stride: 32}
}

// maxGoSource is the most bytes of a file of Go that are read.
const maxGoSource = 16 << 20

// Open reads the files of the packages in the order of their names. Errors if Go is not installed, or has no such package.
func (s GoSource) Open(part string) (Dataset, error) {
	switch {
	case !slices.Contains(parts, part):
		return nil, usage("data: no part %q; use train, test or all", part)
	case s.Context < 1 || s.Stride < 1:
		return nil, usage("data: go-source: context is %d, stride is %d; use at least 1", s.Context, s.Stride)
	case len(s.Packages) == 0:
		return nil, usage("data: go-source: packages is empty; name packages of Go's standard library, such as strings")
	}
	var tokens []int32
	for _, name := range s.Packages {
		files, err := goFiles(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			content, err := untrusted.ReadFile(file, maxGoSource)
			if err != nil {
				return nil, fmt.Errorf("data: go-source: %w", err)
			}
			for _, b := range partOf(content, part) {
				tokens = append(tokens, int32(b))
			}
		}
	}
	if len(tokens) < s.Context {
		return nil, usage("data: go-source: the part %s has %d bytes, context is %d; use more packages or a smaller context", part, len(tokens), s.Context)
	}
	return newGoText(s, part, tokens), nil
}

// partOf is what a part has of a file.
func partOf(content []byte, part string) []byte {
	cut := len(content) * 9 / 10
	switch part {
	case "train":
		return content[:cut]
	case "test":
		return content[cut:]
	}
	return content
}

// goFiles are the files of a package of the standard library, without tests.
func goFiles(name string) ([]string, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, usage("data: go-source: package %q is none of Go's standard library; name one, such as strings", name)
	}
	folder := filepath.Join(build.Default.GOROOT, "src", filepath.FromSlash(name))
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("data: go-source: there is no source of package %s in %s; install Go, or set GOROOT to where it is", name, folder)
	}
	if err != nil {
		return nil, fmt.Errorf("data: go-source: %w", err)
	}
	var files []string
	for _, e := range entries {
		if n := e.Name(); strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") {
			files = append(files, filepath.Join(folder, n))
		}
	}
	if len(files) == 0 {
		return nil, usage("data: go-source: there is no file of Go in %s; name a package", folder)
	}
	return files, nil
}

// goText is a text of bytes. Its classes are the bytes; an example has none of its own, and is labelled 0.
type goText struct {
	info   Info
	tokens []int32
	starts []int32
}

var _ Tokens = (*goText)(nil)

func newGoText(s GoSource, part string, tokens []int32) *goText {
	t := &goText{tokens: tokens}
	for from := 0; from+s.Context <= len(tokens); from += s.Stride {
		t.starts = append(t.starts, int32(from))
	}
	classes := make([]string, 256)
	for b := range classes {
		classes[b] = strconv.QuoteRuneToASCII(rune(b))
	}
	text := make([]byte, len(tokens))
	for i, b := range tokens {
		text[i] = byte(b)
	}
	sum := sha256.Sum256(text)
	t.info = Info{
		Name: "go-source " + strings.Join(s.Packages, ", "), Part: part, Examples: len(t.starts), Shape: []int{s.Context}, Classes: classes,
		Origin: "the source of Go's standard library, as installed", Licence: "BSD-3-Clause",
		Checksum: derived(hex.EncodeToString(sum[:]), fmt.Sprintf("windows of %d every %d", s.Context, s.Stride)),
	}
	return t
}

func (t *goText) Info() Info      { return t.info }
func (t *goText) Len() int        { return len(t.starts) }
func (t *goText) Label(int) int32 { return 0 }
func (t *goText) Stream() []int32 { return t.tokens }
func (t *goText) Starts() []int32 { return t.starts }
func (t *goText) Window() int     { return t.info.Shape[0] }

func (t *goText) Read(i int, dst []float32) error {
	from := int(t.starts[i])
	for k, b := range t.tokens[from : from+t.Window()] {
		dst[k] = float32(b)
	}
	return nil
}
