package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

func newEngine(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Show which engine runs the networks, and why; install a faster one",
		Example: `  ballast engine
  ballast engine install
  ballast engine install --cuda
  ballast engine install --from lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl`,
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		e, err := engine.Open(a.engine)
		if err != nil {
			return err
		}
		defer e.Close()
		info := e.Describe()
		dir, err := engine.Dir()
		if err != nil {
			return err
		}
		disk := leftover.Size(dir)
		if a.json {
			return a.printJSON(struct {
				engine.Info
				Folder string `json:"folder"` // of the engines that are installed
				Disk   int64  `json:"disk"`   // bytes that it takes
			}{info, dir, disk})
		}
		fmt.Fprintf(a.out, "engine   %s\nwhy      %s\n", info.Kind, info.Why)
		if info.Hint != "" {
			fmt.Fprintf(a.out, "hint     %s\n", info.Hint)
		}
		if info.Plugin != "" {
			fmt.Fprintf(a.out, "plugin   %s\n", info.Plugin)
		}
		if info.Version != "" {
			fmt.Fprintf(a.out, "version  %s\n", info.Version)
		}
		_, err = fmt.Fprintf(a.out, "devices  %d\nbuilt    %s\ndisk     %s in %s\n", info.Devices, info.BuiltWith, memory.Size(disk), printable.Line(dir))
		return err
	}
	cmd.AddCommand(newEngineInstall(a))
	return cmd
}

func newEngineInstall(a *app) *cobra.Command {
	o := engine.InstallOptions{}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the XLA CPU plugin, or the CUDA plugin and its libraries",
		Long: `Install downloads the XLA CPU plugin (63 MB) into Ballast's data folder and checks it before and after. A download
that is cut off, or an install that is killed, leaves the engine that was there. --from installs a wheel or a plugin from this machine.

--cuda installs the XLA CUDA plugin and NVIDIA's libraries instead (2.3 GB, 3.4 GB on the disk; for CUDA 12 3.2 and 4.9
GB). The driver decides between CUDA 13 and 12; --cuda=12 is for GPUs older than Turing. An install that was
interrupted continues with the next package. With --cuda, --from names a folder of wheels, and --force installs without a GPU.`,
		Example: `  ballast engine install
  ballast engine install --from pjrt_c_api_cpu_plugin.so
  ballast engine install --cuda`,
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&o.From, "from", "", "a wheel (.whl) or a plugin (.so) on this machine; with --cuda a folder of wheels")
	cmd.Flags().StringVar(&o.CUDA, "cuda", "", "install the CUDA engine: 13, 12, or auto for what the driver runs")
	cmd.Flags().Lookup("cuda").NoOptDefVal = "auto"
	cmd.Flags().BoolVar(&o.Force, "force", false, "install even if an undamaged plugin is there; with --cuda even without a GPU")
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed("cuda") && o.CUDA == "" {
			o.CUDA = "auto"
		}
		what := "XLA CPU plugin"
		if o.CUDA != "" {
			what = "CUDA engine"
		}
		show, done := a.bytesCounter(what)
		o.Progress = show
		o.Waiting = func(owner string) { a.remark("%s is installing an engine; waiting for it", owner) }
		installed, err := engine.Install(c.Context(), o)
		done()
		if err != nil {
			return err
		}
		return a.printInstalled(installed)
	}
	return cmd
}

// printInstalled shows where an engine is.
func (a *app) printInstalled(installed engine.Installed) error {
	if a.json {
		return a.printJSON(installed)
	}
	verb := "installed"
	if installed.Already {
		verb = "already there"
	}
	_, err := fmt.Fprintf(a.out, "%s: %s (%s)\n", verb, installed.Path, installed.Version)
	return err
}
