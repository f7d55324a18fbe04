package train_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// frozen is a short run of a small residual network with weight decay on everything.
func frozen(freeze train.Freeze, steps int) train.Recipe {
	r := train.NewRecipe()
	network := zoo.NewResNet(8)
	network.Base, network.Shortcut = 4, "B"
	r.Network.Network = network
	r.Prepare, r.Steps, r.BatchSize, r.EvaluateEvery, r.Test = subset(64), steps, 16, 0, ""
	r.Optimizer = optim.Choice{Optimizer: optim.SGD{LR: 0.05, Momentum: 0.9, WeightDecay: 0.1, Decay: []string{"all"}}}
	r.Init.Norms, r.Freeze = "uniform", freeze
	return r
}

// TestFreeze: what a policy does not train keeps its first value, bit for bit, and running statistics move all the same.
func TestFreeze(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		// With a rate of 0 and no decay nothing moves: the first values.
		still := frozen(train.Freeze{Train: []string{"all"}}, 1)
		still.Optimizer = optim.Choice{Optimizer: optim.SGD{Momentum: 0.9, Decay: []string{"all"}}}
		before := weights(t, run(t, still, train.Options{Engine: e}).Bundle)
		for name, policy := range map[string]train.Freeze{
			"bn":             {Train: []string{"bn"}},
			"bn and output":  {Train: []string{"bn", "output"}},
			"shortcut":       {Train: []string{"shortcut"}},
			"all but bn":     {Train: []string{"all-bn"}},
			"random weights": {RandomPerChannel: 2},
			"random and bn":  {Train: []string{"bn"}, RandomPerChannel: 1},
		} {
			if e.Kind != engine.KindGo && name != "bn and output" && name != "random and bn" {
				continue // what is frozen is decided before an engine compiles it: one policy of each kind is left to see
			}
			after := weights(t, run(t, frozen(policy, 3), train.Options{Engine: e}).Bundle)
			for path, old := range before {
				moved := after[path] != old
				var want bool
				switch {
				case strings.HasSuffix(path, "/mean"), strings.HasSuffix(path, "/variance"):
					want = true
				case strings.Contains(path, "/output/"):
					want = slices.Contains(policy.Train, "output") || slices.Contains(policy.Train, "all-bn")
				case strings.Contains(path, "/norm/"):
					want = slices.Contains(policy.Train, "bn")
				case strings.Contains(path, "/shortcut/"):
					want = slices.Contains(policy.Train, "shortcut") || slices.Contains(policy.Train, "all-bn") || policy.RandomPerChannel > 0
				default:
					want = slices.Contains(policy.Train, "all-bn") || policy.RandomPerChannel > 0
				}
				if moved != want {
					t.Errorf("%s: %s moved is %v, want %v", name, path, moved, want)
				}
				if policy.RandomPerChannel == 0 || !strings.HasSuffix(path, "kernel") || strings.Contains(path, "/output/") {
					continue
				}
				changed := 0
				for i := 0; i < len(old); i += 4 {
					if old[i:i+4] != after[path][i:i+4] {
						changed++
					}
				}
				channels := map[string]int{"stage_1": 4, "stem": 4, "stage_2": 8, "stage_3": 16}[strings.Split(path, "/")[2]]
				if most := channels * policy.RandomPerChannel; changed > most || changed < most/2 {
					t.Errorf("%s: %d weights of %s moved, want %d", name, changed, path, most)
				}
			}
		}
	})
}

func TestFreezeRefuses(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for want, policy := range map[string]train.Freeze{
		"recipe: freeze.train has no \"bm\" (did you mean bn?)":                           {Train: []string{"bm"}},
		"recipe: freeze.train is empty, so nothing would be trained; use all, bn, output": {},
		"recipe: freeze.random_per_channel is -1; use 0 for none":                         {RandomPerChannel: -1},
	} {
		if err := policy.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	r := frozen(train.Freeze{Train: []string{"shortcut"}}, 1)
	r.Network.Network = zoo.NewCNN()
	_, err = train.Run(t.Context(), r, train.Options{Engine: e})
	if want := "train: freeze.train shortcut matches no variable of the network; there are bn, others, output"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
