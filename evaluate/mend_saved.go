package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/memory"
)

// examples are the outputs, as a method takes them.
func (s *Saved) examples() (x calibrate.Examples, err error) {
	if s.narrow != nil {
		x, err = calibrate.NewExamples(s.narrow, s.labels, s.Classes)
	} else {
		x, err = calibrate.NewExamples(s.wide, s.labels, s.Classes)
	}
	return x, s.named(err)
}

// pair are the outputs and others, which may be nil.
func (s *Saved) pair(on *Saved) (x calibrate.Examples, others *calibrate.Examples, err error) {
	if x, err = s.examples(); err != nil || on == nil {
		return x, nil, err
	}
	if on.Classes != s.Classes {
		return x, nil, &fault.Usage{Err: fmt.Errorf("evaluate: %s has %d classes, %s %d", on.LogitsPath, on.Classes, s.LogitsPath, s.Classes)}
	}
	y, err := on.examples()
	return x, &y, err
}

// Mend fits a method to saved outputs and judges it: on other saved outputs, or, where on is nil, on the same in five parts.
func (s *Saved) Mend(m calibrate.Method, on *Saved, seed uint64) (Mended, error) {
	x, others, err := s.pair(on)
	if err != nil {
		return Mended{}, err
	}
	found, err := mend(m, x, others, seed)
	if err != nil {
		return found, s.named(err)
	}
	found.FittedTo, found.Notes = s.LogitsPath, append(slices.Clone(s.Remarks), found.Notes...)
	if on != nil {
		found.JudgedOn, found.Notes = on.LogitsPath, append(found.Notes, on.Remarks...)
	}
	return found, nil
}

// CompareMethods holds methods beside each other, on other saved outputs, or, where on is nil, on the same in five parts.
func (s *Saved) CompareMethods(methods []calibrate.Method, on *Saved, seed uint64) (Beside, error) {
	x, others, err := s.pair(on)
	if err != nil {
		return Beside{}, err
	}
	found, err := beside(methods, x, others, seed)
	found.FittedTo, found.Notes = s.LogitsPath, slices.Clone(s.Remarks)
	if on != nil {
		found.JudgedOn, found.Notes = on.LogitsPath, append(found.Notes, on.Remarks...)
	}
	return found, s.named(err)
}

// FitSets fits conformal sets to saved outputs and measures them: on others, or, where on is nil, on the same in five parts.
func (s *Saved) FitSets(c calibrate.Conformal, on *Saved, seed uint64) (Sets, error) {
	x, others, err := s.pair(on)
	if err != nil {
		return Sets{}, err
	}
	found, err := conformal(c, x, others, seed)
	if err != nil {
		return found, s.named(err)
	}
	found.FittedTo, found.Notes = s.LogitsPath, append(slices.Clone(s.Remarks), found.Notes...)
	if on != nil {
		found.JudgedOn, found.Notes = on.LogitsPath, append(found.Notes, on.Remarks...)
	}
	return found, nil
}

// Mapped is the same outputs corrected by what was fitted, in memory.
func (s *Saved) Mapped(f calibrate.Fitted) (*Saved, error) {
	x, err := s.examples()
	if err != nil {
		return nil, err
	}
	if err := f.Apply(x.Logits); err != nil {
		return nil, err
	}
	mapped := *s
	mapped.narrow, mapped.wide = nil, x.Logits
	return &mapped, nil
}

// WriteMapped writes all outputs of the file, corrected, as logits [examples, classes]: those too whose labels are left out.
func (s *Saved) WriteMapped(path string, f calibrate.Fitted) error {
	if err := memory.Need("a copy of "+s.LogitsPath, 16*int64(s.rows)*int64(s.Classes)); err != nil {
		return err
	}
	if s.file.DType == npy.Float64 {
		raw, err := s.file.Float64s()
		if err != nil {
			return err
		}
		return writeMapped(s, path, raw, f)
	}
	raw, err := s.file.Float32s()
	if err != nil {
		return err
	}
	return writeMapped(s, path, raw, f)
}

func writeMapped[F float32 | float64](s *Saved, path string, raw []F, f calibrate.Fitted) error {
	wide := make([]float64, 0, s.rows*s.Classes)
	for _, v := range raw {
		if s.binary { // its one output is the second of two
			wide = append(wide, 0)
		}
		wide = append(wide, s.logit(float64(v)))
	}
	if err := f.Apply(wide); err != nil {
		return err
	}
	mapped := make([]F, len(wide))
	for i, v := range wide {
		mapped[i] = F(v)
	}
	return writeLogits(s, path, []int{s.rows, s.Classes}, mapped)
}

// WriteFitted writes a fitted method, or conformal sets, as JSON.
func WriteFitted(path string, fitted any) error {
	text, err := json.MarshalIndent(fitted, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
