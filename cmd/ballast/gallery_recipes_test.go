package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tooMuch are the exit codes for sizes that no machine or that this machine does not have: which of the two depends on the machine.
var tooMuch = []int{exitBadInput, exitExhausted}

// galleryRecipes are recipes of training, comparing and merging.
func galleryRecipes() []hostile {
	return slices.Concat(yamlBombs(), recipeNumbers(), recipePaths(), recipeTexts(), overrideBombs())
}

// recipeVerbs read r.yaml.
var recipeVerbs = map[string][]string{
	"train":   {"train", "r.yaml", "--out", "out"},
	"compare": {"compare", "--recipe", "r.yaml", "epochs=1,2", "--out", "out"},
	"merge":   {"merge", "r.yaml", "--out", "out"},
}

// yamlBombs are small documents that take a parser long or much memory.
func yamlBombs() []hostile {
	laughs := func(levels int) string {
		text := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
		for i := 1; i < levels; i++ {
			text += fmt.Sprintf("a%d: &a%[1]d [%s]\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
		}
		return text
	}
	stairs := func(mark string) string {
		var b strings.Builder
		for i := range 300 {
			b.WriteString(strings.Repeat(" ", i*(1+len(mark))) + mark + "k:\n")
		}
		return b.String()
	}
	keys := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	bombs := map[string]string{
		"laughs":                 laughs(12),
		"laughs in a merge":      "a: &a {x: 1}\nb: &b {<<: *a, y: [*a, *a]}\n" + laughs(9),
		"alias in itself":        "a: &a [*a]\n",
		"lists":                  "name: " + strings.Repeat("[", 200_000),
		"lists that end":         "name: " + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000),
		"mappings":               "name: " + strings.Repeat("{a: ", 20_000),
		"dashes":                 strings.Repeat("- ", 100_000),
		"questions":              strings.Repeat("? ", 9_000),
		"stairs":                 stairs(""),
		"stairs of lists":        stairs("- "),
		"keys":                   keys("k%06d: 1\n", 50_000),
		"keys within the limits": keys("k%06d: 1\n", 4_500),
		"keys of one mapping":    "network: {" + keys("k%06d: 1, ", 4_500) + "}",
		"anchors":                keys("k%06d: &a%[1]d 1\n", 4_500),
		"closing brackets":       "a: " + strings.Repeat("]", 19_000),
		"commas":                 "a: [" + strings.Repeat(",", 19_000),
		"tags":                   "a: " + strings.Repeat("!!str ", 9_000) + "x",
		"a long key":             strings.Repeat("k", 250_000) + ": 1\n",
		"a long value":           "steps: " + strings.Repeat("9", 250_000) + "\n",
		"a long line twice":      "name: " + strings.Repeat("x ", 120_000) + "\nname: 1\n",
		"two megabytes":          "name: " + strings.Repeat("x", 2_000_000) + "\n",
		"documents":              strings.Repeat("---\na: 1\n", 4_000),
		"zeros":                  "steps: " + strings.Repeat("\x00", 1_000),
		"not UTF-8":              "name: \xff\xfe\n\xc3: 1\n",
	}
	var all []hostile
	for verb, run := range recipeVerbs {
		for name, text := range bombs {
			all = append(all, hostile{kind: "amplification", name: "yaml " + verb + " " + name, files: file("r.yaml", []byte(text)), run: run, exit: []int{exitBadInput, exitUsage}})
		}
	}
	slices.SortFunc(all, func(a, b hostile) int { return strings.Compare(a.name, b.name) })
	return all
}

// recipeNumbers are numbers of recipes that no run has: each is a named error before anything is allocated.
func recipeNumbers() []hostile {
	var all []hostile
	add := func(name, text, want string, exit ...int) {
		all = append(all, hostile{
			kind: "overflow", name: "recipe " + name, files: file("r.yaml", []byte("steps: 2\n"+text+"\n")), run: []string{"train", "r.yaml", "--out", "out"},
			exit: exit, want: want, engine: true, writes: true, within: bigWithin,
		})
	}
	const huge, wide = "9223372036854775807", "4294967296"
	for _, key := range []string{"epochs", "steps", "batch_size", "accumulate", "log_every", "evaluate_every"} {
		all = append(all, hostile{
			kind: "overflow", name: "recipe " + key, files: file("r.yaml", []byte(key+": "+wide)), run: []string{"train", "r.yaml", "--out", "out"},
			want: "recipe: " + key + " is 4294967296; use at most 2147483647",
		})
	}
	add("subset", "prepare: [{name: subset, examples: "+wide+"}]", "subset: examples is 4294967296, the set has 1280; use at most as many", exitUsage)
	add("distance.points", "watch: [{name: distance, points: "+huge+"}]", "distance.points is 9223372036854775807; use at most 100000")
	add("distance.from", "watch: [{name: distance, points: 3, from: "+huge+"}]", "distance.from")
	add("warm-up", "schedule: {warmup_steps: "+huge+"}", "warmup_steps")
	add("warm-up of epochs", "schedule: {warmup_epochs: 1.0e300}", "warmup_epochs is 1e.300", exitBadInput, exitFailed)
	add("milestones", "schedule: {name: step, milestones: ["+strings.Repeat("1,", 5_000)+"1]}", "milestones")
	add("epochs times updates", "steps: 0\nepochs: 2000000000", "duplicate|already defined")
	add("not finite", "optimizer: {lr: .nan}", "optimizer")
	add("not finite, infinite", "rules: [{name: clip-norm, most: .inf}]", "clip-norm")
	add("beyond 64 bits", "batch_size: 99999999999999999999", "batch_size: want a whole number")
	add("a fraction", "steps_: 1.5\nbatch_size: 1.5", "unknown key steps_|batch_size: want a whole number")
	add("checkpoint", "checkpoint: {every_steps: -1, keep_last: "+huge+"}", "keep_last")
	add("random per channel", "freeze: {train: [], random_per_channel: -9223372036854775808}", "random_per_channel")

	network := func(name, options, want string, exit ...int) {
		add("network "+name, "network: {"+options+"}", want, exit...)
	}
	network("mlp", "name: mlp, hidden: [100000, 100000]", "needs 40.0 GB of memory|needs 120.0 GB", tooMuch...)
	network("mlp huge", "name: mlp, hidden: ["+huge+"]", "hidden.0 is")
	network("mlp negative", "name: mlp, hidden: [-1]", "hidden.0 is -1; use at least 1")
	network("mlp layers", "name: mlp, hidden: ["+strings.Repeat("1,", 9_000)+"1]", "hidden has 9001 numbers; use at most 2048")
	network("cnn", "name: cnn, filters: [1000000, 1000000]", "needs .* of memory", tooMuch...)
	network("cnn dense", "name: cnn, dense: "+wide, "dense is 4294967296; use at most")
	network("convnet", "name: convnet, filters: [16], strides: ["+wide+"]", "strides.0")
	network("resnet depth", "name: resnet, depth: 6000000000002", "depth is 6000000000002; use at most 2048")
	network("resnet width", "name: resnet, base: 16777216, width: 16777216", "no array has the shape|needs .* of memory", tooMuch...)
	network("ibn-resnet blocks", "name: ibn-resnet, blocks: [16777216, 1, 1]", "blocks are more than 2048")
	network("ibn-resnet upsample", "name: ibn-resnet, upsample: 4000000", "upsample is 4000000", exitBadInput)
	network("ibn-resnet ratio", "name: ibn-resnet, ratio: 1.0e300", "ratio is 1e.300; use a share")
	network("ibn-densenet", "name: ibn-densenet, layers: [2000, 2000]", "layers are more than 2048")
	network("ibn-densenet growth", "name: ibn-densenet, growth: 16777216", "needs .* of memory|no array", tooMuch...)
	network("rnn", "name: rnn, hidden: 16777216", "needs .* of memory|no array", tooMuch...)
	network("digitnet", "name: digitnet, depth: 16777216", "at most 2048 layers")
	network("efficientnet-lite", "name: efficientnet-lite, stages: [{kernel: 3, stride: 1, expand: 1, filters: 8, blocks: "+wide+"}]", "at most 16777216")
	network("efficientnet-lite kernel", "name: efficientnet-lite, stages: [{kernel: 16777216, stride: 1, expand: 16777216, filters: 8, blocks: 1}]", "no array|needs .* of memory", tooMuch...)
	network("vit patch", "name: vit, patch: 16777216", "no array|needs .* of memory", tooMuch...)
	network("vit dim", "name: vit, dim: 16777216, mlp_ratio: 1", "no array|needs .* of memory", tooMuch...)
	network("vit ratio", "name: vit, mlp_ratio: 1.0e300", "mlp_ratio is 1e.300")
	network("vit depth", "name: vit, depth: "+huge, "depth is 9223372036854775807; use at most")
	network("decoder", "name: decoder, context: "+wide, "context is 4294967296; use at most")
	network("unet depth", "name: unet, depth: "+huge, "depth is 9223372036854775807 of base 32")
	network("heads", "name: heads, heads: [{name: a, hidden: [16777216, 16777216]}]", "no array|needs .* of memory", tooMuch...)
	network("heads in heads", "name: heads, trunk: {name: heads, trunk: {name: heads}}", "heads with names of its own")
	network("towers", "name: towers, dim: "+huge, "dim is 9223372036854775807; use at most")
	norm := func(name, options, want string) { add("norm "+name, "norm: {"+options+"}", want) }
	norm("ghost", "name: ghost, ghost_size: -1", "GroupSize is -1")
	norm("group", "name: group, groups: 0", "Groups is 0")
	norm("unified", "name: unified, warmup_iters: "+wide, "warmup_iters 4294967296")
	norm("unified window", "name: unified, window_fwd: "+huge, "window_fwd 9223372036854775807")
	norm("layer", "name: layer, axes: ["+huge+"]", "axes")
	norm("genome", "name: genome, nodes: ["+strings.Repeat(`[neg, [0]], `, 500)+"[neg, [0]]]", "the genome has 501 nodes; use at most 64")
	norm("genome forward", "name: genome, nodes: [[add, [0, "+huge+"]]]", "refers forward")
	norm("batch", "name: batch, momentum: .nan", "momentum is NaN")
	norm("batch eps", "name: batch, eps: .inf", "eps is .Inf")

	// Groups of more examples than any batch are batch normalisation, and a window of updates beyond the run changes nothing.
	all = append(all, hostile{
		kind: "overflow", name: "recipe norm ghost beyond the batch", files: file("r.yaml", []byte("steps: 2\nnetwork: {name: mlp, hidden: [4]}\nnorm: {name: ghost, ghost_size: "+huge+"}\n")),
		run: []string{"train", "r.yaml", "--out", "out"}, exit: []int{exitOK}, engine: true, writes: true, within: bigWithin,
	})
	return all
}

// bigWithin is the time of cases that open an engine.
const bigWithin = 30e9

// recipePaths are names that lead out, and files that are none.
func recipePaths() []hostile {
	var all []hostile
	for name, value := range map[string]string{"up": "../../x", "absolute": "/elsewhere/run", "itself": ".", "empty": `""`, "up and down": "a/../../../x", "a zero": `"a\0b"`} {
		all = append(all, hostile{
			kind: "paths", name: "recipe name " + name, files: file("r.yaml", []byte("steps: 1\nname: "+value+"\n")), run: []string{"train", "r.yaml"},
			want: "no folder within runs; use another name, or say with --out|nul|zero|not YAML",
		})
	}
	for verb, run := range recipeVerbs {
		all = append(all,
			hostile{kind: "pipe", name: "recipe of " + verb, files: namedPipe("r.yaml"), run: run, want: "it is a pipe"},
			hostile{kind: "pipe", name: "recipe of " + verb + " is a folder", files: file("r.yaml/x", nil), run: run, want: "it is a folder"},
			hostile{kind: "pipe", name: "recipe of " + verb + " is a device", files: recipeLink("r.yaml", "/dev/zero"), run: run, want: "it is a device"})
	}
	return all
}

// recipeTexts are texts of recipes that act on a terminal.
func recipeTexts() []hostile {
	const escape = `\e]0;PWN\a\e[2J\u009b31m\u202e`
	var all []hostile
	for verb, run := range recipeVerbs {
		for name, text := range map[string]string{
			"key":        `"bad` + escape + `": 1`,
			"long key":   `"` + strings.Repeat("k", 100_000) + escape + `": 1`,
			"many keys":  strings.Repeat("x", 10) + ": 1\n\"" + escape + "\": 2\n",
			"value":      `steps: "` + escape + `"` + "\nmodels: \"" + escape + `"`,
			"choice":     `network: "` + escape + `"` + "\nmerge_method: \"" + escape + `"`,
			"list":       `norm: ["` + escape + `"]` + "\nslices: [\"" + escape + `"]`,
			"syntax":     "a: [\"" + escape + "\"\n\x1b]0;PWN\a: {",
			"raw escape": "steps: \x1b]0;PWN\a\x1b[2J\nmerge_method: \x1b[2J\n",
		} {
			all = append(all, hostile{kind: "escape", name: "recipe of " + verb + ", " + name, files: file("r.yaml", []byte(text)), run: run})
		}
	}
	return all
}

// overrideBombs are settings of the command line and sweeps: usage, so exit code 2.
func overrideBombs() []hostile {
	var all []hostile
	for name, run := range map[string][]string{
		"lists":          {"train", "network=" + strings.Repeat("[", 50_000)},
		"mappings":       {"train", "network=" + strings.Repeat("{a:", 30_000)},
		"quotes":         {"train", "norm_init=" + strings.Repeat(" ", 50_000) + "x" + strings.Repeat("' ", 25_000)},
		"names":          {"train", "++" + strings.Repeat("a.", 50_000) + "b=1"},
		"a long key":     {"train", strings.Repeat("k", 100_000) + "=1"},
		"an escape":      {"train", "x\x1b]0;PWN\a=1"},
		"circle":         {"train", "name=${data}", "data=${name}"},
		"interpolations": {"train", "name=" + strings.Repeat("${data}", 300), "data=" + strings.Repeat("${part}", 300), "part=" + strings.Repeat("${test}", 300), "test=" + strings.Repeat("x", 300)},
		"doublings":      doublings(),
		"sweep":          {"compare", "seed=range(100000)", "epochs=range(1,100000)"},
		"sweep of many":  append([]string{"compare"}, slices.Repeat([]string{"epochs=1,2,3,4,5,6,7,8,9,10"}, 12)...),
		"long range":     {"compare", "seed=range(1e300)"},
		"fine range":     {"compare", "optimizer.lr=range(0,1,1e-300)"},
		"range of NaN":   {"compare", "optimizer.lr=range(nan,1,1)"},
		"distance":       {"train", "watch=[{name: distance, points: 9223372036854775807}]"},
		"batch":          {"train", "batch_size=9223372036854775807"},
		"hidden":         {"train", "network={name: mlp, hidden: [9223372036854775807]}"},
	} {
		all = append(all, hostile{kind: "amplification", name: "setting " + name, files: nothing, run: run, exit: []int{exitUsage}, want: `^ballast: `})
	}
	slices.SortFunc(all, func(a, b hostile) int { return strings.Compare(a.name, b.name) })
	return all
}

// doublings are strings of which each is the one before twice.
func doublings() []string {
	keys := []string{"name", "data", "part", "test", "preprocess", "label_noise.kind", "weigh.examples", "init.norms", "init.kernels", "optimizer.name", "schedule.name", "schedule.large_batch.rule", "average.statistics"}
	args := []string{"train"}
	for i, key := range keys[:len(keys)-1] {
		args = append(args, key+"="+strings.Repeat("${"+keys[i+1]+"}", 8))
	}
	return append(args, keys[len(keys)-1]+"=x")
}

func nothing(string) error { return nil }

// namedPipe makes a pipe pipe that nobody writes into.
func namedPipe(name string) func(dir string) error {
	return func(dir string) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return exec.Command("mkfifo", path).Run() //nolint:gosec // a path of the test
	}
}

// recipeLink makes a symbolic link.
func recipeLink(name, target string) func(dir string) error {
	return func(dir string) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.Symlink(target, path)
	}
}
