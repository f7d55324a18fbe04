package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/sample"
)

// Dataset is a stream over a data set: example i is the one of step i, shifted.
type Dataset struct {
	steps   Steps
	info    data.Info
	from    data.Dataset
	shifted map[string]data.Dataset // by the name of the domain; from itself where nothing is shifted
}

var (
	_ data.Dataset  = (*Dataset)(nil)
	_ data.Indexed  = (*Dataset)(nil)
	_ data.Domained = (*Dataset)(nil)
)

// maxSteps bounds how long a stream may be: steps are 32 bytes each.
const maxSteps = 1 << 30 / 32

// Open puts a data set into the order of a stream. Shifts draw by the seed and the example's stable index, as in corrupt.Wrap. Errors are
// those of the stream, and those of shifts of examples that are not images.
func Open(ds data.Dataset, s Stream, seed uint64) (*Dataset, error) {
	text, err := json.Marshal(Choice{s})
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	steps, err := s.Steps(sample.RowsOf(ds, data.Labels(ds)), seed)
	if err != nil {
		return nil, err
	}
	if len(steps.Steps) > maxSteps {
		return nil, wrong(Name(s), "it has %d steps; use fewer shifts, or a part of %s", len(steps.Steps), ds.Info().Name)
	}

	d := &Dataset{steps: steps, info: ds.Info(), from: ds, shifted: map[string]data.Dataset{}}
	d.nameDomains()
	for _, step := range steps.Steps {
		name := steps.Domains[step.Domain]
		if _, known := d.shifted[name]; known {
			continue
		}
		if d.shifted[name], err = shiftedSet(ds, step, seed); err != nil {
			return nil, err
		}
	}

	d.info.Name, d.info.Examples = d.info.Name+" "+Name(s), len(steps.Steps)
	if d.info.Checksum != "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\nstream %s seed %d", d.info.Checksum, text, seed))
		d.info.Checksum = hex.EncodeToString(sum[:])
	}
	return d, nil
}

// nameDomains calls domains of the set what the set does.
func (d *Dataset) nameDomains() {
	set, ok := data.AsDomained(d.from)
	if !ok || len(d.steps.Steps) == 0 || d.steps.Steps[0].Shift != "" || d.steps.Domains[0] == clean {
		return
	}
	names := set.Domains()
	d.steps.Domains = slices.Clone(d.steps.Domains)
	for _, step := range d.steps.Steps {
		if at := int(set.Domain(int(step.Example))); at < len(names) {
			d.steps.Domains[step.Domain] = names[at]
		}
	}
}

// shiftedSet is the set of a step's domain.
func shiftedSet(ds data.Dataset, step Step, seed uint64) (data.Dataset, error) {
	if step.Shift == "" {
		return ds, nil
	}
	shift, err := corrupt.Find(step.Shift)
	if err != nil {
		return nil, err
	}
	return corrupt.Wrap(ds, shift, step.Severity, seed)
}

// Info describes the stream: the set's, with the name of the stream, its examples and a checksum of its own.
func (d *Dataset) Info() data.Info { return d.info }

// Len is the number of steps.
func (d *Dataset) Len() int { return len(d.steps.Steps) }

// Label is that of the example of step i.
func (d *Dataset) Label(i int) int32 { return d.from.Label(int(d.steps.Steps[i].Example)) }

// Read writes the example of step i, shifted.
func (d *Dataset) Read(i int, dst []float32) error {
	step := d.steps.Steps[i]
	return d.shifted[d.steps.Domains[step.Domain]].Read(int(step.Example), dst)
}

// StableIndex is that of the example in the set; a stream may have it several times.
func (d *Dataset) StableIndex(i int) int32 {
	place := d.steps.Steps[i].Example
	if indexed, ok := d.from.(data.Indexed); ok {
		return indexed.StableIndex(int(place))
	}
	return place
}

// Domains are the names of the domains.
func (d *Dataset) Domains() []string { return d.steps.Domains }

// Domain is that of step i.
func (d *Dataset) Domain(i int) int32 { return d.steps.Steps[i].Domain }

// Step is step i.
func (d *Dataset) Step(i int) Step { return d.steps.Steps[i] }
