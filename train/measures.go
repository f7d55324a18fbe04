package train

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/train/objective"
	"github.com/ballast-ml/ballast/train/update"
)

// Measures are the numbers of Result.Metrics that a run may have, but for those that its objective and its watchers add.
func Measures() []string {
	names := []string{}
	for _, n := range metric.Known() {
		if !slices.Contains(names, n.Name) {
			names = append(names, n.Name)
		}
	}
	for _, name := range slices.Clone(names) {
		names = append(names, ValidationPrefix+name)
	}
	return append(names, "loss", "skipped", "grad_norm", "epoch")
}

// CheckMeasure refuses the name of a number that no run of the recipe has, before it is made. Where an objective or a watcher adds numbers of
// its own, names are not known before, and none is refused.
func (r Recipe) CheckMeasure(name string) error {
	known := Measures()
	plain := reflect.DeepEqual(r.Objective.Objective, update.Objective(objective.NewSupervised()))
	if slices.Contains(known, name) || len(r.Watch) > 0 || !plain {
		return nil
	}
	if near, ok := strict.Nearest(name, known); ok {
		return &fault.Usage{Err: fmt.Errorf("no run measures %q; did you mean %q?", strict.Short(name), near)}
	}
	return &fault.Usage{Err: fmt.Errorf("no run measures %q; there are %s", strict.Short(name), strings.Join(known, ", "))}
}
