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

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// showFlags are the flags of "ballast data show".
type showFlags struct {
	part, shift, png string
	index, count     int
	overwrite        bool
}

func newDataShow(a *app) *cobra.Command {
	f := showFlags{}
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show examples in the terminal or as a picture",
		Example: "  ballast data show optdigits --index 7\n  ballast data show mnist --shift gaussian-noise:3 --count 64 --png sheet.png",
		Args:    usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&f.part, "part", "test", "part of the data set: train, test or all, or val of a folder that has it")
	cmd.Flags().IntVar(&f.index, "index", 0, "first example")
	cmd.Flags().IntVar(&f.count, "count", 1, "number of examples")
	cmd.Flags().StringVar(&f.shift, "shift", "", "shift and severity, such as contrast:3")
	cmd.Flags().StringVar(&f.png, "png", "", "write the examples to a PNG contact sheet")
	overwriteFlag(cmd, &f.overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if f.png != "" {
			if err := idle(c, "with --png", "json"); err != nil {
				return err
			}
		} else if err := idle(c, "without --png", "overwrite"); err != nil {
			return err
		}
		if f.shift == "" {
			if err := idle(c, "without --shift", "seed"); err != nil {
				return err
			}
		}
		if err := f.check(args[0]); err != nil {
			return err
		}
		return claimed(claimFile(f.png, f.overwrite), func() error { return a.show(args[0], f) })
	}
	return cmd
}

// check refuses what no data set has, before one is opened.
func (f showFlags) check(name string) error {
	if err := data.Check(name, f.part); err != nil {
		return err
	}
	if f.shift != "" {
		if _, _, err := f.shiftOf(); err != nil {
			return err
		}
	}
	if f.index < 0 || f.count < 1 {
		return usagef("--index is %d and --count is %d; use at least 0 and at least 1", f.index, f.count)
	}
	return nil
}

// show shows examples in the terminal or writes them as a picture.
func (a *app) show(name string, f showFlags) error {
	ds, err := data.Open(name, f.part)
	if err != nil {
		return err
	}
	if f.shift != "" {
		shift, severity, err := f.shiftOf()
		if err != nil {
			return err
		}
		if ds, err = corrupt.Wrap(ds, shift, severity, a.seed); err != nil {
			return err
		}
	}
	if f.index < 0 || f.count < 1 || f.count > ds.Len()-f.index {
		return &fault.Usage{Err: fmt.Errorf("examples %d to %d are asked for, %s has 0 to %d", f.index, int64(f.index)+int64(f.count)-1, ds.Info().Name, ds.Len()-1)}
	}
	if len(ds.Info().Shape) != 3 {
		return &fault.Usage{Err: fmt.Errorf("%s has examples of shape %v; only images can be shown", ds.Info().Name, ds.Info().Shape)}
	}
	if f.png != "" {
		sheet, err := contactSheet(ds, f.index, f.count)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(f.png, func(w io.Writer) error { return png.Encode(w, sheet) }); err != nil {
			return err
		}
		a.remark("%d examples: %s", f.count, f.png)
		return nil
	}
	return a.showExamples(ds, f)
}

// shiftOf reads NAME:SEVERITY.
func (f showFlags) shiftOf() (shift corrupt.Shift, severity int, err error) {
	name, level, _ := strings.Cut(f.shift, ":")
	if shift, err = corrupt.Find(name); err != nil {
		return nil, 0, err
	}
	severity = 3
	if level != "" {
		if severity, err = strconv.Atoi(level); err != nil {
			return nil, 0, usagef("severity %q is not a number; write %s:3", level, name)
		}
	}
	if severity < 1 || severity > corrupt.Severities {
		return nil, 0, usagef("corrupt: %s: severity is %d; use 1 to %d", name, severity, corrupt.Severities)
	}
	return shift, severity, nil
}

// shown is an example as JSON.
type shown struct {
	Index  int       `json:"index"`
	Label  int32     `json:"label"`
	Class  string    `json:"class"`
	Values []float32 `json:"values"`
}

// showExamples prints images: in colour on a terminal, as letters elsewhere.
func (a *app) showExamples(ds data.Dataset, f showFlags) error {
	info := ds.Info()
	list := []shown{}
	if a.json { // all of them are held
		if _, err := untrusted.Bytes(fmt.Sprintf("%d examples of %s as JSON", f.count, info.Name), 4, append([]int{f.count}, info.Shape...)...); err != nil {
			return err
		}
	}
	for i := f.index; i < f.index+f.count; i++ {
		x := make([]float32, info.Size())
		if err := ds.Read(i, x); err != nil {
			return err
		}
		s := shown{i, ds.Label(i), info.Classes[ds.Label(i)], x}
		if list = append(list, s); a.json {
			continue
		}
		if _, err := fmt.Fprintf(a.out, "%s %d: %s\n", printable.Line(info.Name), i, printable.Line(s.Class)); err != nil {
			return err
		}
		// Colours are control characters, which standard output escapes where they come from a file.
		canvas, draw := a.out, letters
		if f, ok := a.outTerminal(); ok && console.Coloured(a.color, true) {
			canvas, draw = f, halfBlocks
		}
		if _, err := io.WriteString(canvas, draw(x, info.Shape)); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(list)
	}
	return nil
}

// level is a value as a byte; grey images have the same in every channel.
func level(x []float32, shape []int, row, column, channel int) uint8 {
	v := x[(row*shape[1]+column)*shape[2]+min(channel, shape[2]-1)]
	return uint8(255*min(max(v, 0), 1) + 0.5)
}

// halfBlocks draws two pixels, one above the other, as one character in the colours of both.
func halfBlocks(x []float32, shape []int) string {
	var text strings.Builder
	for row := 0; row < shape[0]; row += 2 {
		for column := range shape[1] {
			at := func(row, channel int) uint8 { return level(x, shape, row, column, channel) }
			fmt.Fprintf(&text, "\x1b[38;2;%d;%d;%dm", at(row, 0), at(row, 1), at(row, 2))
			if row+1 < shape[0] {
				fmt.Fprintf(&text, "\x1b[48;2;%d;%d;%dm", at(row+1, 0), at(row+1, 1), at(row+1, 2))
			}
			text.WriteString("▀")
		}
		text.WriteString("\x1b[0m\n")
	}
	return text.String()
}

// letters draws two pixels, one above the other, as one character as dense as they are bright.
func letters(x []float32, shape []int) string {
	const shades = " .:-=+*#%@"
	var text strings.Builder
	for row := 0; row < shape[0]; row += 2 {
		var line strings.Builder
		for column := range shape[1] {
			sum := 0
			for channel := range shape[2] {
				sum += int(level(x, shape, row, column, channel)) + int(level(x, shape, min(row+1, shape[0]-1), column, channel))
			}
			line.WriteByte(shades[sum*len(shades)/(2*shape[2]*255+1)])
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return text.String()
}

// contactSheet puts images into a square, each enlarged to about 84 pixels.
func contactSheet(ds data.Dataset, from, count int) (image.Image, error) {
	shape := ds.Info().Shape
	height, width := shape[0], shape[1]
	zoom := max(1, 84/max(height, width))
	columns := int(math.Ceil(math.Sqrt(float64(count))))
	rows := (count + columns - 1) / columns
	const gap = 4
	if _, err := untrusted.Bytes(fmt.Sprintf("a sheet of %d examples", count), 4, columns*(width*zoom+gap)+gap, rows*(height*zoom+gap)+gap); err != nil {
		return nil, err
	}
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
				at := func(channel int) uint8 { return level(x, shape, y/zoom, column/zoom, channel) }
				sheet.Set(left+column, top+y, color.RGBA{at(0), at(1), at(2), 255})
			}
		}
	}
	return sheet, nil
}
