package npy_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/format/npy"
)

func Example() {
	var file bytes.Buffer
	if err := npy.Write(&file, []int{2, 3}, []float32{1, 2, 3, 4, 5, 6}); err != nil {
		log.Fatal(err)
	}

	a, err := npy.Parse(file.Bytes()) // or Open("logits.npy")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Shape, a.DType)
	row := make([]float64, a.RowLen())
	for i := range a.Rows() {
		if err := a.ReadFloat64s(row, i*a.RowLen()); err != nil {
			log.Fatal(err)
		}
		fmt.Println(row)
	}
	// Output:
	// [2 3] float32
	// [1 2 3]
	// [4 5 6]
}
