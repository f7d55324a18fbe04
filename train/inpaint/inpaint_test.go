package inpaint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/inpaint"
)

// waves are pictures of smooth waves in a folder of the test: what is in a hole can be told from around it. values are multiplied by scale.
func waves(t *testing.T, n, side int, scale float64) data.Named {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	var pixels []float32
	for range n {
		fx, fy, phase := r.Float64()/12, r.Float64()/12, 2*math.Pi*r.Float64()
		for y := range side {
			for x := range side {
				v := scale * (0.5 + 0.4*math.Sin(fx*float64(x)+fy*float64(y)+phase))
				pixels = append(pixels, float32(v), float32(1-v), 0.5)
			}
		}
	}
	dir := t.TempDir()
	x, y := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	if err := errors.Join(npy.WriteFile(x, []int{n, side, side, 3}, pixels), npy.WriteFile(y, []int{n}, make([]int64, n))); err != nil {
		t.Fatal(err)
	}
	return data.Named("npy:" + x + "," + y)
}

func small() inpaint.Config {
	c := inpaint.NewConfig()
	c.Generator.Base, c.Generator.Blocks = 4, 1
	c.Discriminator.Base, c.Discriminator.Halves = 4, 1
	c.Holes = data.Holes{Kind: "rectangle", Least: 3, Most: 6}
	c.Side, c.Patches, c.Held, c.Batch, c.Steps, c.Every, c.LR = 16, 32, 8, 8, 6, 2, 2e-3
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

// TestRun: a run that was cut short and goes on ends with the numbers and the weights of one that was not, for both losses; the outside of
// the holes stays; what is saved is the trained network, and another configuration does not go on.
func TestRun(t *testing.T) {
	e, images := goEngine(t), waves(t, 6, 20, 1)
	for _, gan := range []float64{0, 0.1} {
		c := small()
		c.Loss.GAN = gan
		whole, err := inpaint.Run(t.Context(), c, images, inpaint.Options{Engine: e})
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()

		dir, enough := t.TempDir(), errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err = inpaint.Run(ctx, c, images, inpaint.Options{Engine: e, Dir: dir, Progress: func(p inpaint.Point) {
			if p.Step == 4 {
				cancel(enough)
			}
		}})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		second, err := inpaint.Run(t.Context(), c, images, inpaint.Options{Engine: e, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if len(whole.History) != 3 || !reflect.DeepEqual(whole.History, second.History) || whole.Final != second.Final {
			t.Errorf("gan %v: went on to %+v, want %+v", gan, second.History, whole.History)
		}
		sameWeights(t, whole.Bundle, second.Bundle)
		if (whole.History[1].Discriminator == 0) != (gan == 0) || !(whole.History[1].Generator > 0) {
			t.Errorf("gan %v: the losses are %+v", gan, whole.History[1])
		}
		fills(t, whole)
		saves(t, e, second, dir)

		other := c
		other.LR = 1e-3
		_, err = inpaint.Run(t.Context(), other, images, inpaint.Options{Engine: e, Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "the recipe's optimizer.lr was 0.002 and is 0.001 now; put it back, or start anew in another folder") {
			t.Errorf("another configuration in the same folder: %v", err)
		}
	}
}

func sameWeights(t *testing.T, a, b *bundle.Bundle) {
	t.Helper()
	for i, v := range a.Variables() {
		w := b.Variables()[i]
		if v.Path() != w.Path() || !slices.Equal(tensors.MustCopyFlatData[float32](v.MustValue()), tensors.MustCopyFlatData[float32](w.MustValue())) {
			t.Errorf("%s ends with other values", v.Path())
		}
	}
}

// fills: only the holes.
func fills(t *testing.T, r *inpaint.Result) {
	t.Helper()
	filled, err := r.Fill(t.Context(), r.Held, r.Masks)
	if err != nil {
		t.Fatal(err)
	}
	moved := false
	for i, v := range filled.Pixels {
		if r.Masks[i/3] == 0 && v != r.Held.Pixels[i] {
			t.Fatalf("value %d outside the holes went from %v to %v", i, r.Held.Pixels[i], v)
		}
		moved = moved || v != r.Held.Pixels[i]
	}
	if !moved {
		t.Error("no hole was filled")
	}
	if _, err := r.Fill(t.Context(), r.Held, r.Masks[1:]); err == nil || !strings.Contains(err.Error(), "values of masks for 8 images of 16 x 16; want one a pixel") {
		t.Errorf("a mask that is too short: %v", err)
	}
	grey := slices.Clone(r.Masks)
	grey[3] = 0.5
	if _, err := r.Fill(t.Context(), r.Held, grey); err == nil || !strings.Contains(err.Error(), "value 3 of the hole mask is 0.5") {
		t.Errorf("a grey mask: %v", err)
	}
}

// saves: the picture, and a bundle that paints into the holes what Fill does.
func saves(t *testing.T, e *engine.Engine, r *inpaint.Result, dir string) {
	t.Helper()
	picture, trained, err := r.Save(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(content)); err != nil || picture != filepath.Join(dir, "filled.png") {
		t.Errorf("%s: %v", picture, err)
	}
	b, err := bundle.Open(trained)
	if err != nil {
		t.Fatal(err)
	}
	if card, err := os.ReadFile(filepath.Join(trained, bundle.CardFile)); err != nil || !strings.Contains(string(card), "answers [16 16 4] inputs with [16 16 3] images") {
		t.Errorf("the card says %s (%v)", card, err)
	}
	forward, err := b.NewForward(e, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	var x []float32
	for p, hole := range r.Masks {
		x = append(append(x, r.Held.Pixels[3*p:3*p+3]...), hole)
	}
	answers, err := forward.Logits(x, 8)
	if err != nil {
		t.Fatal(err)
	}
	filled, err := r.Fill(t.Context(), r.Held, r.Masks)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range filled.Pixels {
		if r.Masks[i/3] == 1 && v != answers[i] {
			t.Fatalf("the bundle answers %v at value %d, Fill %v", answers[i], i, v)
		}
	}
}

// TestRecipe: the recipe of a run, read as the text it is written as, trains the same weights by a loop.
func TestRecipe(t *testing.T) {
	e, images := goEngine(t), waves(t, 6, 20, 1)
	run, err := inpaint.Run(t.Context(), small(), images, inpaint.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	text, err := run.Bundle.Manifest.Provenance.Recipe.(interface{ MarshalJSON() ([]byte, error) }).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := train.DecodeYAML(text) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	loop, err := train.Open(t.Context(), recipe, train.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	if err := loop.Updates(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	b, err := loop.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Store.Finalize()
	sameWeights(t, run.Bundle, b)
	again, err := inpaint.Run(t.Context(), small(), images, inpaint.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if fmt.Sprint(again.History) != fmt.Sprint(run.History) {
		t.Errorf("the second time %+v, the first %+v", again.History, run.History)
	}
}

// TestEngines: the first updates against a discriminator are the same on every engine, up to rounding.
func TestEngines(t *testing.T) {
	var want *inpaint.Point
	images := waves(t, 6, 20, 1)
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		c := small()
		c.Steps = 2
		r, err := inpaint.Run(t.Context(), c, images, inpaint.Options{Engine: e})
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
	r, err := inpaint.Run(t.Context(), c, waves(t, 24, 20, 1), inpaint.Options{Engine: goEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if first, last := r.History[0], r.History[len(r.History)-1]; last.Generator > first.Generator/2 || last.L1 >= first.L1 {
		t.Errorf("from %+v to %+v; want at most half the loss, and less error in the holes", first, last)
	}
}

// TestRunRefusesOldFolders: a folder with the state of the loop that runs had before is refused by name, and stays as it is.
func TestRunRefusesOldFolders(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"run.json": `{"config":{},"history":[],"state":"state-7.safetensors"}`, "state-7.safetensors": "", "filled.png": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err := inpaint.Run(t.Context(), small(), waves(t, 2, 20, 1), inpaint.Options{Engine: goEngine(t), Dir: dir})
	want := "inpaint: " + dir + " holds a run of an earlier version, which had a loop of its own; this version cannot go on with it, so use another folder, or remove this one"
	var usage *fault.Usage
	if !errors.As(err, &usage) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("the folder has %v (%v)", left, err)
	}
}

func TestErrors(t *testing.T) {
	for want, change := range map[string]func(c *inpaint.Config, from *data.Named){
		"side is 18; use a multiple of 4":         func(c *inpaint.Config, _ *data.Named) { c.Side = 18 },
		"side is 16 and the images 12 x 12":       func(_ *inpaint.Config, from *data.Named) { *from = waves(t, 2, 12, 1) },
		"leave nothing of patches of 16":          func(c *inpaint.Config, _ *data.Named) { c.Holes.Most = 16 },
		"inpaint: holes.kind is \"round\"":        func(c *inpaint.Config, _ *data.Named) { c.Holes.Kind = "round" },
		"divide bytes by 255":                     func(_ *inpaint.Config, from *data.Named) { *from = waves(t, 2, 20, 255) },
		"norm is \"layer\"; use region":           func(c *inpaint.Config, _ *data.Named) { c.Generator.Norm = "layer" },
		"leave more than 2 pixels":                func(c *inpaint.Config, _ *data.Named) { c.Discriminator.Halves = 3 },
		"batch is 64; use at least 1, and not mo": func(c *inpaint.Config, _ *data.Named) { c.Batch = 64 },
		"use a smaller lr":                        func(c *inpaint.Config, _ *data.Named) { c.LR = 1e38 },
	} {
		c, from := small(), waves(t, 2, 20, 1)
		change(&c, &from)
		_, err := inpaint.Run(t.Context(), c, from, inpaint.Options{Engine: goEngine(t)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
