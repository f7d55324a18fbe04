package tuned

import (
	"context"
	"fmt"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/own"
)

// Extraction takes a signature of three models on the disk: bundles, or model files of any format.
type Extraction struct {
	Method     signature.Robust `json:"method"`
	Pretrained string           `json:"pretrained"` // the start that the others were fine-tuned from
	Clean      string           `json:"clean"`      // fine-tuned on clean data
	Robust     string           `json:"robust"`     // fine-tuned on corrupted data
	Name       string           `json:"name"`       // of the signature
	Registry   own.Registry     `json:"-"`          // what bundle.Open takes
	Quantizer  string           `json:"quantizer"`  // linear, tanh or log; used with levels
	Levels     int              `json:"levels"`     // of the stored values; 0 stores float32
}

// NewExtraction returns the paper's method, without quantisation.
func NewExtraction() Extraction {
	return Extraction{Method: signature.NewRobust(), Quantizer: signature.QuantizeLinear}
}

// Run reads the models and extracts the signature. It is not on the disk yet: see signature.Signature.Save.
func (x Extraction) Run() (signature.Signature, error) {
	paths := [3]string{x.Pretrained, x.Clean, x.Robust}
	var models [3]weights.Set
	for i, path := range paths {
		var err error
		if models[i], err = Load(path, x.Registry); err != nil {
			return signature.Signature{}, err
		}
		models[i] = models[i].Like(models[0])
		if err := models[0].SameLayout(paths[0], models[i], path); err != nil {
			return signature.Signature{}, err
		}
	}

	s, err := x.Method.Extract(models[0], models[1], models[2])
	if err != nil {
		return s, err
	}
	if x.Levels != 0 {
		if s, err = s.Quantize(x.Quantizer, x.Levels); err != nil {
			return s, err
		}
	}
	s.Name, s.Metadata = x.Name, map[string]string{"pretrained": models[0].Checksum()}
	return s, nil
}

// Patch puts signatures on a copy of a model on the disk: a bundle, or a model file of any format.
type Patch struct {
	Model      string             // the clean one
	Signatures []signature.Scaled // what is added
	Force      bool               // put a signature on a model that has it already

	// Statistics of norms are estimated again on the training part of Data, corrupted by Shifts one after the other; "" leaves them, with a
	// warning. Seed is that of the corruption.
	Data   string
	Shifts []Shift
	Seed   uint64

	Registry own.Registry // what bundle.Open takes
}

// Shift is a corruption at a severity.
type Shift struct {
	Name     string // see corrupt.Find
	Severity int
}

// Run writes the patched model into the folder out. open gives the engine, which is used for norms alone, and closed here.
func (p Patch) Run(ctx context.Context, out string, open func() (*engine.Engine, error)) (signature.Patched, error) {
	target, err := Load(p.Model, p.Registry)
	if err != nil {
		return signature.Patched{}, err
	}
	o := signature.ApplyOptions{Force: p.Force}
	if o.Applied, err = AppliedTo(p.Model, p.Registry); err != nil {
		return signature.Patched{}, err
	}
	if p.Data != "" {
		recalibrate, done, err := p.recalibrator(ctx, open)
		if err != nil {
			return signature.Patched{}, err
		}
		defer done()
		o.Recalibrate = recalibrate
	}

	patched, err := signature.Apply(target, p.Signatures, o)
	if err != nil {
		return signature.Patched{}, err
	}
	return patched, SaveLike(p.Model, out, patched.Weights, patched.Applied, p.Registry)
}

// recalibrator estimates statistics of norms again on corrupted data.
func (p Patch) recalibrator(ctx context.Context, open func() (*engine.Engine, error)) (recalibrate func(weights.Set) (weights.Set, error), done func(), err error) {
	if !bundle.Is(p.Model) {
		return nil, nil, &fault.Usage{Err: fmt.Errorf(`signature: %s: statistics of norms can be estimated again only in a model that "ballast train" has written`, p.Model)}
	}
	b, err := bundle.Open(p.Model, p.Registry)
	if err != nil {
		return nil, nil, err
	}
	ds, err := data.Open(p.Data, "train")
	if err != nil {
		return nil, nil, err
	}
	for _, shift := range p.Shifts {
		s, err := corrupt.Find(shift.Name)
		if err != nil {
			return nil, nil, err
		}
		if ds, err = corrupt.Wrap(ds, s, shift.Severity, p.Seed); err != nil {
			return nil, nil, err
		}
	}

	e, err := open()
	if err != nil {
		return nil, nil, err
	}
	recalibrate = func(set weights.Set) (weights.Set, error) {
		return Recalibrate(ctx, b, e, set, ds, min(64, ds.Len()), 0)
	}
	return recalibrate, func() { b.Store.Finalize(); e.Close() }, nil
}

// Unpatch writes a copy of a model on the disk into the folder out from which a signature is taken off again. left is what is still on it;
// exact reports whether every tensor is to the bit what it was.
func Unpatch(model string, s signature.Signature, out string, mine ...own.Registry) (left []signature.Applied, exact bool, err error) {
	set, err := Load(model, mine...)
	if err != nil {
		return nil, false, err
	}
	applied, err := AppliedTo(model, mine...)
	if err != nil {
		return nil, false, err
	}

	clean, left, exact, err := signature.Remove(set, s, applied)
	if err != nil {
		return nil, false, err
	}
	return left, exact, SaveLike(model, out, clean, left, mine...)
}
