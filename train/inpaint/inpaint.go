// Package inpaint trains networks that fill holes in images, a generator against a discriminator, and measures how well they do.
//
//	what                                     where
//	patches of pictures with holes in them   data.Holed, the source "holes"
//	the objective that an update minimises   objective.Inpaint
//	a run, as a recipe of both               Config, Run
//	how well holes are filled                Quality
//	holes filled by the trained network      Result.Fill, Result.Picture
//
// Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
package inpaint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/update"
)

// Point is what was measured after a number of updates.
type Point struct {
	Step          int     `json:"step"`
	Generator     float64 `json:"generator"`     // loss, mean since the point before
	Discriminator float64 `json:"discriminator"` // the same; 0 without one
	Quality
}

// Result is a finished run.
type Result struct {
	Config  Config         `json:"config"`
	History []Point        `json:"history"`
	Final   Quality        `json:"final"`
	Held    Images         `json:"-"` // patches that were measured on
	Masks   []float32      `json:"-"` // and their holes
	Bundle  *bundle.Bundle `json:"-"` // the trained network

	fill *filler
}

// Close frees what the run holds on the engine.
func (r *Result) Close() {
	r.fill.close()
	r.Bundle.Store.Finalize()
}

// Options are what a run needs besides its configuration.
type Options struct {
	Engine *engine.Engine
	Dir    string // where checkpoints are saved, so that a run cut short resumes; "" saves nothing
	Anew   bool   // Accept removes what Dir holds; until then Dir is not read

	// Accept is called once everything was checked and before anything is written or removed; an error ends the run. nil = nothing to do.
	Accept func() error

	Progress func(Point)  // told of every measurement; nil = nobody
	Remark   func(string) // receives one line for a person: a broken checkpoint skipped, ...; nil = nobody
}

// oldRun and oldStates are the files of a run in the folders of earlier versions.
const oldRun, oldStates = "run.json", "state-*.safetensors"

// The names of what Save writes.
const (
	pictureFile = "filled.png"
	modelDir    = "model"
)

// Files are the files that Run and Save write into a folder, now and in earlier versions, as patterns of package path.
var Files = slices.Concat([]string{pictureFile, oldRun, oldStates}, train.Files, durable.Within(modelDir, bundle.Files))

// IsRun reports whether a folder holds a run of an earlier version of this package; those of this one have a mark.
func IsRun(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, oldRun))
	return err == nil
}

// Run trains the network by the recipe of the configuration on the part train of a source of images, and measures it on patches of the part
// test. An interrupted run resumes, with the same numbers, when called again with the same Dir, configuration and images. A folder of a
// version that had a loop of its own is refused.
func Run(ctx context.Context, c Config, from data.Source, o Options) (*Result, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(o.Dir, oldRun)); err == nil && o.Dir != "" && !o.Anew {
		return nil, &fault.Usage{Err: fmt.Errorf("inpaint: %s holds a run of an earlier version, which had a loop of its own; this version cannot go on with it, "+
			"so use another folder, or remove this one", o.Dir)}
	}
	patches, err := c.Source(from).Open("train")
	if err != nil {
		return nil, err
	}
	r := &Result{Config: c}
	if r.Held, r.Masks, err = held(c.Source(from)); err != nil {
		return nil, err
	}

	look := &looker{result: r, options: o}
	defer look.close()
	trained, err := train.Run(ctx, c.Recipe(from), train.Options{
		Engine: o.Engine, Dir: o.Dir, Resume: true, Anew: o.Anew, Accept: o.Accept, Data: patches,
		Sink: look, Look: &train.Look{Names: lookNames, Measure: look.measure}, Remark: o.Remark,
	})
	var diverged *train.Diverged
	if errors.As(err, &diverged) {
		return nil, fmt.Errorf("inpaint: the losses or their gradients are not finite after %d updates; use a smaller lr", diverged.Step)
	}
	if err != nil {
		return nil, fmt.Errorf("inpaint: %w", err)
	}

	r.Bundle = trained.Bundle
	for _, p := range trained.Watched[lookNames[0]] {
		r.History = append(r.History, pointOf(p))
	}
	r.Final = r.History[len(r.History)-1].Quality
	if r.fill, err = newFiller(c, o.Engine, r.Bundle.Store); err != nil {
		return nil, err
	}
	return r, nil
}

// lookNames are what is measured on the way.
var lookNames = []string{"generator", "discriminator", "hole_l1", "hole_psnr"}

// pointOf is a point from the numbers of lookNames.
func pointOf(p optim.Point) Point {
	v := p.Values
	return Point{Step: p.Step, Generator: v[0], Discriminator: v[1], Quality: Quality{L1: v[2], PSNR: v[3]}}
}

// looker measures the network on the held patches while it is trained. As a sink it hears the losses of the goals.
type looker struct {
	result  *Result
	options Options
	logged  map[string]float64 // the last
	fill    *filler            // nil before the first measurement
}

// Log remembers what was logged: it comes before measure.
func (l *looker) Log(_ int, values map[string]float64) error {
	if _, losses := values["loss"]; losses {
		l.logged = values
	}
	return nil
}

// Rewind has nothing to forget.
func (*looker) Rewind(int) error { return nil }

func (l *looker) measure(ctx context.Context, h update.Host, at train.Progress) ([]float64, error) {
	if l.fill == nil {
		var err error
		if l.fill, err = newFiller(l.result.Config, l.options.Engine, h.Store()); err != nil {
			return nil, err
		}
	}
	filled, err := l.fill.fill(ctx, l.result.Held, l.result.Masks)
	if err != nil {
		return nil, err
	}
	q := qualityOf(filled, l.result.Held, l.result.Masks)
	generator, discriminator := l.logged["loss"], 0.0
	if l.result.Config.Loss.GAN > 0 {
		generator, discriminator = l.logged["loss_l1"]+l.logged["loss_gan"], l.logged["loss_discriminator"]
	}

	values := []float64{generator, discriminator, q.L1, q.PSNR}
	if l.options.Progress != nil {
		l.options.Progress(pointOf(optim.Point{Step: at.Step, Values: values}))
	}
	return values, nil
}

func (l *looker) close() {
	if l.fill != nil {
		l.fill.close()
	}
}
