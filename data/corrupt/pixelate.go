package corrupt

import "math"

// Pixelate shows the image in few large pixels: it is made smaller by means of boxes, and as large again, in bytes with the fixed-point
// arithmetic of Pillow.
type Pixelate struct {
	Levels []float64 `json:"levels,omitempty"` // share of the sides that is left, by severity; nil = those of ImageNet-C
}

var _ Shift = Pixelate{}

// Shares of the sides, of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	pixelShare    = [Severities]float64{0.6, 0.5, 0.4, 0.3, 0.25}
	pixelateCIFAR = [Severities]float64{0.95, 0.9, 0.85, 0.75, 0.65}
)

// Name is pixelate.
func (Pixelate) Name() string { return "pixelate" }

// Apply pixelates the image.
func (p Pixelate) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	share := at(p.Name(), p.Levels, pixelShare, severity)
	height, width := int(float64(float64(shape[0])*share)), int(float64(float64(shape[1])*share))
	small := boxed(toBytes(src), shape, max(height, 1), max(width, 1))
	large := boxed(small, []int{max(height, 1), max(width, 1), shape[2]}, shape[0], shape[1])
	for i, v := range large {
		dst[i] = bytes32[v]
	}
}

// toBytes is an image in bytes, each value the nearest.
func toBytes(src []float32) []uint8 {
	out := make([]uint8, len(src))
	for i, v := range src {
		out[i] = nearestByte(v)
	}
	return out
}

// boxBits are the digits behind the point of Pillow's weights.
const boxBits = 22

// boxed resizes an image by means of boxes, along rows and then along columns, each rounded to bytes.
func boxed(src []uint8, shape []int, height, width int) []uint8 {
	rows, columns, channels := shape[0], shape[1], shape[2]
	across := make([]uint8, rows*width*channels)
	along := boxes(columns, width)
	for y := range rows {
		line, to := src[y*columns*channels:(y+1)*columns*channels], across[y*width*channels:(y+1)*width*channels]
		if channels == 3 {
			boxedColours(to, line, along)
			continue
		}
		for x, b := range along {
			from := line[b.from*channels:]
			for c := range channels {
				total := int64(1 << (boxBits - 1))
				for k, w := range b.weights {
					total += int64(from[k*channels+c]) * w
				}
				to[x*channels+c] = fixedByte(total)
			}
		}
	}

	out := make([]uint8, height*width*channels)
	stride := width * channels
	totals := make([]int64, stride)
	for y, b := range boxes(rows, height) {
		line := out[y*stride : (y+1)*stride]
		if len(b.weights) == 1 && b.weights[0] == 1<<boxBits {
			copy(line, across[b.from*stride:])
			continue
		}
		for i := range totals {
			totals[i] = 1 << (boxBits - 1)
		}
		for k, w := range b.weights {
			for i, v := range across[(b.from+k)*stride : (b.from+k+1)*stride] {
				totals[i] += int64(v) * w
			}
		}
		for i, t := range totals {
			line[i] = fixedByte(t)
		}
	}
	return out
}

// boxedColours is one row of boxed in three channels.
func boxedColours(to, line []uint8, along []box) {
	for x, b := range along {
		out := to[3*x : 3*x+3 : 3*x+3]
		if len(b.weights) == 1 && b.weights[0] == 1<<boxBits {
			copy(out, line[3*b.from:3*b.from+3])
			continue
		}
		red, green, blue := int64(1<<(boxBits-1)), int64(1<<(boxBits-1)), int64(1<<(boxBits-1))
		from := line[3*b.from : 3*(b.from+len(b.weights))]
		for _, w := range b.weights {
			red, green, blue = red+int64(from[0])*w, green+int64(from[1])*w, blue+int64(from[2])*w
			from = from[3:]
		}
		out[0], out[1], out[2] = fixedByte(red), fixedByte(green), fixedByte(blue)
	}
}

func fixedByte(v int64) uint8 { return uint8(min(max(v>>boxBits, 0), 255)) }

// box is the pixels that one of another size is the mean of, and their weights in fixed point.
type box struct {
	from    int
	weights []int64
}

// boxes are those of n pixels made of others. A pixel belongs to a box if its middle lies in it.
func boxes(others, n int) []box {
	scale := float64(others) / float64(n)
	wide := max(scale, 1)
	all := make([]box, n)
	for i := range all {
		middle := float64((float64(i) + 0.5) * scale)
		from := max(int(middle-wide/2+0.5), 0)
		to := min(int(middle+wide/2+0.5), others)
		var inside []bool
		count := 0
		for k := from; k < to; k++ {
			at := float64((float64(k) - middle + 0.5) * (1 / wide))
			in := at > -0.5 && at <= 0.5
			inside = append(inside, in)
			if in {
				count++
			}
		}
		all[i] = box{from: from, weights: make([]int64, len(inside))}
		for k, in := range inside {
			if in {
				all[i].weights[k] = int64(math.Floor(float64(1/float64(count)*(1<<boxBits)) + 0.5))
			}
		}
	}
	return all
}
