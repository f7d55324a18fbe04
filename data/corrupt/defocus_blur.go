package corrupt

import (
	"fmt"
	"math"

	"github.com/ballast-ml/ballast/fault"
)

// DefocusBlur is a lens out of focus: each pixel is the mean over a disk whose rim is smoothed. What lies outside is the image mirrored
// without its edge, so the image must be larger than the kernel reaches: 8 pixels, or the radius where that is more.
type DefocusBlur struct {
	Levels []Disk `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

var _ Shift = DefocusBlur{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	defocus      = [Severities]Disk{{3, 0.1}, {4, 0.5}, {6, 0.5}, {8, 0.5}, {10, 0.5}}
	defocusCIFAR = [Severities]Disk{{0.3, 0.4}, {0.4, 0.5}, {0.5, 0.6}, {1, 0.2}, {1.5, 0.1}}
)

// Name is defocus-blur.
func (DefocusBlur) Name() string { return "defocus-blur" }

// Fits refuses images that are too small for the largest kernel.
func (d DefocusBlur) Fits(shape []int) error {
	reach := 0
	for severity := 1; severity <= Severities; severity++ {
		reach = max(reach, at(d.Name(), d.Levels, defocus, severity).reach())
	}
	return d.fits(shape, reach)
}

func (d DefocusBlur) fits(shape []int, reach int) error {
	if min(shape[0], shape[1]) > reach {
		return nil
	}
	return &fault.Usage{Err: fmt.Errorf("corrupt: %s: images are %dx%d; its kernel reaches %d pixels, so it needs %d or more each way",
		d.Name(), shape[0], shape[1], reach, reach+1)}
}

// Apply blurs the image.
func (d DefocusBlur) Apply(dst, src []float32, shape []int, severity int, _ uint64, _ int) {
	disk := at(d.Name(), d.Levels, defocus, severity)
	must(d.fits(shape, disk.reach()))
	disk.blur(dst, src, shape)
}

// Disk is the kernel of DefocusBlur: the pixels within Radius of the middle, smoothed by a Gaussian of deviation Alias over 3 x 3 pixels,
// or 5 x 5 where Radius is more than 8, that is mirrored without the edge at the edge of the kernel.
type Disk struct {
	Radius float64 `json:"radius"`
	Alias  float64 `json:"alias"`
}

// reach is how far the kernel goes from its middle.
func (d Disk) reach() int { return max(8, int(d.Radius)) }

// rim is how far the Gaussian goes.
func (d Disk) rim() int {
	if d.Radius <= 8 {
		return 1
	}
	return 2
}

// Kernel is the kernel, size x size weights.
func (d Disk) Kernel() (weights []float64, size int) {
	reach := d.reach()
	size = 2*reach + 1
	p, count := newPlanes(size, size, 1), 0
	for y := -reach; y <= reach; y++ {
		for x := -d.half(y); x <= d.half(y); x++ {
			p.v[(y+reach)*size+x+reach] = 1
			count++
		}
	}
	for i := range p.v {
		p.v[i] /= float64(count)
	}
	w := gaussianWeights(d.Alias, d.rim())
	return p.across(w, mirror101).down(w, mirror101).v, size
}

// half is how far the disk goes to either side in a row; -1 = it does not reach the row.
func (d Disk) half(y int) int {
	square := float64(d.Radius*d.Radius) - float64(y*y)
	if square < 0 {
		return -1
	}
	return min(int(math.Sqrt(square)), d.reach())
}

// count is the number of pixels in the disk.
func (d Disk) count() (n int) {
	for y := -d.reach(); y <= d.reach(); y++ {
		n += 2*d.half(y) + 1
	}
	return n
}
