package bench

import (
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/data/corrupt"
)

// corruptions are the shifts of ImageNet-C, each over the five severities on one image of bytes and on one core: images are what is spread over
// cores, here and in other libraries. bench/peers/corruptions.py measures the same.
func corruptions() (lines []Line) {
	const side = 224
	table, err := corrupt.FindTable(corrupt.ImageNetC)
	if err != nil {
		panic(err) // it is a name of the package's own
	}
	for _, s := range table.All() {
		var most Most
		if s.Name() == (corrupt.GlassBlur{}).Name() {
			most.Seconds = 5 * 8e-3
		}
		lines = append(lines, Line{
			Suite: "corrupt", Name: fmt.Sprintf("%s, %dx%d, severities 1 to 5", s.Name(), side, side), What: "images", Work: corrupt.Severities, Most: most,
			open: func(*Env) (Case, error) { return corruptCase(s, side), nil },
		})
	}
	return lines
}

func corruptCase(s corrupt.Shift, side int) Case {
	src, shape := slopes(side), []int{side, side, 3}
	dst := make([]float32, len(src))
	return Case{
		Run: func() error {
			for severity := 1; severity <= corrupt.Severities; severity++ {
				s.Apply(dst, src, shape, severity, 1, 0)
			}
			return nil
		},
		// The package's tests hold values against those of others; here the image must be another, in [0,1], and the same each time.
		Check: func() error {
			again := make([]float32, len(src))
			for severity := 1; severity <= corrupt.Severities; severity++ {
				s.Apply(dst, src, shape, severity, 1, 0)
				s.Apply(again, src, shape, severity, 1, 0)
				if slices.Equal(dst, src) || !slices.Equal(dst, again) || slices.Min(dst) < 0 || slices.Max(dst) > 1 {
					return fmt.Errorf("severity %d leaves the image as it is, or makes another one each time, or one outside [0,1]", severity)
				}
			}
			return nil
		},
	}
}

// slopes is an image of bytes: three slopes that turn back, and a grain, in whole numbers, so that other programs can make the same.
func slopes(side int) []float32 {
	image := make([]float32, 0, side*side*3)
	state := uint32(1)
	for y := range side {
		for x := range side {
			for c := range 3 {
				state = state*1664525 + 1013904223
				slope := (x*(2+c) + y*(4-c)) & 511
				v := min(slope, 511-slope) + int(state>>24&31) - 16
				image = append(image, float32(min(max(v, 0), 255))/255)
			}
		}
	}
	return image
}
