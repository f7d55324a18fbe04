package evaluate

import (
	"context"
	"fmt"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/zoo"
)

// Calibrate fits a temperature to a model's outputs on ds and puts it into the bundle, on top of the one it has. The examples
// should be ones the model was not trained on. A saturated fit, as when every example is answered right, says nothing about
// confidences: the bundle then stays as it is.
func Calibrate(ctx context.Context, b *bundle.Bundle, ds data.Dataset, e *engine.Engine, t calibrate.TemperatureScaling, o Options) (calibrate.Temperature, error) {
	if task := b.Manifest.Answers(); task != zoo.Classify {
		return calibrate.Temperature{}, &fault.Usage{Err: fmt.Errorf("evaluate: the task of %s is %s; a temperature is for a model that classifies", b.Manifest.Name, task)}
	}
	logits, err := Logits(ctx, b, ds, e, o)
	if err != nil {
		return calibrate.Temperature{}, err
	}
	fit, err := calibrate.FitTemperature(t, logits, data.Labels(ds), len(b.Manifest.Labels))
	if err != nil || fit.Saturated {
		return fit, err
	}
	b.Manifest.Calibration.Temperature *= fit.T
	b.Manifest.Provenance.Derived = append(b.Manifest.Provenance.Derived,
		fmt.Sprintf("calibrate: temperature %.6g, fitted to %d examples of %s", fit.T, ds.Len(), datasetName(ds.Info())))
	return fit, nil
}
