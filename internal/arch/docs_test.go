package arch

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sources are the files of a package, without those of testdata.
type sources struct {
	files, tests []*ast.File
}

// public reads every package that a program can import, by its path below the module.
func public(t *testing.T) map[string]*sources {
	t.Helper()
	root := filepath.Join("..", "..")
	all := map[string]*sources{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			name := e.Name()
			if path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "internal", "cmd", "runs", "bin"}, name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(dir)
		if all[pkg] == nil {
			all[pkg] = &sources{}
		}
		if s := all[pkg]; strings.HasSuffix(path, "_test.go") {
			s.tests = append(s.tests, file)
		} else {
			s.files = append(s.files, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, s := range all {
		if len(s.files) == 0 { // tests alone, such as those of a format's cases
			delete(all, pkg)
		}
	}
	return all
}

// battery reports whether a package is for tests: it imports testing, or is what tests of several packages share.
func (s *sources) battery() bool {
	return slices.ContainsFunc(s.files, func(f *ast.File) bool {
		return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing"` })
	}) || strings.HasSuffix(s.files[0].Name.Name, "test")
}

// TestPublicPackagesSayWhatTheyAre: every package that a program can import begins with a comment on what it is for, and shows its use in an
// example whose output is compared. Batteries need the comment alone: what they are called with is a test. So do the folders of papers, which
// package papers lists and shows.
func TestPublicPackagesSayWhatTheyAre(t *testing.T) {
	packages := public(t)
	if len(packages) < 60 {
		t.Fatalf("found %d packages", len(packages))
	}
	for pkg, s := range packages {
		if comments(s.files) != 1 {
			t.Errorf("%s has %d package comments that begin with \"Package %s\"; want one", pkg, comments(s.files), s.files[0].Name.Name)
		}
		paper := strings.HasPrefix(pkg, "papers/") && pkg != "papers/paper"
		if s.battery() || paper {
			continue
		}
		if compared(s.tests) == 0 {
			t.Errorf("%s has no example whose output is compared; write one into example_test.go that a reader learns its use from", pkg)
		}
	}
}

// comments counts the files with a package comment.
func comments(files []*ast.File) (n int) {
	for _, f := range files {
		if f.Doc != nil && strings.HasPrefix(f.Doc.Text(), "Package "+f.Name.Name+" ") {
			n++
		}
	}
	return n
}

// compared counts the examples that go test runs.
func compared(tests []*ast.File) (n int) {
	for _, e := range doc.Examples(tests...) {
		if e.Output != "" || e.EmptyOutput {
			n++
		}
	}
	return n
}

// TestPlantedPackagesAreCaught holds the rule against packages that break it.
func TestPlantedPackagesAreCaught(t *testing.T) {
	parse := func(text string) *ast.File {
		f, err := parser.ParseFile(token.NewFileSet(), "planted.go", text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for text, want := range map[string]int{
		"package x": 0, "// Package y is.\npackage x": 0, "// Package x is.\npackage x": 1, "// Package x is.\n\npackage x": 0,
	} {
		if got := comments([]*ast.File{parse(text)}); got != want {
			t.Errorf("%q: %d comments, want %d", text, got, want)
		}
	}
	for text, want := range map[string]int{
		"package x\nfunc Example() {}": 0, "package x\nfunc Example() {\n// Output: 1\n}": 1, "package x\nfunc ExampleY() {\n// Unordered output: 1\n}": 1,
		"package x\nfunc Helper() {\n// Output: 1\n}": 0,
	} {
		if got := compared([]*ast.File{parse(text)}); got != want {
			t.Errorf("%q: %d examples, want %d", text, got, want)
		}
	}
	if (&sources{files: []*ast.File{parse("package x")}}).battery() || !(&sources{files: []*ast.File{parse("package xtest")}}).battery() ||
		!(&sources{files: []*ast.File{parse("package x\nimport \"testing\"")}}).battery() {
		t.Error("a battery is not known by its name or what it imports")
	}
}
