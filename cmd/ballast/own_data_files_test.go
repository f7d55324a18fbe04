package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/npy"
)

// digitNames are the classes of named.onnx.
var digitNames = strings.Fields("zero one two three four five six seven eight nine")

// ownData writes digits as people have their data:
//
//	own/digits       a folder for each of ten classes, with folders in it, hidden files and notes
//	own/labels.csv   a table of the same pictures
//	own/digits.npz   the same as an array, with labels of rows of one 1
//	own/digits-000.tar, -001.tar   the same as WebDataset's shards
//	own/torn         two classes of pictures of 8x8, one of them cut
//	own/owls         zero, three and owl, which is no digit
func ownData(dir string) error {
	set, err := data.Open("optdigits", "test")
	if err != nil {
		return err
	}
	own := filepath.Join(dir, "own")
	var (
		errs   []error
		table  = "path,label\n"
		seen   [10]int
		pixels []uint8
		labels []uint8
		shards [2]bytes.Buffer
		tars   = [2]*tar.Writer{tar.NewWriter(&shards[0]), tar.NewWriter(&shards[1])}
	)
	put := func(path string, content []byte) {
		full := filepath.Join(own, filepath.FromSlash(path))
		errs = append(errs, os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, content, 0o644))
	}
	for i := range set.Len() {
		class := set.Label(i)
		if seen[class] == 8 {
			continue
		}
		x := make([]float32, 64)
		errs = append(errs, set.Read(i, x))
		n := seen[class]
		seen[class]++

		path := fmt.Sprintf("%s/%03d.png", digitNames[class], n)
		if n%2 == 1 {
			path = fmt.Sprintf("%s/scans/%03d.png", digitNames[class], n)
		}
		large, small := digitPicture(x, 2), digitPicture(x, 1)
		put("digits/"+path, large)
		table += "digits/" + path + "," + digitNames[class] + "\n"
		for _, v := range x {
			pixels = append(pixels, uint8(math.Round(float64(v)*255)))
		}
		row := make([]uint8, 10)
		row[class] = 1
		labels = append(labels, row...)
		w := tars[n%2]
		for name, content := range map[string][]byte{".png": large, ".cls": []byte(fmt.Sprint(class))} {
			errs = append(errs, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%d-%03d%s", class, n, name), Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(content))}))
			_, err := w.Write(content)
			errs = append(errs, err)
		}
		switch {
		case class < 2 && n < 2, class == 1 && n == 2:
			put(fmt.Sprintf("torn/%s/%d.png", digitNames[class], n), small)
		case class == 3 && n < 2:
			put(fmt.Sprintf("owls/three/%d.png", n), small)
		case class == 4 && n == 0:
			put("owls/owl/0.png", small)
		}
		if class == 0 && n == 0 {
			put("owls/zero/0.png", small)
		}
		if class == 1 && n == 2 {
			put("torn/one/2.png", small[:len(small)-20])
		}
	}
	put("labels.csv", []byte(table))
	put("digits/zero/.DS_Store", nil)
	put("digits/one/notes.txt", []byte("scanned in May"))
	member := func(name string, shape []int, values []uint8) npy.Member {
		return npy.Member{Name: name, DType: npy.Uint8, Shape: shape, Open: func() (io.Reader, error) { return bytes.NewReader(values), nil }}
	}
	n := len(labels) / 10
	errs = append(errs, npy.WriteArchiveFile(filepath.Join(own, "digits.npz"), []npy.Member{member("x", []int{n, 8, 8}, pixels), member("y", []int{n, 10}, labels)}, true))
	for i, w := range tars {
		errs = append(errs, w.Close())
		put(fmt.Sprintf("digits-%03d.tar", i), shards[i].Bytes())
	}
	return errors.Join(errs...)
}

// digitPicture is a digit of 8x8 as a PNG, each pixel enlarged.
func digitPicture(x []float32, zoom int) []byte {
	img := image.NewGray(image.Rect(0, 0, 8*zoom, 8*zoom))
	for k := range img.Pix {
		row, column := k/(8*zoom)/zoom, k%(8*zoom)/zoom
		img.Pix[k] = byte(math.Round(float64(x[8*row+column]) * 255))
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
