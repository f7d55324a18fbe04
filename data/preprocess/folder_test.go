package preprocess_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
)

// benchPictures is a folder of JPEG files of 500x375 pixels in two classes, as photos of ImageNet are; BALLAST_BENCH_PICTURES names another,
// such as the one that bench/peers/folder.py has measured Pillow on.
func benchPictures(b *testing.B) string {
	if dir := os.Getenv("BALLAST_BENCH_PICTURES"); dir != "" {
		return dir
	}
	dir := b.TempDir()
	for i := range 64 {
		img := image.NewRGBA(image.Rect(0, 0, 500, 375))
		for y := range 375 {
			for x := range 500 {
				wave := 60*math.Sin(float64(x*(i+3))/70) + 60*math.Cos(float64(y*(i+2))/50) + float64((x*x+y*y*3+x*y*i)%31)
				img.Set(x, y, color.RGBA{uint8(120 + wave), uint8(130 + wave/2), uint8(110 - wave/2), 255})
			}
		}
		path := filepath.Join(dir, fmt.Sprint(i%2), fmt.Sprintf("%03d.jpg", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(jpeg.Encode(f, img, &jpeg.Options{Quality: 90}), f.Close()); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkFolder reads a folder of photos as a network of 224x224 takes them: decoded, resized to 256, cut to the middle.
func BenchmarkFolder(b *testing.B) {
	folder, err := data.Open(benchPictures(b), "all")
	if err != nil {
		b.Fatal(err)
	}
	p, err := preprocess.New("imagenet")
	if err != nil {
		b.Fatal(err)
	}
	for _, cores := range []int{1, 2} {
		b.Run(fmt.Sprintf("cores=%d", cores), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			read := 0
			for b.Loop() {
				ds, err := p.Images(folder, preprocess.Target{Height: 224, Width: 224, Channels: 3}) // anew: it remembers what it has read
				if err != nil {
					b.Fatal(err)
				}
				r := data.NewReader(ds, data.Order(ds.Len(), 1, 0), 32, cores, false)
				for {
					batch, err := r.Next(b.Context())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					read += batch.N
					r.Recycle(batch)
				}
				r.Close()
			}
			b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "pictures/s")
		})
	}
}
