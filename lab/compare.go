package lab

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/train"
)

// CompareOptions say what to compare.
type CompareOptions struct {
	Settings map[string]any // of the recipe that all runs share, over the defaults
	Sweep    []string       // overrides with several values, see Expand; those of seed are the repetitions
	Metric   string         // what decides; "" = accuracy
	Dir      string         // folder of the runs; "" = runs/compare-HASH of what is compared
	Engine   *engine.Engine
	Registry own.Registry // where the names of the program's own norms, losses and so on are looked up
	Keep     bool         // keep each run's model, a bundle in VARIANT/seed-N/model of Dir

	// Anew says that what Dir holds is removed by Accept. Accept is called once all runs were checked, as far as the first of them is ready
	// for its first update, and before anything is written or removed; an error ends the comparison. nil = nothing to do.
	Anew   bool
	Accept func() error

	Progress func(done, runs int, name string, metrics map[string]float64) // told when a run is done
	Training func(train.Progress)                                          // told where the present run stands
}

// DefaultDir is the folder of the runs where none is given.
func (o CompareOptions) DefaultDir() string {
	if o.Metric == "" {
		o.Metric = "accuracy"
	}
	return filepath.Join("runs", "compare-"+hashOf(o))
}

// Comparison is what runs show together.
type Comparison struct {
	SchemaVersion int       `json:"schema_version"`
	Metric        string    `json:"metric"`
	Dir           string    `json:"dir"`
	Engine        string    `json:"engine"`
	Seeds         []string  `json:"seeds"`
	Variants      []Variant `json:"variants"`
	Pairs         []Pair    `json:"pairs"`             // the first variant against each other one; a family of tests of their own
	Choices       []Choice  `json:"choices,omitempty"` // where the first setting swept has several values: which to use, by the other settings
	Comparisons   int       `json:"comparisons"`       // tests that p-values are corrected for: those of the choices, or else the pairs
	Ran           int       `json:"ran"`               // runs made now; the others were there
	Models        []Kept    `json:"models,omitempty"`  // with Keep, one of each run
}

// Variant is one way of training.
type Variant struct {
	Name      string    `json:"name"` // the overrides that differ
	Overrides []string  `json:"overrides"`
	Values    []float64 `json:"values"` // one a seed
	Mean      float64   `json:"mean"`
	SD        float64   `json:"sd"` // n-1; 0 for one seed

	varies []string // the overrides that differ, one by one
}

// Compare makes a run for every combination of the sweep and compares them. Runs that are complete in the folder are not
// made again, one that was cut short goes on. Beside the runs it writes comparison.json, report.md and comparison.png.
func Compare(ctx context.Context, o CompareOptions) (*Comparison, error) {
	if o.Metric == "" {
		o.Metric = "accuracy"
	}
	combinations, err := Expand(o.Sweep)
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		o.Dir = o.DefaultDir()
	}
	planned, err := plan(o, combinations)
	if err != nil {
		return nil, err
	}
	accept := sync.OnceValue(func() error {
		if o.Accept == nil {
			return nil
		}
		return o.Accept()
	})
	c := &Comparison{SchemaVersion: 1, Metric: o.Metric, Dir: o.Dir, Engine: o.Engine.Kind}
	for done, p := range planned {
		metrics, made, err := runOnce(ctx, p, o, accept)
		if err != nil {
			return nil, fmt.Errorf("lab: run %s seed %s: %w", p.name, p.seed, err)
		}
		if made {
			c.Ran++
		}
		value, ok := metrics[o.Metric]
		if !ok {
			return nil, unmeasured(p, o.Metric, metrics)
		}
		c.add(p, value)
		if err := c.keep(p, o.Keep); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(done+1, len(planned), p.name+" seed="+p.seed, metrics)
		}
	}
	c.judge()
	c.choose()
	if err := accept(); err != nil { // where all runs were there
		return nil, err
	}
	return c, c.write()
}

// planned is a run of a comparison before it is made.
type planned struct {
	recipe     train.Recipe
	config     string // the recipe as JSON
	overrides  []string
	varies     []string // the overrides that differ from run to run, but for the seed
	name, seed string
	dir        string
	metrics    map[string]float64 // of one that is complete in its folder; nil = it is to be made
}

// plan checks all runs before the first is made: their recipes, and what their folders hold of earlier ones.
func plan(o CompareOptions, combinations [][]string) ([]planned, error) {
	var all []planned
	for _, overrides := range combinations {
		recipe, err := RecipeOwn(o.Registry, o.Settings, overrides...)
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(recipe)
		if err != nil {
			return nil, err
		}
		p := planned{recipe: recipe, config: string(config), overrides: overrides}
		p.name, p.varies, p.seed = nameOf(overrides, o.Sweep)
		p.dir = filepath.Join(o.Dir, fileName(p.name), "seed-"+p.seed)
		if !o.Anew {
			if err := p.find(o.Engine.Kind, o.Registry); err != nil {
				return nil, fmt.Errorf("lab: run %s seed %s: %w", p.name, p.seed, err)
			}
		}
		all = append(all, p)
	}
	return all, nil
}

// find reads what a complete run left in the folder, and refuses one of another configuration or on another engine, complete or not: all runs
// of a comparison are made on one.
func (p *planned) find(on string, mine own.Registry) error {
	if kind := EngineOf(p.dir); kind != "" && kind != on {
		return &fault.Usage{Err: fmt.Errorf("%s holds a run on engine %s, and this one is %s; name that with --engine, begin anew with --overwrite, or choose another folder", p.dir, kind, on)}
	}
	another := &fault.Usage{Err: fmt.Errorf("%s holds a run of another configuration; choose another folder", p.dir)}
	content, err := untrusted.ReadFileNoLink(filepath.Join(p.dir, "summary.json"), maxSummary)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return train.Resumes(p.dir, p.recipe, mine)
	case err != nil:
		return err
	}
	var s summary
	if strict.Decode(content, &s) != nil || compact(s.Config, mine) != p.config {
		return another
	}
	p.metrics = s.Metrics
	return nil
}

// unmeasured says that the runs do not measure what they are to be compared by.
func unmeasured(p planned, metric string, metrics map[string]float64) error {
	measured := slices.Sorted(maps.Keys(metrics))
	text := "they measure " + strings.Join(measured, ", ")
	if near, ok := strict.Nearest(metric, measured); ok {
		text = fmt.Sprintf("did you mean %q?", near)
	}
	return &fault.Usage{Err: fmt.Errorf("lab: run %s seed %s measured no %s; %s", p.name, p.seed, strict.Short(metric), text)}
}

// maxSummary is the most bytes of a summary.json that are read; a recipe and its metrics have 3 kB.
const maxSummary = 1 << 20

// summary is what a complete run leaves in summary.json.
type summary struct {
	Config  json.RawMessage    `json:"config"`
	Metrics map[string]float64 `json:"metrics"`
}

// runOnce makes a run, unless its folder has the very same one, complete. accept is called before the first write.
func runOnce(ctx context.Context, p planned, o CompareOptions, accept func() error) (metrics map[string]float64, made bool, err error) {
	if p.metrics != nil && (!o.Keep || bundle.Is(p.model())) {
		return p.metrics, false, nil
	}
	settings, err := ConfigOf(p.recipe)
	if err != nil {
		return nil, false, err
	}
	run, err := Start(StartOptions{
		Dir: p.dir, Config: settings, Overrides: p.overrides, Engine: o.Engine.Kind, Seed: p.recipe.Seed, Resume: true, Anew: o.Anew,
	})
	if err != nil {
		return nil, false, err
	}
	result, err := train.Run(ctx, p.recipe, train.Options{
		Engine: o.Engine, Dir: p.dir, Resume: true, Anew: o.Anew, Sink: run, Progress: o.Training, Registry: o.Registry,
		Accept: func() error {
			if err := accept(); err != nil {
				return err
			}
			return run.Begin()
		},
	})
	if err = errors.Join(err, run.Finish(err)); err != nil {
		return nil, false, err
	}
	if o.Keep {
		if err := result.Bundle.Replace(p.model()); err != nil {
			return nil, false, err
		}
	}
	if p.metrics != nil { // the model alone was missing; its last checkpoint has it
		return p.metrics, result.From < result.Steps, nil
	}
	return result.Metrics, true, durable.WriteFile(filepath.Join(p.dir, "summary.json"), func(w io.Writer) error {
		text, err := anynumber.MarshalIndent(summary{Config: json.RawMessage(p.config), Metrics: result.Metrics}, "  ")
		if err != nil {
			return err
		}
		_, err = w.Write(append(text, '\n'))
		return err
	})
}

func (c *Comparison) add(p planned, value float64) {
	if !slices.Contains(c.Seeds, p.seed) {
		c.Seeds = append(c.Seeds, p.seed)
	}
	i := slices.IndexFunc(c.Variants, func(v Variant) bool { return v.Name == p.name })
	if i < 0 {
		i = len(c.Variants)
		kept := slices.DeleteFunc(slices.Clone(p.overrides), func(o string) bool { return strings.HasPrefix(o, "seed=") })
		c.Variants = append(c.Variants, Variant{Name: p.name, Overrides: kept, varies: p.varies})
	}
	c.Variants[i].Values = append(c.Variants[i].Values, value)
}

// nameOf is the part of the overrides that the sweep varies, as a name and one by one, and the seed.
func nameOf(overrides, sweep []string) (name string, varies []string, seed string) {
	seed = "1"
	for i, o := range overrides {
		key, value, _ := strings.Cut(o, "=")
		if key == "seed" {
			seed = value
		} else if o != sweep[i] {
			varies = append(varies, o)
		}
	}
	if len(varies) == 0 {
		return "all alike", nil, seed
	}
	return strings.Join(varies, " "), varies, seed
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9=._-]+`)

// fileName makes a name fit for a folder; a hash keeps those apart that lost letters.
func fileName(name string) string {
	plain := strings.Trim(unfit.ReplaceAllString(name, "_"), "_")
	if strings.ReplaceAll(name, " ", "_") != plain {
		sum := sha256.Sum256([]byte(name))
		plain += fmt.Sprintf("-%x", sum[:3])
	}
	return plain
}

func hashOf(o CompareOptions) string {
	text, err := json.Marshal([]any{o.Settings, o.Sweep, o.Metric})
	if err != nil {
		text = []byte(fmt.Sprint(o.Settings, o.Sweep, o.Metric))
	}
	sum := sha256.Sum256(text)
	return fmt.Sprintf("%x", sum[:4])
}

func compact(raw json.RawMessage, mine own.Registry) string {
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return ""
	}
	// The recipe's own order of keys is what json.Marshal of the struct gives: compare through the struct.
	var r train.Recipe
	if len(mine) > 0 {
		if strict.DecodeOwn(raw, &r, mine) != nil {
			return ""
		}
	} else if json.Unmarshal(raw, &r) != nil {
		return ""
	}
	text, err := json.Marshal(r)
	if err != nil {
		return ""
	}
	return string(text)
}
