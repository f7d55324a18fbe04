package preprocess

import (
	"fmt"
	"math"
)

// The interpolations, as Pillow names them.
const (
	Nearest  = "nearest"
	Bilinear = "bilinear"
	Bicubic  = "bicubic"
	Lanczos  = "lanczos"
	Box      = "box"
	Hamming  = "hamming"
)

// Interpolations are the names of all interpolations.
func Interpolations() []string { return []string{Nearest, Bilinear, Bicubic, Lanczos, Box, Hamming} }

// window is the weight of a pixel at a distance, and how far it reaches.
type window struct {
	reach  float64
	weight func(x float64) float64
}

// windows are Pillow's filters.
var windows = map[string]window{
	Box: {0.5, func(x float64) float64 {
		if x > -0.5 && x <= 0.5 {
			return 1
		}
		return 0
	}},
	Bilinear: {1, func(x float64) float64 { return max(0, 1-math.Abs(x)) }},
	Hamming: {1, func(x float64) float64 {
		x = math.Abs(x)
		if x == 0 {
			return 1
		}
		if x >= 1 {
			return 0
		}
		x *= math.Pi
		return math.Sin(x) / x * (0.54 + 0.46*math.Cos(x))
	}},
	Bicubic: {2, func(x float64) float64 {
		const a = -0.5
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
		return 0
	}},
	Lanczos: {3, func(x float64) float64 {
		if x < -3 || x >= 3 {
			return 0
		}
		return sinc(x) * sinc(x/3)
	}},
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// taps are the source pixels of one pixel of the result along an axis, and their weights.
type taps struct {
	from    int
	weights []float64
}

// along are the taps of all pixels of an axis that goes from n pixels to m. A filter is as wide as a pixel of the result.
func along(w window, n, m int) []taps {
	scale := float64(n) / float64(m)
	wide := max(scale, 1)
	reach := w.reach * wide
	all := make([]taps, m)
	for i := range all {
		center := (float64(i) + 0.5) * scale
		from := max(int(center-reach+0.5), 0)
		to := min(int(center+reach+0.5), n)
		t := taps{from: from, weights: make([]float64, max(to-from, 0))}
		sum := 0.0
		for k := range t.weights {
			t.weights[k] = w.weight((float64(k+from) - center + 0.5) / wide)
			sum += t.weights[k]
		}
		if sum != 0 {
			for k := range t.weights {
				t.weights[k] /= sum
			}
		}
		all[i] = t
	}
	return all
}

// precision is the number of bits behind the point in Pillow's weights for bytes.
const precision = 32 - 8 - 2

// fixed are weights as whole numbers.
func (t taps) fixed() []int32 {
	list := make([]int32, len(t.weights))
	for k, v := range t.weights {
		half := 0.5
		if v < 0 {
			half = -0.5
		}
		list[k] = int32(half + v*(1<<precision))
	}
	return list
}

// check refuses sizes that are none.
func check(pixels, height, width, channels, toHeight, toWidth int) error {
	if height < 1 || width < 1 || channels < 1 || toHeight < 1 || toWidth < 1 || pixels != height*width*channels {
		return fmt.Errorf("preprocess: resizing %d values of %dx%dx%d to %dx%d; sizes must be at least 1 and fit", pixels, height, width, channels, toHeight, toWidth)
	}
	return nil
}

// ResizeBytes resizes an image of bytes [height, width, channels] as Image.resize of Pillow 13 does, to the byte: both axes with weights of
// 22 bits behind the point, and bytes in between. Rows come first, but where the height shrinks by more than twice as many pixels as the
// width; Pillow 12 and older always have rows first, which may make a difference of 1. Where nothing changes the image itself is returned.
// Source: Pillow, src/libImaging/Resample.c and Geometry.c (nearest), read and written anew.
func ResizeBytes(x []byte, height, width, channels, toHeight, toWidth int, interpolation string) ([]byte, error) {
	return resized(x, height, width, channels, toHeight, toWidth, interpolation, bytesAcross, bytesDown)
}

// resized resizes the rows and the columns of an image, in the order in which Pillow does.
func resized[T byte | float32](x []T, height, width, channels, toHeight, toWidth int, interpolation string,
	rows func(x []T, height, width, channels int, all []taps) []T, columns func(x []T, row int, all []taps) []T,
) ([]T, error) {
	if err := check(len(x), height, width, channels, toHeight, toWidth); err != nil {
		return nil, err
	}
	if interpolation == Nearest {
		return nearest(x, height, width, channels, toHeight, toWidth), nil
	}
	w, ok := windows[interpolation]
	if !ok {
		return nil, oneOf("interpolation", interpolation, Interpolations()...)
	}
	across, down := along(w, width, toWidth), along(w, height, toHeight)
	if columnsFirst(height, width, toHeight, toWidth) {
		x = columns(x, width*channels, down)
		height, down = toHeight, nil
	}
	if toWidth != width {
		x = rows(x, height, width, channels, across)
	}
	if toHeight != height && down != nil {
		x = columns(x, toWidth*channels, down)
	}
	return x, nil
}

// columnsFirst is when Pillow resizes columns before rows.
func columnsFirst(height, width, toHeight, toWidth int) bool {
	return height > toHeight && height-toHeight > 2*(width-toWidth)
}

// bytesAcross resizes the rows.
func bytesAcross(x []byte, height, width, channels int, all []taps) []byte {
	out := make([]byte, height*len(all)*channels)
	weights := make([][]int32, len(all))
	for i, t := range all {
		weights[i] = t.fixed()
	}
	for row := range height {
		in, to := x[row*width*channels:(row+1)*width*channels], out[row*len(all)*channels:]
		if channels == 3 { // most images: three sums at a time
			threeAcross(to, in, all, weights)
			continue
		}
		for i, t := range all {
			at := t.from * channels
			for c := range channels {
				sum := int32(1) << (precision - 1)
				for k, v := range weights[i] {
					sum += int32(in[at+k*channels+c]) * v
				}
				to[i*channels+c] = clipped(sum)
			}
		}
	}
	return out
}

// threeAcross resizes a row of three channels.
func threeAcross(to, in []byte, all []taps, weights [][]int32) {
	const half = int32(1) << (precision - 1)
	for i, t := range all {
		w := weights[i]
		p := in[3*t.from : 3*(t.from+len(w))]
		r, g, b := half, half, half
		for _, v := range w {
			r += int32(p[0]) * v
			g += int32(p[1]) * v
			b += int32(p[2]) * v
			p = p[3:]
		}
		q := to[3*i : 3*i+3]
		q[0], q[1], q[2] = clipped(r), clipped(g), clipped(b)
	}
}

// bytesDown resizes columns; a row has so many values.
func bytesDown(x []byte, row int, all []taps) []byte {
	out := make([]byte, len(all)*row)
	sums := make([]int32, row)
	for i, t := range all {
		for j := range sums {
			sums[j] = 1 << (precision - 1)
		}
		for k, v := range t.fixed() {
			in := x[(t.from+k)*row : (t.from+k+1)*row]
			sums := sums[:len(in)]
			for j, b := range in {
				sums[j] += int32(b) * v
			}
		}
		to := out[i*row : (i+1)*row]
		for j, sum := range sums {
			to[j] = clipped(sum)
		}
	}
	return out
}

// clipped is a sum as a byte.
func clipped(sum int32) byte { return byte(min(max(sum>>precision, 0), 255)) }

// ResizeFloats resizes an image of numbers as Pillow does those of its mode F, with sums in float64 and float32 in between.
func ResizeFloats(x []float32, height, width, channels, toHeight, toWidth int, interpolation string) ([]float32, error) {
	return resized(x, height, width, channels, toHeight, toWidth, interpolation, floatsAcross, floatsDown)
}

// floatsAcross resizes the rows.
func floatsAcross(x []float32, height, width, channels int, all []taps) []float32 {
	out := make([]float32, height*len(all)*channels)
	for i, t := range all {
		for row := range height {
			for c := range channels {
				sum := 0.0
				for k, v := range t.weights {
					sum += float64(float64(x[(row*width+t.from+k)*channels+c]) * v) // rounded, so that no machine fuses it
				}
				out[(row*len(all)+i)*channels+c] = float32(sum)
			}
		}
	}
	return out
}

// floatsDown resizes columns; a row has so many values.
func floatsDown(x []float32, row int, all []taps) []float32 {
	out := make([]float32, len(all)*row)
	for i, t := range all {
		for j := range row {
			sum := 0.0
			for k, v := range t.weights {
				sum += float64(float64(x[(t.from+k)*row+j]) * v)
			}
			out[i*row+j] = float32(sum)
		}
	}
	return out
}

// nearest takes the pixel in whose area the middle of a pixel of the result lies.
func nearest[T any](x []T, height, width, channels, toHeight, toWidth int) []T {
	if height == toHeight && width == toWidth {
		return x
	}
	rows, columns := places(height, toHeight), places(width, toWidth)
	out := make([]T, 0, toHeight*toWidth*channels)
	for _, i := range rows {
		for _, j := range columns {
			at := (i*width + j) * channels
			out = append(out, x[at:at+channels]...)
		}
	}
	return out
}

// places are the pixels that nearest takes along an axis. The place is summed up, step by step, as Pillow does it.
func places(n, m int) []int {
	list := make([]int, m)
	step := float64(n) / float64(m)
	at := step * 0.5
	for i := range list {
		list[i] = min(int(at), n-1)
		at += step
	}
	return list
}

// cut takes the middle out of an image [height, width, channels]; where it reaches beyond, there are zeros.
func cut[T any](x []T, height, width, channels, toHeight, toWidth int, floor bool) []T {
	if height == toHeight && width == toWidth {
		return x
	}
	top, left := begin(height, toHeight, floor), begin(width, toWidth, floor)
	out := make([]T, toHeight*toWidth*channels)
	for i := range toHeight {
		from := i + top
		if from < 0 || from >= height {
			continue
		}
		first, last := max(0, -left), min(toWidth, width-left) // columns of the result that are in the image
		if first < last {
			copy(out[(i*toWidth+first)*channels:(i*toWidth+last)*channels], x[(from*width+left+first)*channels:])
		}
	}
	return out
}

// begin is where the middle begins: negative where it is larger than the side. torchvision rounds half a pixel to even, and puts the odd
// row of a border behind; transformers rounds down, and puts it in front.
func begin(n, m int, floor bool) int {
	rest := n - m
	switch {
	case floor && rest < 0:
		return -((-rest + 1) / 2)
	case floor:
		return rest / 2
	case rest < 0:
		return -(-rest / 2)
	}
	return int(math.RoundToEven(float64(rest) / 2))
}
