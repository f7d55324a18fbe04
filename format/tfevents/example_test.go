package tfevents_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/ballast-ml/ballast/format/tfevents"
)

func Example() {
	var file bytes.Buffer
	w := tfevents.NewWriter(&file) // or Create("runs/mnist")
	err := w.Version(1700000000)
	for step, loss := range []float64{2.5, 1.25, 0.5} {
		err = errors.Join(err, w.Scalar(1700000000+float64(step), int64(step), "loss", loss))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		log.Fatal(err)
	}

	r := tfevents.NewReader(bytes.NewReader(file.Bytes())) // or OpenReader
	for {
		event, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		for _, v := range event.Values {
			fmt.Println(event.Step, v.Tag, v.Scalar)
		}
	}
	// Output:
	// 0 loss 2.5
	// 1 loss 1.25
	// 2 loss 0.5
}
