package train_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/nn/optim"
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
	sgd := optim.NewSGD()
	sgd.LR = 0.05
	r.Optimizer = optim.Choice{Optimizer: sgd}
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
