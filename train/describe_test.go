package train_test

import (
	"testing"

	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/train"
)

// TestDescribe: what a comparison ranks by has the right end up.
func TestDescribe(t *testing.T) {
	for name, want := range map[string]metric.Better{
		"accuracy": metric.Higher, "nll": metric.Lower, "loss": metric.Lower, "log_r2": metric.Higher, "mae": metric.Lower,
		"validation_accuracy": metric.Higher, "validation_nll": metric.Lower,
	} {
		if n, ok := train.Describe(name); !ok || n.Better != want || n.Name != name {
			t.Errorf("%s: %+v, %v; want %s", name, n, ok, want)
		}
	}
	for _, name := range []string{"log_slope", "lr", "validation_loss_of_weight"} {
		if n, ok := train.Describe(name); ok {
			t.Errorf("%s: %+v", name, n)
		}
	}
}
