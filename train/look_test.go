package train_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/update"
)

// What the caller measures is logged with the losses, and kept through a checkpoint.
func TestLook(t *testing.T) {
	e := goEngine(t)
	r := small(30)
	r.Checkpoint.EverySteps = 10
	look := &train.Look{Names: []string{"norm", "at"}, Measure: func(_ context.Context, h update.Host, at train.Progress) ([]float64, error) {
		sum := 0.0
		for _, v := range tensors.MustCopyFlatData[float32](h.Store().GetVariable("/model/output/kernel").MustValue()) {
			sum += float64(v) * float64(v)
		}
		return []float64{sum, float64(at.Step)}, nil
	}}
	steps := func(points []optim.Point) (at []float64) {
		for _, p := range points {
			if float64(p.Step) != p.Values[1] {
				t.Errorf("point of step %d was measured at %v", p.Step, p.Values[1])
			}
			at = append(at, p.Values[0])
		}
		return at
	}

	j := journal{}
	whole := steps(run(t, r, train.Options{Engine: e, Look: look, Sink: j}).Watched["norm"])
	if len(whole) != 3 || j[20]["norm"] != whole[1] || whole[0] == whole[2] {
		t.Errorf("measured %v, logged %v", whole, j)
	}

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := train.Run(ctx, r, train.Options{Engine: e, Look: &train.Look{Names: look.Names, Measure: func(c context.Context, h update.Host, at train.Progress) ([]float64, error) {
		if at.Step == 20 {
			cancel()
		}
		return look.Measure(c, h, at)
	}}, Dir: dir})
	if err == nil {
		t.Fatal("it went on")
	}
	if got := steps(run(t, r, train.Options{Engine: e, Look: look, Dir: dir, Resume: true}).Watched["norm"]); !slices.Equal(got, whole) {
		t.Errorf("resumed %v, in one go %v", got, whole)
	}

	look.Names = look.Names[:1]
	if _, err := train.Run(t.Context(), r, train.Options{Engine: e, Look: look}); err == nil || !strings.Contains(err.Error(), "measured 2 numbers, and has 1 names; give one each") {
		t.Errorf("got %v", err)
	}
}
