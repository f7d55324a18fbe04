package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/train/inpaint"
)

// inpaintFlags are the flags of "ballast inpaint".
type inpaintFlags struct {
	data, out string
	print     bool
	paper     bool
	overwrite bool
}

func newInpaint(a *app) *cobra.Command {
	f := inpaintFlags{}
	cmd := &cobra.Command{
		Use:   "inpaint --data NAME --out FOLDER [key=value ...]",
		Short: "Train a network that fills holes in images",
		Long: `Inpaint cuts patches out of the images of a data set, draws holes into them, and trains a generator against a discriminator to
fill them, with region normalisation (generator.norm=region), instance or batch normalisation. It measures on patches of the test
part and writes filled.png: patches, the same with holes, and filled. A run cut short goes on when repeated.

The defaults take minutes on two cores; --paper takes the sizes of the paper (patches of 256 pixels, 64 to 512 channels).`,
		Example: `  ballast inpaint --data 'dir:photos?size=256x256' --out runs/holes
  ballast inpaint --data fashion-mnist --out runs/clothes side=28 steps=1000
  ballast inpaint --data fashion-mnist --out runs/plain side=28 generator.norm=instance
  ballast inpaint --print-config --paper`,
	}
	cmd.Flags().StringVar(&f.data, "data", "", "data set of images of one size")
	cmd.Flags().StringVar(&f.out, "out", "", "folder of the run")
	overwriteRunFlag(cmd, &f.overwrite)
	cmd.Flags().BoolVar(&f.paper, "paper", false, "the sizes of the paper in place of small ones")
	cmd.Flags().BoolVar(&f.print, "print-config", false, "print every setting, and do nothing")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if f.print {
			if err := idle(c, "with --print-config", "data", "out", "overwrite", "engine"); err != nil {
				return err
			}
		}
		if err := seedTwice(c, args); err != nil {
			return err
		}
		config, err := f.config(a.seed, args)
		if err != nil {
			return &fault.Usage{Err: err}
		}
		if f.print {
			return a.printJSON(config)
		}
		if f.data == "" || f.out == "" {
			return &fault.Usage{Err: fmt.Errorf("give --data and --out; see: ballast inpaint --help")}
		}
		files := append([]string{"filled.png"}, inpaint.Files...)
		return claimRun("inpaint", f.out, isInpainting, files, f.overwrite, func(begin func() error) error {
			return a.inpaint(c.Context(), config, f, begin)
		})
	}
	return cmd
}

// isInpainting recognises a folder of "ballast inpaint".
func isInpainting(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "run.json"))
	return err == nil
}

// config is the settings with the overrides on top.
func (f inpaintFlags) config(seed uint64, overrides []string) (inpaint.Config, error) {
	c := inpaint.NewConfig()
	c.Seed = seed
	if !f.paper {
		c.Generator.Base, c.Generator.Blocks = 8, 2
		c.Discriminator.Base, c.Discriminator.Halves = 16, 2
		c.Side, c.Patches, c.Batch, c.Steps, c.Every, c.LR = 32, 1024, 8, 1000, 50, 1e-3
	}
	base, err := lab.ConfigOf(c)
	if err != nil {
		return c, err
	}
	settings, err := lab.Apply(base, lab.TypesOf(c), overrides)
	if err != nil {
		return c, err
	}
	if err := strict.DecodeMap(settings, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

func (a *app) inpaint(ctx context.Context, config inpaint.Config, f inpaintFlags, begin func() error) error {
	images, err := imagesOf(f.data, "train", config.Patches)
	if err != nil {
		return err
	}
	held, err := imagesOf(f.data, "test", config.Held)
	if err != nil {
		return err
	}
	e, err := a.openEngine()
	if err != nil {
		return err
	}
	defer e.Close()
	result, err := inpaint.Run(ctx, config, images, held, inpaint.Options{Engine: e, Dir: f.out, Anew: f.overwrite, Accept: begin, Progress: func(p inpaint.Point) {
		a.remark("step %d of %d  loss %.4f  discriminator %.4f  L1 in the holes %.4f  PSNR %.2f dB", p.Step, config.Steps, p.Generator, p.Discriminator, p.L1, p.PSNR)
	}})
	if err != nil {
		return err
	}
	defer result.Close()
	filled, err := result.Fill(result.Held, result.Masks)
	if err != nil {
		return err
	}
	path := filepath.Join(f.out, "filled.png")
	picture, err := holesPNG(result, filled)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, func(w io.Writer) error { _, err := w.Write(picture); return err }); err != nil {
		return err
	}
	a.remark("picture: %s", path)
	if a.json {
		return a.printJSON(result)
	}
	_, err = fmt.Fprintf(a.out, "%s normalisation, %d updates: L1 in the holes %.4f, PSNR %.2f dB, on %d patches\n",
		config.Generator.Norm, config.Steps, result.Final.L1, result.Final.PSNR, config.Held)
	return err
}

// holesPNG shows patches, the same with their holes painted white, and filled.
func holesPNG(r *inpaint.Result, filled inpaint.Images) ([]byte, error) {
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

// imagesOf reads the first images of a data set, at most n.
func imagesOf(name, part string, n int) (inpaint.Images, error) {
	ds, err := data.Open(name, part)
	if err != nil {
		return inpaint.Images{}, err
	}
	shape := ds.Info().Shape
	if len(shape) != 3 {
		return inpaint.Images{}, &fault.Input{File: name, Err: fmt.Errorf("its examples are %v, not images", shape), Fix: "name a data set of images: ballast data list"}
	}
	m := inpaint.Images{Count: min(n, ds.Len()), Height: shape[0], Width: shape[1], Channels: shape[2]}
	if _, err := untrusted.Bytes(fmt.Sprintf("%d images of %s", m.Count, name), 4, append([]int{m.Count}, shape...)...); err != nil {
		return m, err
	}
	m.Pixels = make([]float32, m.Count*ds.Info().Size())
	for i := range m.Count {
		if err := ds.Read(i, m.Pixels[i*ds.Info().Size():(i+1)*ds.Info().Size()]); err != nil {
			return m, err
		}
	}
	return m, nil
}
