package inpaint_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/train/inpaint"
)

// waves are pictures of smooth waves: what is in a hole can be told from around it.
func waves(n, side int, seed uint64) inpaint.Images {
	r := rand.New(rand.NewPCG(seed, 1))
	m := inpaint.Images{Count: n, Height: side, Width: side, Channels: 3, Pixels: make([]float32, 0, n*side*side*3)}
	for range n {
		fx, fy, phase := r.Float64()/12, r.Float64()/12, 2*math.Pi*r.Float64()
		for y := range side {
			for x := range side {
				v := 0.5 + 0.4*math.Sin(fx*float64(x)+fy*float64(y)+phase)
				m.Pixels = append(m.Pixels, float32(v), float32(1-v), 0.5)
			}
		}
	}
	return m
}

func small() inpaint.Config {
	c := inpaint.NewConfig()
	c.Generator.Base, c.Generator.Blocks = 4, 1
	c.Discriminator.Base, c.Discriminator.Halves = 4, 1
	c.Holes = inpaint.Holes{Kind: "rectangle", Least: 3, Most: 6}
	c.Side, c.Patches, c.Held, c.Batch, c.Steps, c.Every, c.LR = 16, 32, 8, 8, 4, 2, 2e-3
	return c
}

// goEngine compiles these graphs in no time; XLA takes half a minute for each.
func goEngine(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// TestRun: a run that was cut short and goes on ends with the numbers of one that was not, for both losses; the outside of the holes stays.
func TestRun(t *testing.T) {
	e := goEngine(t)
	images, held := waves(6, 20, 1), waves(3, 20, 2)
	for _, gan := range []float64{0, 0.1} {
		c := small()
		c.Loss.GAN = gan
		whole, err := inpaint.Run(t.Context(), c, images, held, inpaint.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		dir, part := t.TempDir(), c
		part.Steps = 2
		first, err := inpaint.Run(t.Context(), part, images, held, inpaint.Options{Engine: e, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		first.Close()
		second, err := inpaint.Run(t.Context(), c, images, held, inpaint.Options{Engine: e, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if !slices.Equal(whole.History, second.History) {
			t.Errorf("gan %v: went on to %+v, want %+v", gan, second.History, whole.History)
		}
		if (whole.History[1].Discriminator == 0) != (gan == 0) {
			t.Errorf("gan %v: the discriminator's loss is %v", gan, whole.History[1].Discriminator)
		}
		filled, err := whole.Fill(whole.Held, whole.Masks)
		if err != nil {
			t.Fatal(err)
		}
		moved := false
		for i, v := range filled.Pixels {
			if whole.Masks[i/3] == 0 && v != whole.Held.Pixels[i] {
				t.Fatalf("gan %v: value %d outside the holes went from %v to %v", gan, i, whole.Held.Pixels[i], v)
			}
			moved = moved || v != whole.Held.Pixels[i]
		}
		if !moved {
			t.Error("no hole was filled")
		}
		other := c
		other.LR = 1e-3
		if _, err := inpaint.Run(t.Context(), other, images, held, inpaint.Options{Engine: e, Dir: dir}); err == nil || !strings.Contains(err.Error(), "holds a run of another configuration") {
			t.Errorf("another configuration in the same folder: %v", err)
		}
	}
}

// TestEngines: the first updates against a discriminator are the same on every engine, up to rounding.
func TestEngines(t *testing.T) {
	var want *inpaint.Point
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		c := small()
		c.Steps = 2
		r, err := inpaint.Run(t.Context(), c, waves(6, 20, 1), waves(3, 20, 2), inpaint.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got := r.History[0]
		if want == nil {
			want = &got
		}
		for name, d := range map[string]float64{"generator": got.Generator - want.Generator, "discriminator": got.Discriminator - want.Discriminator, "L1": got.L1 - want.L1} {
			if math.Abs(d) > 1e-3 {
				t.Errorf("%s differs by %v: %+v and %+v", name, d, got, *want)
			}
		}
	})
}

// TestRunLearns: where a hole can be told from around it, sixty updates halve the loss.
func TestRunLearns(t *testing.T) {
	c := small()
	c.Steps, c.Every, c.Loss.GAN, c.LR = 60, 10, 0, 5e-3
	r, err := inpaint.Run(t.Context(), c, waves(24, 20, 1), waves(8, 20, 2), inpaint.Options{Engine: goEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if first, last := r.History[0], r.History[len(r.History)-1]; last.Generator > first.Generator/2 || last.L1 >= first.L1 {
		t.Errorf("from %+v to %+v; want at most half the loss, and less error in the holes", first, last)
	}
}

// TestHoles: every hole has a pixel and leaves one, rectangles have sides within bounds, and the same seed draws the same holes.
func TestHoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(12, 40).Draw(t, "side")
		h := inpaint.Holes{Kind: rapid.SampledFrom([]string{"irregular", "rectangle"}).Draw(t, "kind"), Least: rapid.IntRange(1, 5).Draw(t, "least"), Strokes: rapid.IntRange(1, 6).Draw(t, "strokes")}
		h.Most = rapid.IntRange(h.Least, side-1).Draw(t, "most")
		if err := h.Validate(side); err != nil {
			t.Fatal(err)
		}
		seed := rapid.Uint64().Draw(t, "seed")
		masks := h.Draw(3, side, rand.New(rand.NewPCG(seed, 0)))
		if !slices.Equal(masks, h.Draw(3, side, rand.New(rand.NewPCG(seed, 0)))) {
			t.Fatal("the same seed draws other holes")
		}
		for i := range 3 {
			n := 0
			for _, v := range masks[i*side*side : (i+1)*side*side] {
				if v != 0 && v != 1 {
					t.Fatalf("mask value %v", v)
				}
				n += int(v)
			}
			if n == 0 || n == side*side || h.Kind == "rectangle" && n > h.Most*h.Most {
				t.Fatalf("a hole of %d of %d pixels", n, side*side)
			}
		}
	})
}

func TestErrors(t *testing.T) {
	for want, change := range map[string]func(c *inpaint.Config, m *inpaint.Images){
		"side is 18; use a multiple of 4":         func(c *inpaint.Config, _ *inpaint.Images) { c.Side = 18 },
		"side is 16 and the images 12 x 12":       func(_ *inpaint.Config, m *inpaint.Images) { *m = waves(2, 12, 1) },
		"leave nothing of patches of 16":          func(c *inpaint.Config, _ *inpaint.Images) { c.Holes.Most = 16 },
		"holes.kind is \"round\"":                 func(c *inpaint.Config, _ *inpaint.Images) { c.Holes.Kind = "round" },
		"divide bytes by 255":                     func(_ *inpaint.Config, m *inpaint.Images) { m.Pixels[7] = 200 },
		"norm is \"layer\"; use region":           func(c *inpaint.Config, _ *inpaint.Images) { c.Generator.Norm = "layer" },
		"leave more than 2 pixels":                func(c *inpaint.Config, _ *inpaint.Images) { c.Discriminator.Halves = 3 },
		"batch is 64; use at least 1, and not mo": func(c *inpaint.Config, _ *inpaint.Images) { c.Batch = 64 },
	} {
		c, m := small(), waves(2, 20, 1)
		change(&c, &m)
		_, err := inpaint.Run(t.Context(), c, m, waves(2, 20, 2), inpaint.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
