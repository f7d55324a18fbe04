package train

import (
	"encoding/json"
	"path/filepath"
	"slices"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/train/update"
	"github.com/ballast-ml/ballast/zoo"
)

// learning is how many times the products of an example's way through the network an update takes: one more each for the gradients of
// weights and of inputs.
const learning = 3

// Work is what the run of a recipe will compute, for the choice of an engine. The sets are opened and not read. Where a part of it cannot
// be counted, as of a network that others are made from, MultiplyAdds is 0. Two networks, and what an objective does besides, count once.
func (r Recipe) Work(o Options) (engine.Work, error) {
	set := o.Data
	var err error
	if set == nil {
		if set, err = r.Data.Open(r.Part); err != nil {
			return engine.Work{}, err
		}
	}
	examples := set.Len()
	if len(r.Prepare) > 0 {
		p, err := r.Prepare.Examples(data.Begin(set, nil), r.Seed)
		if err != nil {
			return engine.Work{}, err
		}
		set, examples = p.Set, p.Set.Len()
	}
	held := int(float64(examples) * r.Validation.Fraction)
	plan, err := r.plan(examples - held)
	if err != nil {
		return engine.Work{}, err
	}
	cost, err := r.cost(set)
	if err != nil {
		return engine.Work{}, err
	}

	each := r.BatchSize * max(1, len(r.Views))
	for _, s := range r.Streams {
		batch := s.Batch
		if batch == 0 {
			batch = r.BatchSize
		}
		each += batch * max(1, len(s.Views))
	}
	w := engine.Work{Weights: cost.Weights, Updates: plan.steps, Devices: o.Devices}
	w.Examples = plan.steps * each
	through := float64(learning * w.Examples)
	if held > 0 && r.EvaluateEvery > 0 {
		through += float64(held) * float64(1+plan.epochs/r.EvaluateEvery)
	}
	if r.Test != "" {
		if test, err := r.Data.Open(r.Test); err == nil {
			through += float64(test.Len())
		}
	}
	w.MultiplyAdds = through * cost.MultiplyAdds
	return w, nil
}

// cost is that of the network on an example of the set.
func (r Recipe) cost(set data.Dataset) (bundle.Cost, error) {
	network, err := r.network()
	if err != nil {
		return bundle.Cost{}, err
	}
	info := set.Info()
	classes := len(info.Classes)
	if targeted, ok := data.AsTargeted(set); ok {
		classes = volume(targeted.TargetShape())
	}
	if shaped, ok := r.Objective.Objective.(update.Shaped); ok {
		network.Network = shaped.Network(network.Network, classes)
	} else if classes > 0 {
		network.Network = network.WithOutputs(classes)
	}
	labels := make([]string, network.Outputs())
	if network.Task() != zoo.Classify {
		labels = nil
	}
	return bundle.NewManifest(network, info.Shape, labels).Cost()
}

// EngineOf is the kind of engine that the newest checkpoint in a run's folder was made on, "" where there is none that can be read. Whether
// the checkpoint is complete shows when the run resumes.
func EngineOf(dir string) string {
	c := checkpoints{dir: filepath.Join(dir, checkpointsDir)}
	steps, err := c.steps()
	if err != nil {
		return ""
	}
	for _, step := range slices.Backward(steps) {
		var r struct {
			Engine string `json:"engine"`
		}
		text, err := untrusted.ReadFileNoLink(filepath.Join(c.path(step), stateFile), maxRecord)
		if err == nil && json.Unmarshal(text, &r) == nil && r.Engine != "" {
			return r.Engine
		}
	}
	return ""
}
