// Package arch defines the levels of the packages: which package may import which.
package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path of this module.
const Module = "github.com/ballast-ml/ballast"

// level is a package, or a tree of packages when the name ends in /..., and its height.
type level struct {
	pattern string
	height  int
}

// levels is the table of docs/architecture.md. The first pattern that matches counts.
var levels = []level{
	{"internal/gradcheck", 1}, // compares gradients, so it needs an engine
	{"internal/...", 0},
	{"fault", 0},
	{"own", 0},
	{"format", 0},
	{"format/...", 0},
	{"metric", 0},
	{"report", 0},
	{"report/figure", 8}, // carries fonts and writers of PDF and LaTeX, see drawing
	{"engine/...", 1},
	{"engine", 1},
	{"ops", 1},
	{"nn/...", 2},
	{"data/...", 2},
	{"data", 2},
	{"zoo", 3},
	{"onnxrun", 3},
	{"zoo/zootest", 5}, // opens bundles
	{"repair", 4},
	{"bundle", 4},
	{"subject", 5},
	{"adapt/...", 5},
	{"adapt", 5},
	{"calibrate", 3}, // a bundle carries what it fits
	{"convert", 5},
	{"merge/tuned", 6},
	{"merge/...", 5},
	{"merge", 5},
	{"train/...", 6},
	{"train", 6},
	{"evaluate/...", 7},
	{"evaluate", 7},
	{"lab", 8},
	{"papers/paper/...", 9},
	{"papers/paper", 9},
	{"bench", 9},
	{"papers/...", 10},
	{"papers", 11},
	{"cmd/...", 12},
}

// sideways are the imports within one level, each named.
var sideways = map[string][]string{
	"report":                   {"metric", "internal/durable"},
	"internal/choice":          {"internal/strict", "own"},
	"internal/strict":          {"own"},
	"internal/golden":          {"internal/strict"},
	"engine/enginetest":        {"engine"},
	"internal/gradcheck":       {},
	"data/augment":             {"data", "nn/optim"},
	"lab":                      {"report/figure"},
	"data/sample":              {"data"},
	"nn/loss/losstest":         {"nn/loss"},
	"nn/norm/normtest":         {"nn/norm"},
	"nn/mixer":                 {"nn/attention", "nn/linear"},
	"nn/stack":                 {"nn/linear", "nn/norm"},
	"data/corrupt":             {"data"},
	"data/preprocess":          {"data"},
	"data/stream":              {"data", "data/corrupt", "data/sample"},
	"data/stream/streamtest":   {"data/corrupt", "data/sample", "data/stream"},
	"data/sample/samplertest":  {"data", "data/sample"},
	"data/augment/augmenttest": {"data/augment", "nn/optim"},
	"adapt/adapttest":          {"adapt"},
	"subject":                  {"adapt"},
	"merge/checkpoint":         {"merge", "merge/adapter"},
	"merge/position":           {"merge/soup"},
	"train":                    {"train/objective", "train/update"},
	"train/objective":          {"train/update"},
	"evaluate/suitetest":       {"evaluate"},
	"train/grok":               {"train", "train/objective", "train/update"},
	"train/inpaint":            {"train", "train/objective", "train/update"},
	"train/evosearch":          {"train"},

	"train/objective/objectivetest": {"train"},
}

// belowLayers are the packages of nn that every other of nn may import.
var belowLayers = []string{"nn/param", "nn/pass"}

// gomlxFree are the packages, and trees where the name ends in a slash, that must not reach GoMLX even through others: their tests take
// milliseconds, and they can be used without an engine.
var gomlxFree = []string{
	"format/", "metric", "report", "internal/strict", "internal/durable", "fault", "own", "internal/choice", "internal/golden",
	"calibrate", "merge", "merge/adapter", "merge/checkpoint", "merge/position", "merge/signature", "merge/soup",
}

// backends are the packages that open an engine; only engine may import them.
var backends = []string{"github.com/gomlx/compute/gobackend", "github.com/gomlx/go-xla/compute/xla", "github.com/gomlx/gomlx/backends/default"}

// drawing are the modules, and trees of packages, that bring fonts, or writers of PDF and LaTeX. A program that trains, evaluates, merges or
// calibrates must not carry them, so that nothing below drawingFrom may import them.
var drawing = []string{
	"gonum.org/v1/plot", "golang.org/x/image/font", "github.com/golang/freetype", "codeberg.org/go-fonts", "codeberg.org/go-latex",
	"codeberg.org/go-pdf", "git.sr.ht/~sbinet/gg", "github.com/ajstarks/svgo",
}

// drawingFrom is the level of the lowest packages that draw.
const drawingFrom = 8

// Check holds imports (package -> what it imports, full paths) against the order and returns what is wrong.
func Check(imports map[string][]string) []string {
	var wrong []string
	for _, pkg := range sortedKeys(imports) {
		from := strings.TrimPrefix(pkg, Module+"/")
		height, ok := heightOf(from)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s has no level: add it to internal/arch and docs/architecture.md", from))
			continue
		}
		for _, imported := range imports[pkg] {
			if slices.Contains(backends, imported) && from != "engine" {
				wrong = append(wrong, fmt.Sprintf("%s imports the engine %s: only package engine opens engines", from, imported))
			}
			if height < drawingFrom && draws(imported) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which brings fonts into every program: draw in report/figure or above", from, imported))
			}
			to, ours := strings.CutPrefix(imported, Module+"/")
			if !ours {
				continue
			}
			toHeight, ok := heightOf(to)
			switch {
			case !ok: // told above
			case toHeight > height:
				wrong = append(wrong, fmt.Sprintf("%s (level %d) imports %s (level %d): a package imports lower levels only", from, height, to, toHeight))
			case toHeight == height && height > 0 && !allowedSideways(from, to):
				wrong = append(wrong, fmt.Sprintf("%s imports %s of its own level %d: name the edge in internal/arch, or move what both need down", from, to, height))
			}
		}
		for _, free := range gomlxFree {
			if (from == free || strings.HasSuffix(free, "/") && strings.HasPrefix(from, free)) && reachesGoMLX(pkg, imports, map[string]bool{}) {
				wrong = append(wrong, fmt.Sprintf("%s reaches GoMLX: it must do without", from))
			}
		}
	}
	return wrong
}

// draws reports whether a package is one of drawing.
func draws(pkg string) bool {
	return slices.ContainsFunc(drawing, func(d string) bool { return pkg == d || strings.HasPrefix(pkg, d+"/") })
}

func allowedSideways(from, to string) bool {
	if strings.HasPrefix(from, "nn/") && slices.Contains(belowLayers, to) {
		return true
	}
	return strings.HasPrefix(to, "internal/") && to != "internal/gradcheck" || slices.Contains(sideways[from], to)
}

func heightOf(pkg string) (int, bool) {
	for _, l := range levels {
		if tree, ok := strings.CutSuffix(l.pattern, "/..."); ok && strings.HasPrefix(pkg, tree+"/") || l.pattern == pkg {
			return l.height, true
		}
	}
	return 0, false
}

func reachesGoMLX(pkg string, imports map[string][]string, seen map[string]bool) bool {
	if seen[pkg] {
		return false
	}
	seen[pkg] = true
	for _, imported := range imports[pkg] {
		if strings.HasPrefix(imported, "github.com/gomlx/") || reachesGoMLX(imported, imports, seen) {
			return true
		}
	}
	return false
}

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
