package corrupt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/image/draw"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/picture"
)

// one writes all copies of an image that are not there. done is called after each.
func (c Copy) one(ctx context.Context, from, to string, j job, shifts []Shift, severities []int, done func()) (written, kept int, err error) {
	path := filepath.Join(from, filepath.FromSlash(j.path))
	var src, dst []float32
	var shape []int
	for _, s := range shifts {
		for _, severity := range severities {
			if err := ctx.Err(); err != nil {
				return written, kept, err
			}
			target := filepath.Join(to, s.Name(), strconv.Itoa(severity), filepath.FromSlash(withoutEnding(j.path))+c.ending())
			if _, err := os.Lstat(target); err == nil {
				kept++
				done()
				continue
			} else if !errors.Is(err, fs.ErrNotExist) {
				return written, kept, fmt.Errorf("corrupt: %w", err)
			}
			if src == nil { // decoded when the first copy needs it
				if src, shape, err = c.read(path); err != nil {
					return written, kept, err
				}
				dst = make([]float32, len(src))
			}
			if err := Fits(s, shape); err != nil {
				return written, kept, &fault.Input{
					File: path, Err: errors.New(strings.TrimPrefix(err.Error(), "corrupt: ")), Fix: "scale all images, as --size 224x224 does, or leave the shift out",
				}
			}
			s.Apply(dst, src, shape, severity, c.Seed, j.index)
			if err := c.write(target, dst, shape); err != nil {
				return written, kept, err
			}
			written++
			done()
		}
	}
	return written, kept, nil
}

func (c Copy) ending() string {
	if c.JPEG {
		return ".jpg"
	}
	return ".png"
}

// read decodes an image: in [0,1], grey as one channel and all others as three, transparent parts on black.
func (c Copy) read(path string) (src []float32, shape []int, err error) {
	img, err := picture.Open(path)
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) {
			return nil, nil, &fault.Input{File: path, Err: failed.Err}
		}
		return nil, nil, err
	}
	bounds := img.Bounds()
	height, width := bounds.Dy(), bounds.Dx()
	if c.Height > 0 {
		height, width = c.Height, c.Width
	}
	// The image in 16 bits, and at most four times in float64 while a shift works.
	if err := memory.Need("shifting "+path, 8*int64(bounds.Dx())*int64(bounds.Dy())+112*int64(height)*int64(width)); err != nil {
		return nil, nil, err
	}

	deep := image.NewRGBA64(image.Rect(0, 0, width, height))
	if c.Height > 0 {
		draw.BiLinear.Scale(deep, deep.Bounds(), img, middle(bounds, height, width), draw.Src, nil)
	} else {
		draw.Draw(deep, deep.Bounds(), img, bounds.Min, draw.Src)
	}
	channels := 3
	switch img.(type) {
	case *image.Gray, *image.Gray16:
		channels = 1
	}
	src = make([]float32, 0, height*width*channels)
	for p := deep.Pix; len(p) > 0; p = p[8:] {
		for c := range channels {
			src = append(src, float32(uint32(p[2*c])<<8|uint32(p[2*c+1]))/65535)
		}
	}
	return src, []int{height, width, channels}, nil
}

// middle is the largest part of an image in its middle that has the proportions of a size.
func middle(b image.Rectangle, height, width int) image.Rectangle {
	w, h := b.Dx(), b.Dy()
	if int64(w)*int64(height) > int64(h)*int64(width) {
		w = max(1, int((int64(h)*int64(width)+int64(height)/2)/int64(height)))
	} else {
		h = max(1, int((int64(w)*int64(height)+int64(width)/2)/int64(width)))
	}
	at := image.Pt(b.Min.X+(b.Dx()-w)/2, b.Min.Y+(b.Dy()-h)/2)
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(w, h))}
}

// write writes an image in bytes.
func (c Copy) write(path string, values []float32, shape []int) error {
	height, width := shape[0], shape[1]
	var img image.Image
	if shape[2] == 1 {
		grey := image.NewGray(image.Rect(0, 0, width, height))
		for i, v := range values {
			grey.Pix[i] = nearestByte(v)
		}
		img = grey
	} else {
		colour := image.NewRGBA(image.Rect(0, 0, width, height))
		for i := range height * width {
			for k := range 3 {
				colour.Pix[4*i+k] = nearestByte(values[3*i+k])
			}
			colour.Pix[4*i+3] = 255
		}
		img = colour
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("corrupt: %w", err)
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		if c.JPEG {
			return jpeg.Encode(w, img, &jpeg.Options{Quality: publishedQuality})
		}
		return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img)
	})
}

// publishedQuality is that of the files of ImageNet-C.
const publishedQuality = 85

// digest names the pictures of a frost by what is in them.
func (f Frost) digest() string {
	sum := sha256.New()
	for _, t := range f.Textures {
		fmt.Fprintf(sum, "%d x %d\n", t.Height, t.Width)
		_ = binary.Write(sum, binary.LittleEndian, t.Pixels) // a hash takes all
	}
	return hex.EncodeToString(sum.Sum(nil))
}
