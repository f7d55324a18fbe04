package augment_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data/augment"
	"github.com/ballast-ml/ballast/data/augment/augmenttest"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/ops"
)

func TestTransforms(t *testing.T) {
	together := augment.Drawing{Together: true}
	for name, c := range map[string]struct{ transform, neutral augment.Transform }{
		"flip":   {augment.NewFlip(), augment.Flip{Axis: "horizontal"}},
		"shift":  {augment.NewShift(), augment.Shift{}},
		"crop":   {augment.NewCrop(), augment.Crop{Smallest: 1, Aspect: 1}},
		"rotate": {augment.Rotate{Degrees: 40}, augment.Rotate{}},
		"colour": {augment.NewColour(), augment.Colour{Probability: 1}},
		"noise":  {augment.NewNoise(), augment.Noise{}},
		"blur":   {augment.NewBlur(), augment.Blur{Probability: 1}},
		"cutout": {augment.Cutout{Size: 3}, augment.Cutout{}},
	} {
		t.Run(name, func(t *testing.T) { augmenttest.RunTransform(t, c.transform, c.neutral) })
	}
	if len(augment.All()) != 8 {
		t.Error("a transform of All has no battery here: add it above")
	}

	// Other options.
	for name, c := range map[string]struct {
		transform, neutral augment.Transform
		claims             []augmenttest.Claim
	}{
		"flip vertical":   {augment.Flip{Probability: 0.5, Axis: "vertical", Drawing: together}, augment.Flip{Axis: "vertical"}, []augmenttest.Claim{augmenttest.Together()}},
		"shift filled":    {augment.Shift{Pixels: 1, Fill: 0.5}, augment.Shift{Fill: 0.5}, nil},
		"shift far":       {augment.Shift{Pixels: 9}, augment.Shift{}, nil},
		"colour together": {augment.Colour{Brightness: 0.5, Hue: 0.5, Grey: 0.3, Probability: 0.9, Drawing: together}, augment.Colour{}, []augmenttest.Claim{augmenttest.Together()}},
		"noise together":  {augment.Noise{Std: 0.3, Drawing: together}, augment.Noise{}, []augmenttest.Claim{augmenttest.Together()}},
		"cutout filled":   {augment.Cutout{Size: 2, Fill: 1}, augment.Cutout{Fill: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			augmenttest.RunTransform(t, c.transform, c.neutral, append(c.claims, augmenttest.OnGo())...)
		})
	}
}

func TestMixings(t *testing.T) {
	for _, k := range augment.Mixings() {
		t.Run(k.Name, func(t *testing.T) {
			if k.Name == "none" {
				augmenttest.RunMixing(t, k.New(), augmenttest.Still())
			} else {
				augmenttest.RunMixing(t, k.New())
			}
		})
	}

	// Other options.
	flip, random := augment.Partner{Partner: "flip"}, augment.Partner{Partner: "permutation"}
	onGo, still := augmenttest.OnGo(), augmenttest.Still()
	for name, c := range map[string]struct {
		mixing augment.Mixing
		claims []augmenttest.Claim
	}{
		"mixup of one":         {augment.Mixup{Parts: 1, Alpha: 1, Partner: flip}, []augmenttest.Claim{onGo, still}},
		"mixup of five":        {augment.Mixup{Parts: 5, Alpha: 0.5, Partner: random}, []augmenttest.Claim{onGo}},
		"mixup flipped":        {augment.Mixup{Parts: 2, Alpha: 0.2, Partner: flip}, []augmenttest.Claim{onGo}},
		"multi-mixup flipped":  {augment.MultiMixup{Copies: 2, Alpha: 1, Partner: flip}, []augmenttest.Claim{onGo}},
		"cutmix flipped":       {augment.CutMix{Alpha: 3, Partner: flip}, []augmenttest.Claim{onGo}},
		"sometimes":            {augment.MixupCutMix{Probability: 0.7, CutMix: 0.5, MixupAlpha: 1, CutMixAlpha: 1, Partner: random}, []augmenttest.Claim{onGo}},
		"never":                {augment.MixupCutMix{MixupAlpha: 1, CutMixAlpha: 1, Partner: flip}, []augmenttest.Claim{onGo, still}},
		"pairs with anchors":   {augment.Pairs{Kind: "ancneg", Alpha: 0.01}, []augmenttest.Claim{onGo}},
		"pairs with positives": {augment.Pairs{Kind: "posneg", Alpha: 2}, []augmenttest.Claim{onGo}},
	} {
		t.Run(name, func(t *testing.T) { augmenttest.RunMixing(t, c.mixing, c.claims...) })
	}
}

// TestShares compares draws of weights with the Dirichlet distribution: of each part mean 1/n and variance (n-1)/(n^2 (n alpha + 1)).
func TestShares(t *testing.T) {
	for _, c := range []struct {
		parts int
		alpha float64
	}{{2, 1}, {2, 0.2}, {3, 1}, {5, 2}, {2, 1e-3}} {
		m := augment.Mixup{Parts: c.parts, Alpha: c.alpha, Partner: augment.Partner{Partner: "permutation"}}
		const draws = 20000
		sum, squares := make([]float64, c.parts), make([]float64, c.parts)
		r := rand.New(rand.NewPCG(1, 1))
		for range draws {
			left := 1.0
			for k := range c.parts {
				w := left
				if k < c.parts-1 {
					w *= m.Columns()[k].At(0, 1, r)
					left -= w
				}
				sum[k] += w / draws
				squares[k] += w * w / draws
			}
		}
		n := float64(c.parts)
		for k := range c.parts {
			variance := squares[k] - sum[k]*sum[k]
			if want := (n - 1) / (n * n * (n*c.alpha + 1)); math.Abs(sum[k]-1/n) > 0.015 || math.Abs(variance-want) > 0.1*want {
				t.Errorf("%d parts, alpha %v: share %d has mean %v and variance %v, want %v and %v", c.parts, c.alpha, k, sum[k], variance, 1/n, want)
			}
		}
	}
}

// TestPairs checks whom anchors are mixed with.
func TestPairs(t *testing.T) {
	labels := []int32{0, 0, 1, 1, 1, 2}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		exec := graph.MustNewExec(e.Backend, func(x, key *graph.Node) *graph.Node {
			g := x.Graph()
			m := augment.Pairs{Kind: "posneg", Alpha: 1}.Mix(augment.Draws{
				Column: func(string) *graph.Node { return graph.Const(g, 0.3) },
				Random: ops.RandomOf(key), Labels: graph.Const(g, labels),
			}, x)
			return graph.Concatenate([]*graph.Node{m.Parts[0].From, m.Parts[1].From}, 0)
		})
		for update := range uint32(5) {
			places := tensors.MustCopyFlatData[int32](exec.MustCall([][]float32{{1}, {2}, {3}, {4}, {5}, {6}}, []uint32{update, 0})[0])
			for i, label := range labels {
				positive, negative := int(places[i]), int(places[6+i])
				if labels[positive] != label || (positive == i) != (i == 5) || labels[negative] == label {
					t.Errorf("anchor %d got the positive %d and the negative %d", i, positive, negative)
				}
			}
		}
	})
}

func TestChoices(t *testing.T) {
	for _, k := range augment.All() {
		b, err := json.Marshal(augment.Choice{Transform: k.New()})
		var c augment.Choice
		if err != nil || json.Unmarshal(b, &c) != nil || augment.Name(c.Transform) != k.Name || c.Transform != k.New() {
			t.Errorf("%s is written %s, %v, and read %v", k.Name, b, err, c.Transform)
		}
	}
	for _, k := range augment.Mixings() {
		b, err := json.Marshal(augment.MixingChoice{Mixing: k.New()})
		var c augment.MixingChoice
		if err != nil || json.Unmarshal(b, &c) != nil || augment.MixingName(c.Mixing) != k.Name || c.Mixing != k.New() {
			t.Errorf("%s is written %s, %v, and read %v", k.Name, b, err, c.Mixing)
		}
	}

	var views []augment.View
	text := `[["flip"],[{"name":"shift","pixels":1},{"name":"colour","grey":0},{"name":"noise","std":0.2},{"name":"cutout","size":3}]]`
	if err := json.Unmarshal([]byte(text), &views); err != nil || len(views) != 2 || views[1][0].Transform != (augment.Shift{Pixels: 1}) {
		t.Errorf("got %v, %v", views, err)
	}

	for text, want := range map[string]string{
		`"flipp"`:                      `no transform "flipp" (did you mean flip?)`,
		`"sharpen everything"`:         "there are flip, shift,",
		`{"name":"noise","sdt":1}`:     "unknown key sdt (did you mean std?)",
		`{"name":"noise","std":-1}`:    "augment: noise: std is -1; use a finite number from 0 on",
		`{"name":"flip","axis":"x"}`:   `augment: flip: axis is "x"; use horizontal or vertical`,
		`{"name":"crop","smallest":0}`: "augment: crop: smallest is 0; use a share above 0, up to 1",
		`{"name":"blur","least":3}`:    "augment: blur: least is 3; use a number from 0 to 2",
		`{"name":"shift","pixels":-1}`: "augment: shift: pixels is -1; use 0 to 4096",
	} {
		refuses(t, text, want, new(augment.Choice))
	}
	for text, want := range map[string]string{
		`"cutmixx"`:                                   `no mixing "cutmixx" (did you mean cutmix?)`,
		`{"name":"mixup","alpha":0}`:                  "augment: mixup: alpha is 0; use a finite number above 0",
		`{"name":"mixup","parts":0}`:                  "augment: mixup: parts is 0; use 1 to 64",
		`{"name":"mixup","parts":3,"partner":"flip"}`: "augment: mixup: a flip gives one partner, 3 parts need 2; use partner: permutation",
		`{"name":"cutmix","partner":"next"}`:          `augment: cutmix: partner is "next"; use flip or permutation`,
		`{"name":"transmix","ratio":1.5}`:             "augment: transmix: ratio is 1.5; use a number from 0 to 1",
		`{"name":"transmix","cutmix":-1}`:             "augment: transmix: cutmix is -1; use a number from 0 to 1",
		`{"name":"pairs","kind":"pospos"}`:            `augment: pairs: kind is "pospos"; use posneg, ancneg or random`,
	} {
		refuses(t, text, want, new(augment.MixingChoice))
	}
}

func refuses(t *testing.T, text, want string, into any) {
	t.Helper()
	err := json.Unmarshal([]byte(text), into)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %q", text, err, want)
	}
	var usage *fault.Usage
	if strings.HasPrefix(want, "augment: ") && !errors.As(err, &usage) {
		t.Errorf("%s: %T is no usage error", text, err)
	}
}

// TestTransformsDo compares what transforms do to a known image with what they say.
func TestTransformsDo(t *testing.T) {
	one := gradcheck.Input{Shape: []int{64, 5, 5, 1}} // a dot in the middle of each of 64 images
	for range 64 {
		dot := make([]float64, 25)
		dot[12] = 1
		one.Data = append(one.Data, dot...)
	}
	// On the Go engine alone: the battery compares the others with it.
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("go", func(t *testing.T) {
		apply := func(by augment.Transform, x gradcheck.Input) []float64 {
			y, _ := gradcheck.Eval(t, e.Backend, func(x []*graph.Node) *graph.Node { return by.Apply(ops.NewRandom(x[0].Graph(), 7), x[0]) }, x)
			return y
		}

		// A shift of at most one pixel puts the dot on each of nine places.
		places := map[int]int{}
		y := apply(augment.Shift{Pixels: 1}, one)
		for i := range 64 {
			places[slices.Index(y[25*i:25*i+25], 1)]++
		}
		if len(places) != 9 || places[-1] > 0 {
			t.Errorf("shift: the dot stands at %v", places)
		}

		// A crop of the whole area and a rotation keep the middle where it is.
		y = apply(augment.Rotate{Degrees: 180}, one)
		for i := range 64 {
			if math.Abs(y[25*i+12]-1) > 1e-12 {
				t.Errorf("rotate: the middle of image %d is %v", i, y[25*i+12])
			}
		}

		// A blur keeps what it spreads, where nothing is near the edge, and a constant image.
		wide := gradcheck.Input{Shape: []int{1, 21, 21, 1}, Data: make([]float64, 441)}
		wide.Data[220] = 1
		if sum := total(apply(augment.Blur{Least: 1, Most: 1, Probability: 1}, wide)); math.Abs(sum-1) > 1e-4 {
			t.Errorf("blur: a dot adds up to %v", sum)
		}
		for i, v := range apply(augment.Blur{Least: 1, Most: 3, Probability: 1}, augmenttest.Images(2, 1, 1)) {
			if math.Abs(v-1) > 1e-12 {
				t.Errorf("blur: value %d of a white image is %v", i, v)
			}
		}

		// A cutout has its size, unless it reaches over the edge.
		white := gradcheck.Input{Shape: []int{64, 5, 5, 1}, Data: slices.Repeat([]float64{1}, 64*25)}
		y = apply(augment.Cutout{Size: 3}, white)
		sizes := map[float64]int{}
		for i := range 64 {
			sizes[25-total(y[25*i:25*i+25])]++
		}
		if sizes[9]+sizes[6]+sizes[4] != 64 || sizes[9] == 0 || sizes[4] == 0 {
			t.Errorf("cutout: squares of %v pixels", sizes)
		}

		// Grey has three equal channels, of the brightness that was.
		x := augmenttest.Images(4, 0, 1)
		y = apply(augment.Colour{Grey: 1}, x)
		for i := 0; i < len(y); i += 3 {
			want := 0.299*x.Data[i] + 0.587*x.Data[i+1] + 0.114*x.Data[i+2]
			if y[i] != y[i+1] || y[i] != y[i+2] || math.Abs(y[i]-want) > 1e-12 {
				t.Fatalf("grey: pixel %v of %v", y[i:i+3], x.Data[i:i+3])
			}
		}

		// Noise has the deviation it says.
		half := gradcheck.Input{Shape: []int{50, 10, 10, 1}, Data: slices.Repeat([]float64{0.5}, 5000)}
		squares := 0.0
		for _, v := range apply(augment.Noise{Std: 0.1}, half) {
			squares += (v - 0.5) * (v - 0.5) / 5000
		}
		if std := math.Sqrt(squares); math.Abs(std-0.1) > 0.005 {
			t.Errorf("noise: the deviation is %v", std)
		}
	})
}

func total(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum
}

// Transforms that move pixels are told from those that change them where they are.
func TestMoves(t *testing.T) {
	for _, k := range augment.All() {
		want := ""
		if slices.Contains([]string{"flip", "shift", "crop", "rotate"}, k.Name) {
			want = k.Name
		}
		if got := (augment.View{{Transform: augment.NewNoise()}, {Transform: k.New()}}).Moves(); got != want {
			t.Errorf("%s: %q, want %q", k.Name, got, want)
		}
	}
}
