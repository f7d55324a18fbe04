package signature

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// Scaled is a signature and its scale.
type Scaled struct {
	Signature Signature
	Scale     float64 // 1 is the signature as it is
}

// EqualShares gives each of n signatures the same share of a total scale.
func EqualShares(total float64, signatures ...Signature) []Scaled {
	out := make([]Scaled, len(signatures))
	for i, s := range signatures {
		out[i] = Scaled{Signature: s, Scale: total / float64(len(signatures))}
	}
	return out
}

// Applied is the record of a patch; keep it with the model.
type Applied struct {
	ID     string  `json:"id"`
	Name   string  `json:"name,omitempty"`
	Scale  float64 `json:"scale"`
	Before string  `json:"before"` // checksum of the tensors it touched, as they were before all patches of the same call
}

// ApplyOptions select how signatures are applied to a model.
type ApplyOptions struct {
	Applied []Applied // the patches applied to it before
	Force   bool      // apply a signature twice

	// SquareScales uses the square of each scale where there are several, as the official code does by multiplying twice; the paper
	// multiplies once.
	SquareScales bool

	// Recalibrate estimates the statistics of norms again for the patched weights, with a pass over corrupted training data, and
	// returns all weights. It is called for signatures with NormsRecalibrate on models that have statistics; nil leaves them as
	// they are, with a warning.
	Recalibrate func(patched weights.Set) (weights.Set, error)
}

// Patched is a model with signatures applied.
type Patched struct {
	Weights  weights.Set
	Applied  []Applied // with those of ApplyOptions first
	Warnings []string
}

// Apply returns target + sum over i of scale_i signature_i. The target is the clean model, a later version of it, or a
// model of other data with the same layers. Norms are treated as the signatures say: with NormsReplace their values become the mean
// of those of the robust models, whatever the scales; with NormsRecalibrate their statistics are estimated again, and where the
// scales sum to a < 1 set to (1-a) old + a new.
//
// It refuses a tensor that the target lacks or has with another shape, values that are not finite, and a signature that is on the
// target already, or twice in the list, unless Force is set.
func Apply(target weights.Set, signatures []Scaled, o ApplyOptions) (Patched, error) {
	if len(signatures) == 0 {
		return Patched{}, errors.New("merge: signature: there is none to apply; give at least one")
	}
	if err := errors.Join(target.CheckShapes("the target"), target.Finite("the target")); err != nil {
		return Patched{}, err
	}
	ids := map[string]bool{}
	for _, a := range o.Applied {
		ids[a.ID] = true
	}

	p := Patched{Weights: target.Clone(), Applied: slices.Clone(o.Applied)}
	sums := map[string][]float64{}
	total, mode := 0.0, signatures[0].Signature.Norms
	for _, s := range signatures {
		switch {
		case math.IsNaN(s.Scale) || math.IsInf(s.Scale, 0):
			return Patched{}, &fault.Usage{Err: fmt.Errorf("merge: %s: the scale is %v; 1 is the signature as it is", signatureName(s.Signature), s.Scale)}
		case ids[s.Signature.ID] && !o.Force:
			return Patched{}, &fault.Usage{Err: fmt.Errorf("merge: %s is on the model already; force it, or use another scale in one go on the clean model", signatureName(s.Signature))}
		case s.Signature.Norms != mode:
			return Patched{}, &fault.Usage{Err: fmt.Errorf("merge: %s treats norms by %s, %s by %s; extract them alike", signatureName(s.Signature), s.Signature.Norms, signatureName(signatures[0].Signature), mode)}
		}
		ids[s.Signature.ID] = true
		scale := s.Scale
		total += scale
		if o.SquareScales && len(signatures) > 1 {
			scale *= scale
		}
		before, err := touched(target, s.Signature)
		if err != nil {
			return Patched{}, err
		}
		for _, t := range s.Signature.Tensors {
			if sums[t.Name] == nil {
				sums[t.Name] = make([]float64, len(t.Values))
			}
			for j, v := range t.Values {
				sums[t.Name][j] += scale * float64(v)
			}
		}
		p.Applied = append(p.Applied, Applied{ID: s.Signature.ID, Name: s.Signature.Name, Scale: s.Scale, Before: before.Checksum()})
	}

	for i := range p.Weights {
		for j, d := range sums[p.Weights[i].Name] {
			p.Weights[i].Values[j] = float32(float64(p.Weights[i].Values[j]) + d)
		}
	}
	if err := p.treatNorms(target, signatures, mode, total, o); err != nil {
		return Patched{}, err
	}
	return p, p.Weights.Finite("the patched model")
}

// touched are the tensors of a model that a signature moves; it says which does not fit.
func touched(target weights.Set, s Signature) (weights.Set, error) {
	var own weights.Set
	for _, t := range slices.Concat(s.Tensors, s.Replaced) {
		o, ok := target.Find(t.Name)
		if !ok {
			return nil, &fault.Input{Field: t.Name, Err: fmt.Errorf("%s has this tensor, the target does not", signatureName(s)), Fix: "use a target of the architecture that the signature was extracted from"}
		}
		if !slices.Equal(o.Shape, t.Shape) {
			return nil, &fault.Input{Field: t.Name, Err: fmt.Errorf("the shape is %v in %s, %v in the target", t.Shape, signatureName(s), o.Shape), Fix: "use a target of the architecture that the signature was extracted from"}
		}
		own = append(own, o)
	}
	return own, nil
}

// treatNorms does to norms what the signatures say.
func (p *Patched) treatNorms(target weights.Set, signatures []Scaled, mode string, total float64, o ApplyOptions) error {
	if mode == NormsReplace {
		sums := map[string][]float64{}
		for _, s := range signatures {
			for _, t := range s.Signature.Replaced {
				if sums[t.Name] == nil {
					sums[t.Name] = make([]float64, len(t.Values))
				}
				for j, v := range t.Values {
					sums[t.Name][j] += float64(v) / float64(len(signatures))
				}
			}
		}
		for i, t := range p.Weights {
			for j, v := range sums[t.Name] {
				p.Weights[i].Values[j] = float32(v)
			}
		}
		return nil
	}

	var statistics []string
	for _, t := range target {
		if weights.IsStatistic(t.Name) {
			statistics = append(statistics, t.Name)
		}
	}

	if len(statistics) == 0 || mode == NormsPatch {
		return nil
	}
	if o.Recalibrate == nil {
		p.Warnings = append(p.Warnings, fmt.Sprintf("the statistics of norms (%s) are those of the clean model; estimate them again on corrupted training data", shortList(statistics)))
		return nil
	}
	again, err := o.Recalibrate(p.Weights.Clone())
	if err != nil {
		return fmt.Errorf("merge: signature: statistics of norms: %w", err)
	}
	if err := p.Weights.SameLayout("the patched model", again, "the recalibrated one"); err != nil {
		return err
	}
	share := min(max(total, 0), 1)
	for i, t := range p.Weights {
		if !weights.IsStatistic(t.Name) {
			continue
		}
		for j, v := range t.Values {
			p.Weights[i].Values[j] = float32((1-share)*float64(v) + share*float64(again[i].Values[j]))
		}
	}
	return nil
}

func shortList(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Remove undoes Apply by subtracting the same numbers. exact says whether the tensors are now, to the
// bit, what they were before, by the checksum of the record; rounding may leave differences in the last bit, so keep the clean model
// where that matters. Norms that were replaced, or whose statistics were estimated again, do not come back.
func Remove(patched weights.Set, s Signature, applied []Applied) (clean weights.Set, left []Applied, exact bool, err error) {
	at := slices.IndexFunc(applied, func(a Applied) bool { return a.ID == s.ID })
	if at < 0 {
		return nil, applied, false, &fault.Usage{Err: fmt.Errorf("merge: %s is not on the model", signatureName(s))}
	}
	if len(s.Replaced) > 0 {
		return nil, applied, false, &fault.Usage{Err: fmt.Errorf("merge: %s replaced norms, whose former values are gone; use the clean model", signatureName(s))}
	}
	if _, err := touched(patched, s); err != nil {
		return nil, applied, false, err
	}
	clean = patched.Clone()
	for i, t := range clean {
		if d, ok := s.Tensors.Find(t.Name); ok {
			for j, v := range d.Values {
				clean[i].Values[j] = float32(float64(t.Values[j]) - applied[at].Scale*float64(v))
			}
		}
	}
	own, err := touched(clean, s)
	if err != nil {
		return nil, applied, false, err
	}
	return clean, slices.Delete(slices.Clone(applied), at, at+1), own.Checksum() == applied[at].Before, nil
}
