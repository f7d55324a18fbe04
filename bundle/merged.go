package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Source is a model that a manifest is made of: what to call it, and its manifest.
type Source struct {
	Name     string
	Manifest Manifest
}

// Merged is the manifest of a model whose weights were made of those of several bundles, tensor by tensor. It needs one task, network, input
// shape, preprocessing and list of labels in all of them: else against says which model has another, and the weights are no bundle. Of
// where they come from it keeps what all have alike: data, class counts, engine, and the settings of the recipe that agree. how says what
// was done, such as "merge: linear of a, b"; it joins what was done to the first model before.
//
// Measurements are left out, and so is the temperature unless all have the same; notes say so. The manifest depends on the sources and how
// alone: its time is that of the newest source.
func Merged(sources []Source, how string) (m Manifest, notes []string, against string) {
	first := sources[0]
	for _, s := range sources[1:] {
		if what := differs(first.Manifest, s.Manifest); what != "" {
			return m, nil, fmt.Sprintf("%s has another %s than %s", printable.Line(s.Name), what, printable.Line(first.Name))
		}
	}

	m = first.Manifest
	m.Metrics = nil // they were the first model's
	m.Labels, m.InputShape = slices.Clone(m.Labels), slices.Clone(m.InputShape)
	names := []string{}
	for _, s := range sources {
		if !slices.Contains(names, s.Manifest.Name) {
			names = append(names, s.Manifest.Name)
		}
		if s.Manifest.Calibration.Temperature != first.Manifest.Calibration.Temperature {
			m.Calibration.Temperature = 1
		}
	}
	m.Name = strings.TrimSuffix(strings.Join(names, " and "), " merge") + " merge"
	if len(m.Name) > longestName {
		m.Name = fmt.Sprintf("merge of %d models", len(sources))
	}
	if mapped := slices.ContainsFunc(sources, func(s Source) bool { return !s.Manifest.Calibration.Plain() }); mapped {
		m.Calibration = Uncalibrated()
		notes = append(notes, "the models have calibrations that are fitted to their own outputs, so the output has none; calibrate it")
	} else if !m.Calibration.Equal(first.Manifest.Calibration) {
		notes = append(notes, "the models have different temperatures, so the output has none; calibrate it")
	} else if m.Calibration.Temperature != 1 {
		notes = append(notes, fmt.Sprintf("the temperature %.4g is that of all models; calibrate the output anew", m.Calibration.Temperature))
	}
	m.Provenance = common(sources)
	m.Provenance.Derived = append(slices.Clone(first.Manifest.Provenance.Derived), how)
	return m, notes, ""
}

// longestName is the most bytes of the name of a merged model.
const longestName = 100

// differs says in which of the things that make a network usable two manifests are not alike.
func differs(a, b Manifest) string {
	switch {
	case a.Answers() != b.Answers():
		return "task"
	case !reflect.DeepEqual(settings(a.Network), settings(b.Network)):
		return "network"
	case !slices.Equal(a.InputShape, b.InputShape):
		return "input shape"
	case !reflect.DeepEqual(settings(a.Preprocess), settings(b.Preprocess)):
		return "preprocessing"
	case !slices.Equal(a.Labels, b.Labels):
		return "list of labels"
	}
	return ""
}

// common is what all sources say alike of where they come from.
func common(sources []Source) Provenance {
	p := sources[0].Manifest.Provenance
	recipe := p.Recipe
	for _, s := range sources[1:] {
		o := s.Manifest.Provenance
		p.Seed, p.Steps = alike(p.Seed, o.Seed), alike(p.Steps, o.Steps)
		p.Engine, p.DataLicence = alike(p.Engine, o.Engine), alike(p.DataLicence, o.DataLicence)
		if p.Data != o.Data || p.DataChecksum != o.DataChecksum {
			p.Data, p.DataChecksum = "", ""
		}
		if !slices.Equal(p.ClassCounts, o.ClassCounts) {
			p.ClassCounts = nil
		}
		if !maps.Equal(p.Versions, o.Versions) {
			p.Versions = nil
		}
		if o.Created.After(p.Created) {
			p.Created = o.Created
		}
		recipe = agreeing(recipe, o.Recipe)
	}
	p.Recipe = recipe
	return p
}

// alike is a value that two models share, else none.
func alike[T comparable](a, b T) T {
	if a == b {
		return a
	}
	var none T
	return none
}

// agreeing are the settings that two recipes share, as JSON has them; nil where there are none.
func agreeing(a, b any) any {
	ours, ok := settings(a).(map[string]any)
	theirs, also := settings(b).(map[string]any)
	if !ok || !also {
		if reflect.DeepEqual(settings(a), settings(b)) {
			return a
		}
		return nil
	}
	shared := map[string]any{}
	for key, value := range ours {
		other, there := theirs[key]
		if !there {
			continue
		}
		if reflect.DeepEqual(value, other) {
			shared[key] = value
		} else if both := agreeing(value, other); both != nil {
			shared[key] = both
		}
	}
	if len(shared) == 0 {
		return nil
	}
	return shared
}

// settings is a recipe as JSON has it: one that was read from a file is that already.
func settings(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var plain any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&plain) != nil {
		return nil
	}
	return plain
}
