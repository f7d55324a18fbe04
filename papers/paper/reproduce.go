package paper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/train"
)

// Options say how a paper's claims are measured.
type Options struct {
	Engine  *engine.Engine
	Seeds   []uint64 // one run of every arm a seed
	Dir     string   // where runs live; a run found complete there is not repeated, one cut short goes on
	Workers int      // runs made at the same time; 0 counts as 1. The numbers do not depend on it

	// Progress, if not nil, is told of every run: its number, how many there are, its name, and its metrics when done.
	Progress func(done, runs int, name string, metrics map[string]float64)
}

// Reproduce measures every claim of a paper and returns the entry for the ledger. Date, machine, version and commit are
// the caller's to fill in. It returns an error if there are fewer seeds than a claim demands, or if a run fails.
func Reproduce(ctx context.Context, p Paper, o Options) (Entry, error) {
	base, experiments, err := p.Parts()
	if err != nil {
		return Entry{}, err
	}
	runs := 0
	for _, c := range p.Claims {
		if len(o.Seeds) < c.Seeds {
			return Entry{}, fmt.Errorf("papers: %s: claim %s needs %d seeds, got %d; give more with --seeds", p.Slug, c.Name, c.Seeds, len(o.Seeds))
		}
		runs += len(c.Arms) * len(o.Seeds)
	}
	entry := Entry{Slug: p.Slug, Seeds: o.Seeds, Engine: o.Engine.Kind}
	start := time.Now()
	results, made, err := measureAll(ctx, p, o, base, experiments, runs)
	if err != nil {
		return Entry{}, err
	}
	entry.Made = made

	for _, c := range p.Claims {
		measured := Measured{}
		for _, arm := range c.Arms {
			measured[arm.Name] = map[string][]float64{}
			for range o.Seeds {
				for metric, value := range results[0] {
					measured[arm.Name][metric] = append(measured[arm.Name][metric], value)
				}
				results = results[1:]
			}
		}
		if _, err := check(c, measured); err != nil {
			return Entry{}, fmt.Errorf("papers: %s: claim %s: %w", p.Slug, c.Name, err)
		}
		entry.Claims = append(entry.Claims, Judge(c, measured))
	}
	entry.Seconds = time.Since(start).Seconds()
	return entry, nil
}

// measureAll makes every run that is not there, Workers at a time, and returns what each measured, by claim, arm and seed, and how many
// were made. The first run that fails stops the others.
func measureAll(
	ctx context.Context, p Paper, o Options, base map[string]any, experiments map[string]map[string]any, runs int,
) (results []map[string]float64, made int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results = make([]map[string]float64, runs)
	free := make(chan struct{}, max(1, o.Workers))
	var wait sync.WaitGroup
	var mutex sync.Mutex // of done, made and Progress
	i, done := 0, 0
	for _, c := range p.Claims {
		for _, arm := range c.Arms {
			for _, seed := range o.Seeds {
				at := i
				i++
				free <- struct{}{}
				wait.Go(func() {
					defer func() { <-free }()
					if ctx.Err() != nil {
						return
					}
					name := fmt.Sprintf("%s/%s/seed-%d", c.Name, arm.Name, seed)
					place := Place{Engine: o.Engine, Seed: seed, Dir: filepath.Join(o.Dir, p.Slug, o.Engine.Kind, name)}
					metrics, anew, err := runArm(ctx, c, arm, place, base, experiments[c.Name])
					if err != nil {
						cancel(fmt.Errorf("papers: %s: %s: %w", p.Slug, name, err))
						return
					}
					results[at] = metrics
					mutex.Lock()
					defer mutex.Unlock()
					done++
					if anew {
						made++
					}
					if o.Progress != nil {
						o.Progress(done, runs, name, metrics)
					}
				})
			}
		}
	}
	wait.Wait()
	return results, made, context.Cause(ctx)
}

// Judge holds what was measured against the claim: by the means over seeds, and by a bootstrap over them, see Certainty. It panics with
// NotMeasured where the claim reads what was not measured.
func Judge(c Claim, measured Measured) ClaimResult {
	result := ClaimResult{Name: c.Name, Statement: c.Statement, MeansHold: true, Inequalities: c.Check(measured)}
	for _, q := range result.Inequalities {
		result.MeansHold = result.MeansHold && q.Holds
	}
	result.Certainty = certainty(c, measured, result.Inequalities)
	for _, arm := range c.Arms {
		summaries := map[string]Summary{}
		for metric, values := range measured[arm.Name] {
			summaries[metric] = Summarise(values)
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

// Parts is what the paper's YAML holds: the training recipe, and the settings of each claim that owns its procedure.
func (p Paper) Parts() (base map[string]any, experiments map[string]map[string]any, err error) {
	if base, err = strict.YAML(p.Recipe); err != nil {
		return nil, nil, fmt.Errorf("papers: %s: recipe: %w", p.Slug, err)
	}
	experiments = map[string]map[string]any{}
	sections, _ := base["experiments"].(map[string]any)
	delete(base, "experiments")
	for name, section := range sections {
		settings, ok := section.(map[string]any)
		if !ok {
			return nil, nil, fmt.Errorf("papers: %s: recipe: experiments.%s is not a mapping", p.Slug, name)
		}
		experiments[name] = settings
	}
	return base, experiments, nil
}

// runArm measures one arm with one seed, or reads what an earlier call measured with the very same configuration; made says which.
func runArm(
	ctx context.Context, c Claim, arm Arm, at Place, base, settings map[string]any,
) (metrics map[string]float64, made bool, err error) {
	var config any
	var measure func() (map[string]float64, error)
	if c.Experiment != nil {
		settings, err := lab.Apply(settings, nil, arm.Overrides)
		if err != nil {
			return nil, false, err
		}
		config = map[string]any{"settings": settings, "seed": at.Seed}
		measure = func() (map[string]float64, error) { return c.Experiment(ctx, at, settings) }
	} else {
		recipe, err := lab.Recipe(base, append(slices.Clone(arm.Overrides), fmt.Sprintf("seed=%d", at.Seed))...)
		if err != nil {
			return nil, false, err
		}
		config = recipe
		measure = func() (map[string]float64, error) { return trainAndMeasure(ctx, c, recipe, arm, at) }
	}

	text, err := json.Marshal(config)
	if err != nil {
		return nil, false, err
	}
	resultFile := filepath.Join(at.Dir, "result.json")
	if metrics, err := readResult(resultFile, config, text); metrics != nil || err != nil {
		return metrics, false, err
	}

	if err := os.MkdirAll(at.Dir, 0o755); err != nil {
		return nil, false, err
	}
	if metrics, err = measure(); err != nil {
		return nil, false, err
	}
	return metrics, true, durable.WriteFile(resultFile, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(runResult{Config: text, Metrics: metrics})
	})
}

// maxResult is the most bytes of a result.json that are read; a run's numbers are a few kB.
const maxResult = 16 << 20

// readResult is what an earlier run of a configuration measured; nil if there was none.
func readResult(path string, config any, text []byte) (map[string]float64, error) {
	data, err := untrusted.ReadFileNoLink(path, maxResult)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r runResult
	if json.Unmarshal(data, &r) != nil {
		return nil, nil
	}
	if string(r.Config) == string(text) {
		return r.Metrics, nil
	}

	// A recipe of before a setting was there says the same as one that has it at its default.
	if _, ok := config.(train.Recipe); !ok {
		return nil, nil
	}
	old, err := train.DecodeYAML(r.Config) // JSON is YAML
	if err != nil {
		return nil, nil //nolint:nilerr // of a recipe that is none any more there is no result
	}
	if again, err := json.Marshal(old); err == nil && string(again) == string(text) {
		return r.Metrics, nil
	}
	return nil, nil
}

// trainAndMeasure trains by the recipe and measures what the claim wants to know beside.
func trainAndMeasure(ctx context.Context, c Claim, recipe train.Recipe, arm Arm, at Place) (map[string]float64, error) {
	result, err := trainArm(ctx, recipe, arm, at)
	if err != nil {
		return nil, err
	}
	metrics := maps.Clone(result.Metrics)
	if c.After == nil {
		return metrics, nil
	}
	more, err := c.After(ctx, at, result)
	if err != nil {
		return nil, err
	}
	maps.Copy(metrics, more)
	return metrics, nil
}

// trainArm trains by the recipe in a run's folder, whose log After may read.
func trainArm(ctx context.Context, recipe train.Recipe, arm Arm, at Place) (*train.Result, error) {
	settings, err := lab.ConfigOf(recipe)
	if err != nil {
		return nil, err
	}
	log, err := lab.Start(lab.StartOptions{
		Dir: at.Dir, Config: settings, Overrides: arm.Overrides, Engine: at.Engine.Kind, Seed: at.Seed, Resume: true,
	})
	if err != nil {
		return nil, err
	}
	result, err := train.Run(ctx, recipe, train.Options{Engine: at.Engine, Dir: at.Dir, Resume: true, Sink: log})
	return result, errors.Join(err, log.Finish(err))
}
