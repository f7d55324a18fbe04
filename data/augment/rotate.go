package augment

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/ops"
)

// Rotate turns an image about its middle by an angle ~ U(-Degrees, Degrees), bilinearly; what comes from outside is 0.
type Rotate struct {
	Degrees float64 `json:"degrees"` // [0, 180]; 15. 0 leaves all as they are
	Drawing
}

var _ Transform = Rotate{}

// NewRotate returns up to 15 degrees.
func NewRotate() Rotate { return Rotate{Degrees: 15} }

// Validate errors for an angle outside [0, 180].
func (o Rotate) Validate() error { return within("rotate", "degrees", o.Degrees, 0, 180) }

// Apply rotates.
func (o Rotate) Apply(r ops.Random, x *graph.Node) *graph.Node {
	n, height, width, channels := images("rotate", x)
	if o.Degrees == 0 {
		return x
	}
	radians := o.Degrees * math.Pi / 180
	angle := graph.Reshape(between(o.draws(r, x, 1)[0], -radians, radians), n, 1, 1)
	cos, sin := graph.Cos(angle), graph.Sin(angle)

	// Where each pixel comes from, counted from the middle.
	from := func(axis, size int) *graph.Node {
		return graph.AddScalar(graph.Iota(x.Graph(), shapes.Make(angle.DType(), 1, height, width), axis), -float64(size-1)/2)
	}
	y, z := from(1, height), from(2, width)
	rows := graph.AddScalar(graph.Sub(graph.Mul(cos, y), graph.Mul(sin, z)), float64(height-1)/2)
	columns := graph.AddScalar(graph.Add(graph.Mul(sin, y), graph.Mul(cos, z)), float64(width-1)/2)

	top, left := ops.Floor(rows), ops.Floor(columns)
	down, right := graph.Sub(rows, top), graph.Sub(columns, left)
	flat := graph.Reshape(x, n, height*width, channels)
	var sum *graph.Node
	for _, corner := range []struct {
		row, column int
		weight      *graph.Node
	}{
		{0, 0, graph.Mul(graph.OneMinus(down), graph.OneMinus(right))},
		{0, 1, graph.Mul(graph.OneMinus(down), right)},
		{1, 0, graph.Mul(down, graph.OneMinus(right))},
		{1, 1, graph.Mul(down, right)},
	} {
		v := at(flat, graph.AddScalar(top, float64(corner.row)), graph.AddScalar(left, float64(corner.column)), corner.weight)
		if sum == nil {
			sum = v
		} else {
			sum = graph.Add(sum, v)
		}
	}
	return ops.Clamp(graph.Reshape(sum, n, height, width, channels), 0, 1)
}

// at is weight times the pixels of flat [batch, height width, channels] at rows and columns [batch, height, width], 0 outside.
func at(flat, rows, columns, weight *graph.Node) *graph.Node {
	d := rows.Shape().Dimensions
	n, height, width := d[0], d[1], d[2]
	inside := func(v *graph.Node, size int) *graph.Node {
		zero, last := graph.ZerosLike(v), graph.MulScalar(graph.OnesLike(v), float64(size-1))
		return graph.LogicalAnd(graph.GreaterOrEqual(v, zero), graph.LessOrEqual(v, last))
	}
	weight = graph.Where(graph.LogicalAnd(inside(rows, height), inside(columns, width)), weight, graph.ZerosLike(weight))
	index := graph.ConvertDType(graph.Add(graph.MulScalar(rows, float64(width)), columns), dtypes.Int32)
	pixels := ops.GatherBatch(flat, graph.Reshape(index, n, height*width), 1)
	return graph.Mul(pixels, graph.ConvertDType(graph.Reshape(weight, n, height*width, 1), flat.DType()))
}
