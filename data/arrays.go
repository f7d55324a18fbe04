package data

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// arrayOptions are the options behind the name of arrays.
type arrayOptions struct {
	classes int     // 0 = the largest label and one
	layout  string  // nhwc or nchw; "" = found
	scale   float32 // that values are divided by, so that they are brightness in [0,1]; 0 = found
	part    string  // that the arrays are; "" = the whole
	name    string  // of the set; "" = made of the paths
}

// The two layouts of images.
const (
	nhwc = "nhwc"
	nchw = "nchw"
)

// parseArrayOptions reads classes=K, layout=nhwc or nchw, and values=0-1 or 0-255.
func parseArrayOptions(query string) (o arrayOptions, err error) {
	options, err := url.ParseQuery(query)
	if err != nil {
		return o, usage("data: options: %w", err)
	}
	for key, values := range options {
		value := values[0]
		switch {
		case key == "classes":
			if o.classes, err = strconv.Atoi(value); err != nil || o.classes < 2 || o.classes > 1<<20 {
				return o, usage("data: option %q is unknown; use classes=K with K at least 2", key+"="+value)
			}
		case key == "layout" && (value == nhwc || value == nchw):
			o.layout = value
		case key == "values" && value == "0-1":
			o.scale = 1
		case key == "values" && value == "0-255":
			o.scale = 255
		default:
			return o, usage("data: option %q is unknown; use classes=K with K at least 2, layout=nhwc or nchw, or values=0-1 or 0-255", key+"="+value)
		}
	}
	return o, nil
}

// arrayFile is the file of FILE.npz:NAME.
func arrayFile(path string) string {
	file, _ := npy.SplitName(path)
	return file
}

// OpenArrays opens a pair of .npy files: examples [n, ...] of any numeric type and labels [n], [n, 1] or rows of one 1 and zeros, of whole
// numbers from 0 to classes-1; 0 classes means the largest label and one. Either may be an array of an .npz file, FILE.npz:NAME.
//
// [n, height, width] is [n, height, width, 1]. Images [n, channels, height, width] of one or three channels are read as [height, width,
// channels]; Notes says so. Bytes count as brightness, value/255, and so do images of other types whose values all are in [0,1]; other values
// are taken as they are and refused when they are read if they are not finite.
func OpenArrays(xPath, yPath string, classes int) (Dataset, error) {
	return openPair(xPath, yPath, arrayOptions{classes: classes})
}

// What arrays of examples and of labels are called, in the order in which they are looked for.
var (
	exampleNames = []string{"images", "x", "X", "data", "features", "image", "examples", "inputs", "arr_0"}
	targetNames  = []string{"labels", "y", "Y", "targets", "label", "target", "arr_1"}
)

func openPair(xPath, yPath string, o arrayOptions) (Dataset, error) {
	x, xName, _, err := npy.OpenOne(xPath, exampleNames...)
	if err != nil {
		return nil, err
	}
	y, yName, _, err := npy.OpenOne(yPath, targetNames...)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	ds, err := openArrays(xPath, yPath, o, x, y)
	if err != nil {
		return nil, errors.Join(err, x.Close(), y.Close())
	}
	if xName != "" || yName != "" {
		ds.notes = slices.Insert(ds.notes, 1, Note{"arrays", fmt.Sprintf("examples %s, labels %s", orFile(xName, xPath), orFile(yName, yPath))})
	}
	return ds, y.Close() // the examples stay mapped for as long as the process lives
}

func orFile(name, path string) string {
	if name == "" {
		return filepath.Base(path)
	}
	return name
}

func openArrays(xPath, yPath string, o arrayOptions, x, y *npy.Array) (*arrays, error) {
	if len(x.Shape) < 2 || x.Rows() == 0 || x.RowLen() == 0 {
		return nil, &fault.Input{File: xPath, Err: fmt.Errorf("shape is %v", x.Shape), Fix: "give examples [n, ...] with at least one value each"}
	}
	labels, rows, err := readLabels(yPath, y, x)
	if err != nil {
		return nil, err
	}
	a := &arrays{x: x, labels: make([]int32, len(labels))}
	a.note("format", "arrays %s of %s and labels %s of %s", sides(x.Shape), x.DType, sides(y.Shape), y.DType)
	// More classes than examples are a mistake in the labels, not a data set.
	most, fix := max(len(labels), 2, rows), "number the classes from 0 on without gaps, or say how many there are: npy:X.npy,Y.npy?classes=K"
	classes := max(o.classes, rows)
	if o.classes > 0 {
		most, fix = o.classes, "correct the labels, or give another number of classes"
	}
	for i, label := range labels {
		if label < 0 || label >= int64(most) {
			return nil, &fault.Input{File: yPath, Field: "row " + strconv.Itoa(i), Err: fmt.Errorf("label is %d, outside 0 to %d", label, most-1), Fix: fix}
		}
		a.labels[i] = int32(label)
		classes = max(classes, int(label)+1, 2)
	}
	a.info = Info{Name: "npy:" + xPath + "," + yPath, Examples: x.Rows(), Origin: xPath}
	if o.name != "" {
		a.info.Name, a.info.Part = o.name, o.part
	}
	if err := a.understand(o); err != nil {
		return nil, err
	}
	for c := range classes {
		a.info.Classes = append(a.info.Classes, strconv.Itoa(c))
	}
	if rows > 0 {
		a.note("labels", "rows of one 1 and zeros: the place of the 1 is the label")
	}
	a.note("classes", "%d, numbered from 0", classes)

	sums := make([]string, 2)
	for i, path := range []string{xPath, yPath} {
		if err := hashFile(&sums[i], arrayFile(path)); err != nil {
			return nil, &fault.Input{File: path, Err: untrusted.Reason(err)}
		}
	}
	a.info.Checksum = derived(sums[0], sums[1])
	if _, name := npy.SplitName(xPath); name != "" || o.layout != "" || o.scale != 0 {
		_, of := npy.SplitName(yPath)
		a.info.Checksum = derived(a.info.Checksum, fmt.Sprint(name, " ", of, " ", o.layout, " ", o.scale))
	}
	return a, nil
}

// readLabels reads labels [n], with axes of 1 behind it or none, or rows of one 1 and zeros, whose length is then given too.
func readLabels(path string, y, x *npy.Array) (labels []int64, rows int, err error) {
	column := y.Shape
	for len(column) > 1 && column[len(column)-1] == 1 { // [n, 1]
		column = column[:len(column)-1]
	}
	if len(column) < 1 || len(column) > 2 || y.Rows() != x.Rows() {
		return nil, 0, &fault.Input{File: path, Err: fmt.Errorf("labels have shape %v, the examples %v", y.Shape, x.Shape), Fix: fmt.Sprintf("give %d labels in one axis", x.Rows())}
	}
	if labels, err = y.Int64s(); err != nil || len(column) == 1 {
		return labels, 0, err
	}
	rows = column[1]
	places := make([]int64, column[0])
	for i := range places {
		row, ones, place := labels[i*rows:(i+1)*rows], 0, 0
		for k, v := range row {
			if v == 1 {
				ones, place = ones+1, k
			} else if v != 0 {
				ones = 2
			}
		}
		if ones != 1 {
			return nil, 0, &fault.Input{
				File: path, Field: "row " + strconv.Itoa(i), Err: fmt.Errorf("labels have shape %v, and the row is not one 1 and zeros", y.Shape),
				Fix: "give the label's number, or rows of one 1 and zeros",
			}
		}
		places[i] = int64(place)
	}
	return places, rows, nil
}

// sides is a shape as people write it.
func sides(shape []int) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ", ") }

// understand finds layout and scale of the examples.
func (a *arrays) understand(o arrayOptions) error {
	shape := slices.Clone(a.x.Shape[1:])
	if len(shape) == 2 {
		shape = append(shape, 1)
	}
	colour := func(n int) bool { return n == 1 || n == 3 }
	images := len(a.x.Shape) == 4 || len(a.x.Shape) == 3
	switch {
	case o.layout != "" && len(shape) != 3:
		return &fault.Input{File: a.info.Origin, Err: fmt.Errorf("shape is %s, which are no images", sides(a.x.Shape)), Fix: "leave layout= out"}
	case o.layout == nchw, o.layout == "" && len(a.x.Shape) == 4 && colour(shape[0]) && !colour(shape[2]):
		a.planes = shape[0]
		shape = []int{shape[1], shape[2], shape[0]}
		a.note("layout", "[n, channels, height, width]: images are read as %dx%d with %d channels", shape[0], shape[1], shape[2])
	case len(a.x.Shape) == 3:
		a.note("layout", "[n, height, width]: images of one channel")
	case images && colour(shape[2]):
		a.note("layout", "[n, height, width, channels]")
	case len(shape) == 1:
		a.note("layout", "features [n, %d]", shape[0])
	}
	a.info.Shape = shape

	switch {
	case o.scale != 0:
		a.scale = o.scale
	case a.x.DType == npy.Uint8:
		a.scale = 255
		a.note("values", "bytes are brightness: value/255")
	case images && colour(shape[2]) && isFloat(a.x.DType):
		low, high, err := a.reach()
		switch {
		case err != nil:
			return err
		case low >= 0 && high <= 1:
			a.scale = 1
			a.note("values", "all are in [0,1]: brightness of images")
		case low >= 0 && high > 1 && high <= 255:
			a.note("values", "%v to %v, taken as they are; ?values=0-255 behind the name makes them brightness", low, high)
		default:
			a.note("values", "%v to %v, taken as they are", low, high)
		}
	}
	a.info.Images = a.scale != 0
	return nil
}

func isFloat(d npy.DType) bool {
	return d == npy.Float16 || d == npy.Float32 || d == npy.Float64 || d == npy.BFloat16
}

// reach is between what numbers the values of some examples lie, from all over the array.
func (a *arrays) reach() (low, high float32, err error) {
	const looked = 1 << 26
	n, size := a.x.Rows(), a.x.RowLen()
	rows := min(n, max(16, looked/size))
	low, high = float32(math.Inf(1)), float32(math.Inf(-1))
	row := make([]float32, size)
	for k := range rows {
		if err := a.x.ReadFloat32s(row, int(int64(k)*int64(n)/int64(rows))*size); err != nil {
			return 0, 0, err
		}
		for _, v := range row {
			if v != v { // Read says where
				return float32(math.Inf(-1)), float32(math.Inf(1)), nil
			}
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high, nil
}

type arrays struct {
	info   Info
	x      *npy.Array
	labels []int32
	scale  float32 // that values are divided by; 0 = they are no brightness
	planes int     // channels, where they come first; 0 = last
	notes  []Note
}

var _ Noted = (*arrays)(nil)

func (a *arrays) Info() Info        { return a.info }
func (a *arrays) Len() int          { return len(a.labels) }
func (a *arrays) Label(i int) int32 { return a.labels[i] }

// Notes are what the arrays were taken for.
func (a *arrays) Notes() []Note { return a.notes }

func (a *arrays) note(what, format string, args ...any) {
	a.notes = append(a.notes, Note{what, fmt.Sprintf(format, args...)})
}

func (a *arrays) Read(i int, dst []float32) error {
	row := dst
	if a.planes > 1 {
		row = make([]float32, len(dst))
	}
	if err := a.x.ReadFloat32s(row, i*len(dst)); err != nil {
		return err
	}
	for j, v := range row {
		if a.x.DType == npy.Uint8 {
			row[j] = v / 255
			continue
		}
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return &fault.Input{File: a.info.Origin, Field: fmt.Sprintf("row %d value %d", i, j), Err: fmt.Errorf("it is %v", v), Fix: "give finite numbers"}
		}
		if a.scale != 0 {
			row[j] = v / a.scale
			if row[j] < 0 || row[j] > 1 {
				return &fault.Input{
					File: a.info.Origin, Field: fmt.Sprintf("row %d value %d", i, j), Err: fmt.Errorf("it is %v, outside 0 to %v, and others are brightness", v, a.scale),
					Fix: "give images on one scale, or say which: ?values=0-1 or ?values=0-255",
				}
			}
		}
	}
	if a.planes > 1 {
		area := len(dst) / a.planes
		for c := range a.planes {
			for k, v := range row[c*area : (c+1)*area] {
				dst[k*a.planes+c] = v
			}
		}
	}
	return nil
}
