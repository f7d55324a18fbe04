package data

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// OpenArrays opens a pair of .npy files: examples [n, ...] of any numeric type and labels [n] of whole numbers from 0 to
// classes-1; 0 classes means the largest label and one. Bytes count as brightness, value/255; other types are taken as they are
// and refused when they are read if they are not finite. [n, height, width] is [n, height, width, 1].
func OpenArrays(xPath, yPath string, classes int) (Dataset, error) {
	x, err := npy.Open(xPath)
	if err != nil {
		return nil, err
	}
	y, err := npy.Open(yPath)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	ds, err := openArrays(xPath, yPath, classes, x, y)
	if err != nil {
		return nil, errors.Join(err, x.Close(), y.Close())
	}
	return ds, y.Close() // the examples stay mapped for as long as the process lives
}

func openArrays(xPath, yPath string, classes int, x, y *npy.Array) (Dataset, error) {
	if len(x.Shape) < 2 || x.Rows() == 0 || x.RowLen() == 0 {
		return nil, &fault.Input{File: xPath, Err: fmt.Errorf("shape is %v", x.Shape), Fix: "give examples [n, ...] with at least one value each"}
	}
	column := y.Shape
	for len(column) > 1 && column[len(column)-1] == 1 { // [n, 1]
		column = column[:len(column)-1]
	}
	if len(column) != 1 || y.Rows() != x.Rows() {
		return nil, &fault.Input{File: yPath, Err: fmt.Errorf("labels have shape %v, the examples %v", y.Shape, x.Shape), Fix: fmt.Sprintf("give %d labels in one axis", x.Rows())}
	}
	labels, err := y.Int64s()
	if err != nil {
		return nil, err
	}
	a := &arrays{x: x, labels: make([]int32, len(labels))}
	// More classes than examples are a mistake in the labels, not a data set.
	most, fix := max(len(labels), 2), "number the classes from 0 on without gaps, or say how many there are: npy:X.npy,Y.npy?classes=K"
	if classes > 0 {
		most, fix = classes, "correct the labels, or give another number of classes"
	}
	for i, label := range labels {
		if label < 0 || label >= int64(most) {
			return nil, &fault.Input{File: yPath, Field: "row " + strconv.Itoa(i), Err: fmt.Errorf("label is %d, outside 0 to %d", label, most-1), Fix: fix}
		}
		a.labels[i] = int32(label)
		classes = max(classes, int(label)+1, 2)
	}
	shape := x.Shape[1:]
	if len(shape) == 2 {
		shape = []int{shape[0], shape[1], 1}
	}
	a.info = Info{Name: "npy:" + xPath + "," + yPath, Examples: x.Rows(), Shape: shape, Origin: xPath, Images: x.DType == npy.Uint8}
	for c := range classes {
		a.info.Classes = append(a.info.Classes, strconv.Itoa(c))
	}
	sums := make([]string, 2)
	for i, path := range []string{xPath, yPath} {
		if err := hashFile(&sums[i], path); err != nil {
			return nil, &fault.Input{File: path, Err: untrusted.Reason(err)}
		}
	}
	a.info.Checksum = derived(sums[0], sums[1])
	return a, nil
}

type arrays struct {
	info   Info
	x      *npy.Array
	labels []int32
}

func (a *arrays) Info() Info        { return a.info }
func (a *arrays) Len() int          { return len(a.labels) }
func (a *arrays) Label(i int) int32 { return a.labels[i] }

func (a *arrays) Read(i int, dst []float32) error {
	if err := a.x.ReadFloat32s(dst, i*len(dst)); err != nil {
		return err
	}
	for j, v := range dst {
		if a.info.Images {
			dst[j] = v / 255
		} else if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return &fault.Input{File: a.info.Origin, Field: fmt.Sprintf("row %d value %d", i, j), Err: fmt.Errorf("it is %v", v), Fix: "give finite numbers"}
		}
	}
	return nil
}
