package sample_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/data/sample"
)

// Two updates of two classes with three examples each, of a set whose classes are not of one size. The same seed and epoch give the same.
func ExamplePK() {
	labels := []int32{0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2}
	pk := sample.PK{Classes: 2, Members: 3}
	places, err := pk.Epoch(sample.Rows{N: len(labels), Labels: labels}, 6, 2, 1, 0)
	if err != nil {
		log.Fatal(err)
	}
	for update := range 2 {
		counts := map[int32]int{}
		for _, place := range places[6*update : 6*update+6] {
			counts[labels[place]]++
		}
		fmt.Println(len(counts), "classes,", counts[labels[places[6*update]]], "of the first")
	}
	// Output:
	// 2 classes, 3 of the first
	// 2 classes, 3 of the first
}
