package data

import (
	"fmt"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gobolditalic"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomedium"
	"golang.org/x/image/font/gofont/gomediumitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/gofont/gomonobolditalic"
	"golang.org/x/image/font/gofont/gomonoitalic"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/gofont/gosmallcaps"
	"golang.org/x/image/font/gofont/gosmallcapsitalic"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
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
var goFonts = []struct {
	name string
	ttf  []byte
}{
	{"regular", goregular.TTF}, {"italic", goitalic.TTF}, {"bold", gobold.TTF}, {"bold-italic", gobolditalic.TTF},
	{"medium", gomedium.TTF}, {"mono", gomono.TTF}, {"mono-bold", gomonobold.TTF}, {"small-caps", gosmallcaps.TTF},
	{"medium-italic", gomediumitalic.TTF}, {"mono-italic", gomonoitalic.TTF}, {"mono-bold-italic", gomonobolditalic.TTF},
	{"small-caps-italic", gosmallcapsitalic.TTF},
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
	var names []string
	for _, f := range goFonts {
		names = append(names, f.name)
	}
	return names
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
	fonts, classes := g.ranges(part)
	for f := fonts[0]; f < fonts[1]; f++ {
		parsed, err := sfnt.Parse(goFonts[f].ttf)
		if err != nil {
			return fmt.Errorf("data: glyphs: %s: %w", goFonts[f].name, err)
		}
		for class := classes[0]; class < classes[1]; class++ {
			shape, err := outlineOf(parsed, rune(glyphNames[class]))
			if err != nil {
				return fmt.Errorf("data: glyphs: %s %c: %w", goFonts[f].name, glyphNames[class], err)
			}
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

// outlineOf is the outline of a character as straight lines, in ems, its middle at (0, 0).
func outlineOf(f *sfnt.Font, c rune) (outline, error) {
	var buffer sfnt.Buffer
	index, err := f.GlyphIndex(&buffer, c)
	if err != nil {
		return nil, err
	}
	em := fixed.I(int(f.UnitsPerEm())) // at this size a unit of the font is a pixel, and nothing is rounded
	segments, err := f.LoadGlyph(&buffer, index, em, nil)
	if err != nil {
		return nil, err
	}
	bounds, _, err := f.GlyphBounds(&buffer, index, em, font.HintingNone)
	if err != nil {
		return nil, err
	}
	middle := point{float64(bounds.Min.X+bounds.Max.X) / 2, float64(bounds.Min.Y+bounds.Max.Y) / 2}
	at := func(p fixed.Point26_6) point {
		return point{(float64(p.X) - middle.x) / float64(em), (float64(p.Y) - middle.y) / float64(em)}
	}

	var shape outline
	var start, pen point
	line := func(to point) {
		shape = append(shape, [2]point{pen, to})
		pen = to
	}
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if pen != start {
				line(start)
			}
			start = at(s.Args[0])
			pen = start
		case sfnt.SegmentOpLineTo:
			line(at(s.Args[0]))
		case sfnt.SegmentOpQuadTo:
			from, control, to := pen, at(s.Args[0]), at(s.Args[1])
			for k := 1; k <= curveParts; k++ {
				t := float64(k) / curveParts
				line(mix(mix(from, control, t), mix(control, to, t), t))
			}
		default:
			return nil, fmt.Errorf("segment %d is no line and no quadratic curve", s.Op)
		}
	}
	if pen != start {
		line(start)
	}
	return shape, nil
}

// curveParts is how many lines stand for a curve: its largest error is below a hundredth of a pixel.
const curveParts = 8
