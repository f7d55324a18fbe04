package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
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
part and writes filled.png (patches, the same with holes, and filled) and the trained network, model. A run that was cut short
is resumed when the command is repeated.

The defaults take minutes on two cores; --paper uses the sizes of the paper (patches of 256 pixels, 64 to 512 channels).`,
		Example: `  ballast inpaint --data 'dir:photos?size=256x256' --out runs/holes
  ballast inpaint --data fashion-mnist --out runs/clothes side=28 steps=1000
  ballast inpaint --data fashion-mnist --out runs/plain side=28 generator.norm=instance
  ballast inpaint --print-config --paper`,
	}
	cmd.Flags().StringVar(&f.data, "data", "", "data set of images of one size")
	cmd.Flags().StringVar(&f.out, "out", "", "folder of the run")
	overwriteRunFlag(cmd, &f.overwrite)
	cmd.Flags().BoolVar(&f.paper, "paper", false, "use the sizes of the paper instead of small ones")
	cmd.Flags().BoolVar(&f.print, "print-config", false, "print every setting and stop")
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
		if err := knownData(f.data, "train"); err != nil {
			return err
		}
		return claimRun("inpaint", f.out, inpaint.IsRun, inpaint.Files, f.overwrite, func(begin func() error) error {
			return a.inpaint(c.Context(), config, f, begin)
		})
	}
	return cmd
}

// config is the settings with the overrides on top.
func (f inpaintFlags) config(seed uint64, overrides []string) (inpaint.Config, error) {
	c := inpaint.NewSmallConfig()
	if f.paper {
		c = inpaint.NewConfig()
	}
	c.Seed = seed
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
	e, err := a.openEngine()
	if err != nil {
		return err
	}
	defer e.Close()
	result, err := inpaint.Run(ctx, config, data.Named(f.data), inpaint.Options{
		Engine: e, Dir: f.out, Anew: f.overwrite, Accept: begin, Remark: func(line string) { a.remark("%s", line) },
		Progress: func(p inpaint.Point) {
			a.remark("step %d of %d  loss %.4f  discriminator %.4f  L1 in the holes %.4f  PSNR %.2f dB", p.Step, config.Steps, p.Generator, p.Discriminator, p.L1, p.PSNR)
		},
	})
	if err != nil {
		return err
	}
	defer result.Close()
	picture, trained, err := result.Save(ctx, f.out)
	if err != nil {
		return err
	}
	a.remark("picture: %s", picture)
	a.remark("model: %s", trained)
	if a.json {
		return a.printJSON(result)
	}
	_, err = fmt.Fprintf(a.out, "%s normalisation, %d updates: L1 in the holes %.4f, PSNR %.2f dB, on %d patches\n",
		config.Generator.Norm, config.Steps, result.Final.L1, result.Final.PSNR, config.Held)
	return err
}
