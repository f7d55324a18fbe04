package ops_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestResize(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			x      []int
			resize ops.Resize
		}{
			{[]int{1, 4, 4, 1}, ops.Resize{Height: 7, Width: 7}},
			{[]int{2, 8, 5, 2}, ops.Resize{Height: 4, Width: 5}},
			{[]int{1, 5, 5, 1}, ops.Resize{Height: 9, Width: 9, AlignCorners: true}},
			{[]int{1, 2, 2, 3}, ops.Resize{Height: 5, Width: 3}},
			{[]int{1, 2, 1, 1}, ops.Resize{Height: 4, Width: 4, AlignCorners: true}},
			{[]int{1, 3, 6, 1}, ops.Resize{Height: 1, Width: 1, AlignCorners: true}},
			{[]int{1, 3, 6, 1}, ops.Resize{Height: 7, Width: 4, Nearest: true}},
			{[]int{1, 10, 6, 2}, ops.Resize{Height: 4, Width: 6, Antialias: true}},
			{[]int{2, 5, 4, 1}, ops.Resize{Height: 3, Width: 9, Antialias: true}},
		} {
			t.Run(fmt.Sprint(c.x, c.resize), func(t *testing.T) {
				x := gradcheck.Normal(1, c.x...)
				f := func(in []*Node) *Node { return c.resize.Apply(in[0]) }
				got, _ := gradcheck.Eval(t, e, f, x)
				near(t, got, naiveResize(c.resize, x), 1e-13)
				twice(t, e, f, x)
			})
		}
		for want, r := range map[string]ops.Resize{"sizes must be at least 1": {Height: 0, Width: 2}, "no meaning for the nearest": {Height: 2, Width: 2, Nearest: true, AlignCorners: true}, "Antialias has no meaning": {Height: 2, Width: 2, Nearest: true, Antialias: true}} {
			if got := gradcheck.Panics(e, func(in []*Node) *Node { return r.Apply(in[0]) }, gradcheck.Normal(1, 1, 2, 2, 1)); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func naiveResize(r ops.Resize, x gradcheck.Input) (out []float64) {
	b, h, w, c := x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	at := func(i, y, x0, k int) float64 { return x.Data[((i*h+min(y, h-1))*w+min(x0, w-1))*c+k] }
	source := func(i, m, n int) float64 {
		switch {
		case r.Nearest:
			return math.Floor(float64(i) * float64(n) / float64(m))
		case r.AlignCorners && m == 1:
			return 0
		case r.AlignCorners:
			return float64(i*(n-1)) / float64(m-1)
		}
		return max((float64(i)+0.5)*float64(n)/float64(m)-0.5, 0)
	}
	// The weight of source pixel j in pixel i, up to a factor.
	weight := func(i, m, n, j int) float64 {
		place, reach := (float64(i)+0.5)*float64(n)/float64(m)-0.5, float64(n)/float64(m)
		if reach < 1 {
			place, reach = min(max(place, 0), float64(n-1)), 1
		}
		return max(0, 1-math.Abs(float64(j)-place)/reach)
	}
	for i := range b {
		for y := range r.Height {
			for xx := range r.Width {
				for k := range c {
					if r.Antialias {
						sum, all := 0.0, 0.0
						for u := range h {
							for v := range w {
								p := weight(y, r.Height, h, u) * weight(xx, r.Width, w, v)
								sum, all = sum+p*at(i, u, v, k), all+p
							}
						}
						out = append(out, sum/all)
						continue
					}
					sy, sx := source(y, r.Height, h), source(xx, r.Width, w)
					y0, x0 := int(sy), int(sx)
					dy, dx := sy-float64(y0), sx-float64(x0)
					out = append(out, (1-dy)*((1-dx)*at(i, y0, x0, k)+dx*at(i, y0, x0+1, k))+dy*((1-dx)*at(i, y0+1, x0, k)+dx*at(i, y0+1, x0+1, k)))
				}
			}
		}
	}
	return out
}
