package calibrate

import "math"

// MaxOdds is where the log-odds of a probability are cut: beyond it a float32 holds 0 or 1.
const MaxOdds = 80

// odds writes the log-odds of each class's probability, ln(p/(1-p)) = z_k - ln(sum of exp(z_j) over the others), cut to [-MaxOdds, MaxOdds].
// The sum is over the others alone, and not 1 - p, which would lose the tail of a confident answer.
func odds(row, out []float64) {
	first, second := 0, -1 // the largest and the next
	for k, z := range row {
		switch {
		case k == 0:
		case z > row[first]:
			first, second = k, first
		case second < 0 || z > row[second]:
			second = k
		}
	}
	all, rest := 0.0, 0.0 // sums of exp(z - largest), and without the largest, of exp(z - second)
	for k, z := range row {
		all += math.Exp(z - row[first])
		if k != first {
			rest += math.Exp(z - row[second])
		}
	}
	for k, z := range row {
		v := z - row[first]
		switch {
		case math.IsInf(z, -1):
			out[k] = -MaxOdds
			continue
		case k == first && math.IsInf(row[second], -1):
			out[k] = MaxOdds
			continue
		case k == first:
			v = z - row[second] - math.Log(rest)
		default:
			e := math.Exp(v)
			v -= math.Log(math.Max(all-e, math.SmallestNonzeroFloat64))
		}
		out[k] = min(max(v, -MaxOdds), MaxOdds)
	}
}

// finish divides probabilities by their sum, none of them below the floor before it, and writes their logarithms to the row. What was
// ruled out stays so.
func finish(row, p []float64, floor float64) {
	sum := 0.0
	for k := range p {
		p[k] = max(p[k], floor)
		if math.IsInf(row[k], -1) {
			p[k] = 0
		}
		sum += p[k]
	}
	for k := range p {
		row[k] = math.Log(p[k] / sum)
	}
}

// Floor is the least probability of a class before all are divided by their sum: a finite number of examples cannot say never, and the NLL
// of an event that was said never to happen is infinite.
const Floor = 1e-6

func sigmoid(v float64) float64 {
	if v < 0 {
		e := math.Exp(v)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-v))
}

// softmax writes the probabilities of a row, which may be where they go.
func softmax(row, p []float64) {
	top, sum := row[0], 0.0
	for _, z := range row {
		top = max(top, z)
	}
	for k, z := range row {
		p[k] = math.Exp(z - top)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
}
