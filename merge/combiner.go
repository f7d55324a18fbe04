package merge

// Combiner is a Merger whose merged values are a linear combination of those of the models and of the base. It says which once its passes are
// done, so that values wider than float32 can be merged in their own width.
type Combiner interface {
	Combination() (models []float64, base float64)
}

// Combination is the weights.
func (l linear) Combination() (models []float64, base float64) { return l.c, 0 }

// Combination is the coefficients that the passes have found.
func (s *spherical) Combination() (models []float64, base float64) {
	if s.deltas {
		return s.coefficients, 1 - total(s.coefficients)
	}
	return s.coefficients, 0
}

// Combination is equal shares of the ratio, the rest the base's.
func (m *modelStock) Combination() (models []float64, base float64) {
	models = make([]float64, m.n)
	for i := range models {
		models[i] = m.ratio / float64(m.n)
	}
	return models, 1 - m.ratio
}

// Combination is the weights times lambda, the rest the base's.
func (a taskArithmetic) Combination() (models []float64, base float64) {
	models = make([]float64, len(a.c.weight))
	scale := a.c.scale()
	for i, w := range a.c.weight {
		models[i] = scale * w
	}
	return models, 1 - total(models)
}

func total(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}
