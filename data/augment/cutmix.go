package augment

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	. "github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/ops"
)

// CutMix pastes a box of each example's partner over it, one box for each update. With lambda ~ Beta(Alpha, Alpha), an image of
// height H and width W and a centre (y, x) drawn from all pixels, the box has
//
//	rows    clip(y - h//2, 0, H) to clip(y + h//2, 0, H), h = floor(H sqrt(1 - lambda))
//	columns clip(x - w//2, 0, W) to clip(x + w//2, 0, W), w = floor(W sqrt(1 - lambda))
//
// and the partner's share is area / (H W).
//
// Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", arXiv 1905.04899; the box
// as timm 0.5 has it.
type CutMix struct {
	Alpha float64 `json:"alpha"` // of the beta distribution, above 0; 1
	Partner
}

var _ Mixing = CutMix{}

// NewCutMix returns alpha 1 and random partners.
func NewCutMix() CutMix { return CutMix{Alpha: 1, Partner: Partner{"permutation"}} }

// Validate errors for alpha not above 0 or an unknown partner.
func (c CutMix) Validate() error {
	if err := concentration("cutmix", c.Alpha); err != nil {
		return err
	}
	return c.validate("cutmix")
}

// The columns of a box.
const (
	boxWeight = "mix.cut"    // lambda, what the box leaves before it is clipped
	boxRow    = "mix.row"    // centre / height
	boxColumn = "mix.column" // centre / width
)

// Columns are lambda and the centre.
func (c CutMix) Columns() []optim.Column {
	return []optim.Column{beta(boxWeight, c.Alpha, c.Alpha), uniform(boxRow), uniform(boxColumn)}
}

// Mix pastes. x must be images [batch, height, width, channels].
func (c CutMix) Mix(d Draws, x *graph.Node) Mixed {
	_, height, width, _ := images("cutmix", x)
	box := boxOf(d, "cutmix", height, width)
	return d.restore(paste(x, box, c.places(d, x, 1)[0]), x)
}

// boxOf computes the box of an update, [4] int32.
func boxOf(d Draws, who string, height, width int) *graph.Node {
	side := graph.Sqrt(ops.Clamp(graph.OneMinus(d.column(who, boxWeight)), 0, 1))
	range1 := func(centre *graph.Node, size int) (from, to *graph.Node) {
		// A number below 1 that was stored in float32 may have become 1.
		at := ops.Clamp(ops.Floor(graph.MulScalar(centre, float64(size))), 0, float64(size-1))
		half := ops.Floor(graph.MulScalar(ops.Floor(graph.MulScalar(side, float64(size))), 0.5))
		return ops.Clamp(graph.Sub(at, half), 0, float64(size)), ops.Clamp(graph.Add(at, half), 0, float64(size))
	}
	top, bottom := range1(d.column(who, boxRow), height)
	left, right := range1(d.column(who, boxColumn), width)
	corners := make([]*graph.Node, 0, 4)
	for _, v := range []*graph.Node{top, bottom, left, right} {
		corners = append(corners, graph.Reshape(graph.ConvertDType(v, dtypes.Int32), 1))
	}
	return graph.StopGradient(graph.Concatenate(corners, 0))
}

// paste is x [batch, height, width, channels] with the box of each partner over it.
func paste(x, box, partner *graph.Node) Mixed {
	n, height, width, _ := images("cutmix", x)
	inside := boxMask(box, height, width, height, width)
	wide := graph.BroadcastToDims(graph.Reshape(inside, 1, height, width, 1), x.Shape().Dimensions...)
	area := graph.ReduceAllSum(graph.ConvertDType(inside, drawType(x)))
	share := graph.BroadcastToDims(graph.DivScalar(area, float64(height*width)), n)
	return Mixed{
		X:      graph.Where(wide, ops.GatherRows(x, partner), x),
		Copies: 1,
		Parts:  []Part{{graph.OneMinus(share), places(x.Graph(), n)}, {share, partner}},
		Box:    box,
	}
}

// boxMask is whether a box covers each cell of a grid over an image, [rows, columns] bools: cell (u, v) is the pixel
// (floor(u height/rows), floor(v width/columns)).
func boxMask(box *graph.Node, height, width, rows, columns int) *graph.Node {
	g := box.Graph()
	if box.Rank() != 1 || box.Shape().Dimensions[0] != 4 || rows < 1 || columns < 1 {
		Panicf("augment: a box %s over a grid of %dx%d; want [4] and at least one cell", box.Shape(), rows, columns)
	}
	covers := func(cells, size, corner int, dims ...int) *graph.Node {
		pixels := make([]int32, cells)
		for i := range pixels {
			pixels[i] = int32(i * size / cells)
		}
		pixel, from, to := graph.Const(g, pixels), element(box, corner), element(box, corner+1)
		in := graph.LogicalAnd(graph.GreaterOrEqual(pixel, from), graph.LessThan(pixel, to))
		return graph.BroadcastToDims(graph.Reshape(in, dims...), rows, columns)
	}
	return graph.LogicalAnd(covers(rows, height, 0, rows, 1), covers(columns, width, 2, 1, columns))
}

func element(x *graph.Node, i int) *graph.Node {
	return graph.Reshape(graph.Slice(x, graph.AxisElem(i)))
}

// MixupCutMix mixes an update with probability Probability: with CutMix in a share of CutMix, else with Mixup, all in one program. This is
// the recipe of DeiT and of timm.
type MixupCutMix struct {
	Probability float64 `json:"probability"`  // of mixing an update at all, [0, 1]; 1
	CutMix      float64 `json:"cutmix"`       // share of CutMix among the mixed updates, [0, 1]; 0.8
	MixupAlpha  float64 `json:"mixup_alpha"`  // above 0; 0.8
	CutMixAlpha float64 `json:"cutmix_alpha"` // above 0; 1
	Partner
}

var _ Mixing = MixupCutMix{}

// NewMixupCutMix returns the numbers of DeiT's recipe as TransMix has it, with the flipped batch as partners.
func NewMixupCutMix() MixupCutMix {
	return MixupCutMix{Probability: 1, CutMix: 0.8, MixupAlpha: 0.8, CutMixAlpha: 1, Partner: Partner{"flip"}}
}

// Validate errors for shares outside [0, 1], an alpha not above 0, or an unknown partner.
func (m MixupCutMix) Validate() error { return m.valid("mixup-cutmix") }

func (m MixupCutMix) valid(who string) error {
	if err := within(who, "probability", m.Probability, 0, 1); err != nil {
		return err
	}
	if err := within(who, "cutmix", m.CutMix, 0, 1); err != nil {
		return err
	}
	for _, alpha := range []float64{m.MixupAlpha, m.CutMixAlpha} {
		if err := concentration(who, alpha); err != nil {
			return err
		}
	}
	return m.validate(who)
}

// The columns that choose: mixed if the first is below Probability, with CutMix if the second is below CutMix.
const (
	mixUse  = "mix.use"
	mixKind = "mix.kind"
)

// Columns are what chooses, and those of both mixings.
func (m MixupCutMix) Columns() []optim.Column {
	columns := []optim.Column{uniform(mixUse), uniform(mixKind), beta(mixWeight(1), m.MixupAlpha, m.MixupAlpha)}
	return append(columns, CutMix{Alpha: m.CutMixAlpha}.Columns()...)
}

// Mix mixes images. Where an update is not mixed, or with Mixup, the box is empty.
func (m MixupCutMix) Mix(d Draws, x *graph.Node) Mixed { return m.mix("mixup-cutmix", d, x) }

func (m MixupCutMix) mix(who string, d Draws, x *graph.Node) Mixed {
	n, height, width, _ := images(who, x)
	g := x.Graph()
	below := func(name string, limit float64) *graph.Node {
		return graph.LessThan(d.column(who, name), graph.Scalar(g, dtypes.Float64, limit))
	}
	use, cut := below(mixUse, m.Probability), below(mixKind, m.CutMix)

	// A box of no size and a weight of 1 leave x as it is.
	box := boxOf(d, who, height, width)
	box = graph.Where(graph.LogicalAnd(use, cut), box, graph.ZerosLike(box))
	partner := m.places(d, x, 1)[0]
	pasted := paste(x, box, partner)

	blend := graph.LogicalAnd(use, graph.LogicalNot(cut))
	weight := asDraw(d.column(who, mixWeight(1)), x)
	kept := graph.BroadcastToDims(weight, n)
	blended := Combine(x, []*graph.Node{kept, graph.OneMinus(kept)}, []*graph.Node{nil, partner})

	mixed := Mixed{X: graph.Where(blend, blended.X, pasted.X), Copies: 1, Box: box}
	for k := range pasted.Parts {
		weight := graph.Where(blend, blended.Parts[k].Weight, pasted.Parts[k].Weight)
		mixed.Parts = append(mixed.Parts, Part{weight, pasted.Parts[k].From})
	}
	return d.restore(mixed, x)
}
