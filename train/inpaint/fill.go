package inpaint

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/report"
)

// Images are pictures of one size, [Count, Height, Width, Channels], values in [0,1].
type Images struct {
	Pixels                         []float32
	Count, Height, Width, Channels int
}

// Quality is how well holes are filled, on the pixels of the holes alone.
type Quality struct {
	L1   float64 `json:"l1"`   // mean absolute error; pixels are in [0,1]
	PSNR float64 `json:"psnr"` // 10 log10(1 / mean squared error), in decibel, at most 120
}

// qualityOf compares filled images with what was there.
func qualityOf(filled, truth Images, masks []float32) Quality {
	const least = 1e-12 // 120 dB; a float32 does not show less
	var n, absolute, squared float64
	for i, v := range filled.Pixels {
		if masks[i/truth.Channels] == 1 {
			d := float64(v - truth.Pixels[i])
			n, absolute, squared = n+1, absolute+math.Abs(d), squared+d*d
		}
	}
	return Quality{L1: absolute / n, PSNR: -10 * math.Log10(max(squared/n, least))}
}

// held reads the patches that are measured on, as they were, and their holes.
func held(source data.Holed) (Images, []float32, error) {
	set, err := source.Open("test")
	if err != nil {
		return Images{}, nil, err
	}
	shape := set.Info().Shape
	m := Images{Count: set.Len(), Height: shape[0], Width: shape[1], Channels: shape[2] - 1}
	per := m.Height * m.Width
	if _, err := untrusted.Bytes(fmt.Sprintf("%d patches to measure on", m.Count), 4, append([]int{m.Count}, shape...)...); err != nil {
		return Images{}, nil, err
	}

	targets, _ := data.AsTargeted(set) // a set of holes has them
	m.Pixels = make([]float32, m.Count*per*m.Channels)
	masks, example := make([]float32, m.Count*per), make([]float32, per*(m.Channels+1))
	for i := range m.Count {
		if err := targets.Target(i, m.Pixels[i*per*m.Channels:(i+1)*per*m.Channels]); err != nil {
			return Images{}, nil, err
		}
		if err := set.Read(i, example); err != nil {
			return Images{}, nil, err
		}
		for p := range per {
			masks[i*per+p] = example[(p+1)*(m.Channels+1)-1]
		}
	}
	return m, masks, nil
}

// filler fills holes with the network of a store, a batch at a time.
type filler struct {
	exec  *model.Exec
	batch int
}

func newFiller(c Config, e *engine.Engine, store *model.Store) (*filler, error) {
	exec, err := model.NewExec(e.Backend, store, func(scope *model.Scope, x, mask *Node) *Node {
		store.SetTraining(x.Graph(), false)
		return c.Loss.Merged(c.Generator.Apply(scope.At("model"), x, mask), x, mask)
	})
	if err != nil {
		return nil, fmt.Errorf("inpaint: %w", err)
	}
	return &filler{exec, c.Batch}, nil
}

func (f *filler) close() { f.exec.Finalize() }

func (f *filler) fill(ctx context.Context, images Images, masks []float32) (Images, error) {
	if len(masks)*images.Channels != len(images.Pixels) {
		return Images{}, fmt.Errorf("inpaint: %d values of masks for %d images of %d x %d; want one a pixel", len(masks), images.Count, images.Height, images.Width)
	}
	if err := norm.CheckMask(masks); err != nil {
		return Images{}, fmt.Errorf("inpaint: %w", err)
	}
	out := images
	out.Pixels = nil
	per := images.Height * images.Width
	// A batch at a time, so that the memory does not depend on how many images there are.
	for from := 0; from < images.Count; from += f.batch {
		if ctx.Err() != nil {
			return Images{}, context.Cause(ctx)
		}
		to := min(from+f.batch, images.Count)
		x := tensors.FromFlatDataAndDimensions(images.Pixels[from*per*images.Channels:to*per*images.Channels], to-from, images.Height, images.Width, images.Channels)
		mask := tensors.FromFlatDataAndDimensions(masks[from*per:to*per], to-from, images.Height, images.Width, 1)
		filled, err := f.exec.Call(x, mask)
		if err != nil {
			return Images{}, fmt.Errorf("inpaint: %w", err)
		}
		out.Pixels = append(out.Pixels, tensors.MustCopyFlatData[float32](filled[0])...)
	}
	return out, nil
}

// Fill fills holes: images [n, height, width, channels] and masks [n, height, width, 1], 1 in the hole. What is outside the holes stays as
// it is.
func (r *Result) Fill(ctx context.Context, images Images, masks []float32) (Images, error) {
	return r.fill.fill(ctx, images, masks)
}

// Picture is a PNG of some held patches, the same with their holes painted white, and filled.
func (r *Result) Picture(ctx context.Context) ([]byte, error) {
	filled, err := r.Fill(ctx, r.Held, r.Masks)
	if err != nil {
		return nil, err
	}
	h := r.Held
	n := min(h.Count, 12) * h.Height * h.Width * h.Channels
	holed := make([]float32, n)
	for i := range holed {
		holed[i] = h.Pixels[i]
		if r.Masks[i/h.Channels] == 1 {
			holed[i] = 1
		}
	}
	strip := func(pixels []float32) report.Strip {
		return report.Strip{Pixels: pixels, Height: h.Height, Width: h.Width, Channels: h.Channels}
	}
	return report.StripsPNG(max(1, 96/h.Height), strip(h.Pixels[:n]), strip(holed), strip(filled.Pixels[:n]))
}

// Save writes the picture, filled.png, and the trained network, a bundle in model, into a folder, and returns their paths.
func (r *Result) Save(ctx context.Context, dir string) (picture, trained string, err error) {
	content, err := r.Picture(ctx)
	if err != nil {
		return "", "", err
	}
	picture, trained = filepath.Join(dir, pictureFile), filepath.Join(dir, modelDir)
	if err := durable.WriteFile(picture, func(w io.Writer) error { _, err := w.Write(content); return err }); err != nil {
		return "", "", err
	}
	return picture, trained, r.Bundle.Replace(trained)
}
