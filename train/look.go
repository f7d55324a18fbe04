package train

import (
	"context"
	"fmt"
	"time"

	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train/update"
)

// Look measures on the way what no recipe names: numbers of a caller's own, wherever a loss is logged. They are logged, saved with
// checkpoints, and in Result.Watched.
type Look struct {
	Names []string // of the numbers; the first names them in Result.Watched

	// Measure returns a value for each name. It sees the run where it stands and must not change it: what it returns depends on the
	// variables of the host's store, and at, alone.
	Measure func(ctx context.Context, h update.Host, at Progress) ([]float64, error)
}

// lookAround remembers what the caller measures.
func (l *run) lookAround(ctx context.Context) error {
	look := l.options.Look
	if err := l.gather(); err != nil {
		return err
	}
	measured, err := look.Measure(ctx, l.host(), l.progress(time.Now()))
	if err != nil {
		return fmt.Errorf("train: after step %d: %w", l.step, err)
	}
	if len(measured) != len(look.Names) || len(measured) == 0 {
		return fmt.Errorf("train: Options.Look measured %d numbers, and has %d names; give one each", len(measured), len(look.Names))
	}
	values := map[string]float64{}
	for i, v := range measured {
		values[look.Names[i]] = v
	}
	l.record.Watched[look.Names[0]] = append(l.record.Watched[look.Names[0]], optim.Point{Step: l.step, Values: measured})
	return l.note(values)
}
