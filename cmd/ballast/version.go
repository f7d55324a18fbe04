package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version says what this build is made of.
type version struct {
	Ballast  string            `json:"ballast"`
	Commit   string            `json:"commit"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Modules  map[string]string `json:"modules"`
}

// engineModules are the dependencies whose version changes numbers.
var engineModules = []string{"github.com/gomlx/gomlx", "github.com/gomlx/compute", "github.com/gomlx/go-xla"}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of Ballast and of the libraries it is built with",
		Example: "  ballast version --json", Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if a.json {
				return a.printJSON(v)
			}
			fmt.Fprintf(a.out, "ballast  %s (commit %s)\ngo       %s %s\n", v.Ballast, v.Commit, v.Go, v.Platform)
			for _, m := range engineModules {
				fmt.Fprintf(a.out, "         %s %s\n", m, v.Modules[m])
			}
			return nil
		},
	}
}

// commit is set by the Makefile where the build does not stamp it.
var commit string

func buildVersion() version {
	v := version{Ballast: "(devel)", Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Modules: map[string]string{}}
	if commit != "" {
		v.Commit = commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Ballast = info.Main.Version
	}
	for _, m := range info.Deps {
		v.Modules[m.Path] = m.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	v.Commit += dirty
	return v
}

// line is what --version prints.
func (v version) line() string { return fmt.Sprintf("ballast %s (commit %s)", v.Ballast, v.Commit) }

// summary is the version in one line.
func (v version) summary() string {
	return fmt.Sprintf("ballast %s, gomlx %s, go-xla %s, %s", v.Ballast, v.Modules[engineModules[0]], v.Modules[engineModules[2]], v.Go)
}
