package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestImportsFollowTheOrder(t *testing.T) {
	imports := map[string][]string{}
	list := exec.Command("go", "list", "-json=ImportPath,Imports", Module+"/...")
	out, err := list.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Start(); err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(out); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		imports[p.ImportPath] = p.Imports
	}
	if err := list.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(imports) < 20 {
		t.Fatalf("go list found %d packages", len(imports))
	}
	for _, wrong := range Check(imports) {
		t.Error(wrong)
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
		{"nn/norm", full("papers"), "nn/norm (level 2) imports papers (level 9)"},
		{"metric", full("engine"), "metric (level 0) imports engine (level 1)"},
		{"nn/loss", full("nn/norm"), "nn/loss imports nn/norm of its own level 2"},
		{"util", full("metric"), "util has no level"},
		{"metric", full("github.com/gomlx/gomlx/core/graph"), "metric reaches GoMLX"},
		{"format/npy", full("internal/durable"), "format/npy reaches GoMLX"},
		{"train", full("github.com/gomlx/compute/gobackend"), "only package engine opens engines"},
	} {
		imports := map[string][]string{Module + "/" + c.pkg: c.imports, Module + "/internal/durable": full("github.com/gomlx/compute")}
		wrong := Check(imports)
		if !slices.ContainsFunc(wrong, func(w string) bool { return strings.Contains(w, c.want) }) {
			t.Errorf("%s imports %v: got %q, want %q", c.pkg, c.imports, wrong, c.want)
		}
	}
	right := map[string][]string{Module + "/train": full("zoo", "bundle", "internal/strict"), Module + "/data/corrupt": full("data")}
	if wrong := Check(right); len(wrong) > 0 {
		t.Errorf("got %q for what is right", wrong)
	}
}
