package sample

import (
	"cmp"
	"math"
	"slices"
)

// Sorted is a stream of test time: all examples of the first class, then all of the second, and so on; within a class in random order.
// One pass alone: what is left of it after the last example is padding.
type Sorted struct{}

var _ Sampler = Sorted{}

// NewSorted returns the sampler.
func NewSorted() Sorted { return Sorted{} }

// Distinct is true.
func (Sorted) Distinct() bool { return true }

// Epoch errors if there are no labels, or more updates than the set fills.
func (Sorted) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := checkStream("sorted", r, batch, updates, true, false); err != nil {
		return nil, err
	}
	order := ascending(r.N)
	newRandom(seed, "sorted", epoch).shuffle(order)
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(r.Labels[a], r.Labels[b]) })
	return stream(order, batch, updates), nil
}

// Dirichlet is a stream of test time whose labels hang together: the set is dealt into Slots stretches of time, and each class is spread
// over them by a draw from the symmetric Dirichlet distribution with concentration Delta. A small one puts a class into few stretches.
// Within a stretch the order is random.
//
// Source: Yuan et al., "Robust Test-Time Adaptation in Dynamic Scenarios", arXiv 2303.13899.
type Dirichlet struct {
	Delta float64 `json:"delta"` // concentration, above 0; 0.1
	Slots int     `json:"slots"` // stretches, at least 1; 10
}

var _ Sampler = Dirichlet{}

// NewDirichlet returns ten stretches with concentration 0.1.
func NewDirichlet() Dirichlet { return Dirichlet{Delta: 0.1, Slots: 10} }

// Distinct is true.
func (Dirichlet) Distinct() bool { return true }

// Epoch errors if there are no labels, or more updates than the set fills.
func (d Dirichlet) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := checkStream("dirichlet", r, batch, updates, true, false); err != nil {
		return nil, err
	}
	if !(d.Delta > 0) || math.IsInf(d.Delta, 0) || d.Slots < 1 {
		return nil, wrong("dirichlet", "delta is %v with %d slots; use a finite number above 0 and at least 1 slot",
			d.Delta, d.Slots)
	}
	parts, err := Split(r.Labels, d.Slots, d.Delta, seed, epoch)
	if err != nil {
		return nil, err
	}
	random := newRandom(seed, "dirichlet order", epoch)
	var order []int32
	for _, part := range parts {
		random.shuffle(part)
		order = append(order, part...)
	}
	return stream(order, batch, updates), nil
}

// Split deals examples to so many parts, class by class, in shares from a symmetric Dirichlet distribution: the stretches of a stream, or
// the clients of a federation. Every example is in one part; a part may be empty. Parts are in ascending order.
func Split(labels []int32, n int, delta float64, seed uint64, number int) ([][]int32, error) {
	if n < 1 || !(delta > 0) || math.IsInf(delta, 0) {
		return nil, wrong("split", "%d parts with concentration %v; use at least 1 part and a finite number above 0",
			n, delta)
	}
	random := newRandom(seed, "dirichlet split", number)
	parts := make([][]int32, n)
	for _, class := range groups(labels, ascending(len(labels))) {
		random.shuffle(class.places)
		shares := random.dirichlet(n, delta)
		sum, from := 0.0, 0
		for k, share := range shares {
			sum += share
			to := min(max(int(math.Round(sum*float64(len(class.places)))), from), len(class.places))
			if k == n-1 {
				to = len(class.places)
			}
			parts[k] = append(parts[k], class.places[from:to]...)
			from = to
		}
	}
	for _, p := range parts {
		slices.Sort(p)
	}
	return parts, nil
}

// Gradual is a stream of test time that moves from domain to domain: the share of the next one grows evenly over Overlap of the way from
// the middle of a domain to the middle of the next; 0 changes at once. Within a domain the order is random.
type Gradual struct {
	Overlap float64 `json:"overlap"` // [0, 1]; 1
}

var _ Sampler = Gradual{}

// NewGradual returns a stream that is always on its way from one domain to the next.
func NewGradual() Gradual { return Gradual{Overlap: 1} }

// Distinct is true.
func (Gradual) Distinct() bool { return true }

// Epoch errors if there are no domains, or more updates than the set fills.
func (s Gradual) Epoch(r Rows, batch, updates int, seed uint64, epoch int) ([]int32, error) {
	if err := checkStream("gradual", r, batch, updates, false, true); err != nil {
		return nil, err
	}
	if !(s.Overlap >= 0 && s.Overlap <= 1) {
		return nil, wrong("gradual", "overlap is %v; use a share from 0 to 1", s.Overlap)
	}
	random := newRandom(seed, "gradual", epoch)

	// Example k of a domain's n has its turn at the place (k + 1/2)/n of the domain; a triangle of the width of the overlap moves it.
	order := ascending(r.N)
	turn := make([]float64, r.N)
	for d, group := range groups(r.Domains, order) {
		random.shuffle(group.places)
		n := float64(len(group.places))
		for k, p := range group.places {
			moved := s.Overlap * (random.unit() - 0.5)
			turn[p] = float64(d) + (float64(k)+0.5)/n + moved
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(turn[a], turn[b]) })
	return stream(order, batch, updates), nil
}

// checkStream refuses what no stream can do.
func checkStream(who string, r Rows, batch, updates int, labels, domains bool) error {
	if err := check(who, r, batch, updates, labels, domains); err != nil {
		return err
	}
	if most := (r.N + batch - 1) / batch; updates > most {
		return wrong(who, "%d updates of %d examples, and the set has %d: a stream goes by once; use at most %d updates",
			updates, batch, r.N, most)
	}
	return nil
}

// stream is the first updates of an order, padded at its end.
func stream(order []int32, batch, updates int) []int32 {
	n := batch * updates
	if len(order) >= n {
		return order[:n]
	}
	return append(order, padding(n-len(order))...)
}

// dirichlet draws n shares from the symmetric Dirichlet distribution. Logarithms of gamma draws, by Marsaglia and Tsang's method for
// delta + 1 and a power of a uniform one, keep a concentration near 0 from rounding all shares to 0.
func (r random) dirichlet(n int, delta float64) []float64 {
	logs := make([]float64, n)
	for k := range logs {
		logs[k] = r.logGamma(delta)
	}
	largest, sum := slices.Max(logs), 0.0
	for k, l := range logs {
		logs[k] = math.Exp(l - largest)
		sum += logs[k]
	}
	for k := range logs {
		logs[k] /= sum
	}
	return logs
}

// logGamma draws the logarithm of a gamma variate of shape a.
func (r random) logGamma(a float64) float64 {
	boost := math.Log(r.unit()) / a // Gamma(a) is Gamma(a + 1) times a uniform number to the power 1/a
	d := a + 1 - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := math.Sqrt(-2*math.Log(r.unit())) * math.Cos(2*math.Pi*r.unit())
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(r.unit()) < x*x/2+d-d*v+d*math.Log(v) {
			return math.Log(d*v) + boost
		}
	}
}
