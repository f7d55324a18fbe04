package papers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/train"
)

// Options say how a paper's claims are measured.
type Options struct {
	Engine *engine.Engine
	Seeds  []uint64 // one run of every arm a seed
	Dir    string   // where runs live; a run found complete there is not repeated, one cut short goes on

	// Progress, if not nil, is told of every run: its number, how many there are, its name, and its metrics when done.
	Progress func(done, runs int, name string, metrics map[string]float64)
}

// Reproduce measures every claim of a paper and returns the entry for the ledger. Date, machine, version and commit are
// the caller's to fill in. It returns an error if there are fewer seeds than a claim demands, or if a run fails.
func Reproduce(ctx context.Context, p Paper, o Options) (Entry, error) {
	base, err := strict.YAML(p.Recipe)
	if err != nil {
		return Entry{}, fmt.Errorf("papers: %s: recipe: %w", p.Slug, err)
	}
	runs, done := 0, 0
	for _, c := range p.Claims {
		if len(o.Seeds) < c.Seeds {
			return Entry{}, fmt.Errorf("papers: %s: claim %s needs %d seeds, got %d; give more with --seeds", p.Slug, c.Name, c.Seeds, len(o.Seeds))
		}
		runs += len(c.Arms) * len(o.Seeds)
	}
	entry := Entry{Slug: p.Slug, Seeds: o.Seeds, Engine: o.Engine.Kind}
	start := time.Now()
	for _, c := range p.Claims {
		measured := Measured{}
		for _, arm := range c.Arms {
			measured[arm.Name] = map[string][]float64{}
			for _, seed := range o.Seeds {
				name := fmt.Sprintf("%s/%s/seed-%d", c.Name, arm.Name, seed)
				metrics, err := runArm(ctx, base, arm, seed, filepath.Join(o.Dir, p.Slug, o.Engine.Kind, name), o.Engine)
				if err != nil {
					return Entry{}, fmt.Errorf("papers: %s: %s: %w", p.Slug, name, err)
				}
				for metric, value := range metrics {
					measured[arm.Name][metric] = append(measured[arm.Name][metric], value)
				}
				done++
				if o.Progress != nil {
					o.Progress(done, runs, name, metrics)
				}
			}
		}
		entry.Claims = append(entry.Claims, judge(c, measured))
	}
	entry.Seconds = time.Since(start).Seconds()
	return entry, nil
}

// judge holds what was measured against the claim.
func judge(c Claim, measured Measured) ClaimResult {
	result := ClaimResult{Name: c.Name, Statement: c.Statement, Held: true, Inequalities: c.Check(measured)}
	for _, q := range result.Inequalities {
		result.Held = result.Held && q.Holds
	}
	for _, arm := range c.Arms {
		summaries := map[string]Summary{}
		for metric, values := range measured[arm.Name] {
			summaries[metric] = summarise(values)
		}
		result.Arms = append(result.Arms, ArmResult{Name: arm.Name, Metrics: summaries})
	}
	return result
}

// runResult is what a finished run leaves in its folder, with the configuration it belongs to.
type runResult struct {
	Config  json.RawMessage    `json:"config"`
	Metrics map[string]float64 `json:"metrics"`
}

// runArm trains one arm with one seed, or reads what an earlier call measured with the very same configuration.
func runArm(ctx context.Context, base map[string]any, arm Arm, seed uint64, dir string, e *engine.Engine) (map[string]float64, error) {
	recipe, err := lab.Recipe(base, append(slices.Clone(arm.Overrides), fmt.Sprintf("seed=%d", seed))...)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(recipe)
	if err != nil {
		return nil, err
	}
	resultFile := filepath.Join(dir, "result.json")
	if data, err := os.ReadFile(resultFile); err == nil {
		var r runResult
		if json.Unmarshal(data, &r) == nil && string(r.Config) == string(config) {
			return r.Metrics, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	result, err := train.Run(ctx, recipe, train.Options{Engine: e, Dir: dir, Resume: true})
	if err != nil {
		return nil, err
	}
	metrics := result.Metrics
	return metrics, durable.WriteFile(resultFile, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(runResult{Config: config, Metrics: metrics})
	})
}
