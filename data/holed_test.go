package data_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// TestHoles: every hole has a pixel and leaves one, rectangles have sides within bounds, and the same seed draws the same holes.
func TestHoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(12, 40).Draw(t, "side")
		h := data.Holes{Kind: rapid.SampledFrom([]string{"irregular", "rectangle"}).Draw(t, "kind"), Least: rapid.IntRange(1, 5).Draw(t, "least"), Strokes: rapid.IntRange(1, 6).Draw(t, "strokes")}
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

// numbered writes pictures whose pixels say where they are, 4 pictures of 6 x 5 in two channels, and returns their source.
func numbered(t *testing.T, scale float32) data.Choice {
	t.Helper()
	dir := t.TempDir()
	pixels := make([]float32, 4*6*5*2)
	for i := range pixels {
		pixels[i] = scale * float32(i) / float32(len(pixels))
	}
	x, y := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	if err := errors.Join(npy.WriteFile(x, []int{4, 6, 5, 2}, pixels), npy.WriteFile(y, []int{4}, []int64{0, 1, 2, 1})); err != nil {
		t.Fatal(err)
	}
	return data.Choice{Source: data.Named("npy:" + x + "," + y)}
}

// TestHoled: patches are cut out of the images in turn, with the labels of these; an example is white in the hole and says where it is,
// its target is what was there.
func TestHoled(t *testing.T) {
	h := data.NewHoled()
	h.Of, h.Side, h.Patches, h.Held, h.Holes = numbered(t, 1), 4, 10, 3, data.Holes{Kind: "rectangle", Least: 1, Most: 2}
	read := func(part string) (data.Dataset, [][]float32) {
		set, err := h.Open(part)
		if err != nil {
			t.Fatal(err)
		}
		var all [][]float32
		for i := range set.Len() {
			row := make([]float32, 4*4*3)
			if err := set.Read(i, row); err != nil {
				t.Fatal(err)
			}
			all = append(all, row)
		}
		return set, all
	}
	set, examples := read("train")
	if info := set.Info(); set.Len() != 10 || info.Examples != 10 || !slices.Equal(info.Shape, []int{4, 4, 3}) || len(info.Classes) != 3 {
		t.Fatalf("got %+v", info)
	}
	targeted, ok := data.AsTargeted(set)
	if _, images := targeted.(data.Imaged); !ok || !images || !slices.Equal(targeted.TargetShape(), []int{4, 4, 2}) {
		t.Fatalf("the targets are %v", targeted.TargetShape())
	}
	for i, x := range examples {
		truth := make([]float32, 4*4*2)
		if err := targeted.Target(i, truth); err != nil {
			t.Fatal(err)
		}
		if want := []int32{0, 1, 2, 1}[i%4]; set.Label(i) != want || int(truth[0]*4) != i%4 {
			t.Errorf("patch %d has the label %d and begins with %v; want image %d", i, set.Label(i), truth[0], i%4)
		}
		holes := 0
		for p := range 16 {
			switch hole := x[3*p+2]; {
			case hole == 1 && x[3*p] == 1 && x[3*p+1] == 1:
				holes++
			case hole != 0 || x[3*p] != truth[2*p] || x[3*p+1] != truth[2*p+1]:
				t.Fatalf("patch %d has %v at pixel %d of %v", i, x[3*p:3*p+3], p, truth[2*p:2*p+2])
			}
		}
		if holes == 0 || holes > 4 {
			t.Errorf("patch %d has a hole of %d pixels", i, holes)
		}
	}

	again, same := read("train")
	if !slices.EqualFunc(examples, same, slices.Equal[[]float32]) || again.Info().Checksum != set.Info().Checksum {
		t.Error("the second time patches are others")
	}
	test, others := read("test")
	if test.Len() != 3 || slices.EqualFunc(examples[:3], others, slices.Equal[[]float32]) || test.Info().Checksum == set.Info().Checksum {
		t.Errorf("%d patches to test on, those that are trained on", test.Len())
	}
	h.Seed = 1
	if other, rows := read("train"); slices.EqualFunc(examples, rows, slices.Equal[[]float32]) || other.Info().Checksum == set.Info().Checksum {
		t.Error("another seed cuts the same patches")
	}

	// The targets are images through what is made of the set too.
	part, ok := data.AsTargeted(data.Subset(data.Relabelled(set, make([]int32, 10)), []int32{7}))
	if _, images := part.(data.Imaged); !ok || !images {
		t.Error("the targets of a part are no images")
	}
}

func TestHoledRefuses(t *testing.T) {
	for want, change := range map[string]func(h *data.Holed){
		"data: holes: side is 5000; use 2 to 4096":                                func(h *data.Holed) { h.Side = 5000 },
		"data: holes: patches is 0, held 64; use 1 to 2147483647 of each":         func(h *data.Holed) { h.Patches = 0 },
		"data: holes.kind is \"round\"; use irregular or rectangle":               func(h *data.Holed) { h.Holes.Kind = "round" },
		"data: holes of up to 4 pixels leave nothing of patches of 4":             func(h *data.Holed) { h.Holes.Most = 4 },
		"data: holes are from 0 to 2 pixels; use at least 1":                      func(h *data.Holed) { h.Holes.Least = 0 },
		"data: holes.strokes is 2000; use 1 to 1000":                              func(h *data.Holed) { h.Holes.Kind, h.Holes.Strokes = "irregular", 2000 },
		"data: holes: side is 6 and the images 6 x 5; use a smaller side":         func(h *data.Holed) { h.Side = 6 },
		"value 21 of image 1: it is 1.0125; pixels are in [0,1], so divide bytes": func(h *data.Holed) { h.Of = numbered(t, 3) },
		"its examples are [32], not images; name a data set of images":            func(h *data.Holed) { h.Of = data.Choice{Source: data.NewGoSource()} },
		"data: holes: a source is missing; name a data set":                       func(h *data.Holed) { h.Of = data.Choice{} },
		"10000000 patches of": func(h *data.Holed) {
			large := data.NewCanvas()
			large.Height, large.Width = 4000, 4000
			h.Patches, h.Side, h.Of = 10_000_000, 4000, data.Choice{Source: large}
		},
	} {
		h := data.NewHoled()
		h.Of, h.Side, h.Holes = numbered(t, 1), 4, data.Holes{Kind: "rectangle", Least: 1, Most: 2}
		change(&h)
		_, err := h.Open("train")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		var usage *fault.Usage
		if strings.HasPrefix(want, "data: ") && !errors.As(err, &usage) {
			t.Errorf("%v is no usage error", err)
		}
	}
}
