package data

import (
	"image"
	"slices"

	"golang.org/x/image/draw"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Pixels is an image in the size of its file, or in that of the option size. Bytes come of pictures of 8 bits.
func (p *pictures) Pixels(i int) (x Pixels, err error) {
	if p.resize {
		x = Pixels{Height: p.height, Width: p.width, Channels: p.channels, Values: make([]float32, p.height*p.width*p.channels)}
		return x, p.Read(i, x.Values)
	}
	err = p.decoded(i, func(img image.Image) error {
		b := img.Bounds()
		x.Height, x.Width, x.Channels = b.Dy(), b.Dx(), p.channels
		switch img.(type) {
		case *image.Gray16, *image.RGBA64, *image.NRGBA64, *image.Alpha16:
			if _, err := untrusted.Bytes(p.from.Title(p.place(i)), 4, x.Height, x.Width, x.Channels); err != nil {
				return err
			}
			x.Values = make([]float32, x.Height*x.Width*x.Channels)
			values(x.Values, img, p.channels)
			return nil
		}
		if _, err := untrusted.Bytes(p.from.Title(p.place(i)), 1, x.Height, x.Width, x.Channels); err != nil {
			return err
		}
		x.Bytes = make([]byte, 0, x.Height*x.Width*x.Channels)
		x.Bytes = shallowValues(x.Bytes, img, p.channels)
		return nil
	})
	return x, err
}

// shallowValues appends the pixels of an image of 8 bits, a strip at a time.
func shallowValues(dst []byte, img image.Image, channels int) []byte {
	b := img.Bounds()
	if grey, ok := img.(*image.Gray); ok && channels == 1 {
		for y := range b.Dy() {
			dst = append(dst, grey.Pix[y*grey.Stride:y*grey.Stride+b.Dx()]...)
		}
		return dst
	}
	rows := min(max(stripPixels/b.Dx(), 1), b.Dy())
	strip := image.NewRGBA(image.Rect(0, 0, b.Dx(), rows))
	for y := 0; y < b.Dy(); y += rows {
		n := min(rows, b.Dy()-y)
		draw.Draw(strip, image.Rect(0, 0, b.Dx(), n), img, b.Min.Add(image.Pt(0, y)), draw.Src)
		p, size := strip.Pix[:4*n*b.Dx()], n*b.Dx()
		to := len(dst)
		dst = slices.Grow(dst, size*channels)[:to+size*channels]
		if channels == 1 { // as color.GrayModel
			for q := dst[to:]; len(q) > 0; p, q = p[4:], q[1:] {
				q[0] = byte((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
			}
			continue
		}
		for q := dst[to:]; len(q) >= 3 && len(p) >= 4; p, q = p[4:], q[3:] {
			q[0], q[1], q[2] = p[0], p[1], p[2]
		}
	}
	return dst
}
