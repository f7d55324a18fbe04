package paper

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
)

// Images are images in memory, with values in [0, 1]: what claims of test time shift and put into an order.
type Images struct {
	info   data.Info
	x      []float32
	labels []int32
}

var _ data.Dataset = Images{}

// PooledDigits are the first n test digits of MNIST, means over 2 x 2 pixels: 14 x 14.
func PooledDigits(n int) (Images, error) {
	set, err := data.Open("mnist", "test")
	if err != nil {
		return Images{}, err
	}
	pooled, err := data.NewPool().Prepare(data.Prepared{Set: set}, 0)
	if err != nil {
		return Images{}, err
	}
	return NewImages(pooled.Set, n)
}

// NewImages reads the first n images of a set.
func NewImages(set data.Dataset, n int) (Images, error) {
	if n < 1 || n > set.Len() {
		return Images{}, fmt.Errorf("papers: %d images of %s, which has %d", n, set.Info().Name, set.Len())
	}
	m := Images{info: set.Info(), labels: make([]int32, n)}
	m.info.Examples = n
	size := m.info.Size()
	m.x = make([]float32, n*size)
	for i := range n {
		m.labels[i] = set.Label(i)
		if err := set.Read(i, m.x[i*size:(i+1)*size]); err != nil {
			return Images{}, err
		}
	}
	return m, nil
}

// Info is that of the set, for as many images.
func (m Images) Info() data.Info { return m.info }

// Len is their number.
func (m Images) Len() int { return len(m.labels) }

// Label is the label of one.
func (m Images) Label(i int) int32 { return m.labels[i] }

// Read copies one.
func (m Images) Read(i int, dst []float32) error {
	copy(dst, m.x[i*len(dst):(i+1)*len(dst)])
	return nil
}

// Shift is a shift of grey images: Noise is the deviation of normal noise, Contrast what is left of the distance to the middle grey, 0.5, Light
// what is added. Values are clipped to [0, 1].
type Shift struct {
	Name                   string
	Noise, Contrast, Light float64
}

// MildShifts are those of the claims of test time, which leave most digits readable to a network that has not seen them. What the cards leave
// open, the network behind the three convolutions and what contrast is taken about, is such that the model as it is and the batch's statistics
// come near the cards' numbers, on two seeds that are not among those measured.
func MildShifts() []Shift {
	return []Shift{{Name: "noise", Noise: 0.15, Contrast: 1}, {Name: "contrast", Contrast: 0.6}, {Name: "light", Contrast: 1, Light: 0.1}}
}

// Shifted are the images after a shift, whose noise is drawn by a seed.
func (m Images) Shifted(s Shift, seed uint64) Images {
	r := rand.New(rand.NewPCG(seed, 23))
	y := slices.Clone(m.x)
	AddNoise(y, s.Noise, r)
	for i, v := range y {
		y[i] = float32(min(max((float64(v)-0.5)*s.Contrast+0.5+s.Light, 0), 1))
	}
	m.info.Name += " " + s.Name
	m.x = y
	return m
}

// IID is an order of the images drawn by a seed.
func (m Images) IID(seed uint64) []int32 { return Shuffled(m.Len(), rand.New(rand.NewPCG(seed, 29))) }

// Sorted is the order by label, those of one label as they lie.
func (m Images) Sorted() []int32 {
	order := make([]int32, m.Len())
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return int(m.labels[a]) - int(m.labels[b]) })
	return order
}

// Stream is images in an order.
type Stream struct {
	Images Images
	Order  []int32
}

// Adapted are the accuracies of a model on each of several streams in steps of batch, adapted by a method that begins anew on each.
func Adapted(ctx context.Context, at Place, b *bundle.Bundle, method adapt.Method, batch int, streams ...Stream) ([]float64, error) {
	a, err := method.Start(adapt.Model{Bundle: b, Engine: at.Engine, Batch: batch, Seed: at.Seed})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	var accuracies []float64
	for _, s := range streams {
		if err := a.Reset(); err != nil {
			return nil, err
		}
		p, err := adapt.Run(ctx, a, adapt.RunOptions{Data: s.Images, Order: s.Order, Batch: batch})
		if err != nil {
			return nil, err
		}
		accuracies = append(accuracies, p.Accuracy())
	}
	return accuracies, nil
}
