package data

import (
	"fmt"
	"slices"
	"sync"
)

// Glyphs is the source "glyphs": the characters 0-9, A-Z and a-z in the twelve Go fonts, 16x16 grey, light on dark. Each is drawn on a
// canvas of 48x48 with a size of 26 to 33 pixels, moved by up to 3 pixels, turned by up to 12 degrees, averaged in squares of 3x3,
// and gets noise with a deviation of 0.05. The font is the domain. The pixels are the same bytes on every machine.
//
// What the two parts have in common is chosen: unseen fonts, unseen characters, both or neither; no image is in both.
type Glyphs struct {
	Fonts   int    `json:"fonts"`   // of the training part, 1 to 12; test has the others, all if there are none; 8
	Classes string `json:"classes"` // of the training part: all, or first or second (half), test having the other; all
	Images  int    `json:"images"`  // of each character in each font, 1 to 1000; 6
	Seed    uint64 `json:"seed"`    // of sizes, places, angles and noise; 0
}

var _ Source = Glyphs{}

// NewGlyphs returns all characters in eight fonts to train on, and in the four others to test on.
func NewGlyphs() Glyphs { return Glyphs{Fonts: 8, Classes: "all", Images: 6} }

const (
	glyphNames  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	glyphSide   = 16
	glyphCanvas = 48
)

// goFonts in the order in which they go to the training part: each family has a style in both parts of eight and four.
var goFonts = []string{
	"regular", "italic", "bold", "bold-italic", "medium", "mono", "mono-bold", "small-caps",
	"medium-italic", "mono-italic", "mono-bold-italic", "small-caps-italic",
}

func glyphsInfo() Info {
	info := Info{
		Name: "glyphs", Examples: len(glyphNames) * len(goFonts) * NewGlyphs().Images,
		Shape: []int{glyphSide, glyphSide, 1}, Images: true,
		Origin:  "the Go fonts (Bigelow, Holmes, 2016), as carried by golang.org/x/image, drawn by Ballast",
		Licence: "BSD-3-Clause (fonts)",
	}
	for _, c := range glyphNames {
		info.Classes = append(info.Classes, string(c))
	}
	return info
}

// glyphSet are drawn characters, of which each font is a domain.
type glyphSet struct {
	bytes255
	domains []int32
}

func (g glyphSet) Domain(i int) int32 { return g.domains[i] }

func (g glyphSet) Domains() []string {
	return slices.Clone(goFonts)
}

// drawn are the parts that have been drawn in this process.
var drawn sync.Map // glyphPart -> glyphSet

type glyphPart struct {
	glyphs Glyphs
	part   string
}

// Open draws the part.
func (g Glyphs) Open(part string) (Dataset, error) {
	switch {
	case g.Fonts < 1 || g.Fonts > len(goFonts):
		return nil, usage("data: glyphs: fonts is %d; use 1 to %d", g.Fonts, len(goFonts))
	case g.Classes != "all" && g.Classes != "first" && g.Classes != "second":
		return nil, usage("data: glyphs: classes is %q; use all, first or second", g.Classes)
	case g.Images < 1 || g.Images > 1000:
		return nil, usage("data: glyphs: images is %d; use 1 to 1000", g.Images)
	}
	if set, ok := drawn.Load(glyphPart{g, part}); ok {
		return set.(glyphSet), nil
	}

	set := glyphSet{bytes255: bytes255{&memory{info: glyphsInfo(), values: values255}}}
	if part != "test" {
		if err := g.draw(&set, "train"); err != nil {
			return nil, err
		}
	} else {
		fonts, classes := g.ranges("train")
		set.first = int32((fonts[1] - fonts[0]) * (classes[1] - classes[0]) * g.Images)
	}
	if part != "train" {
		if err := g.draw(&set, "test"); err != nil {
			return nil, err
		}
	}
	set.info.Part, set.info.Examples = part, len(set.labels)
	var err error
	if set.info.Checksum, err = Checksum(set); err != nil {
		return nil, err
	}
	drawn.Store(glyphPart{g, part}, set)
	return set, nil
}

// ranges are the fonts and the classes of a part, each from the first to before the second.
func (g Glyphs) ranges(part string) (fonts, classes [2]int) {
	fonts, classes = [2]int{0, g.Fonts}, [2]int{0, len(glyphNames)}
	if part == "test" && g.Fonts < len(goFonts) {
		fonts = [2]int{g.Fonts, len(goFonts)}
	}
	if half := len(glyphNames) / 2; g.Classes != "all" {
		classes = [2]int{0, half}
		if (part == "test") == (g.Classes == "first") {
			classes = [2]int{half, len(glyphNames)}
		}
	}
	return fonts, classes
}

// draw appends the images of a part.
func (g Glyphs) draw(set *glyphSet, part string) error {
	characters, err := glyphOutlines()
	if err != nil {
		return fmt.Errorf("data: glyphs: %w", err)
	}
	fonts, classes := g.ranges(part)
	for f := fonts[0]; f < fonts[1]; f++ {
		for class := classes[0]; class < classes[1]; class++ {
			shape := characters[f*len(glyphNames)+class].lines()
			for k := range g.Images {
				r := generator(g.Seed, "glyphs "+part, uint64((f*len(glyphNames)+class)*1000+k))
				set.pixels = append(set.pixels, shape.image(r)...)
				set.labels = append(set.labels, int32(class))
				set.domains = append(set.domains, int32(f))
			}
		}
	}
	return nil
}
