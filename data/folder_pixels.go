package data

import (
	"image"
	"slices"
	"sync"

	"golang.org/x/image/draw"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

var _ Varied = (*folder)(nil)

// Pixels is an image in the size of its file, or in that of the option size. Bytes come of pictures of 8 bits.
func (f *folder) Pixels(i int) (x Pixels, err error) {
	if f.resize {
		x = Pixels{Height: f.height, Width: f.width, Channels: f.channels, Values: make([]float32, f.height*f.width*f.channels)}
		return x, f.Read(i, x.Values)
	}
	err = f.decoded(i, func(img image.Image) error {
		b := img.Bounds()
		x.Height, x.Width, x.Channels = b.Dy(), b.Dx(), f.channels
		switch img.(type) {
		case *image.Gray16, *image.RGBA64, *image.NRGBA64, *image.Alpha16:
			if _, err := untrusted.Bytes(f.files[i], 4, x.Height, x.Width, x.Channels); err != nil {
				return err
			}
			x.Values = make([]float32, x.Height*x.Width*x.Channels)
			values(x.Values, img, f.channels)
			return nil
		}
		if _, err := untrusted.Bytes(f.files[i], 1, x.Height, x.Width, x.Channels); err != nil {
			return err
		}
		x.Bytes = make([]byte, 0, x.Height*x.Width*x.Channels)
		x.Bytes = shallowValues(x.Bytes, img, f.channels)
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
		for p := strip.Pix[:4*n*b.Dx()]; len(p) > 0; p = p[4:] {
			if channels == 1 { // as color.GrayModel
				dst = append(dst, byte((19595*uint32(p[0])+38470*uint32(p[1])+7471*uint32(p[2])+1<<15)>>16))
				continue
			}
			dst = append(dst, p[0], p[1], p[2])
		}
	}
	return dst
}

// OpenFiles opens PNG and JPEG files as a set of images without classes, all of label 0, in their order. channels is 1 or 3; 0 = grey if the
// first image is. Its images may have sizes of their own (Varied); Read takes those that are as large as the first.
func OpenFiles(files []string, channels int) (Dataset, error) {
	if len(files) == 0 {
		return nil, usage("data: no files of images are named")
	}
	f := &folder{path: files[0], root: ".", files: slices.Clone(files), labels: make([]int32, len(files)), classes: []string{"0"}, channels: channels}
	f.checksum = sync.OnceValue(f.hash)
	return f, f.measure()
}
