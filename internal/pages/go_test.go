package pages_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/pages"
)

const module = "github.com/ballast-ml/ballast"

// importsOf are the packages that a fragment may use without saying so, by name: those of this repository that anybody may import, a part of
// the standard library, and what formulas are written with.
func importsOf(t *testing.T, root string) map[string]string {
	t.Helper()
	known := map[string]string{"model": "github.com/gomlx/gomlx/ml/model", "tensors": "github.com/gomlx/gomlx/core/tensors"}
	for _, std := range []string{"context", "errors", "fmt", "io", "log", "math", "os", "path/filepath", "slices", "strings"} {
		known[path.Base(std)] = std
	}
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "internal" || e.Name() == "cmd" || e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && name != root):
			return fs.SkipDir
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		known[path.Base(filepath.ToSlash(rel))] = module + "/" + filepath.ToSlash(rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}

var elided = regexp.MustCompile(`(?m)^\s*\.\.\.(\s*//.*)?$`)

// source is a whole file of Go made of a block: a program stays as it is, declarations get a package and imports, and statements a function
// around them whose parameters are what the comment before the block declares. Lines of ... are left out.
func source(b pages.Block, known map[string]string) (string, error) {
	text := elided.ReplaceAllString(b.Text, "")
	if _, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution); err == nil {
		return text, nil
	}

	wrapped := "package fragment\n" + text
	file, err := parser.ParseFile(token.NewFileSet(), "", wrapped, parser.SkipObjectResolution)
	if err != nil || b.With != "" {
		wrapped = fmt.Sprintf("package fragment\nfunc _(%s) error {\n%s", b.With, text)
		if file, err = parser.ParseFile(token.NewFileSet(), "", wrapped+"return nil\n}\n", parser.SkipObjectResolution); err != nil {
			return "", err
		}
		for _, name := range defined(file) {
			wrapped += "_ = " + name + "\n"
		}
		wrapped += "return nil\n}\n"
	}
	return strings.Replace(wrapped, "package fragment\n", "package fragment\n"+imports(file, known), 1), nil
}

// defined are the variables that the function of a file defines.
func defined(file *ast.File) []string {
	var names []string
	body := file.Decls[0].(*ast.FuncDecl).Body
	for _, s := range body.List {
		assign, ok := s.(*ast.AssignStmt)
		if !ok || assign.Tok != token.DEFINE {
			continue
		}
		for _, left := range assign.Lhs {
			if name, ok := left.(*ast.Ident); ok && name.Name != "_" && !slices.Contains(names, name.Name) {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

// imports are those of the packages that a file names.
func imports(file *ast.File, known map[string]string) string {
	declared, used, types := map[string]bool{}, map[string]bool{}, map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				declared[name.Name] = true
			}
			ast.Inspect(n.Type, func(n ast.Node) bool { // a parameter may be called as the package of its type
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok {
						types[x.Name] = true
					}
				}
				return true
			})
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
					declared[name.Name] = true
				}
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				used[x.Name] = true
			}
		case *ast.StarExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "Node" {
				used["*Node"] = true
			}
		}
		return true
	})
	var b strings.Builder
	if used["*Node"] {
		b.WriteString("import . \"github.com/gomlx/gomlx/core/graph\"\n")
	}
	for name, from := range known {
		if types[name] || used[name] && !declared[name] {
			fmt.Fprintf(&b, "import %q\n", from)
		}
	}
	return b.String()
}

// TestGo: the Go of the documents compiles in a module of its own, as a reader's would, against this repository.
func TestGo(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	known := importsOf(t, root)
	dir := t.TempDir()
	places := map[string]string{}
	for _, p := range repository(t) {
		for _, b := range p.Blocks {
			if b.Language != "go" {
				continue
			}
			where := fmt.Sprintf("%s:%d", p.Path, b.Line)
			text, err := source(b, known)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			name := fmt.Sprintf("%s%d", strings.ToLower(strings.TrimSuffix(filepath.Base(p.Path), ".md")), b.Line)
			places[name] = where
			if err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o750), os.WriteFile(filepath.Join(dir, name, "a.go"), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(places) < 3 {
		t.Errorf("%d blocks of Go; there are more", len(places))
	}
	if err := readerModule(root, dir); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command("go", "vet", "-printf", "./...") // types, without linking programs
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		said := string(out)
		for name, where := range places {
			said = strings.ReplaceAll(said, name+string(filepath.Separator)+"a.go", where)
		}
		t.Errorf("%v\n%s", err, said)
	}
}

// readerModule makes the module: what this repository needs, and itself from where it lies.
func readerModule(root, dir string) error {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return err
	}
	text := strings.Replace(string(mod), "module "+module, "module example.com/reader", 1)
	text += fmt.Sprintf("\nrequire %s v0.0.0\nreplace %s => %s\n", module, module, root)
	return errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
}

// TestDiff: the lines that a difference shows stand in the file that it names, with anything for "...".
func TestDiff(t *testing.T) {
	seen := 0
	for _, p := range repository(t) {
		for _, b := range p.Blocks {
			if b.Language != "diff" {
				continue
			}
			var name string
			var has []string
			for line := range strings.Lines(b.Text) {
				line = strings.TrimRight(line, "\n")
				if file, ok := strings.CutPrefix(line, "+++ "); ok {
					text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
					if err != nil {
						t.Fatalf("%s:%d: %v", p.Path, b.Line, err)
					}
					name, has = file, strings.Split(string(text), "\n")
					continue
				}
				if len(line) < 2 || strings.TrimSpace(line[1:]) == "..." {
					continue
				}
				seen++
				if !slices.ContainsFunc(has, func(s string) bool { return pages.Match(elidedBody(line[1:]), elidedBody(s)) == "" }) {
					t.Errorf("%s:%d: %s has no line %q", p.Path, b.Line, name, line[1:])
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no line of a difference was compared")
	}
}

// elidedBody is the line of a function whose body stands behind it, without the body.
func elidedBody(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, " ... }"), "{")
}
