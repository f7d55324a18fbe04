package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/fault"
)

// OpenArrays opens a pair of .npy files: examples [n, ...] of any numeric type and labels [n] of whole numbers from 0 on.
// Bytes count as brightness, value/255; other types are taken as they are. [n, height, width] is [n, height, width, 1].
func OpenArrays(xPath, yPath string) (Dataset, error) {
	x, err := npy.Open(xPath)
	if err != nil {
		return nil, err
	}
	y, err := npy.Open(yPath)
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	ds, err := openArrays(xPath, yPath, x, y)
	if err != nil {
		return nil, errors.Join(err, x.Close(), y.Close())
	}
	return ds, y.Close() // the examples stay mapped for as long as the process lives
}

func openArrays(xPath, yPath string, x, y *npy.Array) (Dataset, error) {
	if len(x.Shape) < 2 || x.Rows() == 0 || x.RowLen() == 0 {
		return nil, &fault.Input{File: xPath, Err: fmt.Errorf("shape is %v", x.Shape), Mend: "give examples [n, ...] with at least one value each"}
	}
	if len(y.Shape) != 1 || y.Rows() != x.Rows() {
		return nil, &fault.Input{File: yPath, Err: fmt.Errorf("labels have shape %v, the examples %v", y.Shape, x.Shape), Mend: fmt.Sprintf("give %d labels in one axis", x.Rows())}
	}
	labels, err := y.Int64s()
	if err != nil {
		return nil, err
	}
	a := &arrays{x: x, labels: make([]int32, len(labels))}
	const most = 1 << 20
	classes := 2
	for i, label := range labels {
		if label < 0 || label >= most {
			return nil, &fault.Input{File: yPath, Field: "row " + strconv.Itoa(i), Err: fmt.Errorf("label is %d", label), Mend: "number the classes from 0 on"}
		}
		a.labels[i] = int32(label)
		classes = max(classes, int(label)+1)
	}
	shape := x.Shape[1:]
	if len(shape) == 2 {
		shape = []int{shape[0], shape[1], 1}
	}
	a.info = Info{Name: "npy:" + xPath + "," + yPath, Examples: x.Rows(), Shape: shape, Origin: xPath, Images: x.DType == npy.Uint8}
	for c := range classes {
		a.info.Classes = append(a.info.Classes, strconv.Itoa(c))
	}
	h := sha256.New()
	for _, path := range []string{xPath, yPath} {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("data: %s: %w", path, err)
		}
	}
	a.info.Checksum = hex.EncodeToString(h.Sum(nil))
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
	if a.info.Images {
		for j := range dst {
			dst[j] /= 255
		}
	}
	return nil
}
