package merge

import (
	"math"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/vector"
)

// consensus merges differences from a base that are already sparse: the last step of task arithmetic, TIES, DARE, DELLA and Breadcrumbs.
type consensus struct {
	weight    []float64
	elect     bool
	normalize bool
	lambda    float64
}

func (c consensus) check(method string, t Target) error {
	if err := t.needsBase(method); err != nil {
		return err
	}
	if err := t.perModel(method, "weight", c.weight); err != nil {
		return err
	}
	if math.IsNaN(c.lambda) || math.IsInf(c.lambda, 0) {
		return t.wrong(method, "lambda", "is %v; give a finite number", c.lambda)
	}
	return nil
}

// merge is dst = B + lambda sum w_i D_i, the sum divided by that of the weights with normalize. With elect only what has the sign of the sum
// counts.
func (c consensus) merge(dst []float32, b Block) {
	scale := float32(c.lambda)
	if !c.elect {
		combine(dst, c.weight, b.Models)
		scale = float32(c.scale())
	} else {
		for i, x := range b.Models {
			vector.ScaleTo(x, float32(c.weight[i]), x)
		}
		elect(dst, b.Models, c.weight, c.normalize)
	}
	vector.AddScaledTo(dst, b.Base, scale, dst)
}

// scale is what a weighted sum of differences is multiplied by, where none is elected.
func (c consensus) scale() float64 {
	if sum := total(c.weight); c.normalize && math.Abs(sum) >= 1e-8 {
		return c.lambda / sum
	}
	return c.lambda
}

// How differences that survive a random drop are scaled.
const (
	RescaleNone           = "none"
	RescaleInverseDensity = "inverse_density" // divided by the chance to survive (the papers)
	RescaleL1             = "l1"              // so that the sum of magnitudes of the tensor stays what it was
)

// Rescale is one of the names above. Recipes may say true for l1 and false for none.
type Rescale string

// UnmarshalJSON reads a name, true or false.
func (r *Rescale) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "true", "1", "1.0":
		*r = RescaleL1
		return nil
	case "false", "0", "0.0":
		*r = RescaleNone
		return nil
	}
	text := ""
	if err := strict.Decode(data, &text); err != nil {
		return err
	}
	*r = Rescale(text)
	return nil
}

// checkTrimmed is check for methods that drop by rank: no value has a chance to survive by which to divide. "" is none.
func (r Rescale) checkTrimmed(method string, t Target) error {
	switch r {
	case "", RescaleNone, RescaleL1:
		return nil
	}
	return t.wrong(method, "rescale", "is %q; use none or l1", string(r))
}

func (r Rescale) check(method string, t Target) error {
	switch r {
	case RescaleNone, RescaleInverseDensity, RescaleL1:
		return nil
	}
	return t.wrong(method, "rescale", "is %q; use none, inverse_density or l1", string(r))
}
