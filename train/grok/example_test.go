package grok_test

import (
	"fmt"
	"log"
	"math"

	"github.com/ballast-ml/ballast/train/grok"
)

// A neuron that generalises is a wave of one frequency, one that memorises is noise: the inverse participation ratio tells them apart.
func ExampleIPR() {
	var wave, spike []float64
	for i := range 97 {
		wave = append(wave, math.Cos(2*math.Pi*5*float64(i)/97))
		spike = append(spike, 0)
	}
	spike[3] = 1
	for name, v := range map[string][]float64{"wave": wave, "spike": spike} {
		ipr, err := grok.IPR(v, 2)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %.3f\n", name, ipr)
	}
	// Unordered output:
	// wave 1.000
	// spike 0.020
}
