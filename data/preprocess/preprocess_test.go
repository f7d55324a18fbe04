package preprocess_test

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/fault"
)

// peers is testdata/pillow.json: what bench/peers/subjects.py saw Pillow, torchvision, timm and transformers make of small images.
type peers struct {
	Resized []struct {
		From          [3]int
		To            [2]int
		Interpolation string
		Bytes         []int
	}
	Pipelines []struct {
		Name     string
		Settings json.RawMessage
		From     [3]int
		Shape    [3]int // channels, height, width
		Values   []float64
	}
}

func readPeers(t *testing.T) (p peers) {
	t.Helper()
	text, err := os.ReadFile("testdata/pillow.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &p); err != nil || len(p.Resized) < 30 || len(p.Pipelines) < 16 {
		t.Fatalf("%d and %d cases (%v)", len(p.Resized), len(p.Pipelines), err)
	}
	return p
}

// pattern is the image of the script.
func pattern(height, width, channels int) []byte {
	var x []byte
	for i := range height {
		for j := range width {
			for c := range channels {
				x = append(x, byte((37*i*i+91*j+53*c+7*j*i)%256))
			}
		}
	}
	return x
}

// TestPillow: images are resized as Pillow resizes them, to the byte.
func TestPillow(t *testing.T) {
	for _, c := range readPeers(t).Resized {
		got, err := preprocess.ResizeBytes(pattern(c.From[0], c.From[1], c.From[2]), c.From[0], c.From[1], c.From[2], c.To[0], c.To[1], c.Interpolation)
		if err != nil {
			t.Fatal(err)
		}
		for k, b := range got {
			if len(got) != len(c.Bytes) || int(b) != c.Bytes[k] {
				t.Errorf("%v to %v, %s: value %d is %d, Pillow's %d", c.From, c.To, c.Interpolation, k, b, c.Bytes[k])
				break
			}
		}
	}
}

// TestPipelines: the settings of torchvision, timm and transformers give their numbers.
func TestPipelines(t *testing.T) {
	for _, c := range readPeers(t).Pipelines {
		t.Run(fmt.Sprint(c.Name, c.From), func(t *testing.T) {
			p, known, err := preprocess.ParseConfig(c.Settings)
			if !known && err == nil {
				p, err = preprocess.ParseSettings(c.Settings)
			}
			if err != nil {
				t.Fatal(err)
			}
			target := preprocess.Target{Height: c.Shape[1], Width: c.Shape[2], Channels: 3}
			ds, err := p.Images(one{c.From, pattern(c.From[0], c.From[1], c.From[2])}, target)
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float32, ds.Info().Size())
			if err := ds.Read(0, x); err != nil {
				t.Fatal(err)
			}
			got := make([]float32, len(x))
			p.Values(got, x, c.Shape[1]*c.Shape[2], 3, true)
			for k, v := range got {
				if len(got) != len(c.Values) || math.Abs(float64(v)-c.Values[k]) > 2e-6*max(1, math.Abs(c.Values[k])) {
					t.Fatalf("value %d of %d is %v, want %v of %d", k, len(got), v, c.Values[k], len(c.Values))
				}
			}
		})
	}
}

// one is a set of one image.
type one struct {
	shape  [3]int
	pixels []byte
}

func (o one) Info() data.Info {
	return data.Info{Name: "one", Shape: o.shape[:], Examples: 1, Classes: []string{"a", "b"}, Images: true}
}
func (one) Len() int        { return 1 }
func (one) Label(int) int32 { return 1 }
func (o one) Read(_ int, dst []float32) error {
	for k, b := range o.pixels {
		dst[k] = float32(b) / 255
	}
	return nil
}

// TestFolder: photographs of different sizes, grey and deep ones among them, become what the network takes.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	save := func(name string, img image.Image) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	colour := image.NewNRGBA(image.Rect(0, 0, 30, 20))
	deep := image.NewNRGBA64(image.Rect(0, 0, 11, 17))
	grey := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range colour.Pix {
		colour.Pix[i] = byte(i*7) | 3*byte(i%4/3*85)
	}
	for y := range 20 {
		for x := range 30 {
			colour.Set(x, y, color.NRGBA{R: byte(8 * x), G: byte(9 * y), B: 100, A: 255})
			if x < 11 && y < 17 {
				deep.Set(x, y, color.NRGBA64{R: 40000, G: 20000, B: uint16(x * 1000), A: 65535})
			}
		}
	}
	save("a/1.png", colour)
	save("a/2.png", deep)
	save("b/1.png", grey)

	set, err := data.Open("dir:"+dir, "all")
	if err != nil {
		t.Fatal(err)
	}
	p, err := preprocess.New("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := p.Images(set, preprocess.Target{Height: 8, Width: 8, Channels: 3})
	if err != nil {
		t.Fatal(err)
	}
	if got := ds.Info().Shape; !slices.Equal(got, []int{8, 8, 3}) || ds.Len() != 3 {
		t.Fatalf("shape %v, %d examples", got, ds.Len())
	}
	first, again := make([]float32, 8*8*3), make([]float32, 8*8*3)
	for i := range 3 {
		if err := ds.Read(i, first); err != nil {
			t.Fatal(err)
		}
		if err := ds.Read(i, again); err != nil || !slices.Equal(first, again) {
			t.Errorf("example %d is another one when it is read again (%v)", i, err)
		}
		if i == 1 && (math.Abs(float64(first[0])-40000.0/65535) > 1e-6 || first[5] <= first[2]) {
			t.Errorf("the deep image begins with %v", first[:6])
		}
	}
}

// TestParse reads names, settings and files, and refuses what is wrong with the nearest.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"imagenet": "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225; images of another size than 224x224: shorter side to 256 (bilinear), middle cut out",
		"clip":     "mean 0.4815, 0.4578, 0.4082, std 0.2686, 0.2613, 0.2758; images of another size than 224x224: shorter side to 224 (bicubic), middle cut out",
		"0-1":      "numbers in [0,1]; images of another size than 224x224 are resized (bilinear)",
		"-1-1":     "mean 0.5, std 0.5; images of another size than 224x224 are resized (bilinear)",
		"0-255":    "numbers in [0,255]; images of another size than 224x224 are resized (bilinear)",
		"none":     "numbers in [0,1]",
		"{preset: imagenet, order: bgr, resize: 240, crop: 224}":       "blue first; mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225; shorter side to 240 (bilinear), middle 224x224 cut out",
		"rescale: 1\nmean: [127, 127, 127]\nstd: 128\nresize: [30,40]": "bytes times 1; mean 127, 127, 127, std 128; resized to 30x40 (bilinear)",
	} {
		p, err := preprocess.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := p.Says(224, 224, 3); got != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.yaml", []byte("preset: clip\nmeen: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"imagenett":                   `did you mean imagenet?`,
		"{preset: imagenet, sise: 3}": `did you mean size?`,
		"{preset: imagnet}":           `did you mean imagenet?`,
		"{order: rbg}":                `did you mean "rgb"?`,
		"{interpolation: bilinea}":    `did you mean "bilinear"?`,
		"{size: [1,2,3]}":             "use one, or height and width",
		"{std: 0}":                    "use numbers above 0",
		"{mean: [1,2], std: [1,2,3]}": "give as many",
		"{layout: hwc}":               `did you mean "nhwc"?`,
		"{fit: crop, crop_pct: 2}":    "use a share above 0",
		"none.yaml":                   "no such file",
		"bad.yaml":                    `did you mean mean?`,
		"{channels: 2}":               "use 1 or 3",
		`{"image_mean": [1], "do_pad": true, "size": {"height": 3, "width": 3}}`: "known here: center", // settings, not a file of transformers
	} {
		if _, err := preprocess.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", text, err, want)
		}
	}
}

// TestConfigRefuses: what a file of another library wants and is not known here is an error that names it.
func TestConfigRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"image_processor_type": "EfficientNetImageProcessor", "rescale_offset": true}`: "rescale_offset is true",
		`{"do_resize": true}`:                                                  "size is missing",
		`{"do_resize": true, "size": {"longest_edge": 5}}`:                     "size is",
		`{"do_resize": true, "size": {"shortest_edge": 5, "longest_edge": 7}}`: "longest_edge",
		`{"do_resize": true, "size": 5, "resample": 9}`:                        "resample is 9",
		`{"do_resize": false, "do_normalize": true}`:                           "image_mean or image_std is missing",
		`{"do_resize": true, "size": 5, "do_center_crop": true}`:               "crop_size",
		`{"do_resize": true, "size": 5, "image_mean": [0], "image_std": [0]}`:  "use numbers above 0",
		`{"pretrained_cfg": {"crop_mode": "border"}}`:                          "crop_mode",
		`{"pretrained_cfg": {"crop_pct": 0}}`:                                  "crop_pct",
		`{"pretrained_cfg": {"input_size": [3]}}`:                              "input_size",
		`{"pretrained_cfg": 3}`:                                                "pretrained_cfg",
		`{"pretrained_cfg": {"interpolation": "cubic"}}`:                       "interpolation",
	} {
		if _, _, err := preprocess.ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v; want %q", text, err, want)
		}
	}
	if _, known, err := preprocess.ParseConfig([]byte(`{"model_type": "vit"}`)); known || err != nil {
		t.Errorf("a config without images is known (%v)", err)
	}
}

// TestSizes: sizes that settings do not lead to are wrong usage that says what to do.
func TestSizes(t *testing.T) {
	none, err := preprocess.New("none")
	if err != nil {
		t.Fatal(err)
	}
	crop, err := preprocess.Parse("{resize: 8, crop: 6}")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    preprocess.Preprocess
		want string
	}{{none, "--preprocess imagenet"}, {crop, "gives images of 6x6, the network takes 7x7"}} {
		_, err := c.p.Images(one{[3]int{9, 9, 3}, pattern(9, 9, 3)}, preprocess.Target{Height: 7, Width: 7, Channels: 3})
		var usage *fault.Usage
		if err == nil || !strings.Contains(err.Error(), c.want) || !asUsage(err, &usage) {
			t.Errorf("got %v; want %q", err, c.want)
		}
	}
}

func asUsage(err error, into **fault.Usage) bool {
	u, ok := err.(*fault.Usage) //nolint:errorlint // made there
	*into = u
	return ok
}

// TestLaws: an image of one brightness stays so, whatever it is resized to; resizing to the same size changes nothing; bytes and numbers
// agree to a byte.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 12)
		h, w, th, tw := side.Draw(t, "h"), side.Draw(t, "w"), side.Draw(t, "to h"), side.Draw(t, "to w")
		how := rapid.SampledFrom(preprocess.Interpolations()).Draw(t, "how")
		flat := rapid.Byte().Draw(t, "brightness")

		even, err := preprocess.ResizeBytes(slices.Repeat([]byte{flat}, h*w), h, w, 1, th, tw, how)
		if err != nil || slices.Min(even) != flat || slices.Max(even) != flat {
			t.Fatalf("brightness %d became %v (%v)", flat, even, err)
		}
		x := rapid.SliceOfN(rapid.Byte(), h*w, h*w).Draw(t, "x")
		if same, err := preprocess.ResizeBytes(x, h, w, 1, h, w, how); err != nil || !slices.Equal(same, x) {
			t.Fatalf("%v became %v (%v)", x, same, err)
		}
		got, err := preprocess.ResizeBytes(x, h, w, 1, th, tw, how)
		if err != nil {
			t.Fatal(err)
		}
		wide := make([]float32, len(x))
		for k, b := range x {
			wide[k] = float32(b)
		}
		numbers, err := preprocess.ResizeFloats(wide, h, w, 1, th, tw, how)
		if err != nil {
			t.Fatal(err)
		}
		if how == preprocess.Bicubic || how == preprocess.Lanczos { // bytes in between are clipped, where weights are negative
			return
		}
		for k, v := range numbers {
			if math.Abs(float64(v)-float64(got[k])) > 1.1 {
				t.Fatalf("value %d is %d as a byte, %v as a number", k, got[k], v)
			}
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"image_processor_type": "ViTImageProcessor", "size": {"height": 10, "width": 10}, "image_mean": [0.5], "image_std": [0.5]}`))
	f.Add([]byte(`{"pretrained_cfg": {"input_size": [3, 10, 10], "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5]}}`))
	f.Add([]byte(`preset: imagenet`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, known, err := preprocess.ParseConfig(text)
		if !known && err == nil {
			p, err = preprocess.ParseSettings(text)
		}
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("what was read is refused: %v", err)
		}
	})
}

func BenchmarkResize(b *testing.B) {
	x := pattern(480, 640, 3)
	b.SetBytes(int64(len(x)))
	for b.Loop() {
		if _, err := preprocess.ResizeBytes(x, 480, 640, 3, 256, 341, preprocess.Bilinear); err != nil {
			b.Fatal(err)
		}
	}
}
