package data

import (
	"fmt"
	"sync"
)

// Pool is the preparation "pool": images shrink to the means of squares of size x size pixels, 28x28 to 14x14.
type Pool struct {
	Size int `json:"size"` // of a square's side; it must divide height and width; 2
}

var _ Preparation = Pool{}

// NewPool returns squares of 2x2.
func NewPool() Pool { return Pool{Size: 2} }

// Reach is ReachAll.
func (Pool) Reach() Reach { return ReachAll }

// Prepare wraps the set; pixels are averaged in float32 when an example is read.
func (o Pool) Prepare(p Prepared, _ uint64) (Prepared, error) {
	info := p.Set.Info()
	if o.Size < 1 {
		return p, usage("pool: size is %d; use at least 1", o.Size)
	}
	if len(info.Shape) != 3 || info.Shape[0]%o.Size != 0 || info.Shape[1]%o.Size != 0 {
		return p, usage("pool: an example of %s is %v; give images [height, width, channels] whose sides %d divides",
			info.Name, info.Shape, o.Size)
	}
	p.Set = newPooled(p.Set, o.Size)
	return p, nil
}

type pooled struct {
	from    Dataset
	info    Info
	size    int
	buffers *sync.Pool // *[]float32
}

func newPooled(from Dataset, size int) *pooled {
	info := from.Info()
	values := info.Size()
	info.Name = fmt.Sprintf("%s pool:%d", info.Name, size)
	info.Checksum = derived(info.Checksum, fmt.Sprint("pool ", size))
	info.Shape = []int{info.Shape[0] / size, info.Shape[1] / size, info.Shape[2]}
	return &pooled{from: from, info: info, size: size, buffers: examples(values)}
}

func (p *pooled) Info() Info                             { return p.info }
func (p *pooled) Len() int                               { return p.from.Len() }
func (p *pooled) Label(i int) int32                      { return p.from.Label(i) }
func (p *pooled) StableIndex(i int) int32                { return stableIndex(p.from, i) }
func (p *pooled) View() (of Dataset, at func(i int) int) { return p.from, same }
func (p *pooled) source() Dataset                        { return p.from }
func (p *pooled) on(of Dataset) Dataset                  { return newPooled(of, p.size) }

func (p *pooled) Read(i int, dst []float32) error {
	buffer := p.buffers.Get().(*[]float32)
	defer p.buffers.Put(buffer)
	src := *buffer
	if err := p.from.Read(i, src); err != nil {
		return err
	}

	height, width, channels := p.info.Shape[0], p.info.Shape[1], p.info.Shape[2]
	count := float32(p.size * p.size)
	for y := range height {
		for x := range width {
			for c := range channels {
				var sum float32
				for dy := range p.size {
					for dx := range p.size {
						sum += src[((y*p.size+dy)*width*p.size+x*p.size+dx)*channels+c]
					}
				}
				dst[(y*width+x)*channels+c] = sum / count
			}
		}
	}
	return nil
}

// examples are buffers for one example of so many values, to be used again.
func examples(values int) *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]float32, values); return &b }}
}

func same(i int) int { return i }

// stableIndex is where an example stands in the set it comes from at first.
func stableIndex(ds Dataset, i int) int32 {
	if from, ok := ds.(Indexed); ok {
		return from.StableIndex(i)
	}
	return int32(i)
}
