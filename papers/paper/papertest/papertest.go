// Package papertest runs the golden cases of papers on every engine, and compares the layers, tensors and variables in them.
package papertest

import (
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/golden"
)

// Kinds are kinds of case that compute on an engine.
type Kinds func(e *engine.Engine) []golden.Kind

// Golden runs every case of a slug (see golden.Run) on every engine, as the subtests slug/engine/case.
func Golden(t *testing.T, slug string, kinds ...Kinds) {
	t.Helper()
	run(t, golden.Root(t), slug, kinds)
}

// Options runs the cases of testdata/options in the same way: what the card of a method says and no case of testdata/golden shows,
// such as other axes, ranks, masks, counters and missing inputs.
func Options(t *testing.T, slug string, kinds ...Kinds) {
	t.Helper()
	run(t, "testdata/options", slug, kinds)
}

func run(t *testing.T, root, slug string, kinds []Kinds) {
	t.Helper()
	golden.Each(t, root, slug, func(t *testing.T, run func(t *testing.T, kinds ...golden.Kind)) {
		enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
			var all []golden.Kind
			for _, k := range kinds {
				all = slices.Concat(all, k(e))
			}
			run(t, all...)
		})
	})
}
