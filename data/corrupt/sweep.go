package corrupt

// The inner loops of the blurs, over whole rows. Sums are in the order of their arguments, and products are rounded before they are added,
// so that the same bytes come out everywhere.

// scaled writes x w.
func scaled(acc, x []float64, w float64) {
	x = x[:len(acc)]
	for i := range acc {
		acc[i] = float64(x[i] * w)
	}
}

// addPair adds (a + b) w.
func addPair(acc, a, b []float64, w float64) {
	a, b = a[:len(acc)], b[:len(acc)]
	for i := range acc {
		acc[i] += float64((a[i] + b[i]) * w)
	}
}

// addPairs adds (a + b) w and then (c + d) z.
func addPairs(acc, a, b []float64, w float64, c, d []float64, z float64) {
	a, b, c, d = a[:len(acc)], b[:len(acc)], c[:len(acc)], d[:len(acc)]
	for i := range acc {
		acc[i] = acc[i] + float64((a[i]+b[i])*w) + float64((c[i]+d[i])*z)
	}
}

// add adds a w.
func add(acc, a []float64, w float64) {
	a = a[:len(acc)]
	for i := range acc {
		acc[i] += float64(a[i] * w)
	}
}

// addFour adds four rows, each with its weight.
func addFour(acc []float64, rows *[4][]float64, w *[4]float64) {
	a, b, c, d := rows[0][:len(acc)], rows[1][:len(acc)], rows[2][:len(acc)], rows[3][:len(acc)]
	for i := range acc {
		acc[i] = acc[i] + float64(a[i]*w[0]) + float64(b[i]*w[1]) + float64(c[i]*w[2]) + float64(d[i]*w[3])
	}
}

// sum collects rows with weights and adds them four at a time.
type sum struct {
	acc  []float64
	rows [4][]float64
	w    [4]float64
	n    int
}

func (s *sum) add(row []float64, w float64) {
	s.rows[s.n], s.w[s.n] = row, w
	if s.n++; s.n == 4 {
		addFour(s.acc, &s.rows, &s.w)
		s.n = 0
	}
}

// end adds what is left.
func (s *sum) end() {
	for i := range s.n {
		add(s.acc, s.rows[i], s.w[i])
	}
	s.n = 0
}
