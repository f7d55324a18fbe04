package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/train"
)

// openEngine opens the engine the flags ask for and says on standard error which one it is.
func (a *app) openEngine() (*engine.Engine, error) { return a.openEngineFor(engine.Work{}) }

// openEngineFor is openEngine for work that is known, which may be too small for XLA.
func (a *app) openEngineFor(w engine.Work) (*engine.Engine, error) {
	return a.opened(engine.OpenFor(a.engine, w))
}

// opened says which engine was opened.
func (a *app) opened(e *engine.Engine, err error) (*engine.Engine, error) {
	if err != nil {
		return nil, err
	}
	a.remark("engine: %s (%s)", e.Kind, e.Why)
	if e.Hint != "" {
		a.remark("        %s", e.Hint)
	}
	return e, nil
}

// asked reports whether a person has named an engine.
func (a *app) asked() bool { return a.engine != "" || os.Getenv(engine.EnvChoice) != "" }

// openEngineOf opens the engine that what is in a folder was made on, which a run keeps to its end. kind "" is none: then the work decides.
func (a *app) openEngineOf(dir, kind string, w engine.Work) (*engine.Engine, error) {
	if kind == "" || a.asked() {
		return a.openEngineFor(w)
	}
	e, err := a.opened(engine.OpenAs(kind, "that of what is in "+dir))
	if err != nil {
		return nil, fmt.Errorf("%s was made on engine %s, which cannot be had here; --engine names another, and the results are then the same up to rounding alone: %w", dir, kind, err)
	}
	return e, nil
}

// trainEngine opens the engine of a run: that of the run it resumes, or one for its work.
func (a *app) trainEngine(recipe train.Recipe, set data.Dataset, f trainFlags) (*engine.Engine, error) {
	kind := ""
	if f.resume {
		kind = lab.EngineOf(f.out)
	}
	return a.openEngineOf(f.out, kind, workOf(recipe, set, f.devices))
}

// workOf is what a recipe will compute; nothing is known of one that is about to be refused.
func workOf(recipe train.Recipe, set data.Dataset, devices int) engine.Work {
	w, err := recipe.Work(train.Options{Data: set, Devices: devices})
	if err != nil {
		return engine.Work{}
	}
	return w
}

// largest is the work that decides about the engine of some runs: of the largest, and the most updates. Nothing is known of all where nothing
// is known of one. Runs that differ in their seed alone are counted once, and none behind one that is not small.
func largest(recipes []train.Recipe) (most engine.Work) {
	sets, seen := map[string]data.Dataset{}, map[string]bool{}
	for _, r := range recipes {
		r.Seed, r.Name = 0, ""
		text, err := json.Marshal(r)
		if err != nil || seen[string(text)] {
			continue
		}
		seen[string(text)] = true
		where := r.Data.String() + "\n" + r.Part
		if sets[where] == nil {
			if sets[where], err = r.Data.Open(r.Part); err != nil {
				return engine.Work{}
			}
		}

		w := workOf(r, sets[where], 1)
		if w.MultiplyAdds == 0 {
			return engine.Work{}
		}
		updates := max(w.Updates, most.Updates)
		if w.MultiplyAdds > most.MultiplyAdds {
			most = w
		}
		if most.Updates = updates; !most.Small() {
			return most
		}
	}
	return most
}

// passesOf is the work of examples that go through models.
func passesOf(examples int, models ...*bundle.Bundle) engine.Work {
	w := engine.Work{Examples: examples * len(models)}
	for _, b := range models {
		cost, err := b.Manifest.Cost()
		if err != nil {
			return engine.Work{}
		}
		w.Weights = max(w.Weights, cost.Weights)
		w.MultiplyAdds += cost.MultiplyAdds * float64(examples)
	}
	return w
}
