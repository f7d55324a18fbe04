package stream_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/stream"
)

// Digits whose contrast falls and comes back, four at each severity.
func Example() {
	test, err := data.Open("optdigits", "test")
	if err != nil {
		log.Fatal(err)
	}
	four := data.Subset(test, []int32{0, 1, 2, 3})
	gradual := stream.NewGradual()
	gradual.Names = []string{"contrast"}
	s, err := stream.Open(four, gradual, 1)
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < s.Len(); i += 4 {
		fmt.Print(s.Domains()[s.Domain(i)], " ")
	}
	fmt.Println()
	// Output: contrast:1 contrast:2 contrast:3 contrast:4 contrast:5 contrast:4 contrast:3 contrast:2 contrast:1
}
