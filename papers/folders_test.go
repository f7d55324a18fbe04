package papers

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
)

// TestGoldenSlugsAreClaimed looks at every slug of the list, of the folders' testdata, and of the folder that BALLAST_GOLDEN names: the
// TestGolden of one folder, that of the slug, must run its cases.
func TestGoldenSlugsAreClaimed(t *testing.T) {
	claimed := map[string]bool{}
	slugs := map[string]string{} // slug -> where it comes from
	for _, folder := range foldersIn(t, ".") {
		if folder == "paper" || folder == "testdata" {
			continue
		}
		slugs[folder] = "papers/" + folder
		for _, slug := range claims(t, filepath.Join(folder, "golden_test.go"), strings.ReplaceAll(folder, "-", "")) {
			if slug != folder {
				t.Errorf("papers/%s runs the cases of %s", folder, slug)
			}
			claimed[slug] = true
		}
		root := filepath.Join(folder, "testdata", "golden")
		for _, slug := range foldersIn(t, root) {
			if slug != folder {
				t.Errorf("%s has cases of %s, which papers/%s does not run", root, slug, folder)
			}
		}
		if _, err := golden.List(root, folder); err != nil {
			t.Error(err)
		}
	}
	for _, p := range List() {
		slugs[p.Slug] = "the list"
	}
	if os.Getenv(golden.EnvFolder) != "" {
		root := golden.Root(t)
		given := foldersIn(t, root)
		if len(given) == 0 {
			t.Errorf("%s has no folder of cases", root)
		}
		for _, slug := range given {
			slugs[slug] = root
		}
	}
	for slug, from := range slugs {
		t.Run(slug, func(t *testing.T) {
			if !claimed[slug] {
				t.Errorf("%s: no TestGolden of papers/%s runs its cases", from, slug)
			}
		})
	}
}

// foldersIn are the names of the folders in a folder.
func foldersIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// claims are the slugs whose cases the TestGolden of a file runs: the text that each of its calls gets behind t.
func claims(t *testing.T, path, pkg string) (slugs []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Error(err)
		return nil
	}
	if file.Name.Name != pkg {
		t.Errorf("%s is of package %s, want %s", path, file.Name.Name, pkg)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "TestGolden" {
			continue
		}
		for _, s := range f.Body.List {
			e, ok := s.(*ast.ExprStmt)
			if !ok {
				continue
			}
			call, ok := e.X.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				continue
			}
			text, ok := call.Args[1].(*ast.BasicLit)
			if !ok {
				continue
			}
			if slug, err := strconv.Unquote(text.Value); err == nil {
				slugs = append(slugs, slug)
			}
		}
	}
	return slugs
}
