package corrupt

// Fog adds a cloud, the same to all channels: (x + a p) M/(M + a) with p a plasma fractal in [0,1] and M the largest value of the image.
type Fog struct {
	Levels []Cloud `json:"levels,omitempty"` // by severity; nil = those of ImageNet-C
}

// Cloud is one severity of Fog.
type Cloud struct {
	Amount float64 `json:"amount"` // a
	Decay  float64 `json:"decay"`  // of the plasma: above 1, and the larger the smoother
}

var _ Shift = Fog{}

// Of ImageNet-C and CIFAR-10-C, arXiv 1903.12261.
var (
	clouds   = [Severities]Cloud{{1.5, 2}, {2, 2}, {2.5, 1.7}, {2.5, 1.5}, {3, 1.4}}
	fogCIFAR = [Severities]Cloud{{0.2, 3}, {0.5, 3}, {0.75, 2.5}, {1, 2}, {1.5, 1.75}}
)

// Name is fog.
func (Fog) Name() string { return "fog" }

// Apply adds the cloud: the top left corner of a plasma whose side is the next power of two.
func (f Fog) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	r := stream(seed, f.Name(), severity, index)
	cloud := at(f.Name(), f.Levels, clouds, severity)
	size := powerOfTwo(max(shape[0], shape[1]))
	plasma := Plasma(size, cloud.Decay, func() float64 { return uniform(r) })
	cloud.With(dst, src, shape, plasma, size)
}

// With adds a given cloud: size x size values in [0,1], of which the top left corner is used.
func (c Cloud) With(dst, src []float32, shape []int, plasma []float64, size int) {
	height, width, channels := shape[0], shape[1], shape[2]
	brightest := float32(0)
	for _, v := range src {
		brightest = max(brightest, v)
	}
	largest := exact(brightest) // exact keeps the order of values
	share := largest / (largest + c.Amount)
	for y := range height {
		row, to := src[y*width*channels:(y+1)*width*channels], dst[y*width*channels:(y+1)*width*channels]
		cloud := plasma[y*size : y*size+width]
		if channels == 3 {
			for x, p := range cloud {
				added := float64(c.Amount * p)
				from, into := row[3*x:3*x+3:3*x+3], to[3*x:3*x+3:3*x+3]
				into[0] = clip(float64((exact(from[0]) + added) * share))
				into[1] = clip(float64((exact(from[1]) + added) * share))
				into[2] = clip(float64((exact(from[2]) + added) * share))
			}
			continue
		}
		for i, v := range row {
			to[i] = clip(float64((exact(v) + float64(c.Amount*cloud[i/channels])) * share))
		}
	}
}

// powerOfTwo is the smallest power of two that is n or more.
func powerOfTwo(n int) int {
	p := 1
	for p < n {
		p *= 2
	}
	return p
}

// Plasma is a fractal [size, size] in [0,1] by the diamond-square algorithm on a torus; size is a power of two. Each level halves the step:
// the middle of every square is the mean of its corners, then the middle of every side (those along rows first) the mean of its four
// neighbours, each plus w U(-w, w). The noise w begins at 100 and is divided by the decay after a level. uniform draws from U(0, 1), in
// the order in which the places of a level are filled, row by row. A plasma of one place is 0.
func Plasma(size int, decay float64, uniform func() float64) []float64 {
	p := make([]float64, size*size)
	w := 100.0
	wobble := func() float64 { return float64(w * (float64(2*w*uniform()) - w)) }
	for step := size; step >= 2; step /= 2 {
		half := step / 2
		for y := 0; y < size; y += step {
			below := (y + step) % size * size
			for x := 0; x < size; x += step {
				right := (x + step) % size
				corners := (p[y*size+x] + p[below+x]) + (p[y*size+right] + p[below+right])
				p[(y+half)*size+x+half] = corners/4 + wobble()
			}
		}
		for y := 0; y < size; y += step {
			above := (y - half + size) % size * size
			for x := 0; x < size; x += step {
				middles := p[(y+half)*size+x+half] + p[above+x+half]
				corners := p[y*size+x] + p[y*size+(x+step)%size]
				p[y*size+x+half] = (middles+corners)/4 + wobble()
			}
		}
		for y := 0; y < size; y += step {
			below := (y + step) % size * size
			for x := 0; x < size; x += step {
				middles := p[(y+half)*size+x+half] + p[(y+half)*size+(x-half+size)%size]
				corners := p[y*size+x] + p[below+x]
				p[(y+half)*size+x] = (middles+corners)/4 + wobble()
			}
		}
		w /= decay
	}
	return stretched(p)
}

// stretched moves values to [0,1], the least to 0 and the largest to 1.
func stretched(p []float64) []float64 {
	least, largest := p[0], p[0]
	for _, v := range p {
		least, largest = min(least, v), max(largest, v)
	}
	if largest == least {
		clear(p)
		return p
	}
	for i := range p {
		p[i] = (p[i] - least) / (largest - least)
	}
	return p
}
