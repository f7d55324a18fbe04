package signature

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
)

// SelectLayers returns the names of the tensors that a text selects, in the order of the weights, which must be that of the network:
//
//	first:N     the first N convolutions, kernel and bias; a convolution is a tensor of three axes or more
//	blocks:N    the first N blocks: a convolution that stands alone counts one with its norm, a residual block one with all it holds
//	all         every tensor
//	A,B,...     names, or patterns in which * stands for any characters
//
// Selecting nothing, a name that does not exist, and more than there is are errors.
func SelectLayers(text string, w weights.Set) ([]string, error) {
	kind, n, err := countOf(text)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		units := convolutionUnits(w, kind == "blocks")
		if len(units) < n {
			return nil, &fault.Input{Field: "layers", Err: fmt.Errorf("%s asks for more than the %d that the model has", text, len(units)), Fix: fmt.Sprintf("use %s:%d, all, or names", kind, len(units))}
		}
		var names []string
		for _, t := range w {
			for _, unit := range units[:n] {
				if slices.Contains(unit, t.Name) {
					names = append(names, t.Name)
				}
			}
		}
		return names, nil
	}

	if text == "all" {
		return w.Names(), nil
	}
	var names []string
	for _, pattern := range strings.Split(text, ",") {
		found := false
		for _, t := range w {
			if weights.Matches(strings.TrimSpace(pattern), t.Name) {
				found = true
				if !slices.Contains(names, t.Name) {
					names = append(names, t.Name)
				}
			}
		}
		if !found {
			fix := "use first:N, blocks:N, all, or names; * stands for any characters"
			if near, ok := strict.Nearest(pattern, append(w.Names(), "all", "first:1", "blocks:1")); ok {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			return nil, &fault.Input{Field: "layers", Err: fmt.Errorf("no tensor is called %q", pattern), Fix: fix}
		}
	}

	slices.SortFunc(names, func(a, b string) int { return slices.Index(w.Names(), a) - slices.Index(w.Names(), b) })
	return names, nil
}

// countOf reads first:N and blocks:N; n is 0 for another text.
func countOf(text string) (kind string, n int, err error) {
	kind, number, counted := strings.Cut(text, ":")
	if !counted || kind != "first" && kind != "blocks" {
		return "", 0, nil
	}
	if n, err = strconv.Atoi(number); err != nil || n < 1 {
		return "", 0, &fault.Usage{Err: fmt.Errorf("layers %q: want a number of at least 1 behind the colon", text)}
	}
	return kind, n, nil
}

// convolutionUnits are the names of each convolution's tensors, or of each block's.
func convolutionUnits(w weights.Set, blocks bool) [][]string {
	convolutions := map[string]bool{} // scopes
	var order []string
	for _, t := range w {
		if len(t.Shape) < 3 || weights.IsNorm(t.Name) {
			continue
		}
		scope := scopeOf(t.Name)
		if blocks {
			scope = blockOf(scope)
		}
		if !convolutions[scope] {
			convolutions[scope] = true
			order = append(order, scope)
		}
	}

	units := make([][]string, len(order))
	for _, t := range w {
		for i, scope := range order {
			own := scopeOf(t.Name) == scope
			if blocks {
				own = strings.HasPrefix(t.Name, scope+"/") || strings.HasPrefix(t.Name, scope+".") || normBeside(scope) == scopeOf(t.Name)
			}
			if own {
				units[i] = append(units[i], t.Name)
			}
		}
	}
	return units
}

// scopeOf is a name without its last part.
func scopeOf(name string) string {
	if i := strings.LastIndexAny(name, "/."); i >= 0 {
		return name[:i]
	}
	return name
}

// blockOf is the block that a convolution's scope is part of, or the scope itself where it stands alone. Names of convolutions in
// blocks end in conv1, conv_2, downsample.0, shortcut and the like below a part with a number.
func blockOf(scope string) string {
	for _, last := range []string{".0", "/0"} {
		if head, ok := strings.CutSuffix(scope, last); ok && (strings.HasSuffix(head, "downsample") || strings.HasSuffix(head, "shortcut")) {
			scope = head
		}
	}
	i := strings.LastIndexAny(scope, "/.")
	if i < 0 {
		return scope
	}
	parent, last := scope[:i], strings.TrimRight(strings.ToLower(scope[i+1:]), "0123456789_")
	numbered := strings.ContainsAny(path.Base(strings.ReplaceAll(parent, ".", "/")), "0123456789")
	if numbered && slices.Contains([]string{"conv", "downsample", "shortcut", "projection", "proj", "skip"}, last) {
		return parent
	}
	return scope
}

// normBeside is the scope of the norm that belongs to a convolution by its number: bn1 to conv1.
func normBeside(scope string) string {
	i := strings.LastIndexAny(scope, "/.") + 1
	if number, ok := strings.CutPrefix(scope[i:], "conv"); ok {
		return scope[:i] + "bn" + number
	}
	return ""
}
