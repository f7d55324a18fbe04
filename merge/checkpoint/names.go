package checkpoint

import (
	"errors"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

// seeAs shows a model by the names of another one, where a prefix is what they differ by: strip says that it was taken off.
func (in *Input) seeAs(reference *Input) (prefix string, strip bool) {
	if prefix, ok := weights.Prefix(in.names, reference.names); ok {
		in.see(weights.Without(in.file, prefix))
		return prefix, true
	}
	if prefix, ok := weights.Prefix(reference.names, in.names); ok {
		in.see(weights.With(in.file, prefix, reference.names))
		return prefix, false
	}
	return "", false
}

// common refuses a merge in which no tensor of two models meets.
func (p *Plan) common() error {
	if len(p.Inputs) < 2 || p.options.AllowMissing != Union {
		return nil
	}
	for _, t := range p.tensors {
		all := t.all()
		for _, r := range all[1:] {
			if r.in != all[0].in {
				return nil
			}
		}
	}
	return &fault.Input{
		Err: errors.New("the models have no tensor in common, so that union merges nothing"), Fix: "merge models of one architecture, whose tensors have the same names",
	}
}
