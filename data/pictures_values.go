package data

import (
	"image"

	"golang.org/x/image/draw"
)

// values writes the pixels of an image.
func values(dst []float32, img image.Image, channels int) {
	bounds := img.Bounds()
	if grey, ok := img.(*image.Gray); ok && channels == 1 {
		for y := range bounds.Dy() {
			for x, v := range grey.Pix[y*grey.Stride : y*grey.Stride+bounds.Dx()] {
				dst[y*bounds.Dx()+x] = float32(v) / 255
			}
		}
		return
	}
	if deep, ok := img.(*image.RGBA64); ok {
		deepValues(dst, deep.Pix, channels)
		return
	}

	// A strip at a time: a copy of the whole at 8 bytes a pixel would be larger than the image.
	rows := min(max(stripPixels/bounds.Dx(), 1), bounds.Dy())
	deep := image.NewRGBA64(image.Rect(0, 0, bounds.Dx(), rows))
	for y := 0; y < bounds.Dy(); y += rows {
		n := min(rows, bounds.Dy()-y)
		draw.Draw(deep, image.Rect(0, 0, bounds.Dx(), n), img, bounds.Min.Add(image.Pt(0, y)), draw.Src)
		size := n * bounds.Dx()
		deepValues(dst[y*bounds.Dx()*channels:], deep.Pix[:8*size], channels)
	}
}

// stripPixels is about how many pixels are converted at once.
const stripPixels = 1 << 16

// deepValues writes pixels of four big-endian uint16.
func deepValues(dst []float32, p []byte, channels int) {
	for k := 0; len(p) > 0; p = p[8:] {
		r, g, b := uint32(p[0])<<8|uint32(p[1]), uint32(p[2])<<8|uint32(p[3]), uint32(p[4])<<8|uint32(p[5])
		if channels == 1 {
			dst[k] = float32((19595*r+38470*g+7471*b+1<<15)>>16) / 65535 // as color.Gray16Model
			k++
			continue
		}
		dst[k], dst[k+1], dst[k+2] = float32(r)/65535, float32(g)/65535, float32(b)/65535
		k += 3
	}
}
