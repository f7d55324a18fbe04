package lab_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/lab"
)

// TestNearestOfTheWholeRecipe: an unknown key names the setting that was meant wherever it stands, on the command line and in a file.
func TestNearestOfTheWholeRecipe(t *testing.T) {
	for key, want := range map[string]string{
		"lr": "did you mean optimizer.lr?", "hidden": "did you mean network.hidden, of network=mlp?", "momentum": "did you mean optimizer.momentum?", "learning_rate": "did you mean optimizer.lr?",
		"network.lr": "did you mean optimizer.lr?", "optimizer.batch_size": "did you mean batch_size?", "fraction": "did you mean validation.fraction?", "wd": "did you mean optimizer.weight_decay?", "weight_decay": "did you mean optimizer.weight_decay?",
		"most": "did you mean prepare=[{name: long-tail, most: ...}]?", "label_smoothing": "did you mean objective.loss.label_smoothing?", "dataset": "did you mean data?", "momentun": "did you mean optimizer.momentum?",
		"batch_sise": "did you mean batch_size?", "sampler.lr": "did you mean optimizer.lr?", "network.hidden": "network=cnn has no hidden; network=mlp", "filters.lr": "",
	} {
		_, err := lab.Recipe(nil, key+"=1")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s=1: got %v, want %q", key, err, want)
		}
		if want == "" {
			continue
		}
		parts := strings.Split(key, ".")
		text := parts[len(parts)-1] + ": 1"
		if len(parts) == 2 {
			text = parts[0] + ": {" + text + "}"
			if parts[0] == "network" || parts[0] == "sampler" {
				text = strings.Replace(text, "{", "{name: "+map[string]string{"network": "cnn", "sampler": "shuffle"}[parts[0]]+", ", 1)
			}
		}
		settings, err := strict.Settings([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lab.Recipe(settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s in a file: got %v, want %q", text, err, want)
		}
	}
}

// TestValueOfAnotherKey: a value that is the name of something else says of what.
func TestValueOfAnotherKey(t *testing.T) {
	for override, want := range map[string]string{
		"network=ghost": "norm=ghost", "optimizer=cosine": "schedule.name=cosine", "network=resnt": "did you mean resnet?", "norm=resnet": "network=resnet", "data.x=3": "",
	} {
		if _, err := lab.Recipe(nil, override); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", override, err, want)
		}
	}
}

// TestKeys: every key that is offered is one, with every value that is offered.
func TestKeys(t *testing.T) {
	keys := lab.Keys()
	if len(keys) < 150 {
		t.Errorf("%d keys", len(keys))
	}
	checked := 0
	for _, k := range keys {
		if k.List != "" || k.Of != "" || len(k.Values) == 0 || strings.HasPrefix(k.Path, "data") {
			continue
		}
		if strings.HasPrefix(k.Kind, "list") {
			continue
		}
		for _, v := range k.Values {
			_, err := lab.Recipe(nil, k.Path+"="+v)
			if err != nil && (strings.Contains(err.Error(), "no ") && strings.Contains(err.Error(), `"`+v+`"`) || strings.Contains(err.Error(), "unknown")) {
				t.Errorf("%s=%s: %v", k.Path, v, err)
			}
			checked++
		}
		if slices.Contains(k.Values, "true") || k.Kind == "any" || k.Kind == "any or null" {
			continue
		}
		if _, err := lab.Recipe(nil, k.Path+"=no-such-value"); err == nil {
			t.Errorf("%s takes no-such-value, and has values", k.Path)
		}
	}
	if checked < 50 {
		t.Errorf("%d values", checked)
	}
	for said := range lab.Sayings() {
		if path, ok := lab.Setting(said); !ok || !slices.ContainsFunc(keys, func(k lab.Key) bool { return k.Path == path }) {
			t.Errorf("%s means %q, which is no key", said, path)
		}
	}
	for name, want := range map[string]string{"lr": "optimizer.lr", "batch_size": "batch_size", "none-such": ""} {
		if got, _ := lab.Setting(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
