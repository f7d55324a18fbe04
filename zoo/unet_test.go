package zoo_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

func tinyUNet(depth int) zoo.UNet {
	u := zoo.NewUNet()
	u.Base, u.Depth, u.Channels, u.Activation = 2, depth, 3, linear.GELU
	u.Norm = norm.Choice{Layer: norm.NewRMS(-1)}
	return u
}

// TestUNetGradient: in float64, of images of one pixel more than a level halves.
func TestUNetGradient(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		gradcheck.CheckModel(t, e.Backend, model.NewStore(), func(scope *model.Scope, x []*graph.Node) *graph.Node {
			y := tinyUNet(1).Apply(scope, x[0])
			if want := "[1 3 2 3]"; fmt.Sprint(y.Shape().Dimensions) != want {
				t.Errorf("answers are %s, want %s", y.Shape(), want)
			}
			return y
		}, gradcheck.Normal(1, 1, 3, 2, 1))
	})
}

// TestUNetSees: an image alone gets what it gets in a batch; sides that are no multiples are padded and cut; a pixel sees all of a small
// image, but one that looks far only by way of the middle.
func TestUNetSees(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		u := tinyUNet(2)
		exec := model.MustNewExec(e.Backend, model.NewStore(), u.Apply)
		run := func(flat []float32, dims ...int) []float32 {
			return tensors.MustCopyFlatData[float32](exec.MustCall(tensors.FromFlatDataAndDimensions(flat, dims...))[0])
		}
		flat := tensors.MustCopyFlatData[float32](random(1, 2, 8, 8, 1))
		both := run(flat, 2, 8, 8, 1)
		alone := run(flat[64:], 1, 8, 8, 1)
		for i := range alone {
			if math.Abs(float64(alone[i]-both[len(alone)+i])) > 1e-5 {
				t.Fatalf("number %d is %v alone and %v in a batch", i, alone[i], both[len(alone)+i])
			}
		}

		var cut, padded []float32
		for i, v := range flat[:64] {
			if i/8 < 5 && i%8 < 7 {
				cut = append(cut, v)
			} else {
				v = 0
			}
			padded = append(padded, v)
		}
		small, large := run(cut, 1, 5, 7, 1), run(padded, 1, 8, 8, 1)
		if len(small) != 5*7*3 {
			t.Fatalf("5x7 has %d answers, want %d", len(small), 5*7*3)
		}
		for i := range small {
			if want := large[i/21*24+i%21]; math.Abs(float64(small[i]-want)) > 1e-5 {
				t.Fatalf("number %d is %v, want %v", i, small[i], want)
			}
		}

		moved := append([]float32(nil), flat[:64]...)
		moved[0] += 1
		for i, v := range run(moved, 1, 8, 8, 1) {
			if i%3 == 0 && v == both[i] {
				t.Errorf("pixel %d does not see the first one", i/3)
			}
		}
	})
}

func TestUNetRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`{"name":"unet","base":0}`:                 "unet: base is 0; use at least 1",
		`{"name":"unet","depth":0}`:                "unet: depth is 0 of base 32; use 1 to 20",
		`{"name":"unet","depth":20}`:               "unet: depth is 20 of base 32; use 1 to 20, and at most 16777216 filters",
		`{"name":"unet","depth":-1}`:               "unet: depth is -1 of base 32",
		`{"name":"unet","task":"classify"}`:        `unet: task is "classify"; use segment or translate`,
		`{"name":"unet","outputs":0}`:              "unet: outputs is 0; use at least 1",
		`{"name":"unet","norm":"bach"}`:            "did you mean batch?",
		`{"name":"unet","activation":"leakyrelu"}`: "did you mean leaky-relu?",
	} {
		var read zoo.Choice
		if err := read.UnmarshalJSON([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
}
