package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
)

// UnderShift is what fits of one method do to inputs as they are and shifted: a fit to inputs as they are, and one to a mixture of both, each
// example once as it is and once under a shift and a severity drawn for it.
type UnderShift struct {
	Rows []ShiftedRow `json:"rows"` // the first is the inputs as they are
}

// ShiftedRow is one shift, its numbers the means over its severities.
type ShiftedRow struct {
	Shift     string  `json:"shift"` // clean, or the name of the shift
	Accuracy  float64 `json:"accuracy"`
	NLLBefore float64 `json:"nll_before"`
	NLLClean  float64 `json:"nll_clean"` // after the fit to inputs as they are
	NLLMixed  float64 `json:"nll_mixed"` // after the fit to the mixture
	ECEBefore float64 `json:"ece_before"`
	ECEClean  float64 `json:"ece_clean"`
	ECEMixed  float64 `json:"ece_mixed"`
}

// Worse says which of the two fits make the row worse than it was, by NLL.
func (r ShiftedRow) Worse() (clean, mixed bool) {
	const shows = 5e-5 // in the digits printed
	return r.NLLClean > r.NLLBefore+shows, r.NLLMixed > r.NLLBefore+shows
}

// cleanRow is the name of the row of inputs as they are.
const cleanRow = "clean"

// shiftedAnswers are answers to a data set as it is and under every shift and severity.
type shiftedAnswers struct {
	clean  calibrate.Examples
	shifts []string
	at     [][]calibrate.Examples // of each shift and severity
	notes  []string
}

// answersUnderShift asks a model.
func answersUnderShift(ctx context.Context, from asked, ds data.Dataset, o Options) (all shiftedAnswers, err error) {
	if !ds.Info().Images {
		return all, &fault.Usage{Err: fmt.Errorf("evaluate: %s has no images to shift; leave --on-shifted out", ds.Info().Name)}
	}

	passes := 1 + corrupt.Severities*len(corrupt.All())
	done, total := 0, passes*ds.Len()
	tell := o.Progress
	ask := func(ds data.Dataset) (x calibrate.Examples, notes []string, err error) {
		if tell != nil {
			o.Progress = func(n, _ int) { tell(done+n, total) }
		}
		answers, err := from(ctx, ds, o)
		if err != nil {
			return x, nil, err
		}
		done += ds.Len()
		x, err = answers.asExamples()
		return x, answers.notes, err
	}

	if all.clean, all.notes, err = ask(ds); err != nil {
		return all, err
	}

	o.Assumed = nil // answers to shifted inputs look wrong for another reason
	for _, shift := range corrupt.All() {
		var levels []calibrate.Examples
		for severity := 1; severity <= corrupt.Severities; severity++ {
			wrapped, err := corrupt.Wrap(ds, shift, severity, o.Seed)
			if err != nil {
				return all, err
			}
			x, _, err := ask(wrapped)
			if err != nil {
				return all, err
			}
			levels = append(levels, x)
		}
		all.shifts, all.at = append(all.shifts, shift.Name()), append(all.at, levels)
	}
	return all, nil
}

// mixture is each of some examples as it is and under a shift that is drawn for it.
func (a shiftedAnswers) mixture(places []int, seed uint64) calibrate.Examples {
	x := a.clean.Take(places)
	for _, i := range places {
		r := rand.New(rand.NewPCG(seed, 0x5a1f7<<32|uint64(i)))
		levels := a.at[r.IntN(len(a.at))]
		from := levels[r.IntN(len(levels))]
		x.Logits = append(x.Logits, from.Logits[i*x.Classes:(i+1)*x.Classes]...)
		x.Labels = append(x.Labels, from.Labels[i])
	}
	return x
}

// take are the answers to some of the examples.
func (a shiftedAnswers) take(places []int) shiftedAnswers {
	part := shiftedAnswers{clean: a.clean.Take(places), shifts: a.shifts}
	for _, levels := range a.at {
		var of []calibrate.Examples
		for _, x := range levels {
			of = append(of, x.Take(places))
		}
		part.at = append(part.at, of)
	}
	return part
}

// fits are the same method fitted to inputs as they are, and to the mixture.
type fits struct{ clean, mixed calibrate.Result }

func (a shiftedAnswers) fit(m calibrate.Method, places []int, seed uint64) (f fits, err error) {
	if f.clean, err = m.Fit(a.clean.Take(places)); err != nil {
		return f, err
	}
	f.mixed, err = m.Fit(a.mixture(places, seed))
	return f, err
}

// corrected are answers before and after both fits, whose unsaturated ones change them.
func (f fits) corrected(x calibrate.Examples) (clean, mixed calibrate.Examples, err error) {
	apply := func(r calibrate.Result) (calibrate.Examples, error) {
		y := x
		y.Logits = append([]float64(nil), x.Logits...)
		if r.Saturated {
			return y, nil
		}
		return y, r.Fitted.Apply(y.Logits)
	}
	if clean, err = apply(f.clean); err != nil {
		return x, x, err
	}
	mixed, err = apply(f.mixed)
	return clean, mixed, err
}

// three are the same answers as they are, and after each of both fits.
type three struct{ before, clean, mixed shiftedAnswers }

// add appends a part of the examples, and their answers after the fits.
func (t *three) add(part shiftedAnswers, f fits) error {
	put := func(before, clean, mixed *calibrate.Examples, x calibrate.Examples) error {
		y, z, err := f.corrected(x)
		for to, from := range map[*calibrate.Examples]calibrate.Examples{before: x, clean: y, mixed: z} {
			to.Classes, to.Logits, to.Labels = x.Classes, append(to.Logits, from.Logits...), append(to.Labels, from.Labels...)
		}
		return err
	}
	if err := put(&t.before.clean, &t.clean.clean, &t.mixed.clean, part.clean); err != nil {
		return err
	}
	for s, levels := range part.at {
		for _, a := range []*shiftedAnswers{&t.before, &t.clean, &t.mixed} {
			for len(a.at) <= s {
				a.at = append(a.at, make([]calibrate.Examples, len(levels)))
			}
		}
		for level, x := range levels {
			if err := put(&t.before.at[s][level], &t.clean.at[s][level], &t.mixed.at[s][level], x); err != nil {
				return err
			}
		}
	}
	return nil
}

// table measures.
func (t three) table(shifts []string) (*UnderShift, error) {
	of := func(name string, before, clean, mixed []calibrate.Examples) (row ShiftedRow, err error) {
		row.Shift = name
		n := float64(len(before))
		for level := range before {
			var rows [3]calibrate.Row
			for i, x := range []calibrate.Examples{before[level], clean[level], mixed[level]} {
				if rows[i], err = calibrate.Measured("", calibrate.TemperatureMap{T: 1}, x); err != nil {
					return row, err
				}
			}
			row.Accuracy += rows[0].Accuracy / n
			row.NLLBefore, row.ECEBefore = row.NLLBefore+rows[0].NLL/n, row.ECEBefore+rows[0].ECE/n
			row.NLLClean, row.ECEClean = row.NLLClean+rows[1].NLL/n, row.ECEClean+rows[1].ECE/n
			row.NLLMixed, row.ECEMixed = row.NLLMixed+rows[2].NLL/n, row.ECEMixed+rows[2].ECE/n
		}
		return row, nil
	}
	first, err := of(cleanRow, []calibrate.Examples{t.before.clean}, []calibrate.Examples{t.clean.clean}, []calibrate.Examples{t.mixed.clean})
	if err != nil {
		return nil, err
	}
	found := &UnderShift{Rows: []ShiftedRow{first}}
	for s, name := range shifts {
		row, err := of(name, t.before.at[s], t.clean.at[s], t.mixed.at[s])
		if err != nil {
			return nil, err
		}
		found.Rows = append(found.Rows, row)
	}
	return found, nil
}

// MendShifted fits a method to a mixture of inputs as they are and shifted, puts it into the bundle, and holds it beside a fit to inputs as they
// are: on the examples of on, or, where that is nil, on those of ds in five parts.
func MendShifted(ctx context.Context, b *bundle.Bundle, ds, on data.Dataset, e *engine.Engine, m calibrate.Method, o Options) (found Mended, err error) {
	notes, done := uncalibrated(b)
	defer func() { done(err == nil && !found.Saturated) }()
	if found, err = mendShifted(ctx, ofBundle(b, e), ds, on, m, o); err != nil {
		return found, err
	}
	found.Notes = append(notes, found.Notes...)
	found.into(b)
	return found, nil
}

// mendShifted is MendShifted without a bundle.
func mendShifted(ctx context.Context, ask asked, ds, on data.Dataset, m calibrate.Method, o Options) (found Mended, err error) {
	answers, err := answersUnderShift(ctx, ask, ds, o)
	if err != nil {
		return found, err
	}

	n := answers.clean.Len()
	if on == nil && n < calibrate.Folds {
		return found, &fault.Usage{Err: fmt.Errorf("evaluate: %d examples are too few to judge on; give others with --on", n)}
	}

	all := make([]int, n)
	for i := range all {
		all[i] = i
	}

	f, err := answers.fit(m, all, o.Seed)
	if err != nil {
		return found, err
	}

	found = Mended{
		Method: calibrate.Name(m), Options: calibrate.Choice{Method: m}, Fitted: f.mixed.Fitted, Saturated: f.mixed.Saturated, Why: f.mixed.Why,
		Iterations: f.mixed.Iterations, FittedOn: 2 * n, FittedTo: datasetName(ds.Info()) + ", half of them shifted",
		JudgedOn: inParts, JudgedAt: n, Notes: answers.notes,
	}

	var judged three
	if on != nil {
		others, err := answersUnderShift(ctx, ask, on, o)
		if err != nil {
			return found, err
		}
		found.JudgedOn, found.JudgedAt = datasetName(on.Info()), others.clean.Len()
		if err := judged.add(others, f); err != nil {
			return found, err
		}
	} else if judged, err = answers.crossed(m, o.Seed); err != nil {
		return found, err
	}
	return found, found.judge(judged, answers.shifts)
}

// judge fills in the numbers.
func (m *Mended) judge(t three, shifts []string) (err error) {
	as := func(name string, x calibrate.Examples) (calibrate.Row, error) {
		return calibrate.Measured(name, calibrate.TemperatureMap{T: 1}, x)
	}
	if m.Before, err = as(calibrate.Unchanged, t.before.clean); err != nil {
		return err
	}
	if m.After, err = as(m.Method, t.mixed.clean); err != nil {
		return err
	}
	m.Shift, err = t.table(shifts)
	return err
}

// crossed judges each of five parts by what is fitted to the others.
func (a shiftedAnswers) crossed(m calibrate.Method, seed uint64) (t three, err error) {
	order := rand.New(rand.NewPCG(seed, 0xca11b)).Perm(a.clean.Len())
	for fold := range calibrate.Folds {
		var rest, mine []int
		for place, i := range order {
			if place%calibrate.Folds == fold {
				mine = append(mine, i)
			} else {
				rest = append(rest, i)
			}
		}
		f, err := a.fit(m, rest, seed)
		if err != nil {
			return t, err
		}
		if err := t.add(a.take(mine), f); err != nil {
			return t, err
		}
	}
	return t, nil
}
