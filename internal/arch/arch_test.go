package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestImportsFollowTheOrder reads the sources itself: the test cache then knows when to run it again.
func TestImportsFollowTheOrder(t *testing.T) {
	imports := map[string][]string{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if name := e.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "runs" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		pkg := Module + "/" + filepath.ToSlash(dir)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[pkg] = append(imports[pkg], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) < 20 {
		t.Fatalf("found %d packages", len(imports))
	}
	for _, wrong := range Check(imports) {
		t.Error(wrong)
	}
}

// TestATrainingProgramCarriesNoFonts asks the go command what a program is linked of that trains, opens, evaluates, calibrates and merges:
// what other modules bring along shows there alone.
func TestATrainingProgramCarriesNoFonts(t *testing.T) {
	list := exec.Command("go", "list", "-deps")
	for _, pkg := range []string{"train", "bundle", "evaluate", "calibrate", "metric", "merge/checkpoint", "merge/tuned", "convert", "data", "own"} {
		list.Args = append(list.Args, Module+"/"+pkg)
	}
	linked, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(linked))
	if len(packages) < 100 {
		t.Fatalf("it is linked of %d packages", len(packages))
	}
	for _, pkg := range packages {
		if draws(pkg) {
			t.Errorf("a program that only trains is linked with %s", pkg)
		}
	}
}

func TestPlantedImportsAreCaught(t *testing.T) {
	full := func(paths ...string) []string {
		for i, p := range paths {
			if !strings.Contains(p, ".") {
				paths[i] = Module + "/" + p
			}
		}
		return paths
	}
	for _, c := range []struct {
		pkg     string
		imports []string
		want    string
	}{
		{"train", full("lab"), "train (level 6) imports lab (level 8)"},
		{"nn/norm", full("papers"), "nn/norm (level 2) imports papers (level 11)"},
		{"metric", full("engine"), "metric (level 0) imports engine (level 1)"},
		{"nn/loss", full("nn/norm"), "nn/loss imports nn/norm of its own level 2"},
		{"util", full("metric"), "util has no level"},
		{"metric", full("github.com/gomlx/gomlx/core/graph"), "metric reaches GoMLX"},
		{"format/npy", full("internal/durable"), "format/npy reaches GoMLX"},
		{"merge/soup", full("internal/durable"), "merge/soup reaches GoMLX"},
		{"merge/soup", full("merge/signature"), "merge/soup imports merge/signature of its own level 5"},
		{"train", full("github.com/gomlx/compute/gobackend"), "only package engine opens engines"},
		{"report", full("gonum.org/v1/plot/vg"), "report imports gonum.org/v1/plot/vg, which brings fonts"},
		{"data", full("golang.org/x/image/font/gofont/goregular"), "data imports golang.org/x/image/font/gofont/goregular, which brings fonts"},
		{"evaluate", full("report/figure"), "evaluate (level 7) imports report/figure (level 8)"},
	} {
		imports := map[string][]string{Module + "/" + c.pkg: c.imports, Module + "/internal/durable": full("github.com/gomlx/compute")}
		wrong := Check(imports)
		if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, c.want) }) {
			t.Errorf("%s imports %v: got %q, want %q", c.pkg, c.imports, wrong, c.want)
		}
	}
	right := map[string][]string{Module + "/train": full("zoo", "bundle", "internal/strict"), Module + "/data/corrupt": full("data"), Module + "/merge/tuned": full("merge/soup", "github.com/gomlx/gomlx/core/graph"), Module + "/lab": full("report/figure", "gonum.org/v1/plot"), Module + "/data": full("golang.org/x/image/draw")}
	if wrong := Check(right); len(wrong) > 0 {
		t.Errorf("got %q for what is right", wrong)
	}
}
