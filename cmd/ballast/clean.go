package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// cleaned is the result of "ballast clean".
type cleaned struct {
	DryRun bool            `json:"dry_run"`
	Bytes  int64           `json:"bytes"` // of what was removed, or would be
	Found  []leftover.Left `json:"found"`
}

func newClean(a *app) *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:   "clean [FOLDER...]",
		Short: "Remove temporary files that killed runs left behind",
		Long: `Clean looks for the temporary files and folders that Ballast writes before it renames them into place: in its own data folder (data
sets, trained networks, engines, compiled graphs), and in the given folders and their sub-folders. Without a FOLDER it looks in this folder,
but not in its sub-folders, and in the folder runs. It recognises them by their names, follows no links and removes nothing else; files that
a running process is writing are kept.

The next run of the same kind also removes what a killed run left.`,
		Example: `  ballast clean --dry-run
  ballast clean
  ballast clean /scratch/runs --json`,
		Args: usageArgs(cobra.ArbitraryArgs),
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "list what would be removed, and remove nothing")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		result := cleaned{DryRun: dry, Found: []leftover.Left{}}
		found, err := leftovers(args, !dry)
		result.Found = append(result.Found, found...)
		for _, l := range found {
			if l.Removed || dry && !l.Kept {
				result.Bytes += l.Bytes
			}
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(result)
		}
		return a.printCleaned(result)
	}
	return cmd
}

// leftovers are those of Ballast's data folder and of folders.
func leftovers(folders []string, remove bool) ([]leftover.Left, error) {
	type place struct {
		path string
		deep bool
	}
	var places []place
	for _, folder := range folders {
		stat, err := os.Stat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &fault.Input{File: folder, Err: untrusted.Reason(err), Fix: "name folders that are there"}
		}
		if err == nil && !stat.IsDir() {
			err = errors.New("it is not a folder")
		}
		if err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("%s: %w; name folders", folder, err)}
		}
		places = append(places, place{folder, true})
	}
	if len(folders) == 0 {
		places = append(places, place{".", false})
		if _, err := os.Stat("runs"); err == nil {
			places = append(places, place{"runs", true})
		}
	}

	found, err := data.Leftovers(remove)
	if err != nil {
		return nil, err
	}
	engines, err := engine.Leftovers(remove)
	found = append(found, engines...)
	if err != nil {
		return found, err
	}
	seen := map[string]bool{}
	for _, p := range places {
		// The folder may be a link, as users link runs to another disk; those in it are not followed.
		root, err := filepath.EvalSymlinks(p.path)
		if err != nil {
			return found, err
		}
		here, err := leftover.Outputs(root, p.deep, remove)
		for _, l := range here {
			if abs, err := filepath.Abs(l.Path); err == nil && !seen[abs] {
				seen[abs] = true
				found = append(found, l)
			}
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// printCleaned prints a line for each, and a sum.
func (a *app) printCleaned(r cleaned) error {
	w := console.NewTable(a.out, 2)
	n := 0
	for _, l := range r.Found {
		did := "removed"
		switch {
		case l.Kept:
			did = "kept"
		case r.DryRun:
			did = "left"
		}
		if !l.Kept {
			n++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", did, memory.Size(l.Bytes), printable.Line(l.Path), printable.Line(l.Why))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text := "nothing was left"
	switch {
	case n > 0 && r.DryRun:
		text = fmt.Sprintf("%d would be removed, %s", n, memory.Size(r.Bytes))
	case n > 0:
		text = fmt.Sprintf("%d removed, %s", n, memory.Size(r.Bytes))
	case len(r.Found) > 0:
		text = "nothing to remove"
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}
