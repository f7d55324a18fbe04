package paper

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/train"
)

// Pairs measures what evaluate.Pairs does on the test part of an arm's recipe, beside its training part: recall, OPIS, utilization. It
// is a Claim's After.
func Pairs(ctx context.Context, at Place, trained *train.Result) (map[string]float64, error) {
	text, err := json.Marshal(trained.Bundle.Manifest.Provenance.Recipe)
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	recipe, err := train.DecodeYAML(text) // JSON is YAML
	if err != nil {
		return nil, fmt.Errorf("papers: the recipe of the trained model: %w", err)
	}
	test, err := recipe.Data.Open("test")
	if err != nil {
		return nil, err
	}
	training, err := recipe.Data.Open("train")
	if err != nil {
		return nil, err
	}

	model, err := evaluate.NewModel(trained.Bundle, at.Engine, 256)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	o := evaluate.Options{Suites: []evaluate.Suite{evaluate.NewPairs()}, Training: training}
	found, err := evaluate.Run(ctx, model.Subject(), test, o)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{}
	for _, s := range found.Sections {
		for _, n := range s.Numbers {
			metrics[n.Name] = n.Value
		}
	}
	return metrics, nil
}
