package preprocess

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
)

// Target is what a network takes.
type Target struct {
	Height, Width int // of an image; 0 = any
	Channels      int // 0 = any
}

// resolve fills in what the model does not say, from the settings.
func (p Preprocess) resolve(t Target) Target {
	if t.Height == 0 && t.Width == 0 {
		switch {
		case len(p.Size) > 0:
			t.Height, t.Width = both(p.Size)
		case len(p.Crop) > 0:
			t.Height, t.Width = both(p.Crop)
		case len(p.Resize) == 2:
			t.Height, t.Width = p.Resize[0], p.Resize[1]
		}
	}
	if t.Channels == 0 {
		t.Channels = p.Channels
	}
	return t
}

// Images returns a data set whose examples are those of ds as the network takes them: images of its size and channels, as numbers in [0,1].
// Images of a set that gives them as they are in their files (data.Varied) need not be equally large. ds itself is returned where nothing
// is to be done. A size that Preprocess does not lead to is a usage error.
func (p Preprocess) Images(ds data.Dataset, t Target) (data.Dataset, error) {
	info := ds.Info()
	if len(info.Shape) != 3 || !info.Images && len(p.Resize)+len(p.Crop) == 0 && slices.Equal(info.Shape, []int{t.Height, t.Width, t.Channels}) {
		return ds, nil
	}
	t = p.resolve(t)
	_, varied := data.AsVaried(ds)
	if t.Height == 0 {
		t.Height, t.Width = info.Shape[0], info.Shape[1]
	}
	if t.Channels == 0 {
		t.Channels = info.Shape[2]
	}
	if t.Channels != info.Shape[2] && (t.Channels != 1 || info.Shape[2] != 3) && info.Shape[2] != 1 {
		return nil, &fault.Usage{Err: fmt.Errorf("preprocess: images of %s have %d channels, the network takes %d; only grey and colour become each other",
			info.Name, info.Shape[2], t.Channels)}
	}
	if len(p.Resize)+len(p.Crop) == 0 && !varied && slices.Equal(info.Shape, []int{t.Height, t.Width, t.Channels}) {
		return ds, nil
	}
	if err := p.reaches(info.Name, info.Shape, t, varied); err != nil {
		return nil, err
	}
	f := &fitted{Dataset: ds, p: p, t: t}
	size := t.Height * t.Width * t.Channels
	if total := int64(size) * int64(ds.Len()); total <= kept && memory.Need("fitted images", 2*total) == nil {
		f.cache = make([]atomic.Pointer[[]byte], ds.Len())
	}
	return f, nil
}

// kept is the most bytes of images that are remembered once they were fitted, so that a pass over shifted images does not decode again.
const kept = 1 << 30

// reaches refuses settings that do not lead to the network's size.
func (p Preprocess) reaches(name string, shape []int, t Target, varied bool) error {
	want := fmt.Sprintf("%dx%d", t.Height, t.Width)
	h, w := shape[0], shape[1]
	switch {
	case len(p.Crop) > 0:
		h, w = both(p.Crop)
	case len(p.Resize) == 2:
		h, w = p.Resize[0], p.Resize[1]
	case len(p.Resize) == 1: // the longer side follows from the image, which is checked when it is read
		return nil
	case p.Fit != FitNone || varied:
		return nil
	}
	if h == t.Height && w == t.Width {
		return nil
	}
	if len(p.Resize)+len(p.Crop) == 0 {
		return &fault.Usage{Err: fmt.Errorf("preprocess: images of %s are %dx%d, the network takes %s; name a preprocessing that resizes, such as --preprocess imagenet or --preprocess 0-1",
			name, h, w, want)}
	}
	return &fault.Usage{Err: fmt.Errorf("preprocess: %s gives images of %dx%d, the network takes %s; correct resize and crop", p.Source, h, w, want)}
}

// fitted is a set of images in the network's size.
type fitted struct {
	data.Dataset
	p     Preprocess
	t     Target
	cache []atomic.Pointer[[]byte] // of each image of bytes once it was read; nil = none is kept
}

var (
	_ data.Viewed  = (*fitted)(nil)
	_ data.Indexed = (*fitted)(nil)
)

func (f *fitted) Info() data.Info {
	info := f.Dataset.Info()
	info.Shape = []int{f.t.Height, f.t.Width, f.t.Channels}
	return info
}

// View says what the set is made of.
func (f *fitted) View() (of data.Dataset, at func(i int) int) {
	return f.Dataset, func(i int) int { return i }
}

// StableIndex is that of the set it is made of.
func (f *fitted) StableIndex(i int) int32 {
	if from, ok := f.Dataset.(data.Indexed); ok {
		return from.StableIndex(i)
	}
	return int32(i)
}

// Read fits an image.
func (f *fitted) Read(i int, dst []float32) error {
	if f.cache != nil {
		if pixels := f.cache[i].Load(); pixels != nil {
			spread(dst, *pixels)
			return nil
		}
	}
	x, err := f.pixels(i)
	if err != nil {
		return err
	}
	if x.Bytes == nil {
		x, err = f.p.floats(x, f.t)
		if err == nil {
			copy(dst, x.Values)
		}
		return f.named(i, err)
	}
	if x, err = f.p.bytes(x, f.t); err != nil {
		return f.named(i, err)
	}
	spread(dst, x.Bytes)
	if f.cache != nil {
		f.cache[i].Store(&x.Bytes)
	}
	return nil
}

// named says which example an error is about.
func (f *fitted) named(i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("example %d of %s: %w", f.StableIndex(i), f.Dataset.Info().Name, err)
}

// spread makes numbers in [0,1] of bytes.
func spread(dst []float32, pixels []byte) {
	dst = dst[:len(pixels)]
	for k, b := range pixels {
		dst[k] = brightness[b]
	}
}

// brightness is b/255 of each byte.
var brightness = func() (list [256]float32) {
	for b := range list {
		list[b] = float32(b) / 255
	}
	return list
}()

// pixels are an example as it is in the set that is fitted.
func (f *fitted) pixels(i int) (data.Pixels, error) {
	if v, ok := data.AsVaried(f.Dataset); ok {
		return v.Pixels(i)
	}
	info := f.Dataset.Info()
	x := data.Pixels{Height: info.Shape[0], Width: info.Shape[1], Channels: info.Shape[2], Values: make([]float32, info.Size())}
	if err := f.Dataset.Read(i, x.Values); err != nil {
		return x, err
	}
	if bytes, ok := asBytes(x.Values); ok {
		x.Bytes, x.Values = bytes, nil
	}
	return x, nil
}

// asBytes are the bytes whose 255ths values are; ok is false where they are others.
func asBytes(values []float32) (bytes []byte, ok bool) {
	bytes = make([]byte, len(values))
	for k, v := range values {
		b := math.Round(float64(v) * 255)
		if !(b >= 0 && b <= 255) || math.Abs(float64(v)*255-b) > 1e-3 {
			return nil, false
		}
		bytes[k] = byte(b)
	}
	return bytes, true
}

// sizes are what an image is resized to, and what is cut out of that.
func (p Preprocess) sizes(height, width int, t Target) (toHeight, toWidth int) {
	switch {
	case len(p.Resize) == 2:
		return p.Resize[0], p.Resize[1]
	case len(p.Resize) == 1:
		return shortest(height, width, p.Resize[0])
	case len(p.Crop) > 0 || height == t.Height && width == t.Width || p.Fit == FitNone:
		return height, width
	case p.Fit == FitCrop:
		if t.Height == t.Width {
			return shortest(height, width, p.shorter(t.Height, t.Width))
		}
		// The smallest size of the image's proportions that holds the network's, larger by what is cut off.
		scale := max(float64(t.Height)/float64(height), float64(t.Width)/float64(width)) / p.CropPct
		return max(t.Height, int(math.Round(float64(height)*scale))), max(t.Width, int(math.Round(float64(width)*scale)))
	}
	return t.Height, t.Width
}

// shortest are the sides of an image whose shorter one becomes short.
func shortest(height, width, short int) (toHeight, toWidth int) {
	if height <= width {
		return short, max(1, int(float64(short)*float64(width)/float64(height)))
	}
	return max(1, int(float64(short)*float64(height)/float64(width))), short
}

// cropped is the size that is cut out.
func (p Preprocess) cropped(height, width int, t Target) (toHeight, toWidth int, err error) {
	switch {
	case len(p.Crop) > 0:
		toHeight, toWidth = both(p.Crop)
	case p.Fit == FitCrop && len(p.Resize) == 0:
		toHeight, toWidth = t.Height, t.Width
	default:
		toHeight, toWidth = height, width
	}
	if toHeight != t.Height || toWidth != t.Width {
		return 0, 0, &fault.Input{
			Err: fmt.Errorf("it has %dx%d pixels behind its preprocessing (%s), the network takes %dx%d", toHeight, toWidth, p.Source, t.Height, t.Width),
			Fix: "name a preprocessing that resizes, such as --preprocess imagenet",
		}
	}
	return toHeight, toWidth, nil
}

// bytes fits an image of bytes.
func (p Preprocess) bytes(x data.Pixels, t Target) (data.Pixels, error) {
	x.Bytes, x.Channels = channelled(x.Bytes, x.Channels, t.Channels, func(r, g, b byte) byte {
		return byte((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16) // as Pillow's mode L
	})
	h, w := p.sizes(x.Height, x.Width, t)
	if err := memory.Need("resizing an image", int64(x.Channels)*(int64(x.Height)*int64(w)+int64(h)*int64(w))); err != nil {
		return x, err
	}
	pixels, err := ResizeBytes(x.Bytes, x.Height, x.Width, x.Channels, h, w, p.Interpolation)
	if err != nil {
		return x, err
	}
	ch, cw, err := p.cropped(h, w, t)
	if err != nil {
		return x, err
	}
	return data.Pixels{Height: ch, Width: cw, Channels: x.Channels, Bytes: cut(pixels, h, w, x.Channels, ch, cw, p.Center == "floor")}, nil
}

// floats fits an image of numbers.
func (p Preprocess) floats(x data.Pixels, t Target) (data.Pixels, error) {
	if x.Values == nil {
		return x, errors.New("preprocess: the image has no pixels")
	}
	x.Values, x.Channels = channelled(x.Values, x.Channels, t.Channels, func(r, g, b float32) float32 { return 0.299*r + 0.587*g + 0.114*b })
	h, w := p.sizes(x.Height, x.Width, t)
	if err := memory.Need("resizing an image", 4*int64(x.Channels)*(int64(x.Height)*int64(w)+int64(h)*int64(w))); err != nil {
		return x, err
	}
	pixels, err := ResizeFloats(x.Values, x.Height, x.Width, x.Channels, h, w, p.Interpolation)
	if err != nil {
		return x, err
	}
	for k, v := range pixels { // bicubic reaches beyond
		pixels[k] = min(max(v, 0), 1)
	}
	ch, cw, err := p.cropped(h, w, t)
	if err != nil {
		return x, err
	}
	return data.Pixels{Height: ch, Width: cw, Channels: x.Channels, Values: cut(pixels, h, w, x.Channels, ch, cw, p.Center == "floor")}, nil
}

// channelled gives an image another number of channels: grey becomes colour three times, colour grey by its weights.
func channelled[T any](x []T, have, want int, grey func(r, g, b T) T) (y []T, channels int) {
	switch have {
	case want:
		return x, have
	case 1:
		y = make([]T, len(x)*want)
		for i, v := range x {
			for c := range want {
				y[i*want+c] = v
			}
		}
		return y, want
	}
	y = make([]T, len(x)/have)
	for i := range y {
		y[i] = grey(x[i*have], x[i*have+1], x[i*have+2])
	}
	return y, want
}
