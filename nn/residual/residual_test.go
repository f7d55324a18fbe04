package residual_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/residual"
)

// TestPlacements: h + f(N(h)) and N(h + f(h)), by numbers; each norm and the part are built once.
func TestPlacements(t *testing.T) {
	h := gradcheck.Normal(1, 2, 3)
	n := func(v float64) float64 { return 2*v + 1 }
	f := func(v float64) float64 { return v * v }
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct {
			name string
			p    residual.Placement
			want func(v float64) float64
			last bool
		}{
			{"pre", residual.Pre{}, func(v float64) float64 { return v + f(n(v)) }, true},
			{"post", residual.Post{}, func(v float64) float64 { return n(v + f(v)) }, false},
		} {
			var norms []string
			parts := 0
			got, _ := gradcheck.Eval(t, e.Backend, func(in []*graph.Node) *graph.Node {
				norms, parts = nil, 0
				return c.p.Block(residual.Place{Layers: 2, Part: "feed"}, in[0], func(name string, x *graph.Node) *graph.Node {
					norms = append(norms, name)
					return graph.OnePlus(graph.MulScalar(x, 2))
				}, func(x *graph.Node) *graph.Node { parts++; return graph.Mul(x, x) })
			}, h)
			for i, v := range h.Data {
				if math.Abs(got[i]-c.want(v)) > 1e-12 {
					t.Errorf("%s: %v becomes %v, want %v", c.name, v, got[i], c.want(v))
				}
			}
			if fmt.Sprint(norms) != "[norm]" || parts != 1 || c.p.Last(2) != c.last {
				t.Errorf("%s: norms %v, part %d times, a last norm %v", c.name, norms, parts, c.p.Last(2))
			}
		}
	})
}

// TestChoice: names come back; an unknown one names the nearest.
func TestChoice(t *testing.T) {
	for _, kind := range residual.All() {
		var read residual.Choice
		text, err := json.Marshal(residual.Choice{Placement: kind.New()})
		if err == nil {
			err = json.Unmarshal(text, &read)
		}
		if err != nil || residual.Name(read.Placement) != kind.Name {
			t.Errorf("%s came back as %v: %v", text, read, err)
		}
	}
	var read residual.Choice
	if err := json.Unmarshal([]byte(`"prev"`), &read); err == nil || !strings.Contains(err.Error(), "did you mean pre?") {
		t.Errorf("got %v", err)
	}
}
