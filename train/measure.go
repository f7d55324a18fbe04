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
	"github.com/ballast-ml/ballast/train/update"
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
			from = s.beside(update.AverageScope, v)
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

// measured says whether there is a measure of what a model answers.
func measured(m bundle.Manifest) bool {
	_, err := metric.For(string(m.Network.Task()), m.Network.Outputs())
	return err == nil
}

// measure returns the numbers of the network's task over a set. The first is the one that models are chosen by.
func (m *meter) measure(ctx context.Context, set data.Dataset) ([]metric.Number, error) {
	network := m.bundle.Manifest.Network
	measure, err := metric.For(string(network.Task()), network.Outputs())
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	targeted, _ := data.AsTargeted(set)
	text, _ := data.AsTokens(set)
	reader := data.NewReader(set, ascending(set.Len()), measureBatch, runtime.GOMAXPROCS(0), false)
	defer reader.Close()
	seen := 0
	for {
		b, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("train: measure: %w", err)
		}
		x, labels := b.X[:b.N*volume(set.Info().Shape)], b.Labels[:b.N]
		if text != nil {
			labels = nextTokens(x, text.Window())
		}
		answers, err := m.forward.Logits(x, b.N)
		if err != nil {
			return nil, fmt.Errorf("train: measure: %w", err)
		}
		targets, err := targetsOf(targeted, b.Index[:b.N])
		if err != nil {
			return nil, fmt.Errorf("train: measure on %s: %w", set.Info().Name, err)
		}
		if err := measure.Add(answers, labels, targets); err != nil {
			return nil, fmt.Errorf("train: measure on %s, examples from %d: %w", set.Info().Name, seen, err)
		}
		seen += b.N
		reader.Recycle(b)
	}
	if seen == 0 {
		return nil, fmt.Errorf("train: measure: %s has no examples", set.Info().Name)
	}
	return measure.Numbers(), nil
}

// nextTokens are, for each token of texts x [n, window], the one behind it, or -1 where there is none. Tokens of x that are none become 0,
// which a network can read.
func nextTokens(x []float32, window int) []int32 {
	next := make([]int32, len(x))
	for i := range x {
		next[i] = noToken
		if (i+1)%window != 0 {
			next[i] = int32(x[i+1])
		}
		x[i] = max(x[i], 0)
	}
	return next
}

// targetsOf are the targets of some examples; nil where the set has classes.
func targetsOf(set data.Targeted, index []int32) ([]float32, error) {
	if set == nil {
		return nil, nil
	}
	size := volume(set.TargetShape())
	all := make([]float32, len(index)*size)
	for k, i := range index {
		if err := set.Target(int(i), all[k*size:(k+1)*size]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
