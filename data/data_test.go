package data_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
)

// TestOptdigits compares the checksums written in the source with the contents, and the split with its description.
func TestOptdigits(t *testing.T) {
	seen := map[int32]bool{}
	for part, n := range map[string]int{"train": 1280, "test": 517, "all": 1797} {
		ds, err := data.Open("optdigits", part)
		if err != nil {
			t.Fatal(err)
		}
		sum, err := data.Checksum(ds)
		if err != nil || ds.Len() != n || sum != ds.Info().Checksum {
			t.Errorf("%s: %d examples, checksum %s, %v; want %d and %s", part, ds.Len(), sum, err, n, ds.Info().Checksum)
		}
		if part == "all" {
			continue
		}
		for i := range ds.Len() {
			index := ds.(data.Indexed).StableIndex(i)
			if seen[index] {
				t.Fatalf("example %d is in both parts", index)
			}
			seen[index] = true
		}
	}
}

// TestNamedSetsThatAreHere does the same for the downloaded sets, where they are.
func TestNamedSetsThatAreHere(t *testing.T) {
	for name, mean := range map[string]float64{"mnist": 0.13066, "fashion-mnist": 0.28604} {
		ds, err := data.Open(name, "train")
		if err != nil {
			t.Logf("without %s: %v", name, err)
			continue
		}
		sum := 0.0
		for _, b := range ds.(data.Byted).Bytes() {
			sum += float64(b) / 255
		}
		if got := sum / float64(60000*784); ds.Len() != 60000 || math.Abs(got-mean) > 1e-5 {
			t.Errorf("%s: %d examples of mean %v, want 60000 of %v", name, ds.Len(), got, mean)
		}
		if checksum, err := data.Checksum(ds); err != nil || checksum != ds.Info().Checksum {
			t.Errorf("%s: checksum %s, %v; want %s", name, checksum, err, ds.Info().Checksum)
		}
	}
}

func TestOrderIsAPermutationAndStaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, seed, epoch := rapid.IntRange(0, 300).Draw(t, "n"), rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 9).Draw(t, "epoch")
		order := data.Order(n, seed, epoch)
		sorted := slices.Sorted(slices.Values(order))
		for i, v := range sorted {
			if int(v) != i {
				t.Fatalf("no permutation: %v", order)
			}
		}
	})
	// Written down once: another order would make other models from the same seed.
	if got := fmt.Sprint(data.Order(8, 1, 0), data.Order(8, 1, 1), data.Order(8, 2, 0)); got != orders {
		t.Errorf("got %s, want %s", got, orders)
	}
}

const orders = "[1 0 7 3 5 4 2 6] [6 5 4 2 1 7 0 3] [7 5 1 3 6 2 0 4]"

func TestReaderGivesTheSameWhateverTheWorkers(t *testing.T) {
	ds, err := data.Open("optdigits", "test")
	if err != nil {
		t.Fatal(err)
	}
	order := data.Order(ds.Len(), 3, 0)
	collect := func(workers int, dropLast bool) (index []int32, sum float64, batches int) {
		r := data.NewReader(ds, order, 32, workers, dropLast)
		defer r.Close()
		for {
			b, err := r.Next(t.Context())
			if errors.Is(err, io.EOF) {
				return index, sum, batches
			}
			if err != nil {
				t.Fatal(err)
			}
			index = append(index, b.Index...)
			for i, v := range b.X {
				sum += float64(v) * float64(i%7)
			}
			batches++
			r.Recycle(b)
		}
	}
	index, sum, batches := collect(1, false)
	if len(index) != 517 || batches != 17 {
		t.Errorf("%d examples in %d batches", len(index), batches)
	}
	for _, workers := range []int{2, 7} {
		i, s, _ := collect(workers, false)
		if !slices.Equal(i, index) || s != sum {
			t.Errorf("%d workers give other batches", workers)
		}
	}
	if i, _, n := collect(3, true); len(i) != 512 || n != 16 {
		t.Errorf("dropLast gives %d examples in %d batches", len(i), n)
	}
	r := data.NewReader(ds, order, 32, 3, false)
	if _, err := r.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Close() // does not hang with batches left
}

func TestSplits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, classes := rapid.IntRange(2, 200).Draw(t, "n"), rapid.IntRange(1, 6).Draw(t, "classes")
		fraction, seed := rapid.Float64Range(0, 0.99).Draw(t, "fraction"), rapid.Uint64().Draw(t, "seed")
		labels := make([]int32, n)
		count := map[int32]int{}
		for i := range labels {
			labels[i] = int32(rapid.IntRange(0, classes-1).Draw(t, "label"))
			count[labels[i]]++
		}
		cover := func(parts ...[]int32) {
			all := slices.Sorted(slices.Values(slices.Concat(parts...)))
			for i, v := range all {
				if len(all) != n || int(v) != i {
					t.Fatalf("parts do not cover: %v", parts)
				}
			}
		}
		rest, held, err := data.Holdout(n, fraction, seed)
		if err != nil {
			t.Fatal(err)
		}
		cover(rest, held)
		rest, held, err = data.Stratified(labels, fraction, seed)
		if err != nil {
			t.Fatal(err)
		}
		cover(rest, held)
		got := map[int32]int{}
		for _, i := range held {
			got[labels[i]]++
		}
		for class, k := range count {
			if d := float64(got[class]) - fraction*float64(k); math.Abs(d) >= 1+1e-9 {
				t.Fatalf("class %d gives %d of %d at fraction %v", class, got[class], k, fraction)
			}
		}
		k := rapid.IntRange(2, n).Draw(t, "k")
		folds, err := data.Folds(n, k, seed)
		if err != nil {
			t.Fatal(err)
		}
		cover(folds...)
		for _, f := range folds {
			if len(f) < n/k || len(f) > n/k+1 {
				t.Fatalf("a fold of %d has %d examples", n, len(f))
			}
		}
	})
}

func TestNoise(t *testing.T) {
	labels := make([]int32, 1000)
	for i := range labels {
		labels[i] = int32(i % 10)
	}
	for name, f := range map[string]func([]int32, int, float64, uint64) ([]int32, []int32, error){"symmetric": data.SymmetricNoise, "pair": data.PairNoise} {
		noisy, flipped, err := f(labels, 10, 0.3, 1)
		if err != nil || len(flipped) != 300 {
			t.Fatalf("%s: %d flipped, %v", name, len(flipped), err)
		}
		to := map[int32]int{}
		for i := range labels {
			if wrong := noisy[i] != labels[i]; wrong != slices.Contains(flipped, int32(i)) {
				t.Fatalf("%s: example %d", name, i)
			} else if wrong {
				to[(noisy[i]-labels[i]+10)%10]++
			}
		}
		if name == "pair" && to[1] != 300 || name == "symmetric" && len(to) != 9 {
			t.Errorf("%s: distances %v", name, to)
		}
		if _, _, err := f([]int32{3}, 3, 0.5, 1); err == nil || !strings.Contains(err.Error(), "label 3 of example 0 is outside 0 to 2") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, _, err := f(labels, 10, 1.5, 1); err == nil {
			t.Errorf("%s: a rate of 1.5 passed", name)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	put := func(path string, shade uint8, size int) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		img := image.NewGray(image.Rect(0, 0, size, size))
		for i := range img.Pix {
			img.Pix[i] = shade
		}
		img.SetGray(0, 0, color.Gray{Y: 255})
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	put("dog/1.png", 0, 4)
	put("cat/1.png", 51, 4)
	put("cat/2.png", 102, 4)
	ds, err := data.Open("dir:"+dir, "all")
	if err != nil {
		t.Fatal(err)
	}
	if info := ds.Info(); ds.Len() != 3 || fmt.Sprint(info.Classes, info.Shape) != "[cat dog] [4 4 1]" || ds.Label(2) != 1 || !info.Images {
		t.Errorf("got %+v", info)
	}
	x := make([]float32, 16)
	if err := ds.Read(1, x); err != nil || x[0] != 1 || x[1] != 0.4 {
		t.Errorf("got %v, %v", x, err)
	}
	fails := func(name, want string) {
		t.Helper()
		ds, err := data.Open(name, "all")
		for i := 0; err == nil && i < ds.Len(); i++ {
			err = ds.Read(i, make([]float32, ds.Info().Size()))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	put("cat/3.png", 0, 6)
	fails("dir:"+dir, "3.png: it has 6x6 pixels, the first image 4x4; add ?size=")
	if ds, err = data.Open("dir:"+dir+"?size=8x2&channels=3", "all"); err != nil || fmt.Sprint(ds.Info().Shape) != "[8 2 3]" || ds.Read(2, make([]float32, 48)) != nil {
		t.Errorf("resized: %v", err)
	}
	fails("dir:"+dir+"?size=8", "write HEIGHTxWIDTH")
	fails("dir:"+dir+"?colour=yes", "option colour=yes is unknown")
	fails("dir:"+dir+"/cat", "put the images into one sub-folder per class")
	fails("dir:"+dir+"/nowhere", "nowhere")
	if err := os.WriteFile(filepath.Join(dir, "dog", "2.png"), []byte("no image"), 0o644); err != nil {
		t.Fatal(err)
	}
	fails("dir:"+dir+"?size=4x4", "2.png: not a readable image")
	if err := os.Mkdir(filepath.Join(dir, "eel"), 0o755); err != nil {
		t.Fatal(err)
	}
	fails("dir:"+dir, "eel: no image in it (PNG, JPEG, GIF, BMP, TIFF and WebP are read)")
}

func TestArrays(t *testing.T) {
	dir := t.TempDir()
	x, y := filepath.Join(dir, "x.npy"), filepath.Join(dir, "y.npy")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(npy.WriteFile(x, []int{2, 2, 2}, []uint8{0, 51, 102, 255, 1, 2, 3, 4}))
	must(npy.WriteFile(y, []int{2}, []int64{1, 0}))
	ds, err := data.Open("npy:"+x+","+y, "train")
	must(err)
	row := make([]float32, 4)
	must(ds.Read(0, row))
	if info := ds.Info(); fmt.Sprint(info.Shape, ds.Label(0), row) != "[2 2 1] 1 [0 0.2 0.4 1]" || !info.Images {
		t.Errorf("got %+v %v", info, row)
	}
	for want, labels := range map[string][]int64{"row 1: label is -1": {0, -1}, "labels have shape": {0}} {
		must(npy.WriteFile(y, []int{len(labels)}, labels))
		var bad *fault.Input
		if _, err := data.Open("npy:"+x+","+y, "train"); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := data.Open("npy:"+x, "train"); err == nil || !strings.Contains(err.Error(), "npy:X.npy,Y.npy") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, want := range map[string]string{"opdigits": `did you mean "optdigits"?`, "imagenet": "there are optdigits, mnist, fashion-mnist"} {
		var usage *fault.Usage
		if _, err := data.Open(name, "train"); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	if _, err := data.Open("optdigits", "validation"); err == nil || !strings.Contains(err.Error(), "use train, test or all") {
		t.Errorf("got %v", err)
	}
	t.Setenv(engine.EnvHome, t.TempDir())
	if _, err := data.Open("mnist", "train"); err == nil || !strings.Contains(err.Error(), `run "ballast data get mnist"`) {
		t.Errorf("got %v", err)
	}
}

func ExampleOrder() {
	fmt.Println(data.Order(5, 1, 0), data.Order(5, 1, 1))
	// Output: [0 4 2 1 3] [4 3 1 0 2]
}
