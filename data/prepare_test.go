package data_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
)

func open(t *testing.T, name, part string) data.Dataset {
	t.Helper()
	ds, err := data.Open(name, part)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// TestStepsAreWhatRunsDid holds subset, validation and label noise against the calls that runs have always made, in their order.
func TestStepsAreWhatRunsDid(t *testing.T) {
	for _, c := range []struct {
		kind   string
		inject func([]int32, int, float64, uint64) ([]int32, []int32, error)
		seed   uint64
	}{{"symmetric", data.SymmetricNoise, 0}, {"pair", data.PairNoise, 99}} {
		var steps data.Steps
		text := fmt.Sprintf(`[{"name":"subset","examples":700},{"name":"label-noise","kind":%q,"rate":0.4,"seed":%d}]`, c.kind, c.seed)
		if err := json.Unmarshal([]byte(text), &steps); err != nil {
			t.Fatal(err)
		}
		set := open(t, "optdigits", "train")
		weights := make([]float32, set.Len())
		for i := range weights {
			weights[i] = float32(i)
		}

		p, err := steps.Examples(data.Begin(set, weights), 7)
		if err != nil {
			t.Fatal(err)
		}
		rest, aside, err := data.Stratified(p.Labels, 0.1, 7)
		if err != nil {
			t.Fatal(err)
		}
		validation := p.Pick(aside)
		p, err = steps.Training(p.Pick(rest), 7)
		if err != nil {
			t.Fatal(err)
		}

		// The old way.
		_, index, err := data.Stratified(data.Labels(set), 700/float64(set.Len()), 7)
		if err != nil {
			t.Fatal(err)
		}
		old := data.Subset(set, index)
		oldRest, oldAside, err := data.Stratified(data.Labels(old), 0.1, 7)
		if err != nil {
			t.Fatal(err)
		}
		oldValidation, old := data.Subset(old, oldAside), data.Subset(old, oldRest)
		seed := c.seed
		if seed == 0 {
			seed = 7
		}
		noisy, _, err := c.inject(data.Labels(old), 10, 0.4, seed)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(p.Labels, noisy) || !slices.Equal(p.True, data.Labels(old)) || p.Set.Info().Checksum != old.Info().Checksum {
			t.Errorf("%s: training examples or their labels differ from the old ones", c.kind)
		}
		if validation.Set.Info().Checksum != oldValidation.Info().Checksum || !slices.Equal(validation.Labels, data.Labels(oldValidation)) {
			t.Errorf("%s: validation examples differ from the old ones", c.kind)
		}
		for k := range p.Weights {
			if want := weights[index[oldRest[k]]]; p.Weights[k] != want {
				t.Fatalf("%s: example %d has the weight %v, want %v", c.kind, k, p.Weights[k], want)
			}
		}
	}
}

// TestLongTail compares counts with those of an independent program (RCAL's generator), and the draw with what it promises.
func TestLongTail(t *testing.T) {
	if got, want := (data.LongTail{Most: 500, Ratio: 100, Least: 1}).Counts(10), []int{500, 299, 179, 107, 64, 38, 23, 13, 8, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := data.NewLongTail().Counts(10), []int{120, 77, 50, 32, 21, 13, 8, 5, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (data.LongTail{Most: 9, Ratio: 3, Least: 4}).Counts(1); !slices.Equal(got, []int{9}) {
		t.Errorf("one class: got %v", got)
	}

	set := open(t, "optdigits", "train")
	draw := func(seed uint64) data.Prepared {
		p, err := data.NewLongTail().Prepare(data.Begin(set, nil), seed)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := draw(3)
	counts := make([]int, 10)
	for i, label := range p.Labels {
		counts[label]++
		if i > 0 && p.Set.(data.Indexed).StableIndex(i) == p.Set.(data.Indexed).StableIndex(i-1) {
			t.Errorf("example %d comes twice", i)
		}
	}
	if !slices.Equal(counts, data.NewLongTail().Counts(10)) {
		t.Errorf("got %v of the classes", counts)
	}
	if draw(3).Set.Info().Checksum != p.Set.Info().Checksum || draw(4).Set.Info().Checksum == p.Set.Info().Checksum {
		t.Error("the draw does not follow the seed alone")
	}
}

// TestJointNoise compares how labels change with the matrix T_ij = rate n_j/(n - n_i).
func TestJointNoise(t *testing.T) {
	counts := []int{6000, 3000, 900, 100}
	var labels []int32
	for class, n := range counts {
		labels = append(labels, slices.Repeat([]int32{int32(class)}, n)...)
	}
	noisy, flipped, err := data.JointNoise(labels, 4, 0.4, 5)
	if err != nil || len(flipped) != 4000 {
		t.Fatalf("%d labels changed, %v", len(flipped), err)
	}
	var got [4][4]int
	for i, label := range labels {
		got[label][noisy[i]]++
	}
	for i := range counts {
		for j := range counts {
			share := 0.6
			if j != i {
				share = 0.4 * float64(counts[j]) / float64(len(labels)-counts[i])
			}
			want := share * float64(counts[i])
			if math.Abs(float64(got[i][j])-want) > 4*math.Sqrt(want+1) {
				t.Errorf("%d labels %d became %d, want about %.0f", got[i][j], i, j, want)
			}
		}
	}
}

func TestPool(t *testing.T) {
	set := open(t, "optdigits", "test")
	p, err := data.NewPool().Prepare(data.Begin(set, nil), 0)
	if err != nil {
		t.Fatal(err)
	}
	if shape := p.Set.Info().Shape; !slices.Equal(shape, []int{4, 4, 1}) || p.Set.Len() != set.Len() {
		t.Fatalf("got %d examples of %v", p.Set.Len(), shape)
	}
	large, small := make([]float32, 64), make([]float32, 16)
	if err := errors.Join(set.Read(5, large), p.Set.Read(5, small)); err != nil {
		t.Fatal(err)
	}
	for y := range 4 {
		for x := range 4 {
			at := 16*y + 2*x
			if want := (large[at] + large[at+1] + large[at+8] + large[at+9]) / 4; small[4*y+x] != want {
				t.Errorf("pixel %d, %d is %v, want %v", y, x, small[4*y+x], want)
			}
		}
	}
	if p.Set.Info().Checksum == set.Info().Checksum {
		t.Error("the checksum stays that of the large images")
	}
}

func TestDomains(t *testing.T) {
	var c data.Choice
	text := `{"name":"domains","sets":["optdigits",{"name":"prepared","of":"optdigits","prepare":[{"name":"subset","examples":50}]}],"names":["a","b"]}`
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	ds, err := c.Open("train")
	if err != nil {
		t.Fatal(err)
	}
	// The domains are known through everything that is made of the set.
	pooled, err := data.NewPool().Prepare(data.Begin(ds, nil), 0)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := data.AsDomained(data.Relabelled(data.Subset(pooled.Set, []int32{1329, 3, 1280}), []int32{1, 2, 3}))
	if !ok || ds.Len() != 1330 || !slices.Equal(d.Domains(), []string{"a", "b"}) {
		t.Fatalf("got %v of %d examples", ok, ds.Len())
	}
	if got := data.DomainsOf(d); !slices.Equal(got, []int32{1, 0, 1}) || d.Label(1) != 2 {
		t.Errorf("got the domains %v", got)
	}
	if data.DomainsOf(open(t, "optdigits", "test")) != nil {
		t.Error("optdigits has domains")
	}

	// As a preparation: labels and weights go on.
	set := open(t, "optdigits", "test")
	p := data.Begin(set, make([]float32, set.Len()))
	p.Labels = slices.Repeat([]int32{9}, set.Len())
	joined, err := data.Join{With: []data.Choice{{Source: data.Named("optdigits")}}}.Prepare(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := set.Len()
	if joined.Set.Len() != 2*n || joined.Labels[n-1] != 9 || joined.Labels[n] != set.Label(0) || joined.True[0] != set.Label(0) ||
		joined.Weights[0] != 0 || joined.Weights[n] != 1 {
		t.Error("labels or weights did not follow their examples")
	}
}

// freshDigits changes with the epoch.
type freshDigits struct {
	data.Dataset
	epoch int
}

func (f freshDigits) At(epoch int) data.Dataset { return freshDigits{f.Dataset, epoch} }

func (f freshDigits) Read(i int, dst []float32) error {
	for j := range dst {
		dst[j] = float32(f.epoch)
	}
	return nil
}

func (f freshDigits) TargetShape() []int { return []int{8, 8, 1} }
func (f freshDigits) Target(i int, dst []float32) error {
	dst[0] = float32(i)
	return nil
}

// windows is a text of which each example is two tokens.
type windows struct{ data.Dataset }

func (windows) Stream() []int32 { return []int32{5, 6, 7, 8} }
func (windows) Starts() []int32 { return []int32{0, 1, 2} }
func (windows) Window() int     { return 2 }

// TestOptional checks that what a set has besides is found through what was made of it.
func TestOptional(t *testing.T) {
	set := freshDigits{Dataset: open(t, "optdigits", "test")}
	part := data.Subset(data.Relabelled(set, make([]int32, set.Len())), []int32{4, 2})
	pooled, err := data.NewPool().Prepare(data.Begin(part, nil), 0)
	if err != nil {
		t.Fatal(err)
	}

	fresh, ok := data.AsFresh(pooled.Set)
	row := make([]float32, 16)
	if !ok || fresh.At(3).Read(1, row) != nil || row[15] != 3 {
		t.Errorf("drawn anew: %v, %v", ok, row)
	}
	targeted, ok := data.AsTargeted(part)
	if !ok || targeted.Target(0, row) != nil || row[0] != 4 || !slices.Equal(targeted.TargetShape(), []int{8, 8, 1}) {
		t.Errorf("targets: %v, %v", ok, row)
	}
	if _, ok := data.AsTargeted(pooled.Set); ok {
		t.Error("masks of 8x8 are given for images of 4x4")
	}
	tokens, ok := data.AsTokens(data.Subset(windows{open(t, "optdigits", "test")}, []int32{2, 0}))
	if !ok || !slices.Equal(tokens.Starts(), []int32{2, 0}) || tokens.Window() != 2 || len(tokens.Stream()) != 4 {
		t.Errorf("tokens: %v", ok)
	}
	plain := open(t, "optdigits", "test")
	for what, ok := range map[string]bool{
		"targets": second(data.AsTargeted(plain)), "domains": second(data.AsDomained(plain)), "tokens": second(data.AsTokens(plain)),
		"draws": second(data.AsFresh(plain)),
	} {
		if ok {
			t.Errorf("optdigits has %s", what)
		}
	}
}

func second[T any](_ T, ok bool) bool { return ok }

func TestSourceChoice(t *testing.T) {
	for _, text := range []string{
		`"optdigits"`, `"dir:/some/where?size=4x4"`, `"npy:x.npy,y.npy"`, `"no such set"`,
		`{"name":"canvas","of":"mnist","height":56,"width":56,"step":4,"seed":3}`,
		`{"name":"prepared","of":"optdigits","prepare":[{"name":"long-tail","most":120,"ratio":50,"least":2,"seed":0}],"seed":0}`,
	} {
		var c data.Choice
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if b, err := json.Marshal(c); err != nil || string(b) != text {
			t.Errorf("%s is written as %s, %v", text, b, err)
		}
	}
	var c data.Choice
	if err := json.Unmarshal([]byte(`{"name":"mnist"}`), &c); err != nil || c.Source != data.Named("mnist") {
		t.Errorf("got %v, %v", c, err)
	}

	for text, want := range map[string]string{
		`{"name":"canvs"}`:              `no data source "canvs" (did you mean canvas?)`,
		`{"name":"everything at once"}`: `no data source "everything at once"; there are glyphs, canvas, domains, unseen, go-source, holes, prepared, gaussian-pair, paired-intervals, paired-gaussians, optdigits, mnist,`,
		`{"name":"mnist","seed":3}`:     "data source mnist takes no options; write its name alone",
		`{"name":"canvas","heigth":3}`:  "unknown key heigth (did you mean height?)",
		`{"of":"mnist"}`:                "a data source needs a name",
		`3`:                             "want the name of a data source",
		`{"name":"prepared","prepare":[{"name":"pol"}]}`: `no preparation "pol" (did you mean pool?)`,
	} {
		var c data.Choice
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestPreparationsRefuse(t *testing.T) {
	set := open(t, "optdigits", "train")
	for name, c := range map[string]struct {
		steps data.Steps
		want  string
	}{
		"order":      {data.Steps{{data.NewLabelNoise()}, {data.NewPool()}}, "prepare: pool comes after label-noise, which is applied only to the training examples, after validation is split off; put pool first"},
		"empty":      {data.Steps{{}}, "prepare: entry 1 is empty; name a preparation"},
		"no size":    {data.Steps{{data.NewKeep()}}, "prepare: subset: examples is 0; say how many to keep, at least 1"},
		"too many":   {data.Steps{{data.Keep{Examples: 1281}}}, "prepare: subset: examples is 1281, the set has 1280; use at most as many"},
		"kind":       {data.Steps{{data.LabelNoise{Kind: "random"}}}, `prepare: label-noise: kind is "random"; use symmetric, pair or joint`},
		"rate":       {data.Steps{{data.LabelNoise{Kind: "pair", Rate: 2}}}, "prepare: label-noise: data: PairNoise: rate 2 with 10 classes; use a share from 0 to 1 and at least 2 classes"},
		"tail":       {data.Steps{{data.LongTail{Most: 500, Ratio: 2, Least: 1}}}, `prepare: long-tail: class "0" has 122 examples, the tail needs 500; lower most or least`},
		"ratio":      {data.Steps{{data.LongTail{Most: 5, Ratio: 0.5, Least: 1}}}, "prepare: long-tail: most is 5, ratio 0.5, least 1; use at least 1 of each"},
		"pool":       {data.Steps{{data.Pool{Size: 3}}}, "prepare: pool: an example of optdigits is [8 8 1]; give images [height, width, channels] whose sides 3 divides"},
		"no set":     {data.Steps{{data.NewJoin()}}, "prepare: domains: there is no other set; list them under with"},
		"other size": {data.Steps{{data.Join{With: []data.Choice{{Source: data.NewCanvas()}}}}}, "prepare: data: domains: an example of optdigits is [8 8 1], one of canvas of optdigits [16 16 1]; make them alike first"},
	} {
		p, err := c.steps.Examples(data.Begin(set, nil), 1)
		if err == nil {
			_, err = c.steps.Training(p, 1)
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}

	for name, c := range map[string]struct {
		source data.Source
		want   string
	}{
		"no source": {data.Canvas{Height: 9, Width: 9, Step: 1}, "data: canvas: a source is missing; name a data set"},
		"small":     {data.Canvas{Of: data.Choice{Source: data.Named("optdigits")}, Height: 7, Width: 9, Step: 1}, "data: canvas: an example of optdigits is [8 8 1]; give images [height, width, channels] of at most 7x9"},
		"step":      {data.Canvas{Of: data.Choice{Source: data.Named("optdigits")}, Height: 9, Width: 9}, "data: canvas: step is 0; use at least 1"},
		"no sets":   {data.NewDomains(), "data: domains: there is no set; list them under sets"},
		"names":     {data.Domains{Sets: []data.Choice{{Source: data.Named("optdigits")}}, Names: []string{"a", "b"}}, "data: domains: there are 2 names for 1 sets; give one each, or none"},
	} {
		_, err := c.source.Open("train")
		var usage *fault.Usage
		if err == nil || err.Error() != c.want || !errors.As(err, &usage) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestCanvas(t *testing.T) {
	digits, canvas := open(t, "optdigits", "test"), open(t, "canvas-digits", "test")
	small, large := make([]float32, 64), make([]float32, 256)
	places := map[[2]int]int{}
	for i := range canvas.Len() {
		if err := errors.Join(digits.Read(i, small), canvas.Read(i, large)); err != nil {
			t.Fatal(err)
		}
		found := false
		for top := 0; top <= 8; top += 4 {
			for left := 0; left <= 8; left += 4 {
				if !found && slices.Equal(large, placedAt(small, top, left)) {
					places[[2]int{top, left}]++
					found = true
				}
			}
		}
		if !found || canvas.Label(i) != digits.Label(i) {
			t.Fatalf("example %d does not show its digit at a multiple of 4", i)
		}
	}
	if len(places) != 9 {
		t.Errorf("places %v, want 9", places)
	}
	// A part shows an example where the whole does.
	part, again := data.Subset(canvas, []int32{17}), make([]float32, 256)
	if err := errors.Join(part.Read(0, again), canvas.Read(17, large)); err != nil || !slices.Equal(again, large) {
		t.Errorf("example 17 moved within a part: %v", err)
	}
}

func placedAt(small []float32, top, left int) []float32 {
	large := make([]float32, 256)
	for y := range 8 {
		copy(large[(top+y)*16+left:], small[8*y:8*y+8])
	}
	return large
}
