package adapt_test

import (
	"context"
	"fmt"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// A network that was trained on digits answers digits whose contrast is a third, as it is and with statistics of the batches it is given.
func Example() {
	ctx := context.Background()
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	recipe := train.NewRecipe() // optdigits
	network := zoo.NewCNN()
	network.Filters, network.Dense = []int{8}, 0
	recipe.Network, recipe.Epochs, recipe.BatchSize = zoo.Choice{Network: network}, 1, 32
	trained, err := train.Run(ctx, recipe, train.Options{Engine: e})
	if err != nil {
		fmt.Println(err)
		return
	}

	test, _ := data.Open("optdigits", "test")
	const n = 256
	size := test.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := test.Read(i, x[i*size:(i+1)*size]); err != nil {
			fmt.Println(err)
			return
		}
	}
	for i := range x {
		x[i] = 0.4 + x[i]/3
	}

	right := func(logits []float32) (share float64) {
		for i := range n {
			best := 0
			for c, v := range logits[i*10 : i*10+10] {
				if v > logits[i*10+best] {
					best = c
				}
			}
			if int32(best) == test.Label(i) {
				share += 1.0 / n
			}
		}
		return share
	}
	forward, err := trained.Bundle.NewForward(e, 64)
	if err != nil {
		fmt.Println(err)
		return
	}
	before, _ := forward.Logits(x, n)
	a, err := adapt.NewBatch().Start(adapt.Model{Bundle: trained.Bundle, Engine: e, Batch: 64})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()
	after, _ := a.Answer(ctx, x, n)
	fmt.Println("as it is: below 60 %:", right(before) < 0.6)
	fmt.Println("adapted: above 80 %:", right(after) > 0.8)
	// Output:
	// as it is: below 60 %: true
	// adapted: above 80 %: true
}
