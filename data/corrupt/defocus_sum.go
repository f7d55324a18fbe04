package corrupt

import (
	"math"
	"slices"
)

// The blur of a disk, as sums of whole numbers. The kernel is a flat disk smoothed by a small Gaussian, but for the few weights at its edge,
// where the Gaussian is mirrored: these are made up for by themselves. A flat disk is one difference of running sums for each of its rows,
// not one product for each of its pixels, and three channels of bytes are added at once, in one word.

const (
	laneBits = 21 // of a channel in a word of three
	laneMask = 1<<laneBits - 1

	// fineOne is 1 where a word is one channel. A row of 16384 pixels of it is below 2^54, and a disk of radius 100 below 2^58.
	fineOne = 1 << 40
)

// cell is a place beside a pixel.
type cell struct{ dy, dx int }

// cells are places that have one weight.
type cells struct {
	weight float64
	at     []cell
}

// blur blurs an image by the disk.
func (d Disk) blur(dst, src []float32, shape []int) {
	b := d.blurring(shape)
	height, width, channels := shape[0], shape[1], shape[2]
	if channels == 3 && b.packs() {
		words, ok := packed(src)
		if ok {
			b.run(words, func(y int, groups [][]uint64, weights []float64) {
				unpack(dst[y*width*3:(y+1)*width*3], groups, weights)
			})
			return
		}
	}
	words := make([]uint64, height*width)
	for c := range channels {
		for i := range words {
			words[i] = uint64(math.Floor(float64(exact(src[i*channels+c])*fineOne) + 0.5))
		}
		b.run(words, func(y int, groups [][]uint64, weights []float64) {
			for x := range width {
				v := 0.0
				for g, group := range groups {
					v += float64(float64(group[x]) * weights[g])
				}
				dst[(y*width+x)*channels+c] = clip(v / fineOne)
			}
		})
	}
}

// packed is an image of bytes in three channels, a pixel in a word; ok is false for other values.
func packed(src []float32) (words []uint64, ok bool) {
	words = make([]uint64, len(src)/3)
	for i := range words {
		r, isR := byteOf(src[3*i])
		g, isG := byteOf(src[3*i+1])
		b, isB := byteOf(src[3*i+2])
		if !isR || !isG || !isB {
			return nil, false
		}
		words[i] = uint64(r) | uint64(g)<<laneBits | uint64(b)<<(2*laneBits)
	}
	return words, true
}

// unpack makes a row of three channels of its sums by weight.
func unpack(dst []float32, groups [][]uint64, weights []float64) {
	for x := range len(dst) / 3 {
		var r, g, b float64
		for k, group := range groups {
			word, w := group[x], weights[k]
			r += float64(float64(word&laneMask) * w)
			g += float64(float64(word>>laneBits&laneMask) * w)
			b += float64(float64(word>>(2*laneBits)) * w)
		}
		dst[3*x], dst[3*x+1], dst[3*x+2] = clip(r/255), clip(g/255), clip(b/255)
	}
}

// blurring is a disk for images of one size.
type blurring struct {
	height, width int
	reach, rim    int
	halves        []int   // by row of the disk, from -reach
	smooth        []cells // of sums over the disk
	edge          []cells // of pixels
}

func (d Disk) blurring(shape []int) blurring {
	b := blurring{height: shape[0], width: shape[1], reach: d.reach(), rim: d.rim()}
	for y := -b.reach; y <= b.reach; y++ {
		b.halves = append(b.halves, d.half(y))
	}
	w := gaussianWeights(d.Alias, b.rim)
	count := float64(d.count())
	b.smooth = grouped(b.rim, func(dy, dx int) float64 { return float64(w[max(dy, -dy)]*w[max(dx, -dx)]) / count })

	kernel, size := d.Kernel()
	wide := newPlanes(size+2*b.rim, size+2*b.rim, 1) // the disk smoothed without an edge
	for y, half := range b.halves {
		for x := -half; x <= half; x++ {
			wide.v[(y+b.rim)*wide.width+x+b.reach+b.rim] = 1 / count
		}
	}
	wide = wide.across(w, nearest).down(w, nearest) // nothing stands at the edge
	b.edge = grouped(b.reach+b.rim, func(dy, dx int) float64 {
		v := -wide.v[(dy+b.reach+b.rim)*wide.width+dx+b.reach+b.rim]
		if max(dy, -dy, dx, -dx) <= b.reach {
			v += kernel[(dy+b.reach)*size+dx+b.reach]
		}
		return v
	})
	return b
}

// packs reports whether three channels of bytes fit in one word.
func (b blurring) packs() bool {
	pixels := 1
	for _, half := range b.halves {
		pixels += 2*half + 1
	}
	return max(b.width+2*(b.reach+b.rim), 8*pixels)*255 <= laneMask
}

// grouped sorts places by their weights. Those below 1e-13 count for nothing.
func grouped(reach int, weight func(dy, dx int) float64) (groups []cells) {
	const same = 1e-13
	for dy := -reach; dy <= reach; dy++ {
		for dx := -reach; dx <= reach; dx++ {
			w := weight(dy, dx)
			if math.Abs(w) < same {
				continue
			}
			at := slices.IndexFunc(groups, func(c cells) bool { return math.Abs(c.weight-w) < same })
			if at < 0 {
				at = len(groups)
				groups = append(groups, cells{weight: w})
			}
			groups[at].at = append(groups[at].at, cell{dy, dx})
		}
	}
	return groups
}

// run hands over, row by row, the sums by weight.
func (b blurring) run(words []uint64, row func(y int, groups [][]uint64, weights []float64)) {
	margin := b.reach + b.rim
	stride := b.width + 2*margin
	around := b.around(words, margin)
	sums := b.disks(around, margin)

	var weights []float64
	groups := make([][]uint64, len(b.smooth)+len(b.edge))
	for g := range groups {
		groups[g] = make([]uint64, b.width)
	}
	for _, c := range append(slices.Clone(b.smooth), b.edge...) {
		weights = append(weights, c.weight)
	}
	wide := b.width + 2*b.rim
	for y := range b.height {
		for g, c := range b.smooth {
			collect(groups[g], c.at, wide, sums, (y+b.rim)*wide+b.rim)
		}
		for g, c := range b.edge {
			at := (y+margin)*stride + margin
			collect(groups[len(b.smooth)+g], c.at, stride, around, at)
		}
		row(y, groups, weights)
	}
}

// collect adds the rows of some places.
func collect(acc []uint64, places []cell, stride int, all []uint64, at int) {
	first := all[at+places[0].dy*stride+places[0].dx:]
	copy(acc, first[:len(acc)])
	rest := places[1:]
	for ; len(rest) >= 2; rest = rest[2:] {
		a := all[at+rest[0].dy*stride+rest[0].dx:][:len(acc)]
		b := all[at+rest[1].dy*stride+rest[1].dx:][:len(acc)]
		for i := range acc {
			acc[i] += a[i] + b[i]
		}
	}
	if len(rest) == 1 {
		a := all[at+rest[0].dy*stride+rest[0].dx:][:len(acc)]
		for i := range acc {
			acc[i] += a[i]
		}
	}
}

// around is the image with a mirrored margin.
func (b blurring) around(words []uint64, margin int) []uint64 {
	stride := b.width + 2*margin
	out := make([]uint64, (b.height+2*margin)*stride)
	for y := -margin; y < b.height+margin; y++ {
		from := mirror101(y, b.height) * b.width
		line := out[(y+margin)*stride:]
		copy(line[margin:], words[from:from+b.width])
		for k := 1; k <= margin; k++ {
			line[margin-k] = words[from+mirror101(-k, b.width)]
			line[margin+b.width-1+k] = words[from+mirror101(b.width-1+k, b.width)]
		}
	}
	return out
}

// disks are the sums over the flat disk around every pixel, with a margin of the rim.
func (b blurring) disks(around []uint64, margin int) []uint64 {
	stride, wide := b.width+2*margin, b.width+2*b.rim
	running := make([]uint64, (b.height+2*margin)*(stride+1))
	for y := range b.height + 2*margin {
		total, line := uint64(0), running[y*(stride+1):]
		for x, v := range around[y*stride : (y+1)*stride] {
			line[x] = total
			total += v
		}
		line[stride] = total
	}

	sums := make([]uint64, (b.height+2*b.rim)*wide)
	for y := range b.height + 2*b.rim {
		acc := sums[y*wide : (y+1)*wide]
		for k, half := range b.halves {
			if half < 0 {
				continue
			}
			line := running[(y+k)*(stride+1)+b.reach:]
			after, before := line[half+1:][:len(acc)], running[(y+k)*(stride+1)+b.reach-half:][:len(acc)]
			for i := range acc {
				acc[i] += after[i] - before[i]
			}
		}
	}
	return sums
}
