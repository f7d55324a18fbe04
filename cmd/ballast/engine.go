package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/engine"
)

func newEngine(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Show which engine runs the networks, and why; install a faster one",
		Example: `  ballast engine
  ballast engine install
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
		if a.json {
			return a.printJSON(info)
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
		_, err = fmt.Fprintf(a.out, "devices  %d\nbuilt    %s\n", info.Devices, info.BuiltWith)
		return err
	}
	cmd.AddCommand(newEngineInstall(a))
	return cmd
}

func newEngineInstall(a *app) *cobra.Command {
	o := engine.InstallOptions{}
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the XLA CPU plugin",
		Long: `Install downloads the XLA CPU plugin (63 MB) into Ballast's data folder and checks it before and after. A download
that is cut leaves nothing broken. --from installs a wheel or a plugin that is on this machine.`,
		Example: `  ballast engine install
  ballast engine install --from pjrt_c_api_cpu_plugin.so`,
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&o.From, "from", "", "a wheel (.whl) or a plugin (.so) on this machine")
	cmd.Flags().BoolVar(&o.Force, "force", false, "install even if an undamaged plugin is there")
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		show, done := a.bytesCounter("XLA CPU plugin")
		o.Progress = show
		installed, err := engine.Install(c.Context(), o)
		done()
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(installed)
		}
		verb := "installed"
		if installed.Already {
			verb = "already there"
		}
		_, err = fmt.Fprintf(a.out, "%s: %s (%s)\n", verb, installed.Path, installed.Version)
		return err
	}
	return cmd
}
