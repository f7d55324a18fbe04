package own_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train"
)

// AbsNorm is a norm of this program's own: (x - mean) / (mean |x - mean| + Epsilon) over the channels of each position.
type AbsNorm struct{ Epsilon float64 }

// Name is what recipes and bundles call it.
func (AbsNorm) Name() string { return "abs" }

// Apply normalises x [batch, ..., channels].
func (n AbsNorm) Apply(scope *model.Scope, x *graph.Node) *graph.Node {
	scale, offset := norm.Affine(scope, norm.Enter(n, scope, x))
	centred := graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMean, -1))
	deviation := graph.AddScalar(graph.ReduceAndKeep(graph.Abs(centred), graph.ReduceMean, -1), n.Epsilon)
	return graph.Add(graph.Mul(graph.Div(centred, deviation), scale), offset)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// A network trains with the norm, is saved, and opens again.
func Example() {
	mine := own.Registry{AbsNorm{Epsilon: 1e-5}}
	recipe := must(train.DecodeYAML([]byte("{network: {name: mlp, hidden: [64]}, norm: abs, epochs: 3, optimizer: {lr: 0.05}}"), mine))
	options := train.Options{Engine: must(engine.Open(engine.KindGo)), Registry: mine}
	result := must(train.Run(context.Background(), recipe, options))
	fmt.Println("better than 90 %:", result.Metrics["accuracy"] > 0.9)

	dir := must(os.MkdirTemp("", "digits"))
	must(dir, result.Bundle.Save(dir))
	fmt.Printf("%+v\n", must(bundle.Open(dir, mine)).Manifest.Network.Network)
	must(dir, os.RemoveAll(dir))
	// Output:
	// better than 90 %: true
	// {Hidden:[64] Classes:10 Norm:{Layer:{Epsilon:1e-05}} Activation:relu}
}
