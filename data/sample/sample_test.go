package sample_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/sample"
	"github.com/ballast-ml/ballast/data/sample/samplertest"
	"github.com/ballast-ml/ballast/fault"
)

// rows has 120 examples: classes 0 to 5 with 40, 30, 20, 14, 10 and 6, domains 0 to 2 with 60, 36 and 24.
func rows() sample.Rows {
	r := sample.Rows{N: 120}
	for class, n := range []int{40, 30, 20, 14, 10, 6} {
		r.Labels = append(r.Labels, slices.Repeat([]int32{int32(class)}, n)...)
	}
	for i := range r.N {
		r.Domains = append(r.Domains, []int32{0, 1, 0, 1, 0, 2, 0, 1, 0, 2}[i%10])
	}
	return r
}

func TestSamplers(t *testing.T) {
	many := samplertest.Updates(30) // more than the set fills
	for name, run := range map[string]func(t *testing.T){
		"shuffle": func(t *testing.T) {
			samplertest.Run(t, sample.NewShuffle(), rows(), 16, samplertest.EachOnce())
			samplertest.Run(t, sample.NewShuffle(), rows(), 16, many, samplertest.Check(perPass(7*16, 1)))
		},
		"shuffle padded": func(t *testing.T) {
			samplertest.Run(t, sample.Shuffle{Pad: true}, rows(), 16, samplertest.Updates(8), samplertest.EachOnce(), samplertest.Check(perPass(8*16, 1)))
		},
		"balanced": func(t *testing.T) {
			samplertest.Run(t, sample.NewBalanced(), rows(), 16, many, samplertest.NeedsLabels(), samplertest.Check(evenClasses))
		},
		"pk": func(t *testing.T) {
			samplertest.Run(t, sample.PK{Classes: 4, Members: 5}, rows(), 20, many, samplertest.NeedsLabels(), samplertest.Check(fiveOfFour))
		},
		"mixture": func(t *testing.T) {
			samplertest.Run(t, sample.NewMixture(), rows(), 16, many, samplertest.NeedsDomains(), samplertest.Check(mixed(1, 1, 1)))
			samplertest.Run(t, sample.Mixture{Shares: []float64{5, 0, 3}}, rows(), 16, many, samplertest.NeedsDomains(), samplertest.Check(mixed(5, 0, 3)))
		},
		"by-source": func(t *testing.T) {
			samplertest.Run(t, sample.NewBySource(), rows(), 10, samplertest.Updates(11), samplertest.NeedsDomains(),
				samplertest.EachOnce(), samplertest.Check(oneDomain))
			samplertest.Run(t, sample.NewBySource(), rows(), 10, many, samplertest.NeedsDomains(), samplertest.Check(oneDomain))
		},
		"episode": func(t *testing.T) {
			// Of 12 examples that each domain gives, those of the unknown class stand last.
			e := sample.Episode{Ways: 2, Shots: 2, Queries: 1, Unknown: 1}
			samplertest.Run(t, e, rows(), 3*e.Size(), many, samplertest.NeedsLabels(), samplertest.Check(episodes(e)))
		},
		"sorted": func(t *testing.T) {
			samplertest.Run(t, sample.NewSorted(), rows(), 16, samplertest.Updates(8), samplertest.NeedsLabels(), samplertest.EachOnce(),
				samplertest.Check(func(t *testing.T, r sample.Rows, _ int, places []int32) {
					if labels := at(r.Labels, places); !slices.IsSorted(labels) || len(labels) != r.N {
						t.Errorf("got labels %v", labels)
					}
				}))
		},
		"dirichlet": func(t *testing.T) {
			samplertest.Run(t, sample.NewDirichlet(), rows(), 16, samplertest.Updates(8), samplertest.NeedsLabels(), samplertest.EachOnce(),
				samplertest.Check(perPass(8*16, 1)))
		},
		"gradual": func(t *testing.T) {
			samplertest.Run(t, sample.NewGradual(), rows(), 16, samplertest.Updates(8), samplertest.NeedsDomains(), samplertest.EachOnce(),
				samplertest.Check(perPass(8*16, 1)))
		},
	} {
		t.Run(name, run)
	}
	if len(sample.All()) != 9 {
		t.Error("a sampler of All has no battery here: add it above")
	}
}

// at is the keys of places that are examples.
func at(keys []int32, places []int32) []int32 {
	var all []int32
	for _, p := range places {
		if p != sample.Padding {
			all = append(all, keys[p])
		}
	}
	return all
}

// perPass checks that each example of a pass of that many places comes so often; of what a pass leaves out, none.
func perPass(size, times int) func(t *testing.T, r sample.Rows, batch int, places []int32) {
	return func(t *testing.T, r sample.Rows, _ int, places []int32) {
		for from := 0; from+size <= len(places); from += size {
			counts := map[int32]int{}
			for _, p := range places[from : from+size] {
				if p != sample.Padding {
					counts[p]++
				}
			}
			if len(counts) != min(r.N, size) {
				t.Errorf("a pass has %d examples, want %d", len(counts), min(r.N, size))
			}
			for p, n := range counts {
				if n != times {
					t.Errorf("example %d comes %d times in a pass, want %d", p, n, times)
				}
			}
		}
	}
}

func evenClasses(t *testing.T, r sample.Rows, batch int, places []int32) {
	total := make([]int, 6)
	for from := 0; from < len(places); from += batch {
		counts := make([]int, 6)
		for _, label := range at(r.Labels, places[from:from+batch]) {
			counts[label]++
			total[label]++
		}
		if slices.Min(counts) < batch/6 || slices.Max(counts) > batch/6+1 {
			t.Errorf("an update has %v of each class", counts)
		}
	}
	if slices.Max(total)-slices.Min(total) > 1 {
		t.Errorf("all updates have %v of each class", total)
	}
	// Within a class all examples come equally often.
	times := make([]int, r.N)
	for _, p := range places {
		times[p]++
	}
	for class := range int32(6) {
		var own []int
		for i, label := range r.Labels {
			if label == class {
				own = append(own, times[i])
			}
		}
		if slices.Max(own)-slices.Min(own) > 1 {
			t.Errorf("examples of class %d come %v times", class, own)
		}
	}
}

func fiveOfFour(t *testing.T, r sample.Rows, batch int, places []int32) {
	turns := make([]int, 6)
	for from := 0; from < len(places); from += batch {
		counts := map[int32]int{}
		for _, label := range at(r.Labels, places[from:from+batch]) {
			counts[label]++
		}
		for label, n := range counts {
			turns[label]++
			if len(counts) != 4 || n != 5 {
				t.Errorf("an update has %v of the classes", counts)
			}
		}
	}
	if slices.Max(turns)-slices.Min(turns) > 1 {
		t.Errorf("the classes had %v turns", turns)
	}
}

func mixed(shares ...float64) func(t *testing.T, r sample.Rows, batch int, places []int32) {
	return func(t *testing.T, r sample.Rows, batch int, places []int32) {
		sum := 0.0
		for _, s := range shares {
			sum += s
		}
		counts := make([]float64, len(shares))
		for from := 0; from < len(places); from += batch {
			for _, d := range at(r.Domains, places[from:from+batch]) {
				counts[d]++
			}
			for d, n := range counts {
				if want := float64(from+batch) * shares[d] / sum; math.Abs(n-want) > 1 {
					t.Fatalf("after %d examples there are %v of the domains, want %v of domain %d", from+batch, counts, want, d)
				}
			}
		}
	}
}

func oneDomain(t *testing.T, r sample.Rows, batch int, places []int32) {
	counts := make([]int, 3)
	for from := 0; from < len(places); from += batch {
		domains := at(r.Domains, places[from:from+batch])
		counts[domains[0]]++
		if slices.Min(domains) != slices.Max(domains) {
			t.Errorf("an update has the domains %v", domains)
		}
	}
	if passes := len(places) / 110; counts[0] < 6*passes || counts[1] < 3*passes || counts[2] < 2*passes {
		t.Errorf("the domains had %v updates in %d passes", counts, passes)
	}
}

func episodes(e sample.Episode) func(t *testing.T, r sample.Rows, batch int, places []int32) {
	return func(t *testing.T, r sample.Rows, batch int, places []int32) {
		for from := 0; from < len(places); from += e.Size() {
			own := places[from : from+e.Size()]
			if domains := at(r.Domains, own); slices.Min(domains) != slices.Max(domains) || int(domains[0]) != from/e.Size()%3 {
				t.Errorf("a part has the domains %v", domains)
			}
			labels := at(r.Labels, own) // two classes' support, their queries, the unknown
			want := []int32{labels[0], labels[0], labels[2], labels[2], labels[0], labels[2], labels[6]}
			if !slices.Equal(labels, want) || labels[0] == labels[2] || labels[6] == labels[0] || labels[6] == labels[2] {
				t.Errorf("an episode has the labels %v", labels)
			}
		}
	}
}

// TestShuffleIsOrder holds the first pass against the order that runs have had from the beginning.
func TestShuffleIsOrder(t *testing.T) {
	for _, pad := range []bool{false, true} {
		for epoch := range 3 {
			got, err := sample.Shuffle{Pad: pad}.Epoch(sample.Rows{N: 100}, 10, 10, 42, epoch)
			if want := data.Order(100, 42, epoch); err != nil || !slices.Equal(got, want) {
				t.Errorf("pad %v, epoch %d: got %v, %v, want %v", pad, epoch, got, err, want)
			}
		}
	}
	got, err := sample.Shuffle{Pad: true}.Epoch(sample.Rows{N: 10}, 4, 3, 42, 5)
	if want := append(data.Order(10, 42, 5), -1, -1); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestDirichlet checks what the concentration does: a small one puts a class into few stretches, a large one into all alike.
func TestDirichlet(t *testing.T) {
	labels := slices.Repeat([]int32{0, 1, 2, 3, 4}, 200)
	for _, c := range []struct {
		delta      float64
		low, high  float64 // of the share that the largest stretch of a class has, on average
		concretely string
	}{{0.01, 0.9, 1, "one stretch"}, {1, 0.15, 0.6, "some"}, {1e4, 0.1, 0.12, "all alike"}, {1e-5, 0.99, 1, "one stretch"}} {
		parts, err := sample.Split(labels, 10, c.delta, 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		most, n := make([]int, 5), 0
		seen := map[int32]bool{}
		for _, part := range parts {
			counts := make([]int, 5)
			for _, p := range part {
				counts[labels[p]]++
				seen[p] = true
				n++
			}
			for k := range most {
				most[k] = max(most[k], counts[k])
			}
		}
		mean := 0.0
		for _, m := range most {
			mean += float64(m) / 200 / 5
		}
		if mean < c.low || mean > c.high || len(seen) != len(labels) || n != len(labels) {
			t.Errorf("concentration %v: largest stretches have %v of 200, %d places of %d examples; want %s", c.delta, most, n, len(seen), c.concretely)
		}
	}
}

// TestGradual checks that domains overlap no further than they should, and in the middle of each change half and half.
func TestGradual(t *testing.T) {
	r := sample.Rows{N: 3000, Domains: slices.Concat(slices.Repeat([]int32{0}, 1000), slices.Repeat([]int32{1}, 1000), slices.Repeat([]int32{2}, 1000))}
	hard, err := sample.Gradual{}.Epoch(r, 100, 30, 1, 0)
	if err != nil || !slices.IsSorted(at(r.Domains, hard)) {
		t.Errorf("without overlap: %v, domains are mixed", err)
	}
	soft, err := sample.NewGradual().Epoch(r, 100, 30, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	domains := at(r.Domains, soft)
	ones := 0
	for _, d := range domains[950:1050] {
		ones += int(d)
	}
	if ones < 30 || ones > 70 {
		t.Errorf("of 100 examples around the first change %d are of the second domain", ones)
	}
	if slices.Max(domains[:400]) != 0 || slices.Contains(domains[:1400], 2) {
		t.Error("a domain came long before its turn")
	}
}

func TestRefuses(t *testing.T) {
	r := rows()
	for name, c := range map[string]struct {
		sampler sample.Sampler
		rows    sample.Rows
		batch   int
		updates int
		want    string
	}{
		"small set":         {sample.NewShuffle(), sample.Rows{N: 5}, 8, 1, "sample: shuffle: the set has 5 examples, a batch is 8; use a smaller batch, or pad: true"},
		"small class":       {sample.PK{Classes: 3, Members: 8}, r, 24, 1, "sample: pk: class 5 has 6 examples, an update takes 8 of each; lower members, or leave the class out"},
		"few classes":       {sample.PK{Classes: 7, Members: 2}, r, 14, 1, "sample: pk: the set has 6 classes, an update takes 7; lower classes"},
		"batch of pk":       {sample.NewPK(), r, 64, 1, "sample: pk: 16 classes with 6 members are 96 examples, a batch is 64; make them equal"},
		"no labels":         {sample.NewBalanced(), sample.Rows{N: 5}, 2, 1, "sample: balanced: the examples have no labels; use a set with classes, or another sampler"},
		"no domains":        {sample.NewBySource(), sample.Rows{N: 5}, 2, 1, "sample: by-source: the examples have no domains; join sets with prepare: [{name: domains}], or use another sampler"},
		"small domains":     {sample.NewBySource(), r, 61, 1, "sample: by-source: the largest of 3 domains has 60 examples, a batch is 61; use a smaller batch"},
		"shares":            {sample.Mixture{Shares: []float64{1, 2}}, r, 8, 1, "sample: mixture: there are 2 shares for 3 domains; give one each"},
		"share below 0":     {sample.Mixture{Shares: []float64{1, 2, -1}}, r, 8, 1, "sample: mixture: the share of domain 2 is -1; use finite numbers from 0 on"},
		"shares of nothing": {sample.Mixture{Shares: []float64{0, 0, 0}}, r, 8, 1, "sample: mixture: the shares add up to 0; give at least one above 0"},
		"absent domain":     {sample.Mixture{Shares: []float64{1, 2, 1, 3}}, r, 8, 1, "sample: mixture: domain 3 has the share 3 and no example; give it share 0"},
		"long stream":       {sample.NewSorted(), r, 16, 9, "sample: sorted: 9 updates of 16 examples, and the set has 120: a stream goes by once; use at most 8 updates"},
		"concentration":     {sample.Dirichlet{Delta: 0, Slots: 3}, r, 8, 1, "sample: dirichlet: delta is 0 with 3 slots; use a finite number above 0 and at least 1 slot"},
		"overlap":           {sample.Gradual{Overlap: 2}, r, 8, 1, "sample: gradual: overlap is 2; use a share from 0 to 1"},
		"batch of episode":  {sample.NewEpisode(), r, 8, 1, "sample: episode: 3 domains with 50 examples are 150, a batch is 8; make them equal"},
		"classes of episode": {sample.Episode{Ways: 4, Shots: 1, Queries: 2}, r, 36, 1,
			"sample: episode: domain 2 has 3 classes of at least 3 examples, an episode takes 4; lower ways, unknown, shots or queries"},
	} {
		_, err := c.sampler.Epoch(c.rows, c.batch, c.updates, 1, 0)
		var usage *fault.Usage
		if err == nil || err.Error() != c.want || !errors.As(err, &usage) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestChoice(t *testing.T) {
	for _, k := range sample.All() {
		b, err := json.Marshal(sample.Choice{Sampler: k.New()})
		if err != nil {
			t.Fatal(err)
		}
		var c sample.Choice
		if err := json.Unmarshal(b, &c); err != nil || sample.Name(c.Sampler) != k.Name {
			t.Errorf("%s is written %s and read %v, %v", k.Name, b, c.Sampler, err)
		}
	}
	for text, want := range map[string]string{
		`"shufle"`:                 `no sampler "shufle" (did you mean shuffle?)`,
		`"everything"`:             `no sampler "everything"; there are shuffle, balanced, pk,`,
		`{"name":"pk","member":2}`: "unknown key member (did you mean members?)",
	} {
		var c sample.Choice
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
