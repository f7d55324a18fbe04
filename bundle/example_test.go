package bundle_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/zoo"
)

func Example() {
	e, err := engine.Open("go")
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	dir, err := os.MkdirTemp("", "bundle")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	// An untrained network; train.Run returns a trained one.
	network := zoo.Choice{Network: zoo.NewMLP().WithOutputs(2)}
	b := &bundle.Bundle{Manifest: bundle.NewManifest(network, []int{4, 4, 1}, []string{"cat", "dog"}), Store: model.NewStore()}
	if err := b.Declare(e.Backend); err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "model")
	if err := b.Save(path); err != nil {
		log.Fatal(err)
	}

	opened, err := bundle.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	forward, err := opened.NewForward(e, 8)
	if err != nil {
		log.Fatal(err)
	}
	defer forward.Close()
	logits, err := forward.Logits(make([]float32, 3*16), 3)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(logits), opened.Manifest.Labels)
	// Output: 6 [cat dog]
}
