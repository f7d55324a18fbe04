package data

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

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

// fontFiles are the fonts of goFonts.
var fontFiles = [][]byte{
	goregular.TTF, goitalic.TTF, gobold.TTF, gobolditalic.TTF, gomedium.TTF, gomono.TTF, gomonobold.TTF, gosmallcaps.TTF,
	gomediumitalic.TTF, gomonoitalic.TTF, gomonobolditalic.TTF, gosmallcapsitalic.TTF,
}

// TestGlyphOutlines compares the outlines with the fonts. BALLAST_WRITE_GLYPHS=1 writes them anew.
func TestGlyphOutlines(t *testing.T) {
	var want []character
	for _, ttf := range fontFiles {
		f, err := sfnt.Parse(ttf)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range glyphNames {
			want = append(want, characterOf(t, f, c))
		}
	}
	if os.Getenv("BALLAST_WRITE_GLYPHS") == "1" {
		writeOutlines(t, want)
		return
	}
	got, err := glyphOutlines()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the outlines are not those of the fonts")
	}
}

// characterOf takes a character out of a font.
func characterOf(t *testing.T, f *sfnt.Font, c rune) character {
	t.Helper()
	var buffer sfnt.Buffer
	index, err := f.GlyphIndex(&buffer, c)
	if err != nil {
		t.Fatal(err)
	}
	em := fixed.I(int(f.UnitsPerEm())) // at this size a unit of the font is a pixel, and nothing is rounded
	segments, err := f.LoadGlyph(&buffer, index, em, nil)
	if err != nil || em != 2*emUnits {
		t.Fatalf("%c: em %d, %v", c, em, err)
	}
	bounds, _, err := f.GlyphBounds(&buffer, index, em, font.HintingNone)
	if err != nil {
		t.Fatal(err)
	}
	half := func(v fixed.Int26_6) int {
		if v%2 != 0 {
			t.Fatalf("%c: %d is odd", c, v)
		}
		return int(v) / 2
	}
	pair := func(p fixed.Point26_6) [2]int { return [2]int{half(p.X), half(p.Y)} }
	out := character{middle: [2]int{half(bounds.Min.X + bounds.Max.X), half(bounds.Min.Y + bounds.Max.Y)}}
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			out.curves = append(out.curves, curve{kind: 0, to: pair(s.Args[0])})
		case sfnt.SegmentOpLineTo:
			out.curves = append(out.curves, curve{kind: 1, to: pair(s.Args[0])})
		case sfnt.SegmentOpQuadTo:
			out.curves = append(out.curves, curve{kind: 2, control: pair(s.Args[0]), to: pair(s.Args[1])})
		default:
			t.Fatalf("%c: segment %d is no line and no quadratic curve", c, s.Op)
		}
	}
	return out
}

// writeOutlines writes what glyphOutlines reads.
func writeOutlines(t *testing.T, all []character) {
	t.Helper()
	var text []byte
	for _, c := range all {
		text = c.write(text)
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("glyphs", "outlines.gz"), zipped.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d outlines, %d bytes, %d zipped", len(all), len(text), zipped.Len())
}
