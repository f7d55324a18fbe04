package preprocess_test

import (
	"fmt"
	"log"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
)

// Digits of 8x8 grey pixels for a network that takes 32x32 in colour, as ImageNet's networks do.
func Example() {
	digits, err := data.Open("optdigits", "test")
	if err != nil {
		log.Fatal(err)
	}
	p, err := preprocess.Parse("imagenet")
	if err != nil {
		log.Fatal(err)
	}
	images, err := p.Images(digits, preprocess.Target{Height: 32, Width: 32, Channels: 3})
	if err != nil {
		log.Fatal(err)
	}
	x := make([]float32, images.Info().Size())
	if err := images.Read(0, x); err != nil {
		log.Fatal(err)
	}
	y := make([]float32, len(x))
	p.Values(y, x, 32*32, 3, true) // [channels, height, width]
	fmt.Println(images.Info().Shape, p.Says(32, 32, 3))
	fmt.Printf("%.3f is nearly black\n", y[0])
	// Output:
	// [32 32 3] mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225; images of another size than 32x32: shorter side to 36 (bilinear), middle cut out
	// -2.115 is nearly black
}
