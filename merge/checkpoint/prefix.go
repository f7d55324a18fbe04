package checkpoint

import (
	"strings"

	"github.com/ballast-ml/ballast/format/weights"
)

// alignNames shows models whose names differ from those of the reference by what stands before them all, such as bert. or module., by the
// names of the reference.
func (p *Plan) alignNames(reference *Input) {
	known := map[string]bool{}
	for _, name := range reference.names {
		known[name] = true
	}
	for _, in := range p.Inputs {
		common := 0
		for _, name := range in.names {
			if known[name] {
				common++
			}
		}
		most := min(len(in.names), len(reference.names))
		if in == reference || 2*common > most {
			continue
		}

		// The prefix is of the model, or of the reference.
		if prefix := longer(in.names, reference.names); prefix != "" {
			p.rename(in, known, 2*common, "begin with "+prefix+", which those of "+reference.Model+" do not", func(name string) string {
				return strings.TrimPrefix(name, prefix)
			})
		} else if prefix := longer(reference.names, in.names); prefix != "" {
			p.rename(in, known, 2*common, "lack "+prefix+", with which those of "+reference.Model+" begin", func(name string) string {
				return prefix + name
			})
		}
	}
}

// longer is what stands before names that end as others do: the first that is found, "" where there is none.
func longer(names, others []string) string {
	const tried = 20 // names; those of one model have mostly one prefix
	for _, other := range others[:min(tried, len(others))] {
		for _, name := range names {
			if prefix, ok := strings.CutSuffix(name, other); ok && strings.HasSuffix(prefix, ".") && layerPattern.FindString(prefix) == "" {
				return prefix
			}
		}
	}
	return ""
}

// rename shows a model by other names where more of them than before are known.
func (p *Plan) rename(in *Input, known map[string]bool, before int, how string, name func(string) string) {
	found := 0
	view, apart := weights.Rename(in.file, func(own string) string {
		if other := name(own); known[other] {
			found++
			return other
		}
		return own
	})
	if !apart || found <= before {
		return
	}
	in.see(view)
	p.note("names of tensors of %s %s: %d of them are matched without regard to it", in.Model, how, found)
}
