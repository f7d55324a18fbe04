package corrupt

// gaussianWeights are those of a Gaussian of deviation sigma from the centre outwards, cut at a radius and divided by their sum.
func gaussianWeights(sigma float64, radius int) []float64 {
	w := make([]float64, radius+1)
	total := 0.0
	for k := -radius; k <= radius; k++ {
		v := exponential(-0.5 / float64(sigma*sigma) * float64(k*k))
		w[max(k, -k)] = v
		total += v
	}
	for k := range w {
		w[k] /= total
	}
	return w
}

// radiusOf is how far a Gaussian cut after some deviations reaches. Sigma 0 reaches nowhere, and is the identity.
func radiusOf(sigma, deviations float64) int { return int(float64(sigma*deviations) + 0.5) }

// blur blurs an image by a Gaussian, cut after some deviations, first along columns and then along rows.
func (p planes) blur(sigma, deviations float64, outside border) planes {
	radius := radiusOf(sigma, deviations)
	if radius == 0 {
		return p
	}
	w := gaussianWeights(sigma, radius)
	return p.down(w, outside).across(w, outside)
}

// down filters along columns with weights from the centre outwards.
func (p planes) down(w []float64, outside border) planes {
	out := newPlanes(p.height, p.width, p.channels)
	if len(w) > p.height { // many taps meet the same row: one weight a row is less work
		m := folded(w, p.height, outside)
		for y := range p.height {
			s := sum{acc: out.row(y)}
			for from, weight := range m[y*p.height : (y+1)*p.height] {
				s.add(p.row(from), weight)
			}
			s.end()
		}
		return out
	}

	for y := range p.height {
		pairs(out.row(y), w, func(k int) []float64 { return p.row(outside(y+k, p.height)) })
	}
	return out
}

// across filters along rows.
func (p planes) across(w []float64, outside border) planes {
	out := newPlanes(p.height, p.width, p.channels)
	if len(w) > p.width && p.channels == 1 {
		m := folded(w, p.width, outside)
		columns := make([]float64, len(m)) // those of m as rows
		for i := range p.width {
			for j := range p.width {
				columns[j*p.width+i] = m[i*p.width+j]
			}
		}
		for y := range p.height {
			s := sum{acc: out.row(y)}
			for from, v := range p.row(y) {
				s.add(columns[from*p.width:(from+1)*p.width], v)
			}
			s.end()
		}
		return out
	}

	radius, c := len(w)-1, p.channels
	wide := make([]float64, (p.width+2*radius)*c)
	for y := range p.height {
		p.widened(wide, y, radius, outside)
		pairs(out.row(y), w, func(k int) []float64 { return wide[(radius+k)*c:] })
	}
	return out
}

// widened writes a row with what stands on both sides of it.
func (p planes) widened(wide []float64, y, margin int, outside border) {
	row, c := p.row(y), p.channels
	copy(wide[margin*c:], row)
	for k := 1; k <= margin; k++ {
		left, right := outside(-k, p.width)*c, outside(p.width-1+k, p.width)*c
		copy(wide[(margin-k)*c:(margin-k+1)*c], row[left:left+c])
		copy(wide[(margin+p.width-1+k)*c:(margin+p.width+k)*c], row[right:right+c])
	}
}

// pairs writes the weighted sum of rows around one, the outermost pair first: the order in which scipy adds.
func pairs(acc, w []float64, row func(k int) []float64) {
	scaled(acc, row(0), w[0])
	k := len(w) - 1
	for ; k >= 2; k -= 2 {
		addPairs(acc, row(-k), row(k), w[k], row(1-k), row(k-1), w[k-1])
	}
	if k == 1 {
		addPair(acc, row(-1), row(1), w[1])
	}
}

// folded is a filter over n places as a matrix [n, n]: the weights of the places outside are added to those that stand there.
func folded(w []float64, n int, outside border) []float64 {
	m := make([]float64, n*n)
	for i := range n {
		for k := 1 - len(w); k < len(w); k++ {
			m[i*n+outside(i+k, n)] += w[max(k, -k)]
		}
	}
	return m
}
