package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/bundle"
)

// Kept is the model of a run of a comparison.
type Kept struct {
	Variant string `json:"variant"`
	Seed    string `json:"seed"`
	Path    string `json:"path"`  // a bundle
	Bytes   int64  `json:"bytes"` // of its files
}

// model is where the model of a run is kept: in the folder of the run, as "ballast train" has it.
func (p planned) model() string { return filepath.Join(p.dir, "model") }

// keep notes the model of a run, if models are kept.
func (c *Comparison) keep(p planned, kept bool) error {
	if !kept {
		return nil
	}
	k := Kept{Variant: p.name, Seed: p.seed, Path: p.model()}
	for _, name := range bundle.Files {
		stat, err := os.Stat(filepath.Join(k.Path, name))
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		k.Bytes += stat.Size()
	}
	c.Models = append(c.Models, k)
	return nil
}
