// Package preprocess turns the images of a data set into what a network was trained on: resized, cut, and as numbers on the network's scale.
//
//	preset     an image of another size           numbers
//	imagenet   shorter side to size / 0.875,      (v/255 - mean) / std of ImageNet's channels
//	           bilinear; the middle is cut out
//	clip       shorter side to size, bicubic;     the same with CLIP's means and deviations
//	           the middle is cut out
//	0-1        both sides to size, bilinear       v/255
//	-1-1       the same                           v/127.5 - 1
//	0-255      the same                           v
//	none       is an error                        v/255
//
// A Preprocess is such a preset, or one with other settings; Parse reads a name, YAML or a file, FromFolder what Hugging Face's libraries
// and timm write beside a model. There are two steps. Images makes another data set whose images have the network's size, as numbers in [0,1]:
// what corrupts images comes after it. Values then writes them on the network's scale.
//
// Images are resized to the byte as Pillow resizes them, with its fixed-point arithmetic, which is what torchvision, timm and
// transformers do with images of 8 bits.
package preprocess

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
)

// What is done with images that do not have the network's size.
const (
	FitCrop   = "crop"   // the shorter side is resized to size / CropPct, and the middle cut out
	FitSquash = "squash" // both sides are resized
	FitNone   = "none"   // an error
)

// Orders of the channels.
const (
	RGB = "rgb"
	BGR = "bgr"
)

// Layouts of a batch of images.
const (
	NCHW = "nchw"
	NHWC = "nhwc"
)

// Preprocess says how an image becomes what a network takes. New has defaults; Parse reads it from YAML.
type Preprocess struct {
	Preset string `json:"preset"` // whose settings hold where nothing else is said

	Fit           string    `json:"fit"`           // crop, squash or none: what is done with an image that does not have the network's size
	CropPct       float64   `json:"crop_pct"`      // with fit crop: the share of the shorter side that is kept; 0.875
	Resize        []int     `json:"resize"`        // in place of fit, for every image: [shorter side] or [height, width]
	Crop          []int     `json:"crop"`          // height and width that are cut out of the middle then; one number for both
	Center        string    `json:"center"`        // where an odd rest goes: round (torchvision, timm) or floor (transformers)
	Interpolation string    `json:"interpolation"` // nearest, bilinear, bicubic, lanczos, box or hamming
	Size          []int     `json:"size"`          // height and width that the network takes, where the model does not say; one number for both
	Channels      int       `json:"channels"`      // that it takes, where the model does not say; 1 or 3
	Rescale       float64   `json:"rescale"`       // times a pixel's byte: 1/255
	Mean          []float64 `json:"mean"`          // of each channel, subtracted from the rescaled byte; [] = nothing
	Std           []float64 `json:"std"`           // of each channel, that is divided by then; [] = 1
	Order         string    `json:"order"`         // of colours: rgb or bgr
	Layout        string    `json:"layout"`        // of a batch: nchw or nhwc; "" = found from the model

	Source string `json:"-"` // where it is from, for people: "preset imagenet", "preprocessor_config.json"
}

// byteScale is what makes [0,1] of a byte.
const byteScale = 1.0 / 255

// imageNet are the statistics of ImageNet's training images, which torchvision and timm use.
func imageNet() (mean, std []float64) {
	return []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
}

// Presets are the names of the presets.
func Presets() []string { return []string{"imagenet", "clip", "0-1", "-1-1", "0-255", "none"} }

// New returns a preset. An unknown name is an error that names the nearest.
func New(preset string) (Preprocess, error) {
	p := Preprocess{Preset: preset, Fit: FitSquash, Center: "round", Interpolation: Bilinear, Rescale: byteScale, Order: RGB, Source: "preset " + preset}
	switch preset {
	case "imagenet":
		p.Fit, p.CropPct = FitCrop, 0.875
		p.Mean, p.Std = imageNet()
	case "clip":
		p.Fit, p.CropPct, p.Interpolation = FitCrop, 1, Bicubic
		p.Mean, p.Std = []float64{0.48145466, 0.4578275, 0.40821073}, []float64{0.26862954, 0.26130258, 0.27577711}
	case "0-1":
	case "-1-1":
		p.Mean, p.Std = []float64{0.5}, []float64{0.5}
	case "0-255":
		p.Rescale = 1
	case "none":
		p.Fit = FitNone
	default:
		return Preprocess{}, choice.NewUnknown("preset", preset, Presets())
	}
	return p, nil
}

// must returns a preset of the list.
func must(preset string) Preprocess {
	p, err := New(preset)
	if err != nil {
		panic(err)
	}
	return p
}

// Assumed is what is most likely where nothing is known: imagenet for colours, 0-1 for images of one channel.
func Assumed(channels int) Preprocess {
	if channels == 3 {
		return must("imagenet")
	}
	return must("0-1")
}

// The limits of settings, which may come from a stranger's file.
const maxSide = 1 << 14

// Validate says what is wrong with the settings, if anything.
func (p Preprocess) Validate() error {
	errs := []error{
		oneOf("fit", p.Fit, FitCrop, FitSquash, FitNone), oneOf("center", p.Center, "round", "floor"),
		oneOf("interpolation", p.Interpolation, Interpolations()...), oneOf("order", p.Order, RGB, BGR),
		p.sides("resize", p.Resize), p.sides("crop", p.Crop), p.sides("size", p.Size),
	}
	if p.Layout != "" {
		errs = append(errs, oneOf("layout", p.Layout, NCHW, NHWC))
	}
	switch {
	case p.Fit == FitCrop && !(p.CropPct > 0 && p.CropPct <= 1):
		errs = append(errs, fmt.Errorf("crop_pct is %v; use a share above 0, at most 1", p.CropPct))
	case !(p.Rescale > 0) || math.IsInf(p.Rescale, 0):
		errs = append(errs, fmt.Errorf("rescale is %v; use a number above 0, such as 0.00392156862745098 (1/255)", p.Rescale))
	case p.Channels != 0 && p.Channels != 1 && p.Channels != 3:
		errs = append(errs, fmt.Errorf("channels is %d; use 1 or 3", p.Channels))
	case len(p.Mean) > 1 && len(p.Std) > 1 && len(p.Mean) != len(p.Std):
		errs = append(errs, fmt.Errorf("mean has %d numbers and std %d; give as many, or one for all channels", len(p.Mean), len(p.Std)))
	}
	for _, m := range p.Mean {
		if math.IsNaN(m) || math.IsInf(m, 0) {
			errs = append(errs, fmt.Errorf("mean has %v; use finite numbers", m))
		}
	}
	for _, s := range p.Std {
		if !(s > 0) || math.IsInf(s, 0) {
			errs = append(errs, fmt.Errorf("std has %v; use numbers above 0", s))
		}
	}
	return errors.Join(errs...)
}

// sides checks one or two sides.
func (Preprocess) sides(key string, list []int) error {
	for _, n := range list {
		if n < 1 || n > maxSide {
			return fmt.Errorf("%s has %d; use 1 to %d", key, n, maxSide)
		}
	}
	if len(list) > 2 {
		return fmt.Errorf("%s has %d numbers; use one, or height and width", key, len(list))
	}
	return nil
}

// oneOf refuses a word that is not among some.
func oneOf(key, word string, known ...string) error {
	if slices.Contains(known, word) {
		return nil
	}
	if near, ok := strict.Nearest(word, known); ok {
		return fmt.Errorf("%s is %q; did you mean %q?", key, strict.Short(word), near)
	}
	return fmt.Errorf("%s is %q; use %s", key, strict.Short(word), strings.Join(known, ", "))
}

// Says is the settings in a line for people, for images that the network takes as [height, width, channels].
func (p Preprocess) Says(height, width, channels int) string {
	var parts []string
	if channels == 3 && p.Order == BGR {
		parts = append(parts, "blue first")
	}
	number := func(list []float64) string {
		texts := make([]string, len(list))
		for i, v := range list {
			texts[i] = fmt.Sprintf("%.4g", v)
		}
		return strings.Join(texts, ", ")
	}
	switch {
	case math.Abs(p.Rescale*255-1) < 1e-6 && len(p.Mean) == 0 && len(p.Std) == 0:
		parts = append(parts, "numbers in [0,1]")
	case p.Rescale == 1 && len(p.Mean) == 0 && len(p.Std) == 0:
		parts = append(parts, "numbers in [0,255]")
	default:
		if math.Abs(p.Rescale*255-1) > 1e-6 {
			parts = append(parts, fmt.Sprintf("bytes times %.4g", p.Rescale))
		}
		parts = append(parts, fmt.Sprintf("mean %s, std %s", number(p.Mean), number(p.Std)))
	}
	if how := p.fits(height, width); how != "" {
		parts = append(parts, how)
	}
	return strings.Join(parts, "; ")
}

// fits says how images get their size.
func (p Preprocess) fits(height, width int) string {
	size := fmt.Sprintf("%dx%d", height, width)
	switch {
	case len(p.Resize) == 1 && len(p.Crop) > 0:
		return fmt.Sprintf("shorter side to %d (%s), middle %s cut out", p.Resize[0], p.Interpolation, sized(p.Crop))
	case len(p.Resize) == 1:
		return fmt.Sprintf("shorter side to %d (%s)", p.Resize[0], p.Interpolation)
	case len(p.Resize) == 2 && len(p.Crop) > 0:
		return fmt.Sprintf("resized to %s (%s), middle %s cut out", sized(p.Resize), p.Interpolation, sized(p.Crop))
	case len(p.Resize) == 2:
		return fmt.Sprintf("resized to %s (%s)", sized(p.Resize), p.Interpolation)
	case len(p.Crop) > 0:
		return fmt.Sprintf("middle %s cut out", sized(p.Crop))
	case height == 0 || p.Fit == FitNone:
		return ""
	case p.Fit == FitCrop:
		return fmt.Sprintf("images of another size than %s: shorter side to %d (%s), middle cut out", size, p.shorter(height, width), p.Interpolation)
	}
	return fmt.Sprintf("images of another size than %s are resized (%s)", size, p.Interpolation)
}

// sized is "224x224".
func sized(list []int) string {
	h, w := both(list)
	return fmt.Sprintf("%dx%d", h, w)
}

// both are two sides of one or two numbers.
func both(list []int) (height, width int) {
	if len(list) == 1 {
		return list[0], list[0]
	}
	return list[0], list[1]
}

// shorter is what the shorter side becomes with fit crop.
func (p Preprocess) shorter(height, width int) int {
	return int(math.Floor(float64(min(height, width)) / p.CropPct))
}

// Values writes images onto the network's scale: x is [n, pixels of an image, channels] in [0,1], dst has its size and gets the same
// layout, or with nchw [n, channels, pixels of an image].
func (p Preprocess) Values(dst, x []float32, pixels, channels int, nchw bool) {
	step, plane := channels, 1 // in dst, from a pixel to the next and from a channel to the next
	if nchw {
		step, plane = 1, pixels
	}
	size := pixels * channels
	for c := range channels {
		from := c
		if p.Order == BGR && channels == 3 {
			from = 2 - c
		}
		m, s := at(p.Mean, c, 0), at(p.Std, c, 1)
		scale, offset := float32(255*p.Rescale/s), float32(m/s)
		for first := 0; first+size <= len(x); first += size {
			in, out := x[first+from:first+size], dst[first+c*plane:first+size]
			for i := range pixels {
				out[i*step] = in[i*channels]*scale - offset
			}
		}
	}
}

// at is the number of a channel; one number is that of all.
func at(list []float64, c int, none float64) float64 {
	switch {
	case len(list) == 0:
		return none
	case c < len(list):
		return list[c]
	}
	return list[len(list)-1]
}

// CheckChannels says what is wrong with the numbers of means and deviations for so many channels.
func (p Preprocess) CheckChannels(channels int) error {
	for _, list := range []struct {
		key string
		n   int
	}{{"mean", len(p.Mean)}, {"std", len(p.Std)}} {
		if list.n > 1 && list.n != channels {
			return fmt.Errorf("preprocess: %s has %d numbers, the network takes %d channels; give one for all, or one for each", list.key, list.n, channels)
		}
	}
	return nil
}
