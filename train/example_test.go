package train_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

func ExampleRun() {
	e, err := engine.Open("go")
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	r := train.NewRecipe()
	network := zoo.NewMLP()
	network.Hidden = []int{64}
	r.Network = zoo.Choice{Network: network}
	r.Optimizer.LR = 0.05
	r.Epochs = 3
	result, err := train.Run(context.Background(), r, train.Options{Engine: e})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("updates:", result.Steps)
	fmt.Println("better than 90 %:", result.Metrics["accuracy"] > 0.9)
	// Output:
	// updates: 60
	// better than 90 %: true
}

func ExampleScaleLR() {
	lr, err := train.ScaleLR(0.1, 4096, 128, train.RuleSqrt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.6f\n", lr)
	// Output: 0.565685
}

func ExampleAdaptRegime() {
	regime, epochs, err := train.AdaptRegime([]train.Drop{{Epoch: 0, LR: 0.1}, {Epoch: 10, LR: 0.01}}, 50, 4096, 128)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(regime, epochs)
	// Output: [{0 0.1} {320 0.01}] 1600
}
