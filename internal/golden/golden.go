// Package golden runs cases that were computed independently: files with parameters, inputs and expected outputs.
//
// The kind of a case is recognised by the keys in its file, never by its name. Parameters decode strictly into the method's
// struct. Tensors are {"shape", "data"}, numbers or nested lists; the strings "nan", "inf" and "-inf" are the values that JSON
// numbers cannot express. Every output a file names must be compared. An unknown parameter, an output that was not
// computed, a case of unknown kind and an empty folder are failures; nothing is skipped.
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/strict"
)

// EnvFolder names a folder of <slug>/*.json that is used in place of the built-in ones.
const EnvFolder = "BALLAST_GOLDEN"

// Tensor is a tensor of a case, row-major.
type Tensor struct {
	Shape []int
	Data  []float64
}

// Kind is a kind of case: Match recognises it, Run computes what the file names.
type Kind struct {
	Name  string
	Match func(c *Case) bool
	Run   func(t T, c *Case)
}

// T is what a case needs of *testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Case is one file.
type Case struct {
	Path string

	file      map[string]json.RawMessage
	parts     map[string]map[string]json.RawMessage
	abs, rel  float64
	compared  map[string]bool
	t         T
	paramsRan bool
}

// Root is the folder that holds the folders of cases: the one that BALLAST_GOLDEN names, or testdata/golden of the package. Each package
// runs its tests in a folder of its own, so a relative name is looked for from there upwards, as far as the module goes.
func Root(t testing.TB) string {
	t.Helper()
	other := os.Getenv(EnvFolder)
	if other == "" {
		return filepath.Join("testdata", "golden")
	}
	root, err := find(other)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func find(folder string) (string, error) {
	for above := "."; ; above = filepath.Join(above, "..") {
		path := folder
		if !filepath.IsAbs(folder) {
			path = filepath.Join(above, folder)
		}
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			return path, nil
		}
		if _, top := os.Stat(filepath.Join(above, "go.mod")); filepath.IsAbs(folder) || top == nil || len(above) > 64 {
			return "", fmt.Errorf("golden: there is no folder %s, which %s names", folder, EnvFolder)
		}
	}
}

// Run runs every case of a slug as the subtests slug/case: the files of testdata/golden/<slug>, or those that the folder of BALLAST_GOLDEN
// has for the slug. A case runs with the one kind that matches it. The number of cases that passed is logged.
func Run(t *testing.T, slug string, kinds ...Kind) {
	t.Helper()
	Each(t, Root(t), slug, func(t *testing.T, run func(t *testing.T, kinds ...Kind)) { run(t, kinds...) })
}

// Each is Run for kinds that hang on something else, such as an engine: each calls its argument once for each of those, in a subtest of
// its own. root is a folder of <slug>/*.json. Where BALLAST_GOLDEN names a folder without the slug, there is nothing to run.
func Each(t *testing.T, root, slug string, each func(t *testing.T, run func(t *testing.T, kinds ...Kind))) {
	t.Helper()
	t.Run(slug, func(t *testing.T) {
		paths, err := List(root, slug)
		if errors.Is(err, fs.ErrNotExist) && os.Getenv(EnvFolder) != "" {
			t.Skipf("%s has no cases of %s", root, slug)
		}
		if err != nil {
			t.Fatal(err)
		}
		each(t, func(t *testing.T, kinds ...Kind) {
			passed := 0
			for _, path := range paths {
				if t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) { runFile(t, path, kinds) }) {
					passed++
				}
			}
			t.Logf("%s: %d of %d cases passed", slug, passed, len(paths))
		})
	})
}

// List finds the files of a slug; none is an error.
func List(root, slug string) ([]string, error) {
	folder := filepath.Join(root, slug)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("golden: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			paths = append(paths, filepath.Join(folder, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("golden: %s has no case", folder)
	}
	return paths, nil
}

func runFile(t T, path string, kinds []Kind) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	c, err := Parse(path, content)
	if err != nil {
		t.Fatalf("%v", err)
		return
	}
	c.t = t
	var matching []Kind
	for _, k := range kinds {
		if k.Match(c) {
			matching = append(matching, k)
		}
	}
	if len(matching) != 1 {
		var names []string
		for _, k := range matching {
			names = append(names, k.Name)
		}
		t.Fatalf("%s: %d kinds of case match its keys %v: %v; exactly one must", path, len(matching), c.Keys(), names)
		return
	}
	// Graph code panics: that is the failure of this case, not the end of all others.
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s: panic: %v", path, r)
		}
	}()
	matching[0].Run(t, c)
	c.finish()
}

// Parse reads a file.
func Parse(path string, content []byte) (*Case, error) {
	c := &Case{Path: path, abs: 1e-5, rel: 1e-4, compared: map[string]bool{}, parts: map[string]map[string]json.RawMessage{}}
	if err := json.Unmarshal(content, &c.file); err != nil {
		return nil, fmt.Errorf("golden: %s: %w", path, err)
	}
	for _, part := range []string{"params", "inputs", "weights", "outputs"} {
		raw, ok := c.file[part]
		if !ok {
			continue
		}
		members := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, fmt.Errorf("golden: %s: %s: %w", path, part, err)
		}
		c.parts[part] = members
	}
	if len(c.parts["outputs"]) == 0 {
		return nil, fmt.Errorf("golden: %s names no output: it would test nothing", path)
	}
	var tolerance struct{ Abs, Rel *float64 }
	if raw, ok := c.file["tolerance"]; ok {
		if err := json.Unmarshal(raw, &tolerance); err != nil {
			return nil, fmt.Errorf("golden: %s: tolerance: %w", path, err)
		}
	}
	if tolerance.Abs != nil {
		c.abs = *tolerance.Abs
	}
	if tolerance.Rel != nil {
		c.rel = *tolerance.Rel
	}
	return c, nil
}

// Keys lists what the file holds, as part.key.
func (c *Case) Keys() []string {
	var all []string
	for part, members := range c.parts {
		for key := range members {
			all = append(all, part+"."+key)
		}
	}
	slices.Sort(all)
	return all
}

// Has reports whether the file holds every one of the keys, each as part.key.
func (c *Case) Has(paths ...string) bool {
	for _, path := range paths {
		part, key, _ := strings.Cut(path, ".")
		if _, ok := c.parts[part][key]; !ok {
			return false
		}
	}
	return true
}

// Params decodes all parameters, strictly, onto *into.
func (c *Case) Params(into any) {
	c.t.Helper()
	c.paramsRan = true
	raw, ok := c.file["params"]
	if !ok {
		return
	}
	if err := decode(raw, into, strict.Decode); err != nil {
		c.t.Fatalf("%s: params: %v", c.Path, err)
	}
}

// Tensor returns a tensor, named as part.key.
func (c *Case) Tensor(path string) Tensor {
	c.t.Helper()
	part, key, _ := strings.Cut(path, ".")
	raw, ok := c.parts[part][key]
	if !ok {
		c.t.Fatalf("%s: there is no %s", c.Path, path)
		return Tensor{}
	}
	v, err := decodeTensor(raw)
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.Path, path, err)
	}
	return v
}

// Decode decodes a member, named as part.key, into *into.
func (c *Case) Decode(path string, into any) {
	c.t.Helper()
	part, key, _ := strings.Cut(path, ".")
	raw, ok := c.parts[part][key]
	if !ok {
		c.t.Fatalf("%s: there is no %s", c.Path, path)
		return
	}
	if err := decode(raw, into, json.Unmarshal); err != nil {
		c.t.Fatalf("%s: %s: %v", c.Path, path, err)
	}
}

// Got compares an output with the file's, if the file names it: |got - want| <= abs + rel |want|, NaN equal to NaN. One axis of
// size 1 counts as a scalar.
func (c *Case) Got(name string, shape []int, data []float64) {
	c.t.Helper()
	if !c.Has("outputs." + name) {
		return
	}
	c.compared[name] = true
	want := c.Tensor("outputs." + name)
	scalar := func(s []int) bool { return len(s) == 0 || len(s) == 1 && s[0] == 1 }
	if !slices.Equal(shape, want.Shape) && (!scalar(shape) || !scalar(want.Shape)) {
		c.t.Errorf("%s: %s has shape %v, want %v", c.Path, name, shape, want.Shape)
		return
	}
	for i, w := range want.Data {
		if i >= len(data) || !c.near(data[i], w) {
			got := any("nothing")
			if i < len(data) {
				got = data[i]
			}
			c.t.Errorf("%s: %s[%d] is %v, want %v", c.Path, name, i, got, w)
			return
		}
	}
}

// Scalar compares an output that is one number.
func (c *Case) Scalar(name string, value float64) {
	c.t.Helper()
	c.Got(name, []int{1}, []float64{value})
}

// GotJSON compares an output that is not a tensor, if the file names it: numbers within the tolerance, all else exactly.
func (c *Case) GotJSON(name string, value any) {
	c.t.Helper()
	if !c.Has("outputs." + name) {
		return
	}
	c.compared[name] = true
	var want any
	c.Decode("outputs."+name, &want)
	got, err := plain(value)
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.Path, name, err)
		return
	}
	if where := c.differ(name, got, want); where != "" {
		c.t.Errorf("%s: %s", c.Path, where)
	}
}

// Compared marks an output that the caller has compared itself.
func (c *Case) Compared(name string) { c.compared[name] = true }

// Near reports whether a number is within the file's tolerance.
func (c *Case) Near(got, want float64) bool { return c.near(got, want) }

func (c *Case) near(got, want float64) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return got == want || math.IsNaN(got) && math.IsNaN(want)
	}
	return math.Abs(got-want) <= c.abs+c.rel*math.Abs(want)
}

// Differ says where two JSON values differ, "" if nowhere.
func (c *Case) Differ(at string, got, want any) string { return c.differ(at, got, want) }

func (c *Case) differ(at string, got, want any) string {
	number := func(v any) any {
		if text, ok := v.(string); ok {
			if n, ok := special(text); ok {
				return n
			}
		}
		return v
	}
	got, want = number(got), number(want)
	switch w := want.(type) {
	case float64:
		if g, ok := got.(float64); !ok || !c.near(g, w) {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
		for i := range w {
			if where := c.differ(fmt.Sprintf("%s.%d", at, i), g[i], w[i]); where != "" {
				return where
			}
		}
		return ""
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
		for key := range w {
			if where := c.differ(at+"."+key, g[key], w[key]); where != "" {
				return where
			}
		}
		return ""
	}
	if got != want {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}

// finish fails for what was left out.
func (c *Case) finish() {
	c.t.Helper()
	for name := range c.parts["outputs"] {
		if !c.compared[name] {
			c.t.Errorf("%s: output %s was not computed", c.Path, name)
		}
	}
	if len(c.parts["params"]) > 0 && !c.paramsRan {
		c.t.Errorf("%s: its params were not read", c.Path)
	}
}
