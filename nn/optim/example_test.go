package optim_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/nn/optim"
)

func ExampleScaleLR() {
	lr, err := optim.ScaleLR(0.1, 4096, 128, optim.ScaleSqrt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.6f\n", lr)
	// Output: 0.565685
}

func ExampleAdaptRegime() {
	regime, epochs, err := optim.AdaptRegime([]optim.Drop{{Epoch: 0, LR: 0.1}, {Epoch: 10, LR: 0.01}}, 50, 4096, 128)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(regime, epochs)
	// Output: [{0 0.1} {320 0.01}] 1600
}
