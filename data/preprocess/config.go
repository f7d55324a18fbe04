package preprocess

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// maxConfigValues bounds the values of a config file; 21,000 labels twice are 42,000.
const maxConfigValues = 200_000

// ParseConfig reads the text of a preprocessor_config.json of transformers or a config.json of timm. known is false where it is neither.
func ParseConfig(text []byte) (p Preprocess, known bool, err error) {
	if err := untrusted.CheckJSON("the file", text, maxConfigValues); err != nil {
		return p, false, err
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(hf.Standard(text), &keys) != nil {
		return p, false, nil //nolint:nilerr // settings in YAML
	}
	switch {
	case keys["image_processor_type"] != nil || keys["feature_extractor_type"] != nil || keys["image_mean"] != nil || keys["do_resize"] != nil:
		p, err = transformersConfig(keys)
	case keys["pretrained_cfg"] != nil:
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(keys["pretrained_cfg"], &inner); err != nil {
			return p, true, fmt.Errorf("pretrained_cfg: %w", untrusted.JSONError(err))
		}
		p, err = timmConfig(inner)
	case keys["mean"] != nil && keys["crop_pct"] != nil && keys["input_size"] != nil: // older files of timm
		p, err = timmConfig(keys)
	default:
		return p, false, nil
	}
	if err == nil {
		err = p.Validate()
	}
	return p, true, err
}

// resamplings are the interpolations by their numbers in Pillow.
var resamplings = []string{Nearest, Lanczos, Bilinear, Bicubic, Box, Hamming}

// transformersKeys are what preprocessor_config.json says of images.
type transformersKeys struct {
	DoResize     *bool           `json:"do_resize"`
	Size         json.RawMessage `json:"size"`
	Resample     *int            `json:"resample"`
	CropPct      *float64        `json:"crop_pct"`
	DoCenterCrop *bool           `json:"do_center_crop"`
	CropSize     json.RawMessage `json:"crop_size"`
	DoRescale    *bool           `json:"do_rescale"`
	Factor       *float64        `json:"rescale_factor"`
	Offset       *bool           `json:"rescale_offset"`
	DoNormalize  *bool           `json:"do_normalize"`
	Mean         []float64       `json:"image_mean"`
	Std          []float64       `json:"image_std"`
	DoPad        *bool           `json:"do_pad"`
	DoThumbnail  *bool           `json:"do_thumbnail"`
	Patches      *bool           `json:"do_image_splitting"`
}

// transformersConfig reads the settings of an image processor of transformers.
func transformersConfig(keys map[string]json.RawMessage) (Preprocess, error) {
	p := must("0-1")
	p.Preset, p.Center, p.Fit = "", "floor", FitNone
	text, err := json.Marshal(keys)
	if err != nil {
		return p, err
	}
	var k transformersKeys
	if err := json.Unmarshal(text, &k); err != nil {
		return p, untrusted.JSONError(err)
	}
	for name, on := range map[string]*bool{"rescale_offset": k.Offset, "do_pad": k.DoPad, "do_thumbnail": k.DoThumbnail, "do_image_splitting": k.Patches} {
		if on != nil && *on {
			return p, fmt.Errorf("%s is true, which is not known here", name)
		}
	}

	if is(k.DoResize, true) {
		if err := p.transformersSize(k); err != nil {
			return p, err
		}
	}
	if is(k.DoCenterCrop, false) && len(p.Crop) == 0 {
		if p.Crop, err = heightWidth("crop_size", k.CropSize); err != nil {
			return p, err
		}
	}
	if k.Resample != nil {
		if *k.Resample < 0 || *k.Resample >= len(resamplings) {
			return p, fmt.Errorf("resample is %d; use 0 to %d", *k.Resample, len(resamplings)-1)
		}
		p.Interpolation = resamplings[*k.Resample]
	}
	if k.Factor != nil {
		p.Rescale = *k.Factor
	}
	if !is(k.DoRescale, true) {
		p.Rescale = 1
	}
	if is(k.DoNormalize, true) {
		if p.Mean, p.Std = k.Mean, k.Std; len(p.Mean) == 0 || len(p.Std) == 0 {
			return p, errors.New("do_normalize is true, and image_mean or image_std is missing")
		}
	}
	return p, nil
}

// is a flag that may be missing.
func is(flag *bool, otherwise bool) bool {
	if flag == nil {
		return otherwise
	}
	return *flag
}

// transformersSize reads size, which is a number, {height, width} or {shortest_edge}, with crop_pct of ConvNeXt's processor.
func (p *Preprocess) transformersSize(k transformersKeys) error {
	if len(k.Size) == 0 || string(k.Size) == "null" {
		return errors.New("do_resize is true, and size is missing")
	}
	edge, err := shortestEdge(k.Size)
	if err != nil {
		return err
	}
	switch {
	case edge > 0 && k.CropPct != nil && edge < 384:
		if !(*k.CropPct > 0 && *k.CropPct <= 1) {
			return fmt.Errorf("crop_pct is %v; use a share above 0, at most 1", *k.CropPct)
		}
		p.Resize, p.Crop = []int{int(float64(edge) / *k.CropPct)}, []int{edge, edge}
	case edge > 0 && k.CropPct != nil:
		p.Resize = []int{edge, edge}
	case edge > 0:
		p.Resize = []int{edge}
	default:
		p.Resize, err = heightWidth("size", k.Size)
	}
	return err
}

// shortestEdge is what size says of the shorter side; 0 = nothing.
func shortestEdge(raw json.RawMessage) (int, error) {
	var sides map[string]json.RawMessage
	if json.Unmarshal(raw, &sides) != nil || sides["height"] != nil {
		return 0, nil //nolint:nilerr // a number, or both sides
	}
	var edge int
	if sides["shortest_edge"] == nil || json.Unmarshal(sides["shortest_edge"], &edge) != nil || edge < 1 {
		return 0, fmt.Errorf("size is %s; want {height, width} or {shortest_edge}", strict.Short(string(raw)))
	}
	if longest := sides["longest_edge"]; longest != nil && string(longest) != "null" {
		return 0, errors.New("size has longest_edge, which is not known here")
	}
	return edge, nil
}

// heightWidth reads {height, width}, [height, width] or a number for both.
func heightWidth(key string, raw json.RawMessage) ([]int, error) {
	var side int
	if json.Unmarshal(raw, &side) == nil && side > 0 {
		return []int{side, side}, nil
	}
	var list []int
	if json.Unmarshal(raw, &list) == nil && len(list) == 2 {
		return list, nil
	}
	var sides struct {
		Height int `json:"height"`
		Width  int `json:"width"`
	}
	if json.Unmarshal(raw, &sides) == nil && sides.Height > 0 && sides.Width > 0 {
		return []int{sides.Height, sides.Width}, nil
	}
	return nil, fmt.Errorf("%s is %s; want {height, width}, or a number for both", key, strict.Short(string(raw)))
}

// timmConfig reads a pretrained_cfg of timm: the shorter side to floor(size / crop_pct), then the middle.
func timmConfig(keys map[string]json.RawMessage) (Preprocess, error) {
	p := must("imagenet")
	p.Preset = ""
	k := struct {
		InputSize     []int     `json:"input_size"`
		TestSize      []int     `json:"test_input_size"`
		Interpolation string    `json:"interpolation"`
		CropPct       float64   `json:"crop_pct"`
		TestCropPct   *float64  `json:"test_crop_pct"`
		CropMode      string    `json:"crop_mode"`
		Mean          []float64 `json:"mean"`
		Std           []float64 `json:"std"`
	}{InputSize: []int{3, 224, 224}, Interpolation: Bicubic, CropPct: 0.875, CropMode: "center"}
	k.Mean, k.Std = imageNet()
	known := map[string]json.RawMessage{}
	for _, key := range []string{"input_size", "test_input_size", "interpolation", "crop_pct", "test_crop_pct", "crop_mode", "mean", "std"} {
		if raw, ok := keys[key]; ok && string(raw) != "null" {
			known[key] = raw
		}
	}
	text, err := json.Marshal(known)
	if err == nil {
		err = untrusted.JSONError(json.Unmarshal(text, &k))
	}
	if err != nil {
		return p, fmt.Errorf("pretrained_cfg: %w", err)
	}

	if k.TestSize != nil {
		k.InputSize = k.TestSize
	}
	if k.TestCropPct != nil {
		k.CropPct = *k.TestCropPct
	}
	if len(k.InputSize) != 3 || slices.Min(k.InputSize) < 1 {
		return p, fmt.Errorf("input_size is %v; want channels, height and width", k.InputSize)
	}
	if !(k.CropPct > 0 && k.CropPct <= 1) {
		return p, fmt.Errorf("crop_pct is %v; use a share above 0, at most 1", k.CropPct)
	}
	p.Interpolation, p.Mean, p.Std, p.CropPct, p.Channels = k.Interpolation, k.Mean, k.Std, k.CropPct, k.InputSize[0]
	p.Size = slices.Clone(k.InputSize[1:])
	scaled := func(side int) int { return int(math.Floor(float64(side) / k.CropPct)) }
	switch h, w := p.Size[0], p.Size[1]; {
	case k.CropMode == "squash":
		p.Resize, p.Crop = []int{scaled(h), scaled(w)}, p.Size
	case k.CropMode != "center":
		modes := map[string]bool{"center": true, "squash": true}
		return p, fmt.Errorf("crop_mode is %q; only %s are known here", strict.Short(k.CropMode), strings.Join(slices.Sorted(maps.Keys(modes)), " and "))
	case h == w:
		p.Resize, p.Crop = []int{scaled(h)}, p.Size
	default:
		p.Fit = FitCrop
	}
	return p, nil
}
