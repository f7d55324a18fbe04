package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/merge/checkpoint"
	"github.com/ballast-ml/ballast/report"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/zoo"
)

// sayNext names the command that would help now, on standard error: the words of a command line, and why in a few words.
func (a *app) sayNext(why string, words ...string) {
	a.sayLine(report.Next{Why: why, Command: shellLine(words...)})
}

// sayLine names a command that is there as a line.
func (a *app) sayLine(n report.Next) { a.remark("next: %s  # %s", n.Command, n.Why) }

// nextAfterTrain names the audit of a model that was trained.
func (a *app) nextAfterTrain(model string, b *bundle.Bundle, r train.Recipe) {
	a.nextEvaluate("how good is it, and can its confidences be trusted", b.Manifest, fmt.Sprint(r.Data), model)
}

// nextAfterCalibrate names the audit of a model before and after.
func (a *app) nextAfterCalibrate(model string, f calibrateFlags) {
	const why = "before and after, under shift too"
	switch {
	case f.out == "":
	case f.saved.given():
		a.sayNext("the confidences now", "ballast", "evaluate", "--logits", f.out, "--labels", f.saved.labels)
	case f.foreign:
		words := append([]string{"ballast", "evaluate", model}, f.subject.words(f.out)...)
		if words = append(words, "--data", f.data); f.part != "test" {
			words = append(words, "--part", f.part)
		}
		a.sayNext(why, words...)
	case f.subject.preprocess != "": // which the bundle that was written has, so that it would be refused for it
		a.sayNext("the confidences now, under shift too", "ballast", "evaluate", f.out, "--data", f.data, "--part", f.part)
	case f.part == "test":
		a.sayNext(why, "ballast", "evaluate", model, f.out, "--data", f.data)
	default:
		a.sayNext(why, "ballast", "evaluate", model, f.out, "--data", f.data, "--part", f.part)
	}
}

// nextAfterMerge names the audit of a merged model that runs, else the check of the files.
func (a *app) nextAfterMerge(out string, m checkpoint.Manifest) {
	if manifest, err := bundle.OpenManifest(out); err == nil {
		a.nextEvaluate("what the merge is worth", manifest, manifest.Provenance.Data, out)
		return
	}
	if m.Encoding == "" {
		a.sayNext("compare all files with their checksums", "ballast", "verify", out)
	}
}

// nextAfterSoup names the audit of a soup beside the first model that it is made of.
func (a *app) nextAfterSoup(out, set string, models []string) {
	manifest, err := bundle.OpenManifest(out)
	if err != nil {
		return
	}
	if set == "" {
		set = manifest.Provenance.Data
	}
	a.nextEvaluate("the soup beside a model that is in it", manifest, set, models[0], out)
}

// nextEvaluate names the audit of models, if there is one for their task and the data go by a name.
func (a *app) nextEvaluate(why string, m bundle.Manifest, set string, models ...string) {
	asked := m.Answers() == zoo.Classify || m.Answers() == zoo.Embed
	if set == "" || strings.HasPrefix(set, "{") || !asked || otherExamples(m) {
		return
	}
	a.sayNext(why, append(append([]string{"ballast", "evaluate"}, models...), "--data", set)...)
}

// otherExamples reports whether a model was trained on examples that --data cannot name: prepared in a way that changes all parts of a set.
func otherExamples(m bundle.Manifest) bool {
	text, err := json.Marshal(m.Provenance.Recipe)
	if err != nil {
		return true
	}
	var recipe struct {
		Prepare data.Steps `json:"prepare"`
	}
	if json.Unmarshal(text, &recipe) != nil {
		return true
	}
	return slices.ContainsFunc(recipe.Prepare, func(s data.Step) bool { return s.Reach() == data.ReachAll })
}

// nextAfterCompare names the soup of the models that were kept of one seed, which began alike.
func (a *app) nextAfterCompare(c *lab.Comparison, settings map[string]any, args []string) {
	set, _ := settings["data"].(string)
	for _, o := range args {
		if value, ok := strings.CutPrefix(o, "data="); ok {
			set = value
		}
	}
	if len(c.Models) < 2 || len(c.Variants) < 2 {
		return
	}
	words := []string{"ballast", "soup"}
	for _, m := range c.Models {
		if m.Seed == c.Models[0].Seed {
			words = append(words, m.Path)
		}
	}
	if set != "" {
		words = append(words, "--data", set)
	}
	a.sayNext("one model of those that began alike", append(words, "--out", filepath.Join(filepath.Dir(c.Dir), filepath.Base(c.Dir)+"-soup"))...)
}
