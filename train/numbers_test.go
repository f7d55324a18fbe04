package train

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/linear"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/nn/optim"
	"github.com/ballast-ml/ballast/zoo"
)

// Every number of a recipe, of each network and of each norm, set to what no run has: an error of a few lines, or a run that could
// begin, and never a panic or an allocation beyond the limit.
func TestEveryNumberOfARecipe(t *testing.T) {
	memory.SetLimit(64 << 20)
	defer memory.SetLimit(0)
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	label := make([]string, 10)
	for i := range label {
		label[i] = fmt.Sprint(i)
	}

	began, refused := 0, 0
	try := func(name string, settings map[string]any) {
		r := NewRecipe()
		err := strict.DecodeMap(settings, &r)
		if err == nil {
			err = r.Validate()
		}
		var network zoo.Choice
		if err == nil {
			_, err = r.plan(1000)
		}
		if err == nil {
			network, err = r.network()
		}
		if err == nil {
			network.Network = network.WithOutputs(len(label))
			m := bundle.NewManifest(network, []int{16, 16, 1}, label)
			_, err = newState(r, &bundle.Bundle{Manifest: m, Store: model.NewStore()}, e.Backend)
		}
		switch {
		case err == nil:
			began++
		case strings.Contains(err.Error(), "runtime error") || strings.Contains(err.Error(), "goroutine") || len(err.Error()) > 2000:
			t.Errorf("%s: got %.300v", name, err)
		default:
			refused++
		}
	}

	settingsOf := func(r Recipe) map[string]any {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	base := func() Recipe {
		r := NewRecipe()
		r.Watch, r.Rules = []optim.WatcherChoice{{Watcher: optim.NewDistance()}}, []optim.RuleChoice{{Rule: optim.NewClipNorm()}}
		r.Schedule.LargeBatch.RegimeAdaptation = true
		r.Schedule.Name, r.Schedule.Milestones = "step", []float64{1, 2}
		r.Network = zoo.Choice{Network: zoo.MLP{Hidden: []int{8}, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}}
		return r
	}
	recipes := map[string]Recipe{"recipe": base()}
	for _, k := range zoo.All() {
		if testing.Short() && k.Name == "efficientnet-lite" {
			continue
		}
		r := base()
		r.Network = zoo.Choice{Network: k.New()}
		recipes["network "+k.Name] = r
	}
	for _, k := range norm.All() {
		r := base()
		r.Network = zoo.Choice{Network: zoo.ConvNet{Filters: []int{8}, Strides: []int{2}, Classes: 10, Norm: norm.Choice{Layer: norm.NewBatch()}, Activation: linear.ReLU}}
		r.Norm = &norm.Choice{Layer: k.New()}
		recipes["norm "+k.Name] = r
	}
	for name, r := range recipes {
		under := ""
		if name != "recipe" {
			under, _, _ = strings.Cut(name, " ")
		}
		for _, value := range []any{int64(1) << 62, int64(1) << 31, int64(math.MaxInt64), int64(-1), int64(0), int64(math.MinInt64), math.NaN(), math.Inf(1), 1e308} {
			n := 0
			for at := 0; ; at++ { // the numbers one after the other
				settings := settingsOf(r)
				part := any(settings)
				if under != "" {
					part = settings[under]
				}
				path, ok := setNumber(part, at, value)
				if !ok {
					break
				}
				n++
				try(fmt.Sprintf("%s: %s = %v", name, path, value), settings)
			}
			if n == 0 && name == "recipe" {
				t.Fatal("no numbers found")
			}
		}
	}
	t.Logf("%d runs could begin, %d were refused", began, refused)
	if refused < 500 {
		t.Errorf("only %d were refused", refused)
	}
}

// setNumber replaces the number at a place among those of a tree, counted in the order of keys, and returns its path.
func setNumber(tree any, at int, value any) (path string, ok bool) {
	var walk func(v any, path string, set func(any)) bool
	left := at
	found := ""
	walk = func(v any, path string, set func(any)) bool {
		switch v := v.(type) {
		case float64:
			if left == 0 {
				found = path
				set(value)
				return true
			}
			left--
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				if walk(v[key], path+"."+key, func(n any) { v[key] = n }) {
					return true
				}
			}
		case []any:
			for i := range v {
				if walk(v[i], fmt.Sprint(path, ".", i), func(n any) { v[i] = n }) {
					return true
				}
			}
		}
		return false
	}
	ok = walk(tree, "", func(any) {})
	return strings.TrimPrefix(found, "."), ok
}
