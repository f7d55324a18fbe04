package grok

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Cell is one run of a phase map.
type Cell struct {
	Share   float64 `json:"alpha"`
	Noise   float64 `json:"noise"`
	Decay   float64 `json:"wd"`
	Final   Scores  `json:"final"`
	Phase   Phase   `json:"phase"`
	MeanIPR float64 `json:"mean_ipr"`
}

// Sweep runs a configuration for every combination of training shares, shares of wrong labels and weight decays, and names the phase of
// each: the phase map. Cells that are in the folder are not run again.
func Sweep(ctx context.Context, c Config, shares, noises, decays []float64, o Options, progress func(done, cells int, cell Cell)) ([]Cell, error) {
	var cells []Cell
	for _, decay := range decays {
		for _, noise := range noises {
			for _, share := range shares {
				c.Share, c.Noise, c.Decay = share, noise, decay
				name := fmt.Sprintf("alpha-%g_noise-%g_wd-%g", share, noise, decay)
				cell, err := sweepCell(ctx, c, name, o)
				if err != nil {
					return cells, fmt.Errorf("%s: %w", name, err)
				}
				cells = append(cells, cell)
				if progress != nil {
					progress(len(cells), len(shares)*len(noises)*len(decays), cell)
				}
			}
		}
	}
	return cells, nil
}

// maxCell is the most bytes of a cell's file that are read; it has about 1 kB.
const maxCell = 1 << 20

// sweptCell is what a finished cell leaves, with the configuration it belongs to.
type sweptCell struct {
	Config Config `json:"config"`
	Cell   Cell   `json:"cell"`
}

func sweepCell(ctx context.Context, c Config, name string, o Options) (Cell, error) {
	file := filepath.Join(o.Dir, name+".json")
	if o.Dir != "" {
		text, err := untrusted.ReadFileNoLink(file, maxCell)
		var s sweptCell
		switch {
		case err == nil && json.Unmarshal(text, &s) == nil && s.Config == c:
			return s.Cell, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return Cell{}, fmt.Errorf("grok: %w", err)
		}
	}
	r, err := Run(ctx, c, Options{Engine: o.Engine, Progress: o.Progress})
	if err != nil {
		return Cell{}, err
	}
	defer r.Close()
	cell := Cell{Share: c.Share, Noise: c.Noise, Decay: c.Decay, Final: r.Final, Phase: r.Phase, MeanIPR: r.MeanIPR}
	if o.Dir == "" {
		return cell, nil
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return Cell{}, fmt.Errorf("grok: %w", err)
	}
	return cell, durable.WriteFile(file, func(w io.Writer) error { return json.NewEncoder(w).Encode(sweptCell{c, cell}) })
}
