package data

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// glyphData are the outlines of the characters of glyphNames in each of goFonts, as character.write writes them, gzipped. They are taken
// out of the fonts once, by a test, so that no program carries the fonts and what reads them.
//
//go:embed glyphs/outlines.gz
var glyphData []byte

// emUnits is an em in the units of the outlines, 1/32 of those of the fonts: control points and the middles between two are whole.
const emUnits = 2048 * 32

// curve is a piece of an outline: a jump to To, a line there, or a quadratic curve there with a control point.
type curve struct {
	kind    int // 0, 1 or 2
	control [2]int
	to      [2]int
}

// character is an outline in units. middle is twice the middle of its box.
type character struct {
	middle [2]int
	curves []curve
}

// glyphOutlines reads all characters, font after font.
var glyphOutlines = sync.OnceValues(func() ([]character, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(glyphData))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, err
	}
	in := bytes.NewReader(text)
	all := make([]character, len(goFonts)*len(glyphNames))
	for i := range all {
		if err := all[i].read(in); err != nil {
			return nil, fmt.Errorf("outline %d: %w", i, err)
		}
	}
	if in.Len() > 0 {
		return nil, errors.New("there is more than the outlines")
	}
	return all, nil
})

// write appends the character: its middle, the number of its curves, and of each its kind and its points, less the point before, all as
// varints.
func (c character) write(out []byte) []byte {
	out = binary.AppendVarint(out, int64(c.middle[0]))
	out = binary.AppendVarint(out, int64(c.middle[1]))
	out = binary.AppendVarint(out, int64(len(c.curves)))
	var pen [2]int
	for _, s := range c.curves {
		out = binary.AppendVarint(out, int64(s.kind))
		points := [][2]int{s.to}
		if s.kind == 2 {
			points = [][2]int{s.control, s.to}
		}
		for _, p := range points {
			out = binary.AppendVarint(out, int64(p[0]-pen[0]))
			out = binary.AppendVarint(out, int64(p[1]-pen[1]))
			pen = p
		}
	}
	return out
}

// read is the reverse of write.
func (c *character) read(in *bytes.Reader) error {
	var failed error
	next := func() int {
		v, err := binary.ReadVarint(in)
		failed = errors.Join(failed, err)
		return int(v)
	}
	c.middle = [2]int{next(), next()}
	n := next()
	if n < 0 || n > in.Len() {
		return errors.New("it is cut short")
	}
	c.curves = make([]curve, n)
	var pen [2]int
	point := func() [2]int {
		pen = [2]int{pen[0] + next(), pen[1] + next()}
		return pen
	}
	for i := range c.curves {
		s := &c.curves[i]
		if s.kind = next(); s.kind == 2 {
			s.control = point()
		}
		s.to = point()
	}
	return failed
}

// lines are the outline as straight lines, in ems, its middle at (0, 0).
func (c character) lines() outline {
	at := func(p [2]int) point {
		return point{(float64(p[0]) - float64(c.middle[0])/2) / emUnits, (float64(p[1]) - float64(c.middle[1])/2) / emUnits}
	}
	var shape outline
	var start, pen point
	line := func(to point) {
		shape = append(shape, [2]point{pen, to})
		pen = to
	}
	for _, s := range c.curves {
		switch s.kind {
		case 0:
			if pen != start {
				line(start)
			}
			start = at(s.to)
			pen = start
		case 1:
			line(at(s.to))
		default:
			from, control, to := pen, at(s.control), at(s.to)
			for k := 1; k <= curveParts; k++ {
				t := float64(k) / curveParts
				line(mix(mix(from, control, t), mix(control, to, t), t))
			}
		}
	}
	if pen != start {
		line(start)
	}
	return shape
}

// curveParts is how many lines stand for a curve: its largest error is below a hundredth of a pixel.
const curveParts = 8
