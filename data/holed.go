package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Holed is the source "holes": squares cut out of the images of another source, each with a hole in it. An example is the square, white in
// the hole, and the hole as its last channel, 1 in it, [Side, Side, channels+1]; its target is the square as it was, [Side, Side, channels].
//
// Patches are cut out of the first images in turn, one of each before any has a second, at random places. Place and hole depend on the
// seed, the part that is asked for and the number of the patch, so that the part test of a set without parts has patches of its own. The
// label of a patch is its image's.
type Holed struct {
	Of      Choice `json:"of"`      // images with values in [0,1]; canvas-digits
	Side    int    `json:"side"`    // of a patch, 2 to 4096; 16
	Patches int    `json:"patches"` // of every part but test; 1024
	Held    int    `json:"held"`    // patches of the part test; 64
	Holes   Holes  `json:"holes"`   // irregular, of 4 to 8 pixels
	Seed    uint64 `json:"seed"`    // of places and holes; 0
}

var _ Source = Holed{}

// NewHoled returns digits on 16x16 pixels with small irregular holes.
func NewHoled() Holed {
	h := Holed{Of: Choice{Named(canvasDigits)}, Side: 16, Patches: 1024, Held: 64, Holes: NewHoles()}
	h.Holes.Least, h.Holes.Most = 4, 8
	return h
}

// Open reads as many images of the part as there are patches, and keeps the patches.
func (h Holed) Open(part string) (Dataset, error) {
	n := h.Patches
	if part == "test" {
		n = h.Held
	}
	switch {
	case h.Side < 2 || h.Side > maxCanvas:
		return nil, usage("data: holes: side is %d; use 2 to %d", h.Side, maxCanvas)
	case n < 1 || n > math.MaxInt32:
		return nil, usage("data: holes: patches is %d, held %d; use 1 to %d of each", h.Patches, h.Held, math.MaxInt32)
	}
	if err := h.Holes.Validate(h.Side); err != nil {
		return nil, usage("data: %w", err)
	}
	from, err := h.Of.open("holes", part)
	if err != nil {
		return nil, err
	}
	info := from.Info()
	if len(info.Shape) != 3 {
		return nil, &fault.Input{
			File: info.Name, Err: fmt.Errorf("its examples are %v, not images", info.Shape), Fix: "name a data set of images: ballast data list",
		}
	}
	if from.Len() < 1 {
		return nil, usage("data: holes: %s has no images in the part %s; take another set", info.Name, part)
	}
	if h.Side > info.Shape[0] || h.Side > info.Shape[1] {
		return nil, usage("data: holes: side is %d and the images %d x %d; use a smaller side, or larger images", h.Side, info.Shape[0], info.Shape[1])
	}
	if _, err := untrusted.Bytes(fmt.Sprintf("%d patches of %s", n, info.Name), 4, n, h.Side, h.Side, info.Shape[2]+1); err != nil {
		return nil, fmt.Errorf("data: holes: %w", err)
	}
	return h.cut(from, part, n)
}

// cut makes n patches of the images of a set, each of which is read once.
func (h Holed) cut(from Dataset, part string, n int) (Dataset, error) {
	info := from.Info()
	height, width, channels := info.Shape[0], info.Shape[1], info.Shape[2]
	images, size, pixels := min(n, from.Len()), h.Side*h.Side*channels, h.Side*h.Side
	s := &holed{pixels: make([]float32, n*size), holes: make([]float32, n*pixels), labels: make([]int32, n), channels: channels}

	image := make([]float32, info.Size())
	for j := range images {
		if err := from.Read(j, image); err != nil {
			return nil, err
		}
		if k := slices.IndexFunc(image, func(v float32) bool { return !(v >= 0 && v <= 1) }); k >= 0 {
			return nil, &fault.Input{
				File: info.Name, Field: fmt.Sprintf("value %d of image %d", k, j), Err: fmt.Errorf("it is %v", image[k]),
				Fix: "pixels are in [0,1], so divide bytes by 255",
			}
		}
		for i := j; i < n; i += images {
			r := rand.New(generator(h.Seed, "holes "+part, uint64(i)))
			top, left := r.IntN(height-h.Side+1), r.IntN(width-h.Side+1)
			for y := range h.Side {
				at := ((top+y)*width + left) * channels
				copy(s.pixels[i*size+y*h.Side*channels:], image[at:at+h.Side*channels])
			}
			copy(s.holes[i*pixels:], h.Holes.Draw(1, h.Side, r))
			s.labels[i] = from.Label(j)
		}
	}

	info.Checksum = derived(info.Checksum, fmt.Sprintf("holes side %d patches %d of %s, %+v, seed %d", h.Side, n, part, h.Holes, h.Seed))
	info.Name, info.Examples, info.Shape = "holes in "+info.Name, n, []int{h.Side, h.Side, channels + 1}
	s.info = info
	return s, nil
}

// holed is patches in memory.
type holed struct {
	info     Info
	pixels   []float32 // [n, side, side, channels]
	holes    []float32 // [n, side, side, 1]
	labels   []int32
	channels int
}

var _ Imaged = (*holed)(nil)

func (s *holed) Info() Info        { return s.info }
func (s *holed) Len() int          { return len(s.labels) }
func (s *holed) Label(i int) int32 { return s.labels[i] }
func (s *holed) ImageTargets()     {}

func (s *holed) TargetShape() []int {
	return []int{s.info.Shape[0], s.info.Shape[1], s.channels}
}

func (s *holed) Target(i int, dst []float32) error {
	copy(dst, s.pixels[i*len(dst):(i+1)*len(dst)])
	return nil
}

func (s *holed) Read(i int, dst []float32) error {
	n := s.info.Shape[0] * s.info.Shape[1]
	for p, hole := range s.holes[i*n : (i+1)*n] {
		pixel := dst[p*(s.channels+1) : (p+1)*(s.channels+1)]
		copy(pixel, s.pixels[(i*n+p)*s.channels:(i*n+p+1)*s.channels])
		if hole == 1 {
			for c := range pixel {
				pixel[c] = 1
			}
		}
		pixel[s.channels] = hole
	}
	return nil
}
