package modelsoups

import (
	"math/rand/v2"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/papers/paper"
)

// noisy is a set with N(0, sigma^2) on every value, drawn anew in each pass. Nothing is clipped: the values have been moved off [0,1].
type noisy struct {
	data.Dataset
	sigma float64
	seed  uint64
	epoch int
}

var _ data.Fresh = noisy{}

// At is the set of an epoch.
func (n noisy) At(epoch int) data.Dataset {
	n.epoch = epoch
	return n
}

// Read adds the noise of the epoch and the example.
func (n noisy) Read(i int, dst []float32) error {
	if err := n.Dataset.Read(i, dst); err != nil {
		return err
	}
	paper.AddNoise(dst, n.sigma, rand.New(rand.NewPCG(n.seed, uint64(n.epoch)<<32|uint64(i))))
	return nil
}
