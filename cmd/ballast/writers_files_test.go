package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"path/filepath"
)

// photos writes a folder of two classes of small pictures.
func photos(dir string) error {
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 8 {
		img := image.NewRGBA(image.Rect(0, 0, 32, 32))
		for p := range 1024 {
			img.Set(p%32, p/32, color.RGBA{uint8(r.Uint32()), uint8(p), uint8(i * 30), 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			return err
		}
		if err := put(filepath.Join(dir, fmt.Sprintf("class%d", i%2), fmt.Sprintf("%d.png", i)), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
