package data

import (
	"fmt"
	"sync"
)

// Canvas is the source "canvas": each image of another source stands somewhere on an empty, larger one, at a place that is a multiple of
// Step from the top and from the left. The place depends on the seed and the example's stable index.
type Canvas struct {
	Of     Choice `json:"of"`     // the images; optdigits
	Height int    `json:"height"` // of the canvas; 16
	Width  int    `json:"width"`  // 16
	Step   int    `json:"step"`   // between the places that can be drawn, at least 1; 4
	Seed   uint64 `json:"seed"`   // of the places; 0
}

var _ Source = Canvas{}

// NewCanvas returns optdigits on 16x16 pixels, each at one of nine places: the canvas digits of TransMix's claim.
func NewCanvas() Canvas {
	return Canvas{Of: Choice{Named("optdigits")}, Height: 16, Width: 16, Step: 4}
}

// Open opens the part.
func (c Canvas) Open(part string) (Dataset, error) {
	from, err := c.Of.open("canvas", part)
	if err != nil {
		return nil, err
	}
	info := from.Info()
	if len(info.Shape) != 3 || info.Shape[0] > c.Height || info.Shape[1] > c.Width {
		return nil, usage("data: canvas: an example of %s is %v; give images [height, width, channels] of at most %dx%d",
			info.Name, info.Shape, c.Height, c.Width)
	}
	if c.Step < 1 {
		return nil, usage("data: canvas: step is %d; use at least 1", c.Step)
	}
	if c.Height > maxCanvas || c.Width > maxCanvas {
		return nil, usage("data: canvas: %dx%d pixels; use at most %d a side", c.Height, c.Width, maxCanvas)
	}
	return newPlaced(from, c), nil
}

// maxCanvas of images that are made.
const maxCanvas = 1 << 12

type placed struct {
	from    Dataset
	canvas  Canvas
	info    Info
	buffers *sync.Pool // *[]float32
}

func newPlaced(from Dataset, c Canvas) *placed {
	info := from.Info()
	values := info.Size()
	info.Name = "canvas of " + info.Name
	info.Checksum = derived(info.Checksum, fmt.Sprintf("canvas %dx%d step %d seed %d", c.Height, c.Width, c.Step, c.Seed))
	info.Shape = []int{c.Height, c.Width, info.Shape[2]}
	return &placed{from: from, canvas: c, info: info, buffers: examples(values)}
}

func (p *placed) Info() Info                             { return p.info }
func (p *placed) Len() int                               { return p.from.Len() }
func (p *placed) Label(i int) int32                      { return p.from.Label(i) }
func (p *placed) StableIndex(i int) int32                { return stableIndex(p.from, i) }
func (p *placed) View() (of Dataset, at func(i int) int) { return p.from, same }
func (p *placed) source() Dataset                        { return p.from }
func (p *placed) on(of Dataset) Dataset                  { return newPlaced(of, p.canvas) }

func (p *placed) Read(i int, dst []float32) error {
	buffer := p.buffers.Get().(*[]float32)
	defer p.buffers.Put(buffer)
	src := *buffer
	if err := p.from.Read(i, src); err != nil {
		return err
	}

	shape := p.from.Info().Shape
	c := p.canvas
	r := generator(c.Seed, "canvas", uint64(p.StableIndex(i)))
	top := c.Step * below(r, (c.Height-shape[0])/c.Step+1)
	left := c.Step * below(r, (c.Width-shape[1])/c.Step+1)
	clear(dst)
	row := shape[1] * shape[2]
	for y := range shape[0] {
		copy(dst[((top+y)*c.Width+left)*shape[2]:], src[y*row:(y+1)*row])
	}
	return nil
}

// canvasDigits is the name of NewCanvas.
const canvasDigits = "canvas-digits"

func canvasInfo() Info {
	info := optdigitsInfo
	info.Name, info.Shape = canvasDigits, []int{16, 16, 1}
	return info
}

func openCanvas(part string) (Dataset, error) {
	set, err := NewCanvas().Open(part)
	if err != nil {
		return nil, err
	}
	return titled(set, canvasDigits), nil
}

// titled is ds by another name.
func titled(ds Dataset, name string) Dataset {
	info := ds.Info()
	info.Name = name
	return renamed{Dataset: ds, info: info}
}

type renamed struct {
	Dataset
	info Info
}

func (n renamed) Info() Info                             { return n.info }
func (n renamed) StableIndex(i int) int32                { return stableIndex(n.Dataset, i) }
func (n renamed) View() (of Dataset, at func(i int) int) { return n.Dataset, same }
