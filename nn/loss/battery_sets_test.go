package loss_test

import (
	"math"

	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/loss/losstest"
)

// cosine of row i of a and row j of b.
func cosine(a, b []float64, i, j, dim int) float64 {
	dot, aa, bb := 0.0, 0.0, 0.0
	for d := range dim {
		x, y := a[i*dim+d], b[j*dim+d]
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	return dot / math.Sqrt(aa*bb)
}

// eachPair calls f with every anchor, every other that it is compared with, their cosine and how far they are of one class.
func eachPair(b losstest.Batch, f func(i, j int, s, y float64)) {
	mixed := len(b.Features) == 2
	for i := range b.N {
		for j := range b.N {
			switch {
			case mixed:
				f(i, j, cosine(b.Features[0], b.Features[1], i, j, b.Dim), b.Targets[j*b.Classes+int(b.Labels[i])])
			case i != j && b.Labels[i] == b.Labels[j]:
				f(i, j, cosine(b.Features[0], b.Features[0], i, j, b.Dim), 1)
			case i != j:
				f(i, j, cosine(b.Features[0], b.Features[0], i, j, b.Dim), 0)
			}
		}
	}
}

// pairs is the mean over the anchors of what each makes of its cosines and shares.
func pairs(anchor func(s, y []float64) float64) losstest.Naive {
	return func(b losstest.Batch, _ map[string][]float64) []float64 {
		s, y := make([][]float64, b.N), make([][]float64, b.N)
		eachPair(b, func(i, _ int, cosine, share float64) { s[i], y[i] = append(s[i], cosine), append(y[i], share) })
		sum := 0.0
		for i := range s {
			sum += anchor(s[i], y[i]) / float64(b.N)
		}
		return []float64{sum}
	}
}

// sums are those of both sides of an anchor.
func sums(s, y []float64, near, far func(s float64) float64) (up, un float64) {
	for i := range s {
		if y[i] > 0 {
			up += y[i] * near(s[i])
		}
		if y[i] < 1 {
			un += (1 - y[i]) * far(s[i])
		}
	}
	return up, un
}

func contrastiveCosine(s, y []float64) float64 {
	up, un := sums(s, y, func(s float64) float64 { return -s }, func(s float64) float64 { return max(s-0.5, 0) })
	return up + un
}

func multiSimilarity(s, y []float64) float64 {
	p := loss.NewPairs("multi_similarity")
	up, un := sums(s, y, func(s float64) float64 { return math.Exp(-p.Beta * (s - p.Margin)) },
		func(s float64) float64 { return math.Exp(p.Gamma * (s - p.Negative)) })
	return math.Log(1+up)/p.Beta + math.Log(1+un)/p.Gamma
}

func lifted(s, y []float64) float64 {
	up, un := sums(s, y, func(s float64) float64 { return math.Exp(-s) },
		func(s float64) float64 { return math.Exp(s - 0.5) })
	if up == 0 || un == 0 {
		return 0
	}
	return max(math.Log(up)+math.Log(un), 0)
}

func binomial(s, y []float64) float64 {
	p := loss.NewPairs("binomial_deviance")
	up, un := sums(s, y, func(s float64) float64 { return math.Log(1 + math.Exp(-p.Beta*(s-p.Margin))) },
		func(s float64) float64 { return math.Log(1 + math.Exp(p.Gamma*(s-p.Negative))) })
	return up + un
}

// mean of numbers above 0.
type positive struct{ sum, n float64 }

func (p *positive) add(v float64) {
	if v > 0 {
		p.sum, p.n = p.sum+v, p.n+1
	}
}

func (p *positive) mean() float64 { return p.sum / max(p.n, 1) }

func contrastive(b losstest.Batch, _ map[string][]float64) []float64 {
	var near, far positive
	eachPair(b, func(_, _ int, s, y float64) {
		d := math.Sqrt(2 - 2*s)
		near.add(y * d)
		far.add((1 - y) * (0.5 - d))
	})
	return []float64{near.mean() + far.mean()}
}

func tcm(b losstest.Batch, _ map[string][]float64) []float64 {
	var near, far positive
	eachPair(b, func(_, _ int, s, y float64) {
		if y == 1 {
			near.add(0.9 - s)
		} else {
			far.add(s - 0.5)
		}
	})
	return []float64{near.mean() + far.mean()}
}

// supcon takes all views as one batch; without labels an example is a class of its own.
func supcon(temperature float64, labels bool) losstest.Naive {
	return func(b losstest.Batch, _ map[string][]float64) []float64 {
		var all []float64
		var group []int
		for _, f := range b.Features {
			all = append(all, f...)
			for i := range b.N {
				if labels {
					i = int(b.Labels[i])
				}
				group = append(group, i)
			}
		}
		sum, anchors := 0.0, 0.0
		for i := range group {
			total, picked, n := 0.0, 0.0, 0.0
			for j := range group {
				if i == j {
					continue
				}
				s := cosine(all, all, i, j, b.Dim) / temperature
				total += math.Exp(s)
				if group[i] == group[j] {
					picked, n = picked+s, n+1
				}
			}
			if n > 0 {
				sum, anchors = sum+math.Log(total)-picked/n, anchors+1
			}
		}
		return []float64{sum / max(anchors, 1)}
	}
}

func proxyAnchor(b losstest.Batch, state map[string][]float64) []float64 {
	p := loss.NewProxyAnchor()
	near, far, with := 0.0, 0.0, 0.0
	for k := range b.Classes {
		up, un := 0.0, 0.0
		for i := range b.N {
			s, y := cosine(state["proxies"], b.Features[0], k, i, b.Dim), share(b, i, k)
			up += y * math.Exp(-p.Alpha*(s-p.Margin))
			un += (1 - y) * math.Exp(p.Alpha*(s+p.Margin))
		}
		if up > 0 {
			near, with = near+math.Log(1+up), with+1
		}
		far += math.Log(1+un) / float64(b.Classes)
	}
	return []float64{near/max(with, 1) + far}
}
