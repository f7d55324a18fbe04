package bundle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/zoo"
)

// mergeable is the manifest of a small model.
func mergeable() bundle.Manifest {
	network := zoo.NewMLP()
	network.Hidden, network.Classes = []int{4}, 2
	m := bundle.NewManifest(zoo.Choice{Network: network}, []int{2, 2, 1}, []string{"no", "yes"})
	m.Name = "small"
	m.Metrics = map[string]float64{"accuracy": 0.9}
	m.Provenance = bundle.Provenance{
		Recipe: map[string]any{"validation": map[string]any{"fraction": 0.2, "every": 1.0}, "name": "small", "optimizer": map[string]any{"lr": 0.1}},
		Seed:   3, Data: "optdigits", DataChecksum: "c", ClassCounts: []int{5, 6}, Engine: "go", Steps: 10,
		Created: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Derived: []string{"before"},
	}
	return m
}

// TestMerged: what all models have alike is kept, what one has otherwise is not, and what makes a network unusable is named.
func TestMerged(t *testing.T) {
	a, b := mergeable(), mergeable()
	b.Name = "other"
	b.Provenance.Recipe = map[string]any{"validation": map[string]any{"fraction": 0.2, "every": 2.0}, "name": "other", "optimizer": map[string]any{"lr": 0.2}}
	b.Provenance.Seed, b.Provenance.Engine, b.Provenance.ClassCounts = 4, "xla:cpu", []int{6, 5}
	b.Provenance.Created = a.Provenance.Created.Add(time.Hour)
	m, notes, against := bundle.Merged([]bundle.Source{{Name: "a", Manifest: a}, {Name: "b", Manifest: b}}, "merge: linear")
	p := m.Provenance
	if against != "" || notes != nil || m.Name != "small and other merge" || m.Metrics != nil || m.Validate() != nil {
		t.Errorf("%+v, notes %q, against %q", m, notes, against)
	}
	if p.Seed != 0 || p.Engine != "" || p.ClassCounts != nil || p.Data != "optdigits" || p.DataChecksum != "c" || p.Steps != 10 || !p.Created.Equal(b.Provenance.Created) ||
		!slices.Equal(p.Derived, []string{"before", "merge: linear"}) {
		t.Errorf("provenance %+v", p)
	}
	recipe, _ := p.Recipe.(map[string]any)
	validation, _ := recipe["validation"].(map[string]any)
	if len(recipe) != 1 || len(validation) != 1 || validation["fraction"] == nil {
		t.Errorf("recipe %v", p.Recipe)
	}
	if len(a.Provenance.Derived) != 1 || a.Metrics == nil {
		t.Error("the first model's manifest was changed")
	}
}

func TestMergedTemperature(t *testing.T) {
	a, b := mergeable(), mergeable()
	a.Calibration.Temperature, b.Calibration.Temperature = 1.5, 1.5
	sources := []bundle.Source{{Name: "a", Manifest: a}, {Name: "b", Manifest: b}}
	if m, notes, _ := bundle.Merged(sources, "x"); m.Calibration.Temperature != 1.5 || len(notes) != 1 || !strings.Contains(notes[0], "calibrate the output anew") {
		t.Errorf("temperature %v, %q", m.Calibration.Temperature, notes)
	}
	sources[1].Manifest.Calibration.Temperature = 2
	if m, notes, _ := bundle.Merged(sources, "x"); m.Calibration.Temperature != 1 || len(notes) != 1 || !strings.Contains(notes[0], "different temperatures") {
		t.Errorf("temperature %v, %q", m.Calibration.Temperature, notes)
	}
}

func TestMergedAgainst(t *testing.T) {
	for want, change := range map[string]func(m *bundle.Manifest){
		"b has another network than a": func(m *bundle.Manifest) {
			n := zoo.NewMLP()
			n.Hidden, n.Classes = []int{5}, 2
			m.Network.Network = n
		},
		"b has another input shape than a":    func(m *bundle.Manifest) { m.InputShape = []int{4, 1, 1} },
		"b has another preprocessing than a":  func(m *bundle.Manifest) { m.Preprocess.Mean, m.Preprocess.Std = []float64{1}, []float64{2} },
		"b has another list of labels than a": func(m *bundle.Manifest) { m.Labels = []string{"yes", "no"} },
	} {
		a, b := mergeable(), mergeable()
		change(&b)
		if _, _, against := bundle.Merged([]bundle.Source{{Name: "a", Manifest: a}, {Name: "b", Manifest: b}}, "x"); against != want {
			t.Errorf("got %q, want %q", against, want)
		}
	}
}
