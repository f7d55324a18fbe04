package corrupt

// Translation moves the image by whole pixels, round(share of the side) and at least 1, in one of eight directions drawn for
// each example; zeros move in, as behind a digit. It is 1, 3, 4, 6, 7 pixels of 28; 1, 1, 1, 2, 2 of 8; 2, 3, 5, 6, 8 of 32.
type Translation struct {
	Levels []float64 `json:"levels,omitempty"` // shares of the height and of the width, by severity; nil = Ballast's
}

var _ Shift = Translation{}

// Ballast's own: shares of the height and of the width.
var translationShare = [Severities]float64{0.05, 0.1, 0.15, 0.2, 0.25}

// directions as (rows, columns).
var directions = [8][2]int{{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {-1, 1}, {1, -1}, {1, 1}}

// Name is translation.
func (Translation) Name() string { return "translation" }

// Apply moves the image.
func (t Translation) Apply(dst, src []float32, shape []int, severity int, seed uint64, index int) {
	height, width, channels := shape[0], shape[1], shape[2]
	share := at(t.Name(), t.Levels, translationShare, severity)
	// All severities of an example move the same way, so that they differ in the distance alone.
	way := directions[stream(seed, t.Name(), 0, index).Uint64()>>61]
	down := way[0] * max(1, int(float64(share*float64(height))+0.5))
	right := way[1] * max(1, int(float64(share*float64(width))+0.5))
	for y := range height {
		for x := range width {
			to := (y*width + x) * channels
			if fy, fx := y-down, x-right; fy >= 0 && fy < height && fx >= 0 && fx < width {
				copy(dst[to:to+channels], src[(fy*width+fx)*channels:])
			} else {
				clear(dst[to : to+channels])
			}
		}
	}
}
