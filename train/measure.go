package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/metric"
)

// measureBatch is the batch size of measurements; it changes no number.
const measureBatch = 256

// meter measures the model as it would be saved: it owns a bundle and a compiled forward.
type meter struct {
	bundle  *bundle.Bundle
	forward *bundle.Forward
}

// newMeter compiles the forward of a copy of the model.
func newMeter(e *engine.Engine, manifest bundle.Manifest, s *state, averaged bool) (*meter, error) {
	m := &meter{bundle: &bundle.Bundle{Manifest: manifest, Store: model.NewStore()}}
	if err := m.take(s, averaged); err != nil {
		return nil, err
	}
	forward, err := m.bundle.NewForward(e, measureBatch)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	m.forward = forward
	return m, nil
}

// take copies the present weights, or their average, into the bundle.
func (m *meter) take(s *state, averaged bool) error {
	for _, v := range s.model {
		from := v
		if averaged {
			from = s.beside(averageScope, v)
		}
		value, err := from.Value()
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		copied, err := value.LocalClone()
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		if mine := m.bundle.Store.GetVariable(v.Path()); mine != nil {
			err = mine.SetValue(copied)
		} else {
			var mine *model.Variable
			if mine, err = m.bundle.Store.CreateVariable(v.Path(), copied); err == nil {
				mine.SetTrainable(v.Trainable)
			}
		}
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return nil
}

// measure returns accuracy and mean negative log-likelihood, in nats, over a set.
func (m *meter) measure(ctx context.Context, set data.Dataset) (accuracy, nll float64, err error) {
	classes := len(m.bundle.Manifest.Labels)
	reader := data.NewReader(set, ascending(set.Len()), measureBatch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	var right, seen int
	var loss float64
	for {
		b, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, 0, fmt.Errorf("train: measure: %w", err)
		}
		logits, err := m.forward.Logits(b.X[:b.N*volume(set.Info().Shape)], b.N)
		if err != nil {
			return 0, 0, fmt.Errorf("train: measure: %w", err)
		}
		scores, err := metric.Score(logits, b.Labels[:b.N], classes)
		if err != nil {
			return 0, 0, fmt.Errorf("train: measure on %s, examples from %d: %w", set.Info().Name, seen, err)
		}
		for i, predicted := range scores.Predicted {
			if predicted == scores.Labels[i] {
				right++
			}
			loss += scores.NLL[i]
		}
		seen += b.N
		reader.Recycle(b)
	}
	if seen == 0 {
		return 0, 0, fmt.Errorf("train: measure: %s has no examples", set.Info().Name)
	}
	return float64(right) / float64(seen), loss / float64(seen), nil
}
