package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)
	fuzzLine   = regexp.MustCompile(`(?m)^\tgo test (\S+) -run '\^\$\$' -fuzz '\^(Fuzz\w+)\$\$' -fuzztime \$\(FUZZTIME\)( -fuzzminimizetime 5x)?$`)
)

// Every fuzz target stands in the Makefile's list once, and the list names no other.
func TestFuzzTargetsAreRun(t *testing.T) {
	root := filepath.Join("..", "..")
	var targets []string
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
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range fuzzTarget.FindAllStringSubmatch(string(content), -1) {
			targets = append(targets, "./"+filepath.ToSlash(dir)+" "+m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var run []string
	for _, m := range fuzzLine.FindAllStringSubmatch(string(makefile), -1) {
		run = append(run, m[1]+" "+m[2])
	}

	if len(targets) < 20 {
		t.Errorf("found %d fuzz targets", len(targets))
	}
	for _, target := range targets {
		if !slices.Contains(run, target) {
			t.Errorf("%s is not run by make fuzz: add it to the Makefile", target)
		}
	}
	slices.Sort(run)
	for i, line := range run {
		if !slices.Contains(targets, line) || i > 0 && run[i-1] == line {
			t.Errorf("make fuzz runs %s, which does not exist or stands there twice", line)
		}
	}
}
