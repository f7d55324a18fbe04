package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bench"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/data/stream"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/evaluate"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/lab"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/merge/soup"
	"github.com/ballast-ml/ballast/merge/tuned"
	"github.com/ballast-ml/ballast/metric"
	"github.com/ballast-ml/ballast/subject"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/inpaint"
)

// completer says what a word may become; args are the arguments before it.
type completer = cobra.CompletionFunc

// The directives of completions: that of names, and that of what goes on behind the name.
const (
	noFiles = cobra.ShellCompDirectiveNoFileComp
	goesOn  = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
)

// ofFlags completes the values of flags, by the path of the verb and the name; a flag without one takes any text or number. "" is the
// command as a whole.
func ofFlags() map[string]completer {
	parts := oneOf("train", "test", "all", "val")
	return map[string]completer{
		" engine": oneOf(engine.Names()...), " color": oneOf(console.Modes()...), " memory": oneOf("512M", "1G", "4G"),
		"demo out":  folders,
		"train out": folders, "train data": dataSets, "inpaint data": dataSets, "inpaint out": folders,
		"evaluate data": dataSets, "evaluate part": parts, "evaluate logits": filesOf("npy", "npz"), "evaluate labels": filesOf("npy", "npz"),
		"evaluate outputs": oneOf(evaluate.Forms()...), "evaluate suite": severalOf(evaluate.Names), "evaluate set": suiteSettings, "evaluate shifts": severalOf(shiftWords), "evaluate training": dataSets,
		"evaluate training-part": parts, "evaluate require": requirements, "evaluate html": filesOf("html"), "calibrate html": filesOf("html"),
		"calibrate data": dataSets, "calibrate part": parts, "calibrate on": dataSets, "calibrate on-part": parts, "calibrate logits": filesOf("npy", "npz"),
		"calibrate labels": filesOf("npy", "npz"), "calibrate outputs": oneOf(evaluate.Forms()...), "calibrate method": oneOf(calibrateMethods()...), "calibrate out": anyFile, "calibrate set": methodSettings,
		"adapt data": dataSets, "adapt part": parts, "adapt shift": shifts, "adapt method": oneOf(adapt.Names()...), "adapt set": adaptOptions, "adapt stream": oneOf(stream.Names()...), "adapt out": folders, "adapt export": filesOf("onnx"), "adapt exec": anyFile, "adapt outputs": oneOf(subject.Logits, subject.Probabilities), "adapt preprocess": presets,
		"convert data": dataSets, "convert part": parts, "convert out": anyFile, "convert to": oneOf(formats...), "convert type": oneOf(weightTypes...),
		"merge out": anyFile, "merge dtype": oneOf("float64", "float32", "float16", "bfloat16"), "merge allow-missing": oneOf("union", "intersection"),
		"merge method": methods, "merge base": models, "merge lora": folders, "merge gguf-type": oneOf(weightTypes...), "merge intermediate": folders,
		"merge shard-size": oneOf("1GB", "2GB", "5GB"),
		"verify inputs-in": folders, "soup out": folders, "soup method": oneOf(tuned.SoupMethods()...), "soup data": dataSets, "soup trace": filesOf("json"),
		"soup share":            oneOf(soup.ShareTensor, soup.ShareLayer, soup.ShareAll),
		"signature extract pre": models, "signature extract clean": models, "signature extract robust": models, "signature extract layers": oneOf("first:", "blocks:", "all"),
		"signature extract norms": oneOf(signature.NormsRecalibrate, signature.NormsPatch, signature.NormsReplace), "signature extract quantizer": oneOf(storedQuantizers()...), "signature extract out": filesOf("sig"),
		"signature apply out": folders, "signature apply data": dataSets, "signature apply shift": shifts, "signature remove out": folders,
		"evaluate preprocess": presets, "calibrate preprocess": presets, "run preprocess": presets, "evaluate exec": anyFile, "calibrate exec": anyFile, "run exec": anyFile,
		"run input": filesOf("npy", "npz"), "run output": filesOf("npz", "npy"), "compare on": dataSets, "compare recipe": filesOf("yaml", "yml"), "compare out": folders, "compare metric": metrics,
		"reproduce out": folders, "reproduce ledger": filesOf("json"), "papers figures": folders,
		"data corrupt out": folders, "data corrupt corruption": severalOf(corruptionNames), "data corrupt table": oneOf(corrupt.TableNames()...), "data corrupt format": oneOf(formatsOfCopies...),
		"data corrupt severity": oneOf("1-5", "3", "5", "1,3,5"), "data corrupt size": oneOf("224x224", "32x32"), "data corrupt frost": folders,
		"data get from": anyFile, "data show part": parts, "data show shift": shifts, "data show png": filesOf("png"),
		"engine install from": anyFile, "engine install cuda": oneOf("auto", "13", "12"),
		"bench out": filesOf("json"), "bench peer-results": filesOf("json"), "bench compare": filesOf("json"),
	}
}

// ofArgs completes the arguments of verbs, by path.
func ofArgs() map[string]completer {
	return map[string]completer{
		"train": recipeArgs, "inpaint": inpaintArgs, "compare": compareArgs, "evaluate": models, "calibrate": first(models), "adapt": first(models), "convert": first(models), "merge": mergeArgs,
		"merge diff": models, "verify": anyFile, "soup": models, "signature apply": models, "signature remove": models, "signature inspect": filesOf("sig"),
		"inspect": first(models), "run": runArgs, "reproduce": first(completeSlugs), "papers": first(completeSlugs), "data get": first(gettable), "data show": first(dataSets), "data corrupt": first(folders),
		"clean": folders, "bench": oneOf(bench.Suites...),
	}
}

// complete registers the completions of all verbs.
func complete(root *cobra.Command) {
	flags, args := ofFlags(), ofArgs()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		path := verbOf(c)
		if f, ok := args[path]; ok {
			c.ValidArgsFunction = f
		} else if !c.HasSubCommands() {
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
		register := func(f *pflag.Flag) {
			if complete, ok := flags[path+" "+f.Name]; ok {
				_ = c.RegisterFlagCompletionFunc(f.Name, complete) // it is there, and has none
			}
		}
		c.LocalFlags().VisitAll(register)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// oneOf completes one of some words.
func oneOf(words ...string) completer { return cobra.FixedCompletions(words, noFiles) }

// filesOf completes files with these endings, and folders on the way.
func filesOf(endings ...string) completer {
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

// folders completes folders.
func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// anyFile completes files and folders.
func anyFile(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// first completes the first argument alone.
func first(f completer) completer {
	return func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		return f(c, args, word)
	}
}

// severalOf completes the last word of a list with commas.
func severalOf(names func() []string) completer {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		before := word[:strings.LastIndexByte(word, ',')+1]
		given := strings.Split(before, ",")
		var list []string
		for _, name := range names() {
			if !slices.Contains(given, name) {
				list = append(list, before+name)
			}
		}
		return list, noFiles
	}
}

// dataSets completes data sets that go by a name, and the prefixes of those that do not.
func dataSets(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	var prefixes []string
	for _, form := range data.Forms() {
		if path, ok := strings.CutPrefix(word, form.Prefix); ok {
			return under(form.Prefix, path, form.Prefix != "dir:"), goesOn
		}
		prefixes = append(prefixes, form.Prefix)
	}
	list := data.Names()
	if word != "" && !slices.ContainsFunc(list, func(name string) bool { return strings.HasPrefix(name, word) }) {
		if found := under("", word, true); len(found) > 0 {
			return found, goesOn
		}
		return prefixes, goesOn
	}
	return append(list, prefixes...), noFiles
}

// under lists what stands in the folder of a path that is being typed, behind a prefix.
func under(prefix, path string, withFiles bool) (list []string) {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean("./" + dir))
	if filepath.IsAbs(dir) {
		entries, err = os.ReadDir(dir)
	}
	if err != nil {
		return nil
	}
	for _, e := range entries {
		hidden := strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(name, ".")
		switch {
		case hidden, !strings.HasPrefix(e.Name(), name):
		case e.IsDir():
			list = append(list, prefix+dir+e.Name()+"/")
		case withFiles:
			list = append(list, prefix+dir+e.Name())
		}
	}
	return list
}

// gettable completes what "data get" gets.
func gettable(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	list := data.Names()
	for _, m := range data.Models() {
		list = append(list, m.Name+"\t"+m.What)
	}
	return list, noFiles
}

// models completes trained networks that go by a name, trained runs of this folder, and else files.
func models(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, pattern := range []string{"runs/*/model", "*/model"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, path := range found {
			if bundle.Is(path) {
				list = append(list, path)
			}
		}
	}
	for _, m := range data.Models() {
		list = append(list, m.Name)
		if dir, err := m.Dir(); err == nil {
			found, _ := filepath.Glob(filepath.Join(dir, "*", "ballast.json")) // the pattern is a good one
			for _, path := range found {
				list = append(list, m.Name+"/"+filepath.Base(filepath.Dir(path)))
			}
		}
	}
	list = slices.DeleteFunc(list, func(name string) bool { return !strings.HasPrefix(name, word) || slices.Contains(args, name) })
	if len(list) == 0 || word == "" && len(list) == len(data.Models()) { // a path
		return nil, cobra.ShellCompDirectiveDefault
	}
	return list, noFiles
}

// runArgs completes a model, and then images.
func runArgs(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || c.Flags().Changed("exec") {
		return []string{"png", "jpg", "jpeg"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return models(c, args, word)
}

// presets completes the presets of a preprocessing, and else files.
func presets(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	list := slices.DeleteFunc(preprocess.Presets(), func(name string) bool { return !strings.HasPrefix(name, word) })
	if len(list) == 0 {
		return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return list, noFiles
}

// mergeArgs completes a recipe, or with --method models.
func mergeArgs(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if c.Flags().Changed("method") || c.Flags().Changed("lora") {
		return models(c, args, word)
	}
	return anyFile(c, args, word)
}

// methods completes methods of merging.
func methods(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, m := range merge.Methods() {
		list = append(list, m.Name+"\t"+m.About)
	}
	return list, noFiles
}

// shifts completes NAME:SEVERITY.
func shifts(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	name, _, chosen := strings.Cut(word, ":")
	var list []string
	for _, s := range corrupt.Names() {
		switch {
		case !chosen:
			list = append(list, s+":")
		case s == name:
			for severity := range corrupt.Severities {
				list = append(list, name+":"+string(rune('1'+severity)))
			}
		}
	}
	if chosen {
		return list, noFiles
	}
	return list, goesOn
}

// shiftWords are what --shifts takes: tables, and the shifts of all of them.
func shiftWords() []string { return append(corrupt.TableNames(), corrupt.Names()...) }

// metrics completes what a comparison compares.
func metrics(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return train.Measures(), noFiles
}

// requirements completes the last NAME>=NUMBER of a list.
func requirements(c *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	before := word[:strings.LastIndexByte(word, ',')+1]
	measures := evaluate.Measures()
	if words, err := c.Flags().GetStringSlice("shifts"); err == nil && len(words) > 0 {
		if suites, err := (evaluateFlags{shifts: words, bins: metric.DefaultBins}).chosen(); err == nil {
			measures = evaluate.Measures(suites...)
		}
	}
	var list []string
	for _, n := range measures {
		sign := ">="
		if n.Better == metric.Lower {
			sign = "<="
		}
		list = append(list, before+n.Name+sign)
	}
	return list, goesOn
}

// adaptOptions completes the options of --method, those of its default where it is not named.
func adaptOptions(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	named := c.Flag("method").Value.String()
	var list []string
	for _, k := range adapt.All() {
		own, err := lab.ConfigOf(k.New())
		if k.Name != named || err != nil {
			continue
		}
		for name := range own {
			list = append(list, name+"=")
		}
	}
	slices.Sort(list)
	return list, goesOn
}

// suiteSettings completes SUITE.SETTING=.
func suiteSettings(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, k := range evaluate.All() {
		for _, key := range lab.KeysOf(k.New()) {
			list = append(list, k.Name+"."+key.Path+"=")
		}
	}
	return list, goesOn
}

// methodSettings completes SETTING= of the method that is named.
func methodSettings(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var settings any = calibrate.NewConformal()
	if name := cmd.Flag("method").Value.String(); name != methodConformal {
		m, err := calibrate.Named(name, nil)
		if err != nil {
			return nil, noFiles
		}
		settings = m
	}
	var list []string
	for _, key := range lab.KeysOf(settings) {
		list = append(list, key.Path+"=")
	}
	return list, goesOn
}

// recipeArgs completes a recipe, and then settings and their values.
func recipeArgs(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if key, value, ok := strings.Cut(word, "="); ok && !strings.Contains(key, "/") {
		return values(lab.Keys(), key, value)
	}
	list, directive := settingNames(lab.Keys(), args, word)
	if len(args) == 0 {
		recipes := recipeFiles(word)
		if list = append(recipes, list...); len(recipes) > 0 || len(list) == 0 {
			if len(list) == 0 {
				return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			}
		}
	}
	return list, directive
}

// recipeFiles are the recipes that a word may become, and the folders on the way once one was begun.
func recipeFiles(word string) (list []string) {
	for _, path := range under("", word, true) {
		ext := filepath.Ext(path)
		if ext == ".yaml" || ext == ".yml" || strings.HasSuffix(path, "/") && word != "" {
			list = append(list, path)
		}
	}
	return list
}

// compareArgs completes settings and their values, of which several may be given.
func compareArgs(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if key, value, ok := strings.Cut(word, "="); ok {
		before := value[:strings.LastIndexByte(value, ',')+1]
		list, directive := values(lab.Keys(), key, value[len(before):])
		for i, v := range list {
			list[i] = key + "=" + before + strings.TrimPrefix(v, key+"=")
		}
		return list, directive
	}
	return settingNames(lab.Keys(), args, word)
}

// inpaintArgs completes settings of inpaint.
func inpaintArgs(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	keys := lab.KeysOf(inpaint.NewConfig())
	if key, value, ok := strings.Cut(word, "="); ok {
		return values(keys, key, value)
	}
	return settingNames(keys, args, word)
}

// settingNames are the keys that a word may become, one name further than the word goes: network= and network. for netw. Options of another
// choice than the one that an argument makes are left out.
func settingNames(keys []lab.Key, args []string, word string) (list []string, directive cobra.ShellCompDirective) {
	chosen := map[string]string{}
	for _, arg := range args {
		if key, value, ok := strings.Cut(arg, "="); ok {
			chosen[key] = value
		}
	}
	depth := strings.Count(word, ".")
	for _, k := range keys {
		at, choice, _ := strings.Cut(k.Of, "=")
		if k.List != "" || chosen[at] != "" && chosen[at] != choice {
			continue
		}
		name := k.Path + "="
		if parts := strings.Split(k.Path, "."); len(parts) > depth+1 {
			name = strings.Join(parts[:depth+1], ".") + "."
		}
		if strings.HasPrefix(name, word) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, goesOn
}

// values are the values that a key takes.
func values(keys []lab.Key, key, value string) (list []string, directive cobra.ShellCompDirective) {
	for _, k := range keys {
		if k.Path != key {
			continue
		}
		for _, v := range k.Values {
			if entry := key + "=" + v; strings.HasPrefix(v, value) && !slices.Contains(list, entry) {
				list = append(list, entry)
			}
		}
	}
	return list, noFiles
}

// What convert writes. A test holds both against convert.Options.
var (
	formats     = []string{convert.ToSafetensors, convert.ToSharded, convert.ToGGUF, convert.ToNPZ}
	weightTypes = []string{"F64", "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"}
)

// storedQuantizers are the quantizers that store fewer bits.
func storedQuantizers() []string {
	return slices.DeleteFunc(signature.Quantizers(), func(name string) bool { return name == signature.QuantizeNone })
}
