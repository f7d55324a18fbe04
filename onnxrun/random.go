package onnxrun

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/ops"
)

// random numbers come from a seed, which the node has to have: each run gives the same ones.
func (c *call) random() ops.Random {
	return ops.NewRandom(c.g, uint64(math.Float32bits(float32(c.float("seed", 0)))))
}

// seeded refuses nodes whose numbers would be others at every run.
func seeded(n *onnx.Node) string {
	if n.Attribute("seed") == nil {
		return "it draws random numbers and has no seed; give the node one, so that a run can be repeated"
	}
	return ""
}

// drawn is an operator that draws: uniform from low to high, or normal.
func drawn(normal, like bool) operator {
	o := one(func(c *call) *node {
		d := dtypes.Float32
		dims := c.list("shape")
		if like {
			dims, d = c.dims(0), c.dtype(0)
		}
		if c.n.Attribute("dtype") != nil {
			d = castTo(c.int("dtype", 1))
		}
		need(d.IsFloat(), "dtype %s, want a type of floats", d)
		wide := dtypes.Float32
		if d == dtypes.Float64 {
			wide = d
		}
		shape := room(wide, dims...)
		if shape.Size() == 0 {
			return graph.Zeros(c.g, room(d, dims...))
		}
		if normal {
			return convert(plus(times(c.random().Normal(wide, dims...), c.float("scale", 1)), c.float("mean",
				0)), d)
		}
		low, high := c.float("low", 0), c.float("high", 1)
		return convert(plus(times(c.random().Uniform(wide, dims...), high-low), low), d)
	}).unless(seeded)
	names := []string{"seed", "dtype", "low", "high"}
	if normal {
		names = []string{"seed", "dtype", "mean", "scale"}
	}
	if !like {
		names = append(names, "shape")
	}
	return o.takes(names...)
}

// bernoulli is 1 with the probability that its input has.
func bernoulli(c *call) *node {
	p := c.x(0)
	d := p.DType()
	if c.n.Attribute("dtype") != nil {
		d = castTo(c.int("dtype", 1))
	}
	need(p.DType().IsFloat(), "probabilities of %s, want floats", p.DType())
	if p.Shape().Size() == 0 {
		return graph.Zeros(c.g, room(d, p.Shape().Dimensions...))
	}
	wide := ops.Widen(p)
	hit := graph.LessThan(c.random().Uniform(wide.DType(), p.Shape().Dimensions...), wide)
	return cast(convert(hit, dtypes.Int32), d)
}

// multinomial draws classes by rows of logarithms of their probabilities.
func multinomial(c *call) *node {
	x := ops.Widen(c.x(0))
	d, n := x.Shape().Dimensions, c.int("sample_size", 1)
	t := castTo(c.int("dtype", 6))
	need(len(d) == 2 && x.Shape().Size() > 0 && n >= 1 && (t == dtypes.Int32 || t == dtypes.Int64),
		"%d draws as %s from %v", n, t, d)
	room(x.DType(), d[0], n, d[1])
	u := c.random().Uniform(x.DType(), d[0], n, d[1])
	u = graph.Neg(graph.Log(graph.Neg(graph.Log(hard(u, 1e-30, 1-1e-7))))) // the largest of these noises and x is drawn
	at := graph.ArgMax(graph.Add(u, graph.BroadcastToDims(graph.ExpandAxes(x, 1), d[0], n, d[1])), 2, dtypes.Int32)
	return convert(at, t)
}

func randomOps() map[string]operator {
	return map[string]operator{
		"RandomNormal": drawn(true, false), "RandomNormalLike": drawn(true, true),
		"RandomUniform": drawn(false, false), "RandomUniformLike": drawn(false, true),
		"Bernoulli":   one(bernoulli).unless(seeded).takes("seed", "dtype"),
		"Multinomial": one(multinomial).unless(seeded).takes("seed", "dtype", "sample_size"),
	}
}
