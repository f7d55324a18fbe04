package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/internal/printable"
)

// corruptFlags are the flags of "ballast data corrupt".
type corruptFlags struct {
	out, table, severity string
	corruptions          []string
	size, format, frost  string
	overwrite            bool
}

// formatsOfCopies are the kinds of files that copies are written as.
var formatsOfCopies = []string{"png", "jpeg"}

func newDataCorrupt(a *app) *cobra.Command {
	f := corruptFlags{}
	cmd := &cobra.Command{
		Use:   "corrupt DIR --out DIR",
		Short: "Write corrupted copies of a folder of images",
		Long: `Corrupt writes copies of all pictures below a folder, as CORRUPTION/SEVERITY/PATH.png in --out. The same seed gives the
same bytes on every machine. A copy that was stopped resumes when the command is given again, and other corruptions or severities are
added to a folder by a second command.

The table imagenet-c is for photographs of about 224 x 224 pixels, cifar-c for images of about 32 x 32. The frost of both is drawn, since
the photographs that those benchmarks use cannot be passed on; --frost names a folder with pictures of frost.

Corruptions: ` + wrapped(corruptionNames(), 78, 13),
		Example: `  ballast data corrupt photos --out photos-c --size 224x224
  ballast data corrupt photos --out photos-c --corruption fog,jpeg --severity 3,5
  ballast data corrupt digits --out digits-c --table cifar-c --severity 1-3 --seed 7
  ballast evaluate MODEL --data dir:photos-c/fog/3`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "folder for the copies")
	flags.StringSliceVar(&f.corruptions, "corruption", []string{"all"}, "corruptions, by name, or all")
	flags.StringVar(&f.severity, "severity", "1-5", "severities, such as 3 or 1,3,5 or 1-5")
	flags.StringVar(&f.table, "table", corrupt.ImageNetC, "table of severities: "+strings.Join(corrupt.TableNames(), ", "))
	flags.StringVar(&f.size, "size", "", "scale images to cover HEIGHTxWIDTH and cut them to the middle (default: they stay as large as they are)")
	flags.StringVar(&f.format, "format", "png", "files to write: png, or jpeg of quality 85 as ImageNet-C publishes")
	flags.StringVar(&f.frost, "frost", "", "folder with PNG or JPEG pictures of frost (default: frost is drawn)")
	overwriteRunFlag(cmd, &f.overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		copying, err := f.copy(a.seed)
		if err != nil {
			return err
		}
		if _, err := corrupt.Images(args[0]); err != nil { // told before a folder is taken
			return err
		}
		return claimRun("data corrupt", f.out, nil, corrupt.CopyFiles(), f.overwrite, func(begin func() error) error {
			return a.corrupt(c.Context(), copying, args[0], f, begin)
		})
	}
	return cmd
}

// copy reads the flags.
func (f corruptFlags) copy(seed uint64) (c corrupt.Copy, err error) {
	if f.out == "" {
		return c, usagef("give --out, a folder for the copies")
	}

	c.Seed, c.Anew = seed, f.overwrite
	if c.Table, err = corrupt.FindTable(f.table); err != nil {
		return c, err
	}

	if !slices.Contains(formatsOfCopies, f.format) {
		return c, usagef("--format is %q; use %s", f.format, strings.Join(formatsOfCopies, " or "))
	}

	c.JPEG = f.format == "jpeg"
	if c.Severities, err = severities(f.severity); err != nil {
		return c, err
	}

	if f.size != "" {
		if c.Height, c.Width, err = sizeOf(f.size); err != nil {
			return c, err
		}
	}

	if f.frost != "" {
		if !slices.Contains(c.Table.Names(), "frost") {
			return c, usagef("--frost has no effect with --table %s, which has no frost; leave it out", f.table)
		}
		textures, err := corrupt.ReadTextures(f.frost)
		if err != nil {
			return c, err
		}
		c.Table = c.Table.WithFrost(textures)
	}

	for _, name := range f.corruptions {
		if name == "all" {
			c.Shifts = c.Table.All()
			break
		}
		s, err := c.Table.Find(name)
		if err != nil {
			return c, err
		}
		if !slices.ContainsFunc(c.Shifts, func(other corrupt.Shift) bool { return other.Name() == s.Name() }) {
			c.Shifts = append(c.Shifts, s)
		}
	}

	if f.frost != "" && !slices.ContainsFunc(c.Shifts, func(s corrupt.Shift) bool { return s.Name() == "frost" }) {
		return c, usagef("--frost has no effect without --corruption frost or all; leave it out")
	}
	return c, nil
}

// severities reads a list such as 1,3 or 2-4.
func severities(text string) (list []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		low, err := strconv.Atoi(from)
		high := low
		if err == nil && isRange {
			high, err = strconv.Atoi(to)
		}
		if err != nil || low < 1 || high > corrupt.Severities || low > high {
			return nil, usagef("--severity is %q; use 1 to %d, such as 3 or 1,3,5 or 1-5", text, corrupt.Severities)
		}
		for s := low; s <= high; s++ {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return list, nil
}

// sizeOf reads HEIGHTxWIDTH.
func sizeOf(text string) (height, width int, err error) {
	const most = 1 << 14
	h, w, ok := strings.Cut(text, "x")
	height, errH := strconv.Atoi(h)
	width, errW := strconv.Atoi(w)
	if !ok || errH != nil || errW != nil || height < 1 || width < 1 || height > most || width > most {
		return 0, 0, usagef("--size is %q; write HEIGHTxWIDTH, such as 224x224, of at most %d each way", text, most)
	}
	return height, width, nil
}

// corruptedCopies is what "ballast data corrupt --json" prints.
type corruptedCopies struct {
	Out string `json:"out"`
	corrupt.Copied
}

// corrupt writes the copies and says what came of it.
func (a *app) corrupt(ctx context.Context, c corrupt.Copy, from string, f corruptFlags, begin func() error) error {
	show, done := a.counter("corrupt")
	c.Progress = show
	r, err := c.Folder(ctx, from, f.out, begin)
	done()
	if err != nil {
		return err
	}
	for _, name := range r.Drawn {
		a.remark("note: the %s is drawn, so numbers on it cannot be compared with published ones; --frost DIR takes pictures of it", name)
	}
	if a.json {
		return a.printJSON(corruptedCopies{f.out, r})
	}
	kept := ""
	if r.Kept > 0 {
		kept = fmt.Sprintf(", %d were there", r.Kept)
	}
	_, err = fmt.Fprintf(a.out, "%d images by %d corruptions at %d severities of %s: %d files written%s, in %s\n",
		r.Images, len(r.Shifts), len(r.Severities), r.Table, r.Written, kept, printable.Line(f.out))
	if err != nil {
		return err
	}
	if r.Classes < 2 { // not a data set
		return nil
	}
	a.remark("next: ballast evaluate MODEL --data dir:%s", filepath.Join(f.out, r.Shifts[0], strconv.Itoa(r.Severities[0])))
	return nil
}

// corruptionNames are the names that --corruption takes, of all tables.
func corruptionNames() []string { return append([]string{"all"}, corrupt.Names()...) }

// wrapped is a list with commas in lines of some width, of which all but the first begin with spaces.
func wrapped(words []string, width, first int) string {
	var b strings.Builder
	at := first
	for i, word := range words {
		if i < len(words)-1 {
			word += ","
		}
		if at+1+len(word) > width {
			b.WriteString("\n")
			at = 0
		} else if i > 0 {
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String() + "."
}
