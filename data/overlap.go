package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Overlap is a distribution of examples whose classes overlap and whose posteriors are known. All classes are as likely. Source: Chidambaram,
// Ge, "On the Limitations of Temperature Scaling for Distributions with Overlaps", arXiv 2306.00740; what is recalled of it the types say.
type Overlap interface {
	Source

	// Validate says what is wrong with the options.
	Validate() error

	// Classes is how many there are, and Dim how many values an example has.
	Classes() int
	Size() int

	// Sample draws n examples x [n, Size] and their labels. The same seed gives the same ones.
	Sample(n int, seed uint64) (x []float64, labels []int32, err error)

	// Posterior is the probability of each class given x [n, Size]: [n, Classes]. Its rows are NaN where no class has a density.
	Posterior(x []float64) ([]float64, error)
}

var (
	_ Overlap = GaussianPair{}
	_ Overlap = PairedIntervals{}
	_ Overlap = PairedGaussians{}
)

// Drawn is how many examples of a distribution a data set has, and with which seed they are drawn.
type Drawn struct {
	Train int    `json:"train"` // examples of the part train; 4000
	Test  int    `json:"test"`  // of the part test; 1000
	Seed  uint64 `json:"seed"`  // of both; 0
}

// NewDrawn returns five thousand examples, a fifth of them to test on, as in the paper.
func NewDrawn() Drawn { return Drawn{Train: 4000, Test: 1000} }

// open draws a part of a distribution.
func (d Drawn) open(name, part string, o Overlap) (Dataset, error) {
	if err := o.Validate(); err != nil {
		return nil, usage("%v", err)
	}
	if !slices.Contains(parts, part) {
		return nil, usage("data: no part %q; use train, test or all", part)
	}
	if d.Train < 1 || d.Test < 1 {
		return nil, usage("data: %s: train is %d and test is %d; use at least 1 example each", name, d.Train, d.Test)
	}
	set := &sampled{info: Info{Name: name, Part: part, Shape: []int{o.Size()}, Origin: "drawn from a known distribution"}}
	for k := range o.Classes() {
		set.info.Classes = append(set.info.Classes, fmt.Sprint(k))
	}
	for place, half := range []struct {
		name string
		n    int
	}{{"train", d.Train}, {"test", d.Test}} {
		if part != "all" && part != half.name {
			continue
		}
		x, labels, err := o.Sample(half.n, d.Seed*2+uint64(place))
		if err != nil {
			return nil, err
		}
		if len(set.labels) == 0 && place == 1 {
			set.first = int32(d.Train)
		}
		for _, v := range x {
			set.values = append(set.values, float32(v))
		}
		set.labels = append(set.labels, labels...)
	}
	set.info.Examples = len(set.labels)
	var err error
	set.info.Checksum, err = Checksum(set)
	return set, err
}

// sampled is a data set of numbers in memory.
type sampled struct {
	info   Info
	values []float32
	labels []int32
	first  int32
}

func (d *sampled) Info() Info        { return d.info }
func (d *sampled) Len() int          { return len(d.labels) }
func (d *sampled) Label(i int) int32 { return d.labels[i] }

func (d *sampled) Read(i int, dst []float32) error {
	size := d.info.Size()
	copy(dst, d.values[i*size:(i+1)*size])
	return nil
}

func (d *sampled) StableIndex(i int) int32 { return d.first + int32(i) }

// GaussianPair is the source "gaussian-pair": two classes N(0, Std^2 I) and N(Mu 1, Std^2 I). The log-odds of the second are
// (Mu sum(x) - Mu^2 Dim/2)/Std^2, and the best accuracy is Phi(Mu sqrt(Dim)/(2 Std)). These are the paper's Gaussians, there with Dim 300
// and Mu from 0.25 on.
type GaussianPair struct {
	Dim int     `json:"dim"` // values of an example; 300
	Mu  float64 `json:"mu"`  // 0.25
	Std float64 `json:"std"` // above 0; 1
	Drawn
}

// NewGaussianPair returns the paper's easiest pair.
func NewGaussianPair() GaussianPair {
	return GaussianPair{Dim: 300, Mu: 0.25, Std: 1, Drawn: NewDrawn()}
}

// Validate refuses no values, a deviation that is none, and a distance that is no number.
func (g GaussianPair) Validate() error {
	switch {
	case g.Dim < 1 || g.Dim > maxOverlapDim:
		return fmt.Errorf("data: gaussian-pair: dim is %d; use 1 to %d", g.Dim, maxOverlapDim)
	case !(g.Std > 0) || math.IsInf(g.Std, 0):
		return fmt.Errorf("data: gaussian-pair: std is %v; use a number above 0", g.Std)
	case math.IsNaN(g.Mu) || math.IsInf(g.Mu, 0):
		return fmt.Errorf("data: gaussian-pair: mu is %v; use a finite number", g.Mu)
	}
	return nil
}

// maxOverlapDim is the most values of an example.
const maxOverlapDim = 1 << 20

// Classes is 2.
func (GaussianPair) Classes() int { return 2 }

// Size is Dim.
func (g GaussianPair) Size() int { return g.Dim }

// Open draws a part.
func (g GaussianPair) Open(part string) (Dataset, error) { return g.open("gaussian-pair", part, g) }

// Sample draws.
func (g GaussianPair) Sample(n int, seed uint64) (x []float64, labels []int32, err error) {
	return sample(g, n, seed, "gaussian-pair", func(r *rand.Rand, label int32, x []float64) {
		for i := range x {
			x[i] = g.Std*r.NormFloat64() + g.Mu*float64(label)
		}
	})
}

// Posterior is exact.
func (g GaussianPair) Posterior(x []float64) ([]float64, error) {
	return posterior(g, x, func(x, p []float64) {
		odds := -g.Mu * g.Mu * float64(g.Dim) / 2
		for _, v := range x {
			odds += g.Mu * v
		}
		odds /= g.Std * g.Std
		p[0], p[1] = 1/(1+math.Exp(odds)), 1/(1+math.Exp(-odds))
	})
}

// BayesAccuracy is the share of right answers of the best classifier.
func (g GaussianPair) BayesAccuracy() float64 {
	return 0.5 * math.Erfc(-math.Abs(g.Mu)*math.Sqrt(float64(g.Dim))/(2*g.Std)/math.Sqrt2)
}

// PairedIntervals is the source "paired-intervals": classes in pairs on a line, in the spirit of the paper's warm-up, whose constants are
// recalled. Pair i starts at i Gap; its first class is uniform on [0, Width] after the start and its second on [Alpha, Alpha + Width]. For
// Width 1 a share 1 - Alpha of each class is the other's too, and there the posterior is a half each.
type PairedIntervals struct {
	K     int     `json:"k"`     // classes, even; 10
	Alpha float64 `json:"alpha"` // in [0, 1]; 0.3
	Gap   float64 `json:"gap"`   // from pair to pair, above Alpha + Width; 0 = K
	Width float64 `json:"width"` // above 0; 1
	Drawn
}

// NewPairedIntervals returns ten classes, seven tenths of each shared.
func NewPairedIntervals() PairedIntervals {
	return PairedIntervals{K: 10, Alpha: 0.3, Width: 1, Drawn: NewDrawn()}
}

// Validate refuses an odd number of classes, a shift outside [0,1], and pairs that overlap.
func (p PairedIntervals) Validate() error {
	switch {
	case p.K < 2 || p.K%2 != 0 || p.K > maxOverlapClasses:
		return fmt.Errorf("data: paired-intervals: k is %d; use an even number from 2 to %d", p.K, maxOverlapClasses)
	case !(p.Alpha >= 0 && p.Alpha <= 1):
		return fmt.Errorf("data: paired-intervals: alpha is %v; use 0 to 1", p.Alpha)
	case !(p.Width > 0) || math.IsInf(p.Width, 0):
		return fmt.Errorf("data: paired-intervals: width is %v; use a number above 0", p.Width)
	case !(p.gap() > p.Alpha+p.Width) || math.IsInf(p.gap(), 0):
		return fmt.Errorf("data: paired-intervals: gap is %v, and a pair is %v wide; use a larger one", p.gap(), p.Alpha+p.Width)
	}
	return nil
}

// maxOverlapClasses is the most classes of a distribution.
const maxOverlapClasses = 1 << 16

func (p PairedIntervals) gap() float64 {
	if p.Gap == 0 {
		return float64(p.K)
	}
	return p.Gap
}

// Classes is K.
func (p PairedIntervals) Classes() int { return p.K }

// Size is 1.
func (PairedIntervals) Size() int { return 1 }

// Open draws a part.
func (p PairedIntervals) Open(part string) (Dataset, error) {
	return p.open("paired-intervals", part, p)
}

// start is where the interval of a class begins.
func (p PairedIntervals) start(class int) float64 {
	return float64(class/2)*p.gap() + float64(class%2)*p.Alpha
}

// Sample draws.
func (p PairedIntervals) Sample(n int, seed uint64) (x []float64, labels []int32, err error) {
	return sample(p, n, seed, "paired-intervals", func(r *rand.Rand, label int32, x []float64) {
		x[0] = p.start(int(label)) + p.Width*r.Float64()
	})
}

// Posterior is shared by the classes whose interval holds x.
func (p PairedIntervals) Posterior(x []float64) ([]float64, error) {
	return posterior(p, x, func(x, share []float64) {
		first := 2 * int(math.Floor(x[0]/p.gap()))
		held := 0.0
		for _, class := range []int{first, first + 1} {
			if class < 0 || class >= p.K {
				continue
			}
			if start := p.start(class); x[0] >= start && x[0] <= start+p.Width {
				share[class] = 1
				held++
			}
		}
		for k := range share {
			share[k] /= held // NaN where none holds it
		}
	})
}

// PairedGaussians is the source "paired-gaussians": classes in pairs, N(centre, I) each, centres drawn from N(0, Spread^2 I). In the first
// round(Overlap K/2) pairs both classes have one centre, so that nothing tells them apart; in the others each has its own. It is a smooth
// relative of the paper's balls, made for a claim at small scale.
type PairedGaussians struct {
	K       int     `json:"k"`       // classes, even; 20
	Dim     int     `json:"dim"`     // values of an example; 20
	Overlap float64 `json:"overlap"` // share of the pairs that overlap, [0, 1]; 0.5
	Spread  float64 `json:"spread"`  // above 0; 2
	Centres uint64  `json:"centres"` // seed of the centres; 0
	Drawn
}

// NewPairedGaussians returns twenty classes, half of which have a double.
func NewPairedGaussians() PairedGaussians {
	return PairedGaussians{K: 20, Dim: 20, Overlap: 0.5, Spread: 2, Drawn: NewDrawn()}
}

// Validate refuses an odd number of classes, no values, a share outside [0,1], and a spread that is none.
func (p PairedGaussians) Validate() error {
	switch {
	case p.K < 2 || p.K%2 != 0 || p.K > maxOverlapClasses:
		return fmt.Errorf("data: paired-gaussians: k is %d; use an even number from 2 to %d", p.K, maxOverlapClasses)
	case p.Dim < 1 || p.Dim > maxOverlapDim/p.K*16:
		return fmt.Errorf("data: paired-gaussians: dim is %d for %d classes; use 1 to %d", p.Dim, p.K, maxOverlapDim/p.K*16)
	case !(p.Overlap >= 0 && p.Overlap <= 1):
		return fmt.Errorf("data: paired-gaussians: overlap is %v; use 0 to 1", p.Overlap)
	case !(p.Spread > 0) || math.IsInf(p.Spread, 0):
		return fmt.Errorf("data: paired-gaussians: spread is %v; use a number above 0", p.Spread)
	}
	return nil
}

// Classes is K.
func (p PairedGaussians) Classes() int { return p.K }

// Size is Dim.
func (p PairedGaussians) Size() int { return p.Dim }

// Open draws a part.
func (p PairedGaussians) Open(part string) (Dataset, error) {
	return p.open("paired-gaussians", part, p)
}

// OverlapMass is the share of the examples whose class has a double.
func (p PairedGaussians) OverlapMass() float64 { return float64(p.doubled()) / float64(p.K/2) }

// doubled is how many pairs share a centre.
func (p PairedGaussians) doubled() int { return int(math.Round(p.Overlap * float64(p.K/2))) }

// centres are those of the classes [K, Dim].
func (p PairedGaussians) centres() []float64 {
	r := rand.New(generator(p.Centres, "paired-gaussians centres", 0))
	c := make([]float64, p.K*p.Dim)
	for i := range c {
		c[i] = p.Spread * r.NormFloat64()
	}
	for pair := range p.doubled() {
		copy(c[(2*pair+1)*p.Dim:(2*pair+2)*p.Dim], c[2*pair*p.Dim:(2*pair+1)*p.Dim])
	}
	return c
}

// Sample draws.
func (p PairedGaussians) Sample(n int, seed uint64) (x []float64, labels []int32, err error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	centres := p.centres()
	return sample(p, n, seed, "paired-gaussians", func(r *rand.Rand, label int32, x []float64) {
		for i := range x {
			x[i] = centres[int(label)*p.Dim+i] + r.NormFloat64()
		}
	})
}

// Posterior is the softmax of -|x - centre|^2/2.
func (p PairedGaussians) Posterior(x []float64) ([]float64, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	centres := p.centres()
	return posterior(p, x, func(x, share []float64) {
		top, sum := math.Inf(-1), 0.0
		for k := range share {
			share[k] = 0
			for i, v := range x {
				d := v - centres[k*p.Dim+i]
				share[k] -= d * d / 2
			}
			top = max(top, share[k])
		}
		for k := range share {
			share[k] = math.Exp(share[k] - top)
			sum += share[k]
		}
		for k := range share {
			share[k] /= sum
		}
	})
}

// sample draws labels and examples.
func sample(o Overlap, n int, seed uint64, key string, draw func(r *rand.Rand, label int32, x []float64)) (x []float64, labels []int32, err error) {
	if err := o.Validate(); err != nil {
		return nil, nil, err
	}
	if n < 1 {
		return nil, nil, fmt.Errorf("data: %s: %d examples; draw at least 1", key, n)
	}
	r := rand.New(generator(seed, key, 0))
	x, labels = make([]float64, n*o.Size()), make([]int32, n)
	for i := range labels {
		labels[i] = int32(r.IntN(o.Classes()))
		draw(r, labels[i], x[i*o.Size():(i+1)*o.Size()])
	}
	return x, labels, nil
}

// posterior fills a row for each example.
func posterior(o Overlap, x []float64, of func(x, p []float64)) ([]float64, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	size, classes := o.Size(), o.Classes()
	if len(x)%size != 0 {
		return nil, fmt.Errorf("data: %d values are not whole examples of %d", len(x), size)
	}
	p := make([]float64, len(x)/size*classes)
	for i := range len(x) / size {
		of(x[i*size:(i+1)*size], p[i*classes:(i+1)*classes])
	}
	return p, nil
}
