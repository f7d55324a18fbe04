package stream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/data/stream"
	"github.com/ballast-ml/ballast/data/stream/streamtest"
	"github.com/ballast-ml/ballast/fault"
)

// rows has 60 examples of three classes, and domains if asked.
func rows(domains bool) sample.Rows {
	r := sample.Rows{N: 60}
	for i := range r.N {
		r.Labels = append(r.Labels, int32(i%3))
		if domains {
			r.Domains = append(r.Domains, int32(i/25)) // 25, 25 and 10
		}
	}
	return r
}

func named(names ...string) stream.Shifts { return stream.Shifts{Names: names, Severity: 3} }

func TestBattery(t *testing.T) {
	dirichlet := stream.NewDirichlet()
	dirichlet.Slots = 4
	continual := stream.Continual{Shifts: named("contrast", "brightness"), Order: sample.Choice{Sampler: sample.NewSorted()}}
	gradual := stream.NewGradual()
	gradual.Names, gradual.Most = []string{"brightness", "contrast"}, 3
	labels := streamtest.NeedsLabels()
	for name, c := range map[string]struct {
		stream   stream.Stream
		domains  bool
		promises []streamtest.Claim
	}{
		"iid":                  {stream: stream.NewIID()},
		"iid of shifts":        {stream.IID{Shifts: named("contrast", "brightness")}, false, []streamtest.Claim{streamtest.Times(2), stretches(60)}},
		"sorted":               {stream.NewSorted(), false, []streamtest.Claim{labels, streamtest.Check(ascending)}},
		"dirichlet":            {dirichlet, false, []streamtest.Claim{labels}},
		"mixed":                {stream.NewMixed(), false, []streamtest.Claim{streamtest.Times(len(corrupt.All()))}},
		"mixed domains":        {stream.NewMixed(), true, nil},
		"continual":            {stream.NewContinual(), false, []streamtest.Claim{streamtest.Times(len(corrupt.All())), stretches(60)}},
		"continual domains":    {stream.NewContinual(), true, []streamtest.Claim{streamtest.Check(domainAfterDomain)}},
		"continual and sorted": {continual, false, []streamtest.Claim{labels, streamtest.Times(2), stretches(60)}},
		"gradual":              {gradual, false, []streamtest.Claim{streamtest.Times(10), streamtest.Check(upAndDown)}},
	} {
		t.Run(name, func(t *testing.T) { streamtest.Run(t, c.stream, rows(c.domains), c.promises...) })
	}
	for _, k := range stream.All() {
		if _, err := k.New().Steps(rows(false), 1); err != nil {
			t.Errorf("%s with its defaults: %v", k.Name, err)
		}
	}
}

// stretches promises that the domain changes behind every n steps alone.
func stretches(n int) streamtest.Claim {
	return streamtest.Check(func(t *testing.T, _ sample.Rows, s stream.Steps) {
		for i, step := range s.Steps {
			if int(step.Domain) != i/n {
				t.Fatalf("step %d is of domain %d; want %d", i, step.Domain, i/n)
			}
		}
	})
}

func ascending(t *testing.T, r sample.Rows, s stream.Steps) {
	if !slices.IsSortedFunc(s.Steps, func(a, b stream.Step) int { return int(r.Labels[a.Example] - r.Labels[b.Example]) }) {
		t.Error("labels are not in ascending order")
	}
}

func domainAfterDomain(t *testing.T, r sample.Rows, s stream.Steps) {
	for i, step := range s.Steps {
		if step.Domain != r.Domains[step.Example] || int(step.Domain) != i/25 {
			t.Fatalf("step %d is example %d of domain %d", i, step.Example, step.Domain)
		}
	}
}

func upAndDown(t *testing.T, _ sample.Rows, s stream.Steps) {
	var severities []int
	for i := 0; i < len(s.Steps); i += 60 {
		severities = append(severities, s.Steps[i].Severity)
	}
	if !slices.Equal(severities, []int{1, 2, 3, 2, 1, 1, 2, 3, 2, 1}) || len(s.Domains) != 6 {
		t.Errorf("severities %v of domains %v", severities, s.Domains)
	}
}

// TestDirichletHangsTogether: the smaller delta, the more often two examples in a row are of one class.
func TestDirichletHangsTogether(t *testing.T) {
	r := sample.Rows{N: 2000}
	for i := range r.N {
		r.Labels = append(r.Labels, int32(i%10))
	}
	same := func(s stream.Stream) (n int) {
		steps, err := s.Steps(r, 3)
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(steps.Steps); i++ {
			if r.Labels[steps.Steps[i].Example] == r.Labels[steps.Steps[i-1].Example] {
				n++
			}
		}
		return n
	}
	tight, loose := stream.NewDirichlet(), stream.NewDirichlet()
	loose.Delta = 100
	if a, b, c := same(stream.NewSorted()), same(tight), same(loose); a <= b || b <= c+c/2 {
		t.Errorf("neighbours of one class: sorted %d, delta 0.1 %d, delta 100 %d", a, b, c)
	}
}

// TestOpen: an example reads as corrupt.Wrap of the whole set reads it, whatever part the stream is over, and keeps its index and label.
func TestOpen(t *testing.T) {
	whole, err := data.Open("optdigits", "all")
	if err != nil {
		t.Fatal(err)
	}
	part := data.Subset(whole, []int32{5, 80, 3, 200})
	gradual := stream.NewGradual()
	gradual.Names = []string{"gaussian-noise", "translation"}
	s, err := stream.Open(part, gradual, 9)
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 4*9*2 || s.Info().Examples != s.Len() || s.Info().Checksum == whole.Info().Checksum || len(s.Domains()) != 10 {
		t.Errorf("%d examples of %v", s.Len(), s.Domains())
	}

	got, want := make([]float32, 64), make([]float32, 64)
	for i := range s.Len() {
		step := s.Step(i)
		shift, err := corrupt.Find(step.Shift)
		if err != nil {
			t.Fatal(err)
		}
		shifted, err := corrupt.Wrap(whole, shift, step.Severity, 9)
		if err != nil {
			t.Fatal(err)
		}
		at := int(s.StableIndex(i))
		if err := errors.Join(s.Read(i, got), shifted.Read(at, want)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) || s.Label(i) != whole.Label(at) {
			t.Fatalf("step %d, %+v, is another example than %d of the whole set", i, step, at)
		}
	}
}

// TestRefuses: what is wrong is named, with the fix.
func TestRefuses(t *testing.T) {
	flat := stream.NewContinual()
	flat.Order = sample.Choice{Sampler: sample.NewBalanced()}
	for want, s := range map[string]stream.Stream{
		`did you mean "contrast"`:          stream.IID{Shifts: named("contrst")},
		"named twice":                      stream.Mixed{Shifts: named("contrast", "contrast")},
		"use 1 to 5":                       stream.IID{},
		"use shuffle, sorted or dirichlet": flat,
		"above 0":                          stream.Dirichlet{Shifts: named(), Slots: 3},
		"use a severity from 1 to 5":       stream.Gradual{Most: 6, Order: sample.Choice{Sampler: sample.NewShuffle()}},
	} {
		var usage *fault.Usage
		if _, err := s.Steps(rows(false), 1); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	var c stream.Choice
	if err := c.UnmarshalJSON([]byte(`"dirichlett"`)); err == nil || !strings.Contains(err.Error(), "did you mean dirichlet") {
		t.Errorf("an unknown stream: %v", err)
	}
}

// TestEachOnce: whatever the rows, a pass has each example once.
func TestEachOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.Int32Range(0, 6), 1, 50).Draw(t, "labels")
		r := sample.Rows{N: len(labels), Labels: labels}
		delta := rapid.Float64Range(1e-3, 10).Draw(t, "delta")
		s := stream.Dirichlet{Shifts: named(), Delta: delta, Slots: rapid.IntRange(1, 20).Draw(t, "slots")}
		steps, err := s.Steps(r, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int32]bool{}
		for _, step := range steps.Steps {
			seen[step.Example] = true
		}
		if len(seen) != r.N || len(steps.Steps) != r.N {
			t.Fatalf("%d steps of %d examples, %d of them", len(steps.Steps), r.N, len(seen))
		}
	})
}

func BenchmarkOpenGradual(b *testing.B) {
	set, err := data.Open("optdigits", "all")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := stream.Open(set, stream.NewGradual(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
