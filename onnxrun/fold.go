package onnxrun

import (
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/memory"
)

var hostEngine = sync.OnceValues(func() (*engine.Engine, error) { return engine.Open(engine.KindGo) })

// fold computes a node whose inputs are known, on the Go engine. It declines, and ok is false, if the node would hold too much.
func (b *builder) fold(c *call, op operator) (out []*value, ok bool) {
	b.folds++
	need(b.folds <= mostFolds,
		"more than %d nodes are computed while the program is built; export the model with shorter loops", mostFolds)
	host, err := hostEngine()
	if err != nil {
		panic(err)
	}
	outer := b.g
	defer func() { b.g, c.g, c.fold = outer, outer, false }()
	var places []int
	large := false
	var failed error
	results, err := graph.CallOnceN(host, func(g *graph.Graph) []*graph.Node {
		defer func() {
			if r := recover(); r != nil {
				failed = said(r, c)
				panic(r)
			}
		}()
		b.g, c.g, c.fold, c.checks = g, g, true, nil
		var nodes []*graph.Node
		for i, n := range c.nodes(op) {
			if n != nil {
				nodes, places = append(nodes, n), append(places, i)
			}
		}
		nodes = append(nodes, watched(c.checks)...)
		bytes := int64(0)
		for _, n := range g.Nodes() {
			bytes += nodeBytes(n)
			b.foldWork += nodeWork(n)
			large = large || bytes > mostFoldBytes
		}
		need(large || b.foldWork <= mostFoldWork,
			"more than %.0e numbers are computed while the program is built; export the model with shorter loops", float64(mostFoldWork))
		if large {
			return []*graph.Node{graph.ScalarZero(g, dtypes.Int32)}
		}
		return nodes
	})
	switch {
	case failed != nil:
		panic(failed)
	case err != nil:
		panic(err)
	case large:
		return nil, false
	}

	if len(c.checks) > 0 {
		if _, err := failing(c.checks, results[len(results)-1]); err != nil {
			panic(err)
		}
		results = results[:len(results)-1]
	}
	for i, t := range results {
		for len(out) < places[i] {
			out = append(out, nil)
		}
		out = append(out, &value{known: t})
		b.hold(t)
	}

	return out, true
}

// hold counts a value that is known, until release.
func (b *builder) hold(t *tensors.Tensor) {
	b.held += int64(t.ByteSize())
	if err := memory.Need("what is computed while the program is built", b.held); err != nil {
		panic(err)
	}
}

// keep is hold for a value that may be part of the program.
func (b *builder) keep(v *value) {
	if v != nil && v.known != nil && v.node == nil {
		b.hold(v.known)
	}
}
