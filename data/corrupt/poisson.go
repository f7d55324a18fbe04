package corrupt

// poissons are the distributions of an image's counts. An image of bytes has at most 256, made when they are met.
type poissons struct {
	c     float64
	bytes [256]*poisson
}

func newPoissons(c float64) *poissons { return &poissons{c: c} }

// of is the distribution of the count of a value.
func (p *poissons) of(v float32) *poisson {
	k, ok := byteOf(v)
	if !ok {
		return newPoisson(max(float64(v)*p.c, 0))
	}
	if p.bytes[k] == nil {
		p.bytes[k] = newPoisson(float64(bytes64[k] * p.c))
	}
	return p.bytes[k]
}

// guides is how many places of a distribution are found without a search.
const guides = 64

// poisson is a Poisson distribution as a table: below[i] is the probability of first + i or less.
type poisson struct {
	first int
	below []float64
	guide [guides]int32 // guide[g] is the first i with below[i] > g/guides
}

// newPoisson makes the table outwards from the most likely count, which takes no exponential: weights relative to it, divided by their
// sum. Counts less likely than 1e-18 of that one are left out.
func newPoisson(mean float64) *poisson {
	const least = 1e-18
	mode := int(mean)
	var under, over []float64 // from the mode away
	for k, w := mode, 1.0; k >= 1; k-- {
		if w = float64(w*float64(k)) / mean; w < least {
			break
		}
		under = append(under, w)
	}
	for k, w := mode+1, 1.0; ; k++ {
		if w = float64(w*mean) / float64(k); w < least {
			break
		}
		over = append(over, w)
	}

	p := &poisson{first: mode - len(under), below: make([]float64, 0, len(under)+1+len(over))}
	sum := 0.0
	add := func(w float64) {
		sum += w
		p.below = append(p.below, sum)
	}
	for i := len(under) - 1; i >= 0; i-- {
		add(under[i])
	}
	add(1)
	for _, w := range over {
		add(w)
	}
	i := 0
	for g := range p.guide {
		for i < len(p.below)-1 && p.below[i] <= float64(sum*(float64(g)/guides)) {
			i++
		}
		p.guide[g] = int32(i)
	}
	for i := range p.below {
		p.below[i] /= sum
	}
	return p
}

// draw is the count for a uniform number of (0, 1).
func (p *poisson) draw(u float64) int {
	i := int(p.guide[int(u*guides)])
	for i < len(p.below)-1 && u >= p.below[i] {
		i++
	}
	return p.first + i
}
