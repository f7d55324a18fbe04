package corrupt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
)

// photo is an image of bytes with soft and hard edges, made of whole numbers.
func photo(shape []int) []float32 {
	x := make([]float32, shape[0]*shape[1]*shape[2])
	for i := range x {
		c, at := i%shape[2], i/shape[2]
		y, column := at/shape[1], at%shape[1]
		v := (5*y + 3*column + 40*c) % 256
		if (y/4+column/5)%3 == 0 {
			v = (v + 128) % 256
		}
		x[i] = float32(v) / 255
	}
	return x
}

// TestTablesAreTheSameEverywhere pins what every shift of the tables makes of two images, in bytes. The numbers were written down once; a
// machine that gives others computes differently.
func TestTablesAreTheSameEverywhere(t *testing.T) {
	for _, name := range []string{corrupt.ImageNetC, corrupt.CIFARC} {
		table, err := corrupt.FindTable(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range table.All() {
			h := sha256.New()
			for _, shape := range [][]int{{16, 16, 1}, {33, 33, 3}} {
				src := photo(shape)
				dst := make([]float32, len(src))
				for severity := 1; severity <= corrupt.Severities; severity++ {
					s.Apply(dst, src, shape, severity, 5, severity)
					for _, v := range dst {
						b := float64(v) * 255
						if !(v >= 0 && v <= 1) || math.Abs(b-math.Round(b)) > 1e-4 {
							t.Fatalf("%s: value %v is not a byte", s.Name(), v)
						}
						h.Write([]byte{byte(math.Round(b))})
					}
				}
			}
			if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != pinnedTables[name+"/"+s.Name()] {
				t.Errorf("%q: %q,", name+"/"+s.Name(), got)
			}
		}
	}
}

var pinnedTables = map[string]string{
	"imagenet-c/gaussian-noise": "594084f91a9abbab",
	"imagenet-c/shot-noise":     "b3fea5ee3fae8bf9",
	"imagenet-c/impulse-noise":  "74721d57d9087118",
	"imagenet-c/defocus-blur":   "3071097da2346e5e",
	"imagenet-c/glass-blur":     "7abd8f797c612bf0",
	"imagenet-c/motion-blur":    "58e531629eea2f72",
	"imagenet-c/zoom-blur":      "78fa9b23e467d42d",
	"imagenet-c/snow":           "5cdd7283390511aa",
	"imagenet-c/frost":          "dacb74bf957df552",
	"imagenet-c/fog":            "61158f5de9f3d801",
	"imagenet-c/brightness":     "e1aa7ff0483ab74c",
	"imagenet-c/contrast":       "9a5c57442f2eb11f",
	"imagenet-c/elastic":        "d2de08d601fa583c",
	"imagenet-c/pixelate":       "a8059f4a7b9a25ff",
	"imagenet-c/jpeg":           "3e40139112520cab",
	"imagenet-c/speckle-noise":  "365e326890f6a2e0",
	"imagenet-c/gaussian-blur":  "e066140a70f75268",
	"imagenet-c/saturate":       "870c98b0ebbb100a",
	"cifar-c/gaussian-noise":    "33df39e430e9edb7",
	"cifar-c/shot-noise":        "d769117dcc5af7ea",
	"cifar-c/impulse-noise":     "6ad2149ac7f40411",
	"cifar-c/defocus-blur":      "37bd56bef5743da2",
	"cifar-c/glass-blur":        "651c41c7ed94f383",
	"cifar-c/motion-blur":       "2ec5fd79de1d2580",
	"cifar-c/zoom-blur":         "82bf9e73757c3f0c",
	"cifar-c/snow":              "88b91c5cdf334979",
	"cifar-c/frost":             "1a080c212c9bec6e",
	"cifar-c/fog":               "e66fa700ec93f75d",
	"cifar-c/brightness":        "b96f9414234c5686",
	"cifar-c/contrast":          "8c4359dd7ee57386",
	"cifar-c/elastic":           "3e7a00d7d71f2924",
	"cifar-c/pixelate":          "ffd3b4dcbf0c181a",
	"cifar-c/jpeg":              "058dedf6053ffd2d",
	"cifar-c/speckle-noise":     "0fc8e0f033cc60ef",
	"cifar-c/gaussian-blur":     "113f4a286658100a",
	"cifar-c/saturate":          "77524876253e6400",
}

// TestValuesAreTheSameEverywhere pins the float32 of every shift before it is cut to bytes, to the last bit.
func TestValuesAreTheSameEverywhere(t *testing.T) {
	table, err := corrupt.FindTable(corrupt.ImageNetC)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	shape := []int{24, 24, 3}
	src := photo(shape)
	dst := make([]float32, len(src))
	for _, s := range table.All() {
		for severity := 1; severity <= corrupt.Severities; severity++ {
			s.(corrupt.Quantized).Shift.Apply(dst, src, shape, severity, 9, 4)
			_ = binary.Write(h, binary.LittleEndian, dst)
		}
	}
	if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != pinnedValues {
		t.Errorf("got %s, want %s", got, pinnedValues)
	}
}

const pinnedValues = "d7f84be52791aa9b"

// TestLaws: every shift keeps [0,1], repeats itself, does not change its input, gives an image the same alone and in a batch, and leaves a
// black and a white image nearly alone where it only moves pixels.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := corrupt.Tables()
		shifts := slices.Concat(tables[1].All(), tables[2].All())
		s := rapid.SampledFrom(shifts).Draw(t, "shift")
		if rapid.Bool().Draw(t, "unrounded") {
			s = s.(corrupt.Quantized).Shift
		}
		side := rapid.IntRange(11, 40).Draw(t, "side")
		shape := []int{side, side, rapid.SampledFrom([]int{1, 2, 3, 4}).Draw(t, "channels")}
		severity := rapid.IntRange(1, 5).Draw(t, "severity")
		size := shape[0] * shape[1] * shape[2]
		src := make([]float32, 2*size)
		whole := rapid.Bool().Draw(t, "bytes")
		for i := range src {
			src[i] = float32((i*7919)%1009) / 1008
			if whole {
				src[i] = float32((i*7919)%256) / 255
			}
		}
		before := slices.Clone(src)
		together, alone := make([]float32, 2*size), make([]float32, size)
		if err := corrupt.Batch(together, src, shape, s, severity, 3, []int{7, 11}); err != nil {
			t.Fatal(err)
		}
		s.Apply(alone, src[size:], shape, severity, 3, 11)
		if !slices.Equal(alone, together[size:]) || !slices.Equal(src, before) {
			t.Fatalf("%s: alone and in a batch differ, or the input changed", s.Name())
		}
		for i, v := range together {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("%s: value %d is %v", s.Name(), i, v)
			}
		}
	})
}

// TestSizes: what is not square or smaller than a kernel is either shifted or refused with the reason, never a panic.
func TestSizes(t *testing.T) {
	for _, table := range corrupt.Tables() {
		for _, s := range table.All() {
			for _, shape := range [][]int{{1, 1, 1}, {1, 1, 3}, {2, 9, 3}, {9, 2, 1}, {13, 21, 3}, {30, 12, 1}, {64, 9, 3}} {
				src := photo(shape)
				dst := make([]float32, len(src))
				err := corrupt.Fits(s, shape)
				if got := corrupt.Batch(dst, src, shape, s, 5, 1, nil); fmt.Sprint(got) != fmt.Sprint(err) {
					t.Errorf("%s of %v: Batch says %v, Fits %v", s.Name(), shape, got, err)
				}
				may := s.Name() == "zoom-blur" && shape[0] != shape[1] || s.Name() == "defocus-blur" && min(shape[0], shape[1]) <= 10
				if err != nil && !may {
					t.Errorf("%s of %v: %v", s.Name(), shape, err)
				}
			}
		}
	}
	for shift, want := range map[string]string{
		"zoom-blur":    "images are 13x21; it needs square ones",
		"defocus-blur": "images are 8x8; its kernel reaches 10 pixels, so it needs 11 or more each way",
	} {
		s, err := corrupt.Find(shift)
		if err != nil {
			t.Fatal(err)
		}
		shape := map[string][]int{"zoom-blur": {13, 21, 3}, "defocus-blur": {8, 8, 1}}[shift]
		var usage *fault.Usage
		if err := corrupt.Fits(s, shape); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", shift, err)
		}
	}
}

func TestFindInTables(t *testing.T) {
	table, err := corrupt.FindTable("cifar-c")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"jpeg", "jpeg_compression", "jpeg-compression"} {
		if s, err := table.Find(name); err != nil || s.Name() != "jpeg" {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if len(table.Shifts) != 15 || len(table.Extra) != 3 || len(corrupt.Names()) != 19 {
		t.Errorf("%d, %d, %d", len(table.Shifts), len(table.Extra), len(corrupt.Names()))
	}
	if s, err := corrupt.Find("cifar-c/fog"); err != nil || fmt.Sprintf("%T", s) != "corrupt.Quantized" {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := corrupt.Find("contrast"); err != nil || fmt.Sprintf("%T", s) != "corrupt.Contrast" { // as it has always been
		t.Errorf("%v, %v", s, err)
	}
	for call, want := range map[string]string{
		"fogg":            `no shift "fogg"; did you mean "fog"?`,
		"cifar/fog":       `no table "cifar"; did you mean "cifar-c"?`,
		"cifar-c/snwo":    `did you mean "snow"?`,
		"ballast/fog":     `the table ballast has no shift "fog"; imagenet-c and cifar-c have it`,
		"imagenet-c/xyzw": "there are gaussian-noise, shot-noise",
	} {
		var usage *fault.Usage
		if _, err := corrupt.Find(call); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", call, err)
		}
	}
	if err := corrupt.Batch(nil, nil, []int{9, 9, 1}, corrupt.ShotNoise{Levels: []float64{1, 2}}, 1, 0, nil); err == nil || !strings.Contains(err.Error(), "there are 2 levels") {
		t.Errorf("got %v", err)
	}
}

// TestNoisesHaveTheirMoments: shot noise of a flat image has the mean and the variance of a Poisson, impulses their share, speckle its
// deviation.
func TestNoisesHaveTheirMoments(t *testing.T) {
	shape := []int{300, 300, 1}
	flat := func(v float32) []float32 { return slices.Repeat([]float32{v}, 90000) }
	moments := func(s corrupt.Shift, v float32, severity int) (mean, variance float64) {
		dst := make([]float32, 90000)
		s.Apply(dst, flat(v), shape, severity, 3, 0)
		for _, y := range dst {
			mean += float64(y) / 90000
		}
		for _, y := range dst {
			variance += (float64(y) - mean) * (float64(y) - mean) / 90000
		}
		return mean, variance
	}
	near := func(what string, got, want, within float64) {
		t.Helper()
		if math.Abs(got-want) > within {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	for _, v := range []float32{51. / 255, 0.2001} { // a byte, and none
		for severity, c := range []float64{60, 25, 12} {
			mean, variance := moments(corrupt.ShotNoise{}, v, severity+1)
			near("mean of counts", mean*c, float64(v)*c, 0.05)
			near("variance of counts", variance*c*c, float64(v)*c, 0.02*float64(v)*c)
		}
	}
	mean, _ := moments(corrupt.ShotNoise{}, 0, 1)
	near("counts of black", mean, 0, 0)
	if mean, variance := moments(corrupt.SpeckleNoise{}, 0.5, 1); math.Abs(mean-0.5) > 0.001 || math.Abs(math.Sqrt(variance)-0.075) > 0.001 {
		t.Errorf("speckle has mean %v and deviation %v", mean, math.Sqrt(variance))
	}
	dst := make([]float32, 90000)
	corrupt.ImpulseNoise{}.Apply(dst, flat(0.5), shape, 5, 1, 0)
	salt, pepper := 0, 0
	for _, y := range dst {
		switch y {
		case 1:
			salt++
		case 0:
			pepper++
		}
	}
	near("share of salt", float64(salt)/90000, 0.135, 0.004)
	near("share of pepper", float64(pepper)/90000, 0.135, 0.004)
}

// TestBlursKeepAFlatImage, and spread a point over their kernel.
func TestBlursKeepAFlatImage(t *testing.T) {
	shape := []int{40, 40, 3}
	for _, s := range []corrupt.Shift{corrupt.DefocusBlur{}, corrupt.GlassBlur{}, corrupt.MotionBlur{}, corrupt.ZoomBlur{}, corrupt.GaussianBlur{}, corrupt.Elastic{}, corrupt.Pixelate{}, corrupt.JPEG{}} {
		src := slices.Repeat([]float32{0.6}, 4800)
		dst := make([]float32, 4800)
		for severity := 1; severity <= 5; severity++ {
			s.Apply(dst, src, shape, severity, 1, 1)
			for i, v := range dst {
				if math.Abs(float64(v)-0.6) > 0.035 { // half a step of the lowest quality of JPEG
					t.Fatalf("%s:%d: value %d is %v", s.Name(), severity, i, v)
				}
			}
		}
	}
}

// TestDefocusIsTheKernel: running sums give what the kernel of Disk does, for bytes and others, and for kernels with and without a rim that
// meets their edge.
func TestDefocusIsTheKernel(t *testing.T) {
	shape := []int{23, 19, 3}
	mirror := func(i, n int) int {
		if i < 0 {
			i = -i
		}
		if i >= n {
			i = 2*n - 2 - i
		}
		return i
	}
	for severity, d := range []corrupt.Disk{{Radius: 3, Alias: 0.1}, {Radius: 4, Alias: 0.5}, {Radius: 6, Alias: 0.5}, {Radius: 8, Alias: 0.5}, {Radius: 10, Alias: 0.5}} {
		for _, whole := range []bool{true, false} {
			src := photo(shape)
			if !whole {
				src[5] = 0.1234
			}
			dst := make([]float32, len(src))
			corrupt.DefocusBlur{}.Apply(dst, src, shape, severity+1, 0, 0)
			kernel, size := d.Kernel()
			for i := range dst {
				c, at := i%3, i/3
				y, x := at/shape[1], at%shape[1]
				want := 0.0
				for k, w := range kernel {
					dy, dx := k/size-size/2, k%size-size/2
					want += w * float64(src[(mirror(y+dy, shape[0])*shape[1]+mirror(x+dx, shape[1]))*3+c])
				}
				if math.Abs(float64(dst[i])-want) > 2e-7 {
					t.Fatalf("radius %v, bytes %v: value %d is %v, want %v", d.Radius, whole, i, dst[i], want)
				}
			}
		}
	}
}

// TestGlassSwaps: with TrueSwap no pixel is lost; the published copy loses some.
func TestGlassSwaps(t *testing.T) {
	shape := []int{30, 30, 1}
	src := photo(shape)
	g := corrupt.Glass{Reach: 3, Times: 2} // without a blur
	for swap, same := range map[bool]bool{true: true, false: false} {
		k := 0
		dst := make([]float32, len(src))
		g.With(dst, src, shape, swap, func() (dx, dy int) {
			k++
			return k*7%6 - 3, k*5%6 - 3
		})
		a, b := slices.Clone(src), slices.Clone(dst)
		slices.Sort(a)
		slices.Sort(b)
		if slices.Equal(a, b) != same {
			t.Errorf("swap %v: the same pixels: %v", swap, !same)
		}
	}
}

// TestFrostTextures: pictures of frost are read, used, and make the table comparable.
func TestFrostTextures(t *testing.T) {
	dir := t.TempDir()
	img := image.NewGray(image.Rect(0, 0, 50, 40))
	for i := range img.Pix {
		img.Pix[i] = 102
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ice.png"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	textures, err := corrupt.ReadTextures(dir)
	if err != nil {
		t.Fatal(err)
	}
	table, err := corrupt.FindTable(corrupt.ImageNetC)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := table.Find("frost")
	if err != nil {
		t.Fatal(err)
	}
	pictured, err := table.WithFrost(textures).Find("frost")
	if err != nil {
		t.Fatal(err)
	}
	if corrupt.Comparable(drawn) || !corrupt.Comparable(pictured) {
		t.Error("a drawn frost must not be comparable, one of pictures must")
	}
	src, dst := []float32{0, 0.2, 1}, make([]float32, 3)
	pictured.Apply(dst, src, []int{1, 1, 3}, 2, 0, 0) // 0.8 x + 0.6 * 0.4
	for i, want := range []float32{61. / 255, 102. / 255, 1} {
		if dst[i] != want {
			t.Errorf("value %d is %v, want %v", i, dst[i]*255, want*255)
		}
	}
	if err := corrupt.Fits(pictured, []int{41, 50, 3}); err == nil || !strings.Contains(err.Error(), "texture 0 has 40x50 pixels and images have 41x50") {
		t.Errorf("got %v", err)
	}
	var input *fault.Input
	if _, err := corrupt.ReadTextures(t.TempDir()); !errors.As(err, &input) {
		t.Errorf("got %v", err)
	}
}

func ExampleTable_Find() {
	table, err := corrupt.FindTable("cifar-c")
	if err != nil {
		fmt.Println(err)
		return
	}
	fog, err := table.Find("fog")
	if err != nil {
		fmt.Println(err)
		return
	}
	src := photo([]int{32, 32, 3})
	dst := make([]float32, len(src))
	fog.Apply(dst, src, []int{32, 32, 3}, 3, 1, 0) // severity 3 of the first example, with seed 1
	fmt.Printf("%s: %.0f becomes %.0f\n", fog.Name(), 255*src[0], 255*dst[0])
	// Output: fog: 128 becomes 73
}
