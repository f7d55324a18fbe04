package augment

import (
	"math"

	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/ops"
)

// Colour changes brightness, contrast, saturation and hue, in this order, each clipped to [0,1]. With g the grey value of a pixel and m its
// mean over the image:
//
//	brightness  x f           f ~ U(1 - Brightness, 1 + Brightness), not below 0; the two below alike
//	contrast    m + (x - m) f
//	saturation  g + (x - g) f
//	hue         turns the chroma of YIQ by 2 pi f, f ~ U(-Hue, Hue)
//	grey        g in all channels, with probability Grey
//
// All but grey happen together with probability Probability. Images of one channel have brightness and contrast alone:
// a saturation, hue or share of grey that is neither 0 nor the default panics for them.
type Colour struct {
	Brightness  float64 `json:"brightness"`  // at least 0; 0.4
	Contrast    float64 `json:"contrast"`    // at least 0; 0.4
	Saturation  float64 `json:"saturation"`  // at least 0; 0.4
	Hue         float64 `json:"hue"`         // [0, 0.5]; 0.1
	Grey        float64 `json:"grey"`        // [0, 1]; 0.2
	Probability float64 `json:"probability"` // [0, 1]; 0.8
	Drawing
}

var _ Transform = Colour{}

// NewColour returns the colour jitter of MoCo v2.
func NewColour() Colour {
	return Colour{Brightness: 0.4, Contrast: 0.4, Saturation: 0.4, Hue: 0.1, Grey: 0.2, Probability: 0.8}
}

// Validate errors for numbers outside their ranges.
func (c Colour) Validate() error {
	for _, v := range []struct {
		what string
		v    float64
		high float64
	}{
		{"brightness", c.Brightness, math.Inf(1)}, {"contrast", c.Contrast, math.Inf(1)}, {"saturation", c.Saturation, math.Inf(1)},
		{"hue", c.Hue, 0.5}, {"grey", c.Grey, 1}, {"probability", c.Probability, 1},
	} {
		if err := within("colour", v.what, v.v, 0, v.high); err != nil {
			return err
		}
	}
	return nil
}

// Apply changes colours. x has 1 or 3 channels.
func (c Colour) Apply(r ops.Random, x *graph.Node) *graph.Node {
	_, _, _, channels := images("colour", x)
	if channels != 1 && channels != 3 {
		Panicf("augment: colour: x is %s; want 1 or 3 channels", x.Shape())
	}
	if usual := NewColour(); channels == 1 {
		for _, v := range []struct {
			what     string
			v, usual float64
		}{{"saturation", c.Saturation, usual.Saturation}, {"hue", c.Hue, usual.Hue}, {"grey", c.Grey, usual.Grey}} {
			if v.v != v.usual && v.v != 0 {
				panic(wrong("colour", "%s is %v, and images of one channel have no colour to change; leave it out", v.what, v.v))
			}
		}
	}
	u := c.draws(r, x, 6)
	y := x
	if c.Probability > 0 {
		y = graph.Where(chosen(u[0], x, c.Probability), c.jittered(u[1:], x), x)
	}
	if channels == 1 || c.Grey == 0 {
		return y
	}
	return graph.Where(chosen(u[5], x, c.Grey), graph.BroadcastToDims(grey(y), x.Shape().Dimensions...), y)
}

// jittered changes brightness, contrast, saturation and hue, each by a draw of its own.
func (c Colour) jittered(u []*graph.Node, x *graph.Node) *graph.Node {
	// around is middle + (x - middle) f.
	around := func(x, middle *graph.Node, strength float64, u *graph.Node) *graph.Node {
		f := graph.ConvertDType(between(u, max(0, 1-strength), 1+strength), x.DType())
		if middle == nil {
			return ops.Clamp(graph.Mul(x, f), 0, 1)
		}
		return ops.Clamp(graph.Add(middle, graph.Mul(graph.Sub(x, middle), f)), 0, 1)
	}
	if c.Brightness > 0 {
		x = around(x, nil, c.Brightness, u[0])
	}
	if c.Contrast > 0 {
		x = around(x, graph.ReduceAndKeep(grey(x), graph.ReduceMean, 1, 2), c.Contrast, u[1])
	}
	if x.Shape().Dimensions[3] == 1 {
		return x
	}
	if c.Saturation > 0 {
		x = around(x, grey(x), c.Saturation, u[2])
	}
	if c.Hue > 0 {
		x = turned(x, between(u[3], -2*math.Pi*c.Hue, 2*math.Pi*c.Hue))
	}
	return x
}

// grey is the brightness of each pixel, [batch, height, width, 1], by the weights of ITU-R BT.601.
func grey(x *graph.Node) *graph.Node {
	if x.Shape().Dimensions[3] == 1 {
		return x
	}
	return linear(x, [3]float64{0.299, 0.587, 0.114})
}

// linear is a weighted sum of the three channels, one channel.
func linear(x *graph.Node, weights [3]float64) *graph.Node {
	var sum *graph.Node
	for k, w := range weights {
		all := graph.AxisRange()
		part := graph.MulScalar(graph.Slice(x, all, all, all, graph.AxisRange(k, k+1)), w)
		if sum == nil {
			sum = part
		} else {
			sum = graph.Add(sum, part)
		}
	}
	return sum
}

// turned turns the chroma of each image by an angle.
func turned(x, angle *graph.Node) *graph.Node {
	cos, sin := graph.ConvertDType(graph.Cos(angle), x.DType()), graph.ConvertDType(graph.Sin(angle), x.DType())
	y, i, q := grey(x), linear(x, [3]float64{0.595716, -0.274453, -0.321263}), linear(x, [3]float64{0.211456, -0.522591, 0.311135})
	i, q = graph.Sub(graph.Mul(cos, i), graph.Mul(sin, q)), graph.Add(graph.Mul(sin, i), graph.Mul(cos, q))
	var channels []*graph.Node
	for _, w := range [3][2]float64{{0.9563, 0.6210}, {-0.2721, -0.6474}, {-1.1070, 1.7046}} {
		channels = append(channels, graph.Add(y, graph.Add(graph.MulScalar(i, w[0]), graph.MulScalar(q, w[1]))))
	}
	return ops.Clamp(graph.Concatenate(channels, 3), 0, 1)
}
