package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/zoo"
)

// Translation asks whether a classifier's answer to an image changes when the camera moves a little: of each image it shows the window in the
// middle, and then the windows that lie Shift pixels off it in four or eight directions. Pixels leave on one side and new ones come in on the
// other, as they do before a lens; nothing is filled in and nothing wraps around.
//
// Where images are larger than what the model takes, a window has the model's size. Where they are of that size, it has Shift rows and columns
// fewer on each side and is stretched to it, bilinearly and always alike, so that the numbers are of an image a little enlarged.
// Source: Shifman, Weiss, "Lost in Translation: Modern Neural Networks Still Struggle With Small Realistic Image Transformations",
// arXiv 2404.07153.
type Translation struct {
	Shift      int `json:"shift"`      // pixels, at least 1; 1
	Directions int `json:"directions"` // 4 or 8; 8
}

var (
	_ Suite    = Translation{}
	_ Windowed = Translation{}
)

// Windowed is a suite that shows a model parts of larger images. Where all suites of an audit are, data may be larger than the model's input.
type Windowed interface {
	Suite
	Windows(data, subject []int) bool // whether windows of the subject's shape fit into images of the data's
}

// NewTranslation returns shifts by one pixel in eight directions.
func NewTranslation() Translation { return Translation{Shift: 1, Directions: 8} }

// Asks is the question.
func (Translation) Asks() string { return "do answers stay when the camera moves by a pixel?" }

// Needs are images, and a pass for the window in the middle and for each direction.
func (s Translation) Needs() Needs {
	return Needs{Tasks: []zoo.Task{zoo.Classify}, Images: true, Passes: 1 + s.Directions}
}

// Validate refuses shifts and directions that there are not.
func (s Translation) Validate() error {
	if s.Shift < 1 {
		return fmt.Errorf("shift is %d; use a number of pixels from 1", s.Shift)
	}
	if s.Directions != 4 && s.Directions != 8 {
		return fmt.Errorf("directions is %d; use 4 or 8", s.Directions)
	}
	return nil
}

// Windows is whether windows fit with room to move.
func (s Translation) Windows(data, subject []int) bool {
	return len(data) == 3 && len(subject) == 3 && data[2] == subject[2] &&
		data[0] >= subject[0]+2*s.Shift && data[1] >= subject[1]+2*s.Shift
}

// directions as (rows, columns), and what they are called.
var directions = []struct {
	name string
	by   [2]int
}{
	{"up", [2]int{-1, 0}}, {"down", [2]int{1, 0}}, {"left", [2]int{0, -1}}, {"right", [2]int{0, 1}},
	{"up-left", [2]int{-1, -1}}, {"up-right", [2]int{-1, 1}}, {"down-left", [2]int{1, -1}}, {"down-right", [2]int{1, 1}},
}

// Run measures.
func (s Translation) Run(ctx context.Context, a *Audit) (report.Section, error) {
	shape := a.Data.Info().Shape
	to := a.Subject.Shape()
	if to == nil {
		to = shape
	}
	window := []int{to[0], to[1], to[2]}
	if !s.Windows(shape, to) {
		window[0], window[1] = shape[0]-2*s.Shift, shape[1]-2*s.Shift
	}
	if window[0] < 1 || window[1] < 1 {
		return report.Section{}, errors.New("evaluate: translation: " + fmt.Sprintf("images of %d x %d have no window that moves by %d pixels; use a smaller shift",
			shape[0], shape[1], s.Shift))
	}

	n, shifts := a.Data.Len(), directions[:s.Directions]
	answers := make([]int32, n*(1+len(shifts)))
	for k := range 1 + len(shifts) {
		view := &windows{from: a.Data, window: window, to: to, row: (shape[0] - window[0]) / 2, col: (shape[1] - window[1]) / 2}
		if k > 0 {
			view.row += shifts[k-1].by[0] * s.Shift
			view.col += shifts[k-1].by[1] * s.Shift
		}
		out, err := a.Answers(ctx, view)
		if err != nil {
			return report.Section{}, err
		}
		classes := len(out) / max(n, 1)
		for i := range n {
			row := out[i*classes : (i+1)*classes]
			answers[i*(1+len(shifts))+k] = int32(slices.Index(row, slices.Max(row)))
		}
	}
	found, err := metric.Consistent(answers, a.Labels(), len(shifts))
	if err != nil {
		return report.Section{}, fmt.Errorf("evaluate: translation: %w", err)
	}
	return s.section(found, window, to), nil
}

// section is what is shown.
func (s Translation) section(found metric.ShiftConsistency, window, to []int) report.Section {
	pixels := "a pixel"
	if s.Shift > 1 {
		pixels = fmt.Sprintf("%d pixels", s.Shift)
	}
	number := func(name, title string, value float64, better metric.Better, means string) metric.Number {
		return metric.Number{Name: "translation." + name, Title: title, Value: value, Better: better, Unit: metric.Share, Means: means}
	}
	section := report.Section{
		Suite: "translation", Where: "when the camera moves by " + pixels,
		Says: fmt.Sprintf("the answers to %.1f %% of the images can be changed by moving the camera by %s", 100*found.Fooled, pixels),
		Numbers: []metric.Number{
			number("fooled", "answers that a shift changes", found.Fooled, metric.Lower, "share of images whose answer some shift changes"),
			number("consistency", "consistency under shifts", found.Consistency, metric.Higher, "share of images and shifts whose answer is that of the window in the middle"),
			number("acc", "accuracy in the middle", found.Accuracy, metric.Higher, "accuracy on the window in the middle of each image"),
			number("worst_acc", "accuracy under all shifts", found.WorstAccuracy, metric.Higher, "share of images answered right in the middle and under every shift"),
		},
		Main: []report.Main{{Number: "translation.fooled", As: "answers that a shift changes"}},
	}

	table := report.Table{
		Title: "consistency by direction", Cell: "translation.{row}.{column}",
		Columns: []report.Column{{Head: "consistency", Better: metric.Higher, Unit: metric.Share}},
	}
	for k, share := range found.ByShift {
		table.Rows = append(table.Rows, report.Row{Name: directions[k].name, Values: []float64{share}})
	}
	section.Tables = []report.Table{table}
	if window[0] != to[0] || window[1] != to[1] {
		section.Notes = []string{fmt.Sprintf("Images are as large as what the model takes, so windows of %d x %d pixels were stretched to %d x %d.",
			window[0], window[1], to[0], to[1])}
	}
	return section
}

// windows is a data set whose images are parts of those of another one.
type windows struct {
	from     data.Dataset
	window   []int // height, width, channels
	to       []int // to which it is stretched
	row, col int
}

func (w *windows) Info() data.Info {
	info := w.from.Info()
	info.Name, info.Shape, info.Checksum = fmt.Sprintf("%s at %d,%d", info.Name, w.row, w.col), w.to, ""
	return info
}

func (w *windows) Len() int          { return w.from.Len() }
func (w *windows) Label(i int) int32 { return w.from.Label(i) }

// View says what a window is of.
func (w *windows) View() (of data.Dataset, at func(i int) int) {
	return w.from, func(i int) int { return i }
}

func (w *windows) Read(i int, dst []float32) error {
	shape := w.from.Info().Shape
	whole := make([]float32, w.from.Info().Size())
	if err := w.from.Read(i, whole); err != nil {
		return err
	}
	channels := shape[2]
	stretched := w.window[0] != w.to[0] || w.window[1] != w.to[1]
	part := dst
	if stretched {
		part = make([]float32, w.window[0]*w.window[1]*channels)
	}
	for y := range w.window[0] {
		from := ((w.row+y)*shape[1] + w.col) * channels
		copy(part[y*w.window[1]*channels:(y+1)*w.window[1]*channels], whole[from:])
	}
	if !stretched {
		return nil
	}
	resized, err := preprocess.ResizeFloats(part, w.window[0], w.window[1], channels, w.to[0], w.to[1], preprocess.Bilinear)
	copy(dst, resized)
	return err
}
