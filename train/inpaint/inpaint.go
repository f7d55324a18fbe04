// Package inpaint trains networks that fill holes in images: a generator against a discriminator, on patches of pictures with holes
// drawn into them.
//
//	Images, Holes      what is trained on: patches at random places, and masks
//	Run                the training; a run cut short goes on
//	Result.Fill        holes filled by the trained generator
//
// Source: Yu et al., "Region Normalization for Image Inpainting", arXiv 1911.10375.
package inpaint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/safepoint"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/ops"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// Config says everything about one run but its images. Both networks are moved by Adam in every step, from the losses that loss.Inpainting
// gives with the weights of before the step; without adversarial loss (loss.gan_weight 0) there is no discriminator.
type Config struct {
	Generator     zoo.InpaintGenerator     `json:"generator"`
	Discriminator zoo.InpaintDiscriminator `json:"discriminator"`
	Loss          loss.Inpainting          `json:"loss"`
	Holes         Holes                    `json:"holes"`
	Side          int                      `json:"side"`           // of a patch, a multiple of 4; 256
	Patches       int                      `json:"patches"`        // cut out to train on; 1024
	Held          int                      `json:"held"`           // cut out of held images to measure on; 64
	Batch         int                      `json:"batch"`          // patches an update; 14
	Steps         int                      `json:"steps"`          // updates; 10,000
	LR            float64                  `json:"lr"`             // of both networks; 1e-4
	Beta1         float64                  `json:"beta1"`          // 0
	Beta2         float64                  `json:"beta2"`          // 0.9
	Every         int                      `json:"evaluate_every"` // updates between two measurements; 100
	Seed          uint64                   `json:"seed"`           // of patches, holes, weights and order; 1
}

// NewConfig returns the official setting, of 70 million parameters for patches of 256 pixels; smaller ones want a smaller base.
func NewConfig() Config {
	return Config{
		Generator: zoo.NewInpaintGenerator(), Discriminator: zoo.NewInpaintDiscriminator(), Loss: loss.NewInpainting(), Holes: NewHoles(),
		Side: 256, Patches: 1024, Held: 64, Batch: 14, Steps: 10000, LR: 1e-4, Beta1: 0, Beta2: 0.9, Every: 100, Seed: 1,
	}
}

// Validate says what is wrong with the configuration, and how to fix it.
func (c Config) Validate() error {
	errs := []error{c.Generator.Validate(), c.Holes.Validate(c.Side)}
	check := func(ok bool, key string, got any, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("inpaint: %s is %v; %s", key, got, fix))
		}
	}
	const mostSide, most = 4096, math.MaxInt32 // patches are held in memory; steps are counted in 32 bits
	check(c.Side >= 12 && c.Side%4 == 0 && c.Side <= mostSide, "side", c.Side, "use a multiple of 4, at least 12 and at most 4096")
	check(c.Patches <= most && c.Held <= most && c.Steps <= most && c.Every <= most, "patches, held, steps or evaluate_every", "too large", "use at most 2147483647")
	check(c.Patches >= 1, "patches", c.Patches, "use at least 1")
	check(c.Held >= 1, "held", c.Held, "use at least 1")
	check(c.Batch >= 1 && c.Batch <= c.Patches, "batch", c.Batch, "use at least 1, and not more than patches")
	check(c.Steps >= 1, "steps", c.Steps, "use at least 1")
	check(c.Every >= 1, "evaluate_every", c.Every, "use at least 1")
	check(c.LR > 0, "lr", c.LR, "use a number above 0")
	check(c.Beta1 >= 0 && c.Beta1 < 1, "beta1", c.Beta1, "use a number from 0 to below 1")
	check(c.Beta2 >= 0 && c.Beta2 < 1, "beta2", c.Beta2, "use a number from 0 to below 1")
	check(c.Loss.L1 >= 0 && c.Loss.GAN >= 0 && c.Loss.L1+c.Loss.GAN > 0, "loss", c.Loss, "use weights from 0, not both 0")
	if c.Loss.GAN > 0 {
		check(c.Discriminator.Base >= 1 && c.Discriminator.Halves >= 1, "discriminator", c.Discriminator, "use at least 1 of base and halves")
		if err := c.Discriminator.Validate(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		// Each of the two last convolutions takes a pixel off each side.
		check(c.Side>>c.Discriminator.Halves > 2, "discriminator.halves", c.Discriminator.Halves, "leave more than 2 pixels of a patch, so use fewer halves or larger patches")
	}
	return errors.Join(errs...)
}

// Point is what was measured after a number of updates.
type Point struct {
	Step          int     `json:"step"`
	Generator     float64 `json:"generator"`     // loss of the last update
	Discriminator float64 `json:"discriminator"` // the same; 0 without one
	Quality
}

// Quality is measured on the held patches, on the pixels of the holes alone.
type Quality struct {
	L1   float64 `json:"l1"`   // mean absolute error; pixels are in [0,1]
	PSNR float64 `json:"psnr"` // 10 log10(1 / mean squared error), in decibel
}

// Result is a finished run.
type Result struct {
	Config  Config    `json:"config"`
	History []Point   `json:"history"`
	Final   Quality   `json:"final"`
	Held    Images    `json:"-"` // patches that were measured on
	Masks   []float32 `json:"-"` // and their holes

	net *networks
}

// Close frees what the run holds on the engine.
func (r *Result) Close() { r.net.close() }

// Files are the files that Run writes into its folder, as patterns of package path.
var Files = []string{"run.json", "state-*.safetensors"}

// Options are what a run needs besides its configuration.
type Options struct {
	Engine *engine.Engine
	Dir    string // where the state is saved, so that a run cut short goes on; "" saves nothing
	Anew   bool   // what Dir holds is removed by Accept; until then nothing of it is looked at

	// Accept is called once everything was checked and before anything is written or removed; an error ends the run. nil = nothing to do.
	Accept func() error

	Progress func(Point) // told of every measurement; nil = nobody
}

// Run trains the networks on patches of images and measures them on patches of held. A run cut short goes on, with the same numbers, when
// called again with the same Dir, configuration and images.
func Run(ctx context.Context, c Config, images, held Images, o Options) (result *Result, err error) {
	if err := errors.Join(c.Validate(), images.Validate(), held.Validate()); err != nil {
		return nil, err
	}
	if images.Channels != held.Channels {
		return nil, fmt.Errorf("inpaint: the images have %d channels and the held ones %d; both must have the same", images.Channels, held.Channels)
	}
	r := rand.New(rand.NewPCG(c.Seed, 0))
	patches, err := images.Patches(c.Patches, c.Side, r)
	if err != nil {
		return nil, err
	}
	masks := c.Holes.Draw(c.Patches, c.Side, r)
	out := &Result{Config: c}
	if out.Held, err = held.Patches(c.Held, c.Side, r); err != nil {
		return nil, err
	}
	out.Masks = c.Holes.Draw(c.Held, c.Side, r)
	net, err := newNetworks(c, patches, masks, o.Engine)
	if err != nil {
		return nil, err
	}
	out.net = net
	defer func() {
		if err != nil {
			net.close()
		}
	}()
	journal := train.Journal[Config, Point]{Config: c}
	if !o.Anew {
		if err := journal.Load(o.Dir, net.variables(), c.goesOn); err != nil {
			return nil, err
		}
	}
	if o.Accept != nil {
		if err := o.Accept(); err != nil {
			return nil, err
		}
	}
	step := 0
	if n := len(journal.History); n > 0 {
		step = journal.History[n-1].Step
	}
	for step < c.Steps {
		p := Point{}
		for until := min(step+c.Every-step%c.Every, c.Steps); step < until; step++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if p.Generator, p.Discriminator, err = net.step(step); err != nil {
				return nil, err
			}
		}
		p.Step = step
		if math.IsNaN(p.Generator+p.Discriminator) || math.IsInf(p.Generator+p.Discriminator, 0) {
			return nil, fmt.Errorf("inpaint: the losses are %v and %v after %d updates; use a smaller lr", p.Generator, p.Discriminator, step)
		}
		if p.Quality, err = out.measure(ctx); err != nil {
			return nil, err
		}
		journal.History = append(journal.History, p)
		release := safepoint.Hold(ctx)
		err = journal.Save(o.Dir, step, net.variables())
		release()
		if err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(p)
		}
	}
	out.History = journal.History
	out.Final = out.History[len(out.History)-1].Quality
	return out, nil
}

// goesOn says whether a saved run may be gone on with.
func (c Config) goesOn(saved train.Journal[Config, Point]) error {
	longer := saved.Config
	longer.Steps = c.Steps
	if longer != c {
		return errors.New("inpaint: the folder holds a run of another configuration")
	}
	if n := len(saved.History); n == 0 || saved.History[n-1].Step > c.Steps {
		return fmt.Errorf("inpaint: the run in the folder has gone on beyond %d steps", c.Steps)
	}
	return nil
}

// Fill fills holes: images [n, Side, Side, channels] and masks [n, Side, Side, 1], 1 in the hole. What is outside the holes stays as it is.
func (r *Result) Fill(images Images, masks []float32) (Images, error) {
	return r.fill(context.Background(), images, masks)
}

func (r *Result) fill(ctx context.Context, images Images, masks []float32) (Images, error) {
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
	for from := 0; from < images.Count; from += r.Config.Batch {
		if ctx.Err() != nil {
			return Images{}, context.Cause(ctx)
		}
		to := min(from+r.Config.Batch, images.Count)
		x := tensors.FromFlatDataAndDimensions(images.Pixels[from*per*images.Channels:to*per*images.Channels], to-from, images.Height, images.Width, images.Channels)
		mask := tensors.FromFlatDataAndDimensions(masks[from*per:to*per], to-from, images.Height, images.Width, 1)
		filled, err := r.net.fill.Call(x, mask)
		if err != nil {
			return Images{}, fmt.Errorf("inpaint: %w", err)
		}
		out.Pixels = append(out.Pixels, tensors.MustCopyFlatData[float32](filled[0])...)
	}
	return out, nil
}

func (r *Result) measure(ctx context.Context) (Quality, error) {
	filled, err := r.fill(ctx, r.Held, r.Masks)
	if err != nil {
		return Quality{}, err
	}
	var n, absolute, squared float64
	for i, v := range filled.Pixels {
		if r.Masks[i/r.Held.Channels] == 1 {
			d := float64(v - r.Held.Pixels[i])
			n, absolute, squared = n+1, absolute+math.Abs(d), squared+d*d
		}
	}
	return Quality{L1: absolute / n, PSNR: -10 * math.Log10(squared/n)}, nil
}

// networks are both networks on an engine, with what they are trained on.
type networks struct {
	config         Config
	store          *model.Store
	update, fill   *model.Exec
	patches, masks *tensors.Tensor // on the device
	order          []int32         // of the present epoch
}

func newNetworks(c Config, patches Images, masks []float32, e *engine.Engine) (*networks, error) {
	net := &networks{config: c, store: model.NewStore()}
	param.Seed(net.store, c.Seed)
	net.patches = tensors.FromFlatDataAndDimensions(patches.Pixels, c.Patches, c.Side, c.Side, patches.Channels)
	net.masks = tensors.FromFlatDataAndDimensions(masks, c.Patches, c.Side, c.Side, 1)
	o := optim.NewAdamW()
	o.LR, o.Beta1, o.Beta2, o.WeightDecay = c.LR, c.Beta1, c.Beta2, 0
	m := optim.Minimizer{Optimizer: o}
	var err error
	net.fill, err = model.NewExec(e.Backend, net.store, func(scope *model.Scope, x, mask *Node) *Node {
		net.store.SetTraining(x.Graph(), false)
		return c.Loss.Merged(c.Generator.Apply(scope.In("generator"), x, mask), x, mask)
	})
	if err != nil {
		return nil, fmt.Errorf("inpaint: %w", err)
	}
	net.update, err = model.NewExec(e.Backend, net.store, func(scope *model.Scope, patches, masks, pick *Node) []*Node {
		net.store.SetTraining(patches.Graph(), true)
		truth, mask := ops.GatherRows(patches, pick), ops.GatherRows(masks, pick)
		prediction := c.Generator.Apply(scope.In("generator"), truth, mask)
		generator, discriminator := MulScalar(c.Loss.Reconstruction(prediction, truth, mask), c.Loss.L1), ZerosLike(ReduceAllMean(mask))
		if c.Loss.GAN > 0 {
			judge := func(x *Node) *Node { return c.Discriminator.Apply(scope.At("discriminator"), x) }
			discriminator = c.Loss.Discriminator(judge(truth), judge(StopGradient(prediction)))
			generator = Add(generator, MulScalar(c.Loss.Adversarial(judge(prediction)), c.Loss.GAN))
			m.Step(scope.In("discriminator_optimizer"), discriminator, net.trained("/discriminator/"))
		}
		m.Step(scope.In("generator_optimizer"), generator, net.trained("/generator/"))
		return []*Node{generator, discriminator}
	})
	if err != nil {
		return nil, fmt.Errorf("inpaint: %w", err)
	}
	// Every variable is made before a saved state can be read.
	declare, err := model.NewExec(e.Backend, net.store, func(scope *model.Scope, x, mask *Node) *Node {
		net.store.SetTraining(x.Graph(), false)
		y := ReduceAllMean(c.Generator.Apply(scope.In("generator"), x, mask))
		if c.Loss.GAN > 0 {
			y = Add(y, ReduceAllMean(c.Discriminator.Apply(scope.In("discriminator"), x)))
			m.Declare(scope.In("discriminator_optimizer"), net.trained("/discriminator/"))
		}
		m.Declare(scope.In("generator_optimizer"), net.trained("/generator/"))
		return y
	})
	if err != nil {
		return nil, fmt.Errorf("inpaint: %w", err)
	}
	defer declare.Finalize()
	one := func(channels int) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(make([]float32, c.Side*c.Side*channels), 1, c.Side, c.Side, channels)
	}
	if _, err := declare.Call(one(patches.Channels), one(1)); err != nil {
		return nil, fmt.Errorf("inpaint: %w", err)
	}
	return net, nil
}

// trained are the trained variables under a scope.
func (net *networks) trained(under string) []*model.Variable {
	var variables []*model.Variable
	for v := range net.store.IterVariables() {
		if v.Trainable && strings.HasPrefix(v.Path(), under) {
			variables = append(variables, v)
		}
	}
	return variables
}

func (net *networks) variables() []*model.Variable {
	var all []*model.Variable
	for v := range net.store.IterVariables() {
		all = append(all, v)
	}
	return all
}

// step does one update and returns its losses. It waits for the device: updates that are queued could not be stopped.
func (net *networks) step(number int) (generator, discriminator float64, err error) {
	out, err := net.update.Call(net.patches, net.masks, tensors.FromFlatDataAndDimensions(net.batch(number), net.config.Batch))
	if err != nil {
		return 0, 0, fmt.Errorf("inpaint: %w", err)
	}
	generator, discriminator = float64(tensors.ToScalar[float32](out[0])), float64(tensors.ToScalar[float32](out[1]))
	for _, t := range out {
		if err := t.FinalizeAll(); err != nil {
			return 0, 0, fmt.Errorf("inpaint: %w", err)
		}
	}
	return generator, discriminator, nil
}

// batch is the patches of an update: the next ones of a permutation that each epoch draws anew.
func (net *networks) batch(number int) []int32 {
	n, size := net.config.Patches, net.config.Batch
	perEpoch := n / size
	if net.order == nil || number%perEpoch == 0 {
		net.order = make([]int32, n)
		for i := range net.order {
			net.order[i] = int32(i)
		}
		r := rand.New(rand.NewPCG(net.config.Seed, uint64(number/perEpoch)+1))
		r.Shuffle(n, func(i, j int) { net.order[i], net.order[j] = net.order[j], net.order[i] })
	}
	from := number % perEpoch * size
	return net.order[from : from+size]
}

func (net *networks) close() {
	net.update.Finalize()
	net.fill.Finalize()
	net.store.Finalize()
}
