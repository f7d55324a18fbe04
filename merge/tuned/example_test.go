package tuned_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/train"
)

// Two runs of one recipe that differ in their order of examples are averaged into one model.
func ExampleSoup() {
	dir, err := os.MkdirTemp("", "soup")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	open := func() (*engine.Engine, error) { return engine.Open(engine.KindGo) }
	e, err := open()
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	var models []string
	for seed := range 2 {
		recipe, err := train.DecodeYAML(fmt.Appendf(nil, "{network: {name: mlp, hidden: [16]}, norm: layer, steps: 5, seed: %d}", seed))
		if err != nil {
			log.Fatal(err)
		}
		result, err := train.Run(context.Background(), recipe, train.Options{Engine: e})
		if err != nil {
			log.Fatal(err)
		}
		models = append(models, filepath.Join(dir, fmt.Sprint("model-", seed)))
		if err := result.Bundle.Save(models[seed]); err != nil {
			log.Fatal(err)
		}
	}

	made, err := tuned.NewSoup(models...).Run(context.Background(), filepath.Join(dir, "soup"), open)
	if err != nil {
		log.Fatal(err)
	}
	b, err := bundle.Open(made.Out)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.Method, "of", len(made.Models), "models:", len(b.Variables()), "variables")
	// Output:
	// uniform of 2 models: 6 variables
}
