package grok

import (
	"fmt"

	"github.com/ballast-ml/ballast/data"
)

// pairs is the training pairs as a trainer reads them: both numbers one-hot, [2p].
type pairs struct {
	d    Dataset
	info data.Info
}

// hot is pairs whose targets are the labels one-hot, [p].
type hot struct{ pairs }

var (
	_ data.Dataset  = pairs{}
	_ data.Targeted = hot{}
)

// examples are the training pairs with the targets that the loss compares with.
func (c Config) examples(d Dataset) (data.Dataset, error) {
	classes := make([]string, d.P)
	for i := range classes {
		classes[i] = fmt.Sprint(i)
	}
	p := pairs{d, data.Info{Name: "modular-arithmetic", Part: "train", Examples: d.Train, Shape: []int{2 * d.P}, Classes: classes}}
	var err error
	if p.info.Checksum, err = data.Checksum(p); err != nil {
		return nil, err
	}
	if c.Loss == "cross-entropy" {
		return p, nil
	}
	return hot{p}, nil
}

func (p pairs) Info() data.Info   { return p.info }
func (p pairs) Len() int          { return p.d.Train }
func (p pairs) Label(i int) int32 { return p.d.Labels[i] }

func (p pairs) Read(i int, dst []float32) error {
	clear(dst)
	dst[p.d.M[i]], dst[p.d.P+int(p.d.N[i])] = 1, 1
	return nil
}

func (h hot) TargetShape() []int { return []int{h.d.P} }

func (h hot) Target(i int, dst []float32) error {
	clear(dst)
	dst[h.d.Labels[i]] = 1
	return nil
}
