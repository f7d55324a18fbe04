package ghostbatchnorm

import (
	"testing"

	"github.com/ballast-ml/ballast/papers/paper"
)

func TestGhostBatchNormClaims(t *testing.T) {
	accuracy := func(sb, lb, mended float64) paper.Measured {
		return paper.Measured{"sb": {"accuracy": {sb, sb}}, "lb": {"accuracy": {lb, lb}}, "lb_lr": {}, "lb_lr_gbn": {"accuracy": {mended, mended}}, "lb_lr_gbn_ra": {}}
	}
	for _, c := range []struct {
		measured paper.Measured
		held     bool
	}{
		{accuracy(0.98, 0.97, 0.98), true},
		{accuracy(0.98, 0.975, 0.98), false},  // the large batch loses too little
		{accuracy(0.98, 0.97, 0.975), false},  // too little is won back
		{accuracy(0.99, 0.97, 0.9855), false}, // not as good as the small batch
	} {
		if got := paper.Judge(Paper.Claims[0], c.measured); got.MeansHold != c.held {
			t.Errorf("%v: held is %v", c.measured, got.MeansHold)
		}
	}
	walk := func(log, sqrt float64) paper.Measured {
		return paper.Measured{"walk": {"log_r2": {log}, "sqrt_r2": {sqrt}}}
	}
	for _, c := range []struct {
		measured paper.Measured
		held     bool
	}{{walk(0.99, 0.88), true}, {walk(0.96, 0.88), false}, {walk(0.99, 0.95), false}} {
		if got := paper.Judge(Paper.Claims[1], c.measured); got.MeansHold != c.held {
			t.Errorf("%v: held is %v", c.measured, got.MeansHold)
		}
	}
}
