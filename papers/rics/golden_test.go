package rics

import (
	"slices"
	"testing"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/metric"
)

func TestGolden(t *testing.T) {
	golden.Run(t, "rics",
		golden.Kind{
			Name:  "crops of views",
			Match: func(c *golden.Case) bool { return c.Has("params.crop", "inputs.image") },
			Run:   views,
		},
		golden.Kind{
			Name:  "crops by a hash",
			Match: func(c *golden.Case) bool { return c.Has("params.modulus", "inputs.gray_uint8") },
			Run:   hashed,
		},
		golden.Kind{
			Name:  "circular shifts",
			Match: func(c *golden.Case) bool { return c.Has("params.shifts", "outputs.canonical") },
			Run:   circular,
		},
		golden.Kind{
			Name:  "measures",
			Match: func(c *golden.Case) bool { return c.Has("inputs.predictions", "inputs.labels") },
			Run:   measures,
		},
	)
}

// picture is an input image in [0, 1].
func picture(x golden.Tensor, scale float64) (image []float32, shape []int) {
	image = make([]float32, len(x.Data))
	for i, v := range x.Data {
		image[i] = float32(v / scale)
	}
	shape = slices.Clone(x.Shape)
	if len(shape) == 2 {
		shape = append(shape, 1)
	}
	return image, shape
}

// window is the view of an image that begins at a place.
func window(image []float32, shape []int, row, col, side int) []float32 {
	s := adapt.Selector{Rows: side, Cols: side}
	view := make([]float32, side*side*shape[2])
	s.Cut(view, image, shape, adapt.Chosen{Row: row, Col: col})
	return view
}

// filterOf is an input filter as a selector has it.
func filterOf(c *golden.Case) []int64 {
	var filter []int64
	for _, v := range c.Tensor("inputs.filter").Data {
		filter = append(filter, int64(v*(1<<18)))
	}
	return filter
}

// widened are scores with their unit.
func widened(s adapt.Selector, scores []int64) []float64 {
	wide := make([]float64, len(scores))
	for i, v := range scores {
		wide[i] = float64(v) * s.Unit()
	}
	return wide
}

func views(t golden.T, c *golden.Case) {
	p := struct {
		View       int     `json:"view"`
		Crop       int     `json:"crop"`
		Score      string  `json:"score"`
		FilterSize int     `json:"filter_size"`
		Candidates int     `json:"candidates_per_axis"`
		Axis       float64 `json:"same_axis_lower_bound"`
		Diagonal   float64 `json:"same_diag_lower_bound"`
	}{}
	c.Params(&p)
	if p.Candidates != p.View-p.Crop+1 {
		t.Fatalf("%d candidates of a view of %d and crops of %d", p.Candidates, p.View, p.Crop)
	}
	for kind, want := range map[string]float64{adapt.ShiftAxis: p.Axis, adapt.ShiftDiagonal: p.Diagonal} {
		if got, err := adapt.CropBound(p.Candidates, 1, kind); err != nil || !c.Near(got, want) {
			t.Errorf("%s: the bound is %v, want %v (%v)", kind, got, want, err)
		}
	}

	image, shape := picture(c.Tensor("inputs.image"), 1)
	s := adapt.Selector{Score: p.Score, Rows: p.Crop, Cols: p.Crop, FilterSize: p.FilterSize}
	if c.Has("inputs.filter") {
		s.Filter = filterOf(c)
	}
	at := []int{p.View, p.View, shape[2]}
	var positions []float64
	for _, d := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		view := window(image, shape, d[0], d[1], p.View)
		chosen := s.Select(view, at)
		positions = append(positions, float64(chosen.Row), float64(chosen.Col), float64(chosen.Row+d[0]), float64(chosen.Col+d[1]))
		crop := make([]float32, p.Crop*p.Crop*shape[2])
		s.Cut(crop, view, at, chosen)
		got := func(name string) {
			wide := make([]float64, len(crop))
			for i, v := range crop {
				wide[i] = float64(v)
			}
			c.Got(name, []int{p.Crop, p.Crop, shape[2]}, wide)
		}
		switch d {
		case [2]int{0, 0}:
			scores, rows, cols := s.Scores(view, at)
			c.Got("scores", []int{rows, cols}, widened(s, scores))
			got("crop_view0")
		case [2]int{1, 1}:
			got("crop_view_11")
		}
	}
	c.Got("positions", []int{4, 4}, positions)
}

func hashed(t golden.T, c *golden.Case) {
	p := struct {
		View       int    `json:"view"`
		Crop       int    `json:"crop"`
		Score      string `json:"score"`
		FilterSize int    `json:"filter_size"`
		Multiplier int64  `json:"multiplier"`
		Modulus    int64  `json:"modulus"`
	}{}
	c.Params(&p)
	if p.Multiplier != 2654435761 || p.Modulus != 1048573 {
		t.Fatalf("another hash: %d and %d", p.Multiplier, p.Modulus)
	}
	image, shape := picture(c.Tensor("inputs.gray_uint8"), 255)
	s := adapt.Selector{Score: p.Score, Rows: p.Crop, Cols: p.Crop, FilterSize: p.FilterSize, Filter: filterOf(c)}
	at := []int{p.View, p.View, 1}
	var positions []float64
	for dy := range 3 {
		for dx := range 3 {
			view := window(image, shape, dy, dx, p.View)
			chosen := s.Select(view, at)
			positions = append(positions, float64(chosen.Row), float64(chosen.Col), float64(chosen.Row+dy), float64(chosen.Col+dx))
			if dy == 1 && dx == 1 {
				scores, rows, cols := s.Scores(view, at)
				c.Got("scores_view_11", []int{rows, cols}, widened(s, scores))
			}
		}
	}
	c.Got("positions", []int{9, 4}, positions)
}

func circular(t golden.T, c *golden.Case) {
	p := struct {
		Shifts     [][2]int `json:"shifts"`
		FilterSize int      `json:"filter_size"`
	}{}
	c.Params(&p)
	image, shape := picture(c.Tensor("inputs.image"), 1)
	s := adapt.Selector{
		Score: adapt.CropFilter, Rows: shape[0], Cols: shape[1], FilterSize: p.FilterSize, Filter: filterOf(c), Circular: true,
	}
	var positions []float64
	var canonical []float32
	for _, d := range p.Shifts {
		rolled := make([]float32, len(image))
		s.Cut(rolled, image, shape, adapt.Chosen{Row: mod(-d[0], shape[0]), Col: mod(-d[1], shape[1])})
		chosen := s.Select(rolled, shape)
		positions = append(positions, float64(chosen.Row), float64(chosen.Col))
		out := make([]float32, len(image))
		s.Cut(out, rolled, shape, chosen)
		if canonical != nil && !slices.Equal(out, canonical) {
			t.Errorf("rolled by %v it becomes another image", d)
		}
		canonical = out
	}
	c.Got("positions", []int{len(p.Shifts), 2}, positions)
	wide := make([]float64, len(canonical))
	for i, v := range canonical {
		wide[i] = float64(v)
	}
	c.Got("canonical", shape, wide)
}

func mod(a, n int) int { return (a%n + n) % n }

func measures(t golden.T, c *golden.Case) {
	c.Params(&struct{}{})
	predictions := c.Tensor("inputs.predictions")
	whole := func(v []float64) []int32 {
		out := make([]int32, len(v))
		for i, x := range v {
			out[i] = int32(x)
		}
		return out
	}
	m, err := metric.Consistent(whole(predictions.Data), whole(c.Tensor("inputs.labels").Data), predictions.Shape[1]-1)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("consistency", m.Consistency)
	c.Scalar("adversarial_robustness", m.Robust)
	c.Scalar("fooled", m.Fooled)
	c.Scalar("clean_accuracy", m.Accuracy)
	c.Scalar("worst_case_accuracy", m.WorstAccuracy)
}
