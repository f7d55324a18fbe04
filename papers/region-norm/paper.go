// Package regionnorm is the paper "Region Normalization for Image Inpainting": its claims and its recipe.
package regionnorm

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"go/build"
	"image"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/papers/paper"
)

//go:embed recipe.yaml
var recipe []byte

// Paper is Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
//
// A gain in PSNR does not show in minutes, so the mechanism that the paper argues from is measured: what a hole does to the
// statistics of what is around it, on patches of the two photos that come with Go.
var Paper = paper.Paper{
	Slug:    "region-norm",
	Title:   "Region Normalization for Image Inpainting",
	Authors: "Tao Yu, Zongyu Guo, Xin Jin, Shilin Wu, Zhibo Chen, Weiping Li, Zhizheng Zhang, Sen Liu",
	Year:    2019,
	ArXiv:   "1911.10375",
	Summary: "normalise the hole of an image and what is around it apart, with a known hole (RN-B) or one that the network finds (RN-L)",
	Symbols: []string{"nn/norm.Region", "nn/norm.RegionBasic", "nn/norm.RegionLearned", "nn/loss.Inpainting", "train/objective.Inpaint", "train/inpaint.Run", "metric.HoleShift"},
	Recipe:  recipe,
	Claims: []paper.Claim{{
		Name:       "shift",
		Statement:  "what fills a hole moves the pixels around it through instance and batch normalisation, and does not through region normalisation (per-pixel features)",
		Seeds:      3,
		Experiment: paper.NewExperiment(holeShift{Patches: 32, Side: 32, Least: 8, Most: 16, Features: 16}, func(_ context.Context, at paper.Place, h holeShift) (map[string]float64, error) { return h.run(at) }),
		Arms:       []paper.Arm{{Name: "patches"}},
		Check: func(m paper.Measured) []paper.Inequality {
			get := func(metric string) float64 { return m.Mean("patches", metric) }
			return []paper.Inequality{
				paper.AtMost("RN, batch style: change <= 1e-5", get("region_batch_change"), 1e-5),
				paper.AtMost("RN, instance style: change <= 1e-5", get("region_instance_change"), 1e-5),
				paper.AtLeast("IN: change >= 0.2", get("instance_change"), 0.2),
				paper.AtLeast("BN: change >= 0.2", get("batch_change"), 0.2),
				paper.AtMost("RN, instance style: |mean| <= 1e-4", get("region_instance_mean"), 1e-4),
				paper.AtLeast("IN: |mean| >= 0.15", get("instance_mean"), 0.15),
				paper.AtMost("IN: shift against the closed form <= 1e-4", get("formula_error"), 1e-4),
			}
		},
	}},
	Published: []paper.Published{
		{What: "Places2, irregular masks, PSNR / SSIM / L1", Value: "best among CA, PConv, GConv and EdgeConnect"},
		{What: "Places2, masks of 10 to 20 %, PSNR over EdgeConnect", Value: "about +0.3 to +1 dB"},
	},
}

// holeShift cuts holes into patches of photos, makes random features of every pixel, and normalises them.
type holeShift struct {
	Patches  int `json:"patches"`
	Side     int `json:"side"`
	Least    int `json:"least"` // shortest side of a hole
	Most     int `json:"most"`  // longest
	Features int `json:"features"`
}

func (h holeShift) run(at paper.Place) (map[string]float64, error) {
	r := rand.New(rand.NewPCG(at.Seed, 13))
	photos, err := goPhotos("video-001.png", "video-005.gray.png")
	if err != nil {
		return nil, err
	}
	pixels := h.Side * h.Side
	patches := make([]float32, 0, h.Patches*pixels*3)
	mask := make([]float64, h.Patches*pixels)
	for n := range h.Patches {
		photo := photos[n%len(photos)]
		b := photo.Bounds()
		x0, y0 := b.Min.X+r.IntN(b.Dx()-h.Side+1), b.Min.Y+r.IntN(b.Dy()-h.Side+1)
		for y := range h.Side {
			for x := range h.Side {
				red, green, blue, _ := photo.At(x0+x, y0+y).RGBA()
				patches = append(patches, float32(red)/65535, float32(green)/65535, float32(blue)/65535)
			}
		}
		height, width := h.Least+r.IntN(h.Most-h.Least+1), h.Least+r.IntN(h.Most-h.Least+1)
		top, left := r.IntN(h.Side-height+1), r.IntN(h.Side-width+1)
		for y := top; y < top+height; y++ {
			for x := left; x < left+width; x++ {
				mask[n*pixels+y*h.Side+x] = 1
			}
		}
	}

	kernel := make([]float32, 3*h.Features)
	for i := range kernel {
		kernel[i] = float32(r.NormFloat64() / math.Sqrt(3))
	}

	filled := func(fill float32) *tensors.Tensor {
		x := append([]float32{}, patches...)
		for i := range x {
			if mask[i/3] == 1 {
				x[i] = fill
			}
		}
		return tensors.FromFlatDataAndDimensions(x, h.Patches, h.Side, h.Side, 3)
	}

	region := func(style string) func(*model.Scope, *graph.Node, *graph.Node) *graph.Node {
		layer := norm.NewRegion()
		layer.Style = style
		return func(_ *model.Scope, x, mask *graph.Node) *graph.Node { return layer.Normalize(x, mask) }
	}
	plain := func(l norm.Layer) func(*model.Scope, *graph.Node, *graph.Node) *graph.Node {
		return func(scope *model.Scope, x, _ *graph.Node) *graph.Node { return l.Apply(scope, x) }
	}

	apply := func(layer func(*model.Scope, *graph.Node, *graph.Node) *graph.Node, fill float32) ([]float32, error) {
		store := model.NewStore()
		defer store.Finalize()
		exec, err := model.NewExec(at.Engine.Backend, store, func(scope *model.Scope, x, mask, kernel *graph.Node) *graph.Node {
			store.SetTraining(x.Graph(), true)
			return layer(scope, ops.Conv{}.Apply(x, kernel), mask)
		})
		if err != nil {
			return nil, err
		}
		defer exec.Finalize()
		out, err := exec.Call(filled(fill), tensors.FromFlatDataAndDimensions(narrowed(mask), h.Patches, h.Side, h.Side, 1), tensors.FromFlatDataAndDimensions(kernel, 1, 1, 3, h.Features))
		if err != nil {
			return nil, err
		}
		return tensors.MustCopyFlatData[float32](out[0]), nil
	}

	metrics := map[string]float64{}
	for name, layer := range map[string]func(*model.Scope, *graph.Node, *graph.Node) *graph.Node{
		"instance": plain(norm.NewInstance()), "batch": plain(norm.NewBatch()), "region_batch": region("batch"), "region_instance": region("instance"),
	} {
		white, err := apply(layer, 1)
		if err != nil {
			return nil, err
		}
		black, err := apply(layer, 0)
		if err != nil {
			return nil, err
		}

		valid := 0.0
		sums := make([]float64, h.Patches*h.Features)
		counts := make([]float64, h.Patches)
		for i, v := range white {
			pixel := i / h.Features
			if mask[pixel] == 1 {
				continue
			}
			metrics[name+"_change"] += math.Abs(float64(v - black[i]))
			valid++
			sums[pixel/pixels*h.Features+i%h.Features] += float64(v)
			counts[pixel/pixels] += 1 / float64(h.Features)
		}
		metrics[name+"_change"] /= valid
		for i, s := range sums {
			metrics[name+"_mean"] += math.Abs(s/counts[i/h.Features]) / float64(len(sums))
		}

		if name == "instance" {
			if metrics["formula_error"], err = h.formula(mask, kernel, patches, sums, counts); err != nil {
				return nil, err
			}
		}
	}
	return metrics, nil
}

// formula compares the mean of the valid pixels behind instance normalisation, in a hole filled with 1, with the closed form: minus the
// shift of the mean over the deviation of the whole.
func (h holeShift) formula(mask []float64, kernel, patches []float32, sums, counts []float64) (float64, error) {
	features := make([]float64, len(mask)*h.Features)
	fill := make([]float64, h.Features)
	for f := range fill {
		for c := range 3 {
			fill[f] += float64(kernel[c*h.Features+f])
		}
		for p := range mask {
			for c := range 3 {
				features[p*h.Features+f] += float64(patches[p*3+c]) * float64(kernel[c*h.Features+f])
			}
		}
	}
	worst := 0.0
	for f := range h.Features {
		one := make([]float64, len(mask))
		for p := range one {
			one[p] = features[p*h.Features+f]
		}
		s, err := metric.HoleShift(one, mask, h.Patches, 1, fill[f])
		if err != nil {
			return 0, err
		}
		for n := range h.Patches {
			want := -s.MeanShift[n] / math.Sqrt(s.VarFull[n]+1e-5)
			worst = math.Max(worst, math.Abs(sums[n*h.Features+f]/counts[n]-want))
		}
	}
	return worst, nil
}

func narrowed(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// goPhotos are photos that come with the source of Go.
func goPhotos(names ...string) ([]image.Image, error) {
	var photos []image.Image
	for _, name := range names {
		path := filepath.Join(build.Default.GOROOT, "src", "image", "testdata", name)
		photo, err := picture.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("papers: the photo %s comes with the source of Go; install Go, or set GOROOT to where it is: %w", name, err)
		}
		if err != nil {
			return nil, fmt.Errorf("papers: %w", err)
		}
		photos = append(photos, photo)
	}
	return photos, nil
}
