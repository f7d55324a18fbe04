package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
)

func newData(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "List, get and look at data sets",
		Example: `  ballast data list
  ballast data get mnist
  ballast data show mnist --shift contrast:3 --png sheet.png`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(newDataList(a), newDataGet(a), newDataShow(a))
	return cmd
}

func newDataList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the data sets that go by a name", Example: "  ballast data list --json", Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			list := data.List()
			if a.json {
				return a.printJSON(list)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tEXAMPLES\tSHAPE\tCLASSES\tHERE\tLICENCE")
			for _, s := range list {
				here := "yes"
				if !s.Here {
					here = "ballast data get " + s.Name
				}
				fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%s\n", s.Name, s.Examples, times(s.Shape), len(s.Classes), here, s.Licence)
			}
			fmt.Fprintln(w, "dir:PATH\t\t\t\t\tPNG and JPEG images in one sub-folder a class")
			fmt.Fprintln(w, "npy:X.npy,Y.npy\t\t\t\t\texamples and labels as arrays")
			return w.Flush()
		},
	}
}

func newDataGet(a *app) *cobra.Command {
	o := data.GetOptions{}
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Download a data set, with its checksums compared",
		Example: "  ballast data get mnist\n  ballast data get fashion-mnist --from dataset-fashion-mnist_all.deb", Args: usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&o.From, "from", "", "the package on this machine, to get the set offline")
	cmd.Flags().BoolVar(&o.Force, "force", false, "get it even if it is there undamaged")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		show, done := a.bytesCounter(args[0])
		o.Progress = show
		dir, already, err := data.Get(c.Context(), args[0], o)
		done()
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(map[string]any{"name": args[0], "folder": dir, "already": already})
		}
		verb := "got"
		if already {
			verb = "already there"
		}
		_, err = fmt.Fprintf(a.out, "%s: %s\n", verb, dir)
		return err
	}
	return cmd
}

// showFlags are the flags of "ballast data show".
type showFlags struct {
	part, shift, png string
	index, count     int
}

func newDataShow(a *app) *cobra.Command {
	f := showFlags{}
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show examples in the terminal or as a picture",
		Example: "  ballast data show optdigits --index 7\n  ballast data show mnist --shift gaussian-noise:3 --count 64 --png sheet.png",
		Args:    usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&f.part, "part", "test", "part: train, test or all")
	cmd.Flags().IntVar(&f.index, "index", 0, "first example")
	cmd.Flags().IntVar(&f.count, "count", 1, "number of examples")
	cmd.Flags().StringVar(&f.shift, "shift", "", "shift and severity, such as contrast:3")
	cmd.Flags().StringVar(&f.png, "png", "", "write the examples to a PNG contact sheet")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		ds, err := data.Open(args[0], f.part)
		if err != nil {
			return err
		}
		if f.shift != "" {
			if ds, err = shiftOf(ds, f.shift, a.seed); err != nil {
				return err
			}
		}
		if f.index < 0 || f.count < 1 || f.index+f.count > ds.Len() {
			return &fault.Usage{Err: fmt.Errorf("examples %d to %d are asked for, %s has 0 to %d", f.index, f.index+f.count-1, ds.Info().Name, ds.Len()-1)}
		}
		if len(ds.Info().Shape) != 3 {
			return &fault.Usage{Err: fmt.Errorf("%s has examples of shape %v; only images can be shown", ds.Info().Name, ds.Info().Shape)}
		}
		if f.png != "" {
			sheet, err := contactSheet(ds, f.index, f.count)
			if err != nil {
				return err
			}
			return durable.WriteFile(f.png, func(w io.Writer) error { return png.Encode(w, sheet) })
		}
		return a.showExamples(ds, f)
	}
	return cmd
}

func shiftOf(ds data.Dataset, text string, seed uint64) (data.Dataset, error) {
	name, level, _ := strings.Cut(text, ":")
	shift, err := corrupt.Find(name)
	if err != nil {
		return nil, err
	}
	severity := 3
	if level != "" {
		if severity, err = strconv.Atoi(level); err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("severity %q is not a number; write %s:3", level, name)}
		}
	}
	return corrupt.Wrap(ds, shift, severity, seed)
}

// showExamples prints images as half blocks: one character is two pixels, one above the other.
func (a *app) showExamples(ds data.Dataset, f showFlags) error {
	info := ds.Info()
	x := make([]float32, info.Size())
	for i := f.index; i < f.index+f.count; i++ {
		if err := ds.Read(i, x); err != nil {
			return err
		}
		if a.json {
			if err := a.printJSON(map[string]any{"index": i, "label": ds.Label(i), "class": info.Classes[ds.Label(i)], "values": x}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(a.out, "%s %d: %s\n", info.Name, i, info.Classes[ds.Label(i)])
		const shades = " .:-=+*#%@"
		height, width, channels := info.Shape[0], info.Shape[1], info.Shape[2]
		for y := 0; y < height; y += 2 {
			var line strings.Builder
			for column := range width {
				value := float64(x[(y*width+column)*channels])
				if y+1 < height {
					value = (value + float64(x[((y+1)*width+column)*channels])) / 2
				}
				line.WriteByte(shades[min(int(value*float64(len(shades))), len(shades)-1)])
			}
			fmt.Fprintln(a.out, strings.TrimRight(line.String(), " "))
		}
	}
	return nil
}

// contactSheet puts images into a square, each enlarged to about 84 pixels.
func contactSheet(ds data.Dataset, from, count int) (image.Image, error) {
	shape := ds.Info().Shape
	height, width, channels := shape[0], shape[1], shape[2]
	zoom := max(1, 84/max(height, width))
	columns := int(math.Ceil(math.Sqrt(float64(count))))
	rows := (count + columns - 1) / columns
	const gap = 4
	sheet := image.NewRGBA(image.Rect(0, 0, columns*(width*zoom+gap)+gap, rows*(height*zoom+gap)+gap))
	for i := range sheet.Pix {
		sheet.Pix[i] = 0xff
	}
	x := make([]float32, ds.Info().Size())
	for k := range count {
		if err := ds.Read(from+k, x); err != nil {
			return nil, err
		}
		left, top := gap+k%columns*(width*zoom+gap), gap+k/columns*(height*zoom+gap)
		for y := range height * zoom {
			for column := range width * zoom {
				pixel := x[(y/zoom*width+column/zoom)*channels:]
				level := func(c int) uint8 { return uint8(255 * pixel[min(c, channels-1)]) }
				sheet.Set(left+column, top+y, color.RGBA{level(0), level(1), level(2), 255})
			}
		}
	}
	return sheet, nil
}

func times(shape []int) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = strconv.Itoa(d)
	}
	return strings.Join(parts, "x")
}
