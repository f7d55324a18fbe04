package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/convert"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/merge"
	"github.com/ballast-ml/ballast/merge/checkpoint"
	"github.com/ballast-ml/ballast/merge/tuned"
)

// mergeFlags are the flags of "ballast merge".
type mergeFlags struct {
	out, shard, dtype, missing  string
	intermediate                string
	threads                     int
	dryRun, overwrite, saturate bool
	verify                      bool
	inner                       bool // the output is what another recipe of the same file merges

	method, base string // the short form
	weights      []float64
	t            float64
	quantize     string
	lora         []string
}

// defaultT is the middle between two models.
const defaultT = 0.5

// defaultMergeMemory is what a merge works within where --memory does not say.
const defaultMergeMemory = 1 << 30

func newMerge(a *app) *cobra.Command {
	f := mergeFlags{}
	var names []string
	for _, c := range merge.Methods() {
		names = append(names, fmt.Sprintf("  %-17s %s", c.Name, c.About))
	}
	cmd := &cobra.Command{
		Use:   "merge RECIPE.yaml --out FOLDER",
		Short: "Merge models, larger than memory, into one",
		Long: `Merge makes one model of several, tensor by tensor, within the memory of --memory (default 1G) however large they are. Models are
safetensors files or folders of them, GGUF, PyTorch, npz, or what "ballast train" has written. No engine is needed. A merge of
models of "ballast train" with one network, preprocessing and list of labels is such a model again, which "ballast evaluate" runs;
otherwise a note says why it is not.

A recipe names models, merge_method, base_model, parameters, dtype, slices and tokenizer_source as users of other tools know them
(docs/merge.md). Simple merges need none: name two models or more and a --method.

` + strings.Join(names, "\n") + `

A file may hold several recipes, separated by ---. Those with a name: are merged first, each into a folder of that name, which other recipes
can use as a model; the one without a name makes the output.

A merge that was stopped or ran out of disk continues where it was when the same command is run again, and writes the same bytes. The
output has a manifest with the checksums of everything it was made from; "ballast verify" compares them.`,
		Example: `  ballast merge recipe.yaml --out merged
  ballast merge base --lora adapter --out merged
  ballast merge recipe.yaml --out merged --memory 256M --dry-run
  ballast merge a b --method linear --weight 0.3,0.7 --out merged
  ballast merge base tuned --method slerp --t 0.5 --out merged.safetensors`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "where to write the model: a folder, or a file that ends in .safetensors or .gguf")
	flags.StringVar(&f.shard, "shard-size", "5GB", "bytes of tensors per file, where --out is a folder")
	flags.StringVar(&f.dtype, "dtype", "", "type of the output, instead of the recipe's: float64, float32, float16 or bfloat16")
	flags.IntVar(&f.threads, "threads", 0, "number of cores to use (default all)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check everything, say what the merge would need, and stop")
	overwriteFlag(cmd, &f.overwrite)
	flags.BoolVar(&f.saturate, "saturate", false, "values too large for the type of the output become its largest value; without this they are an error")
	flags.StringVar(&f.missing, "allow-missing", "", "tensors that some models lack: union merges the models that have the tensor, intersection drops it")
	flags.BoolVar(&f.verify, "verify", false, "read the output back and compare it with its checksums")
	flags.StringVar(&f.intermediate, "intermediate", "", "folder for the models that named recipes of a file make (default: the name of the output with -merges)")
	flags.StringVar(&f.method, "method", "", "short form: the method; the arguments are the models")
	flags.StringVar(&f.base, "base", "", "short form: the base model")
	flags.Float64SliceVar(&f.weights, "weight", nil, "short form: weights of the models, in their order (default 1 each)")
	flags.Float64Var(&f.t, "t", defaultT, "short form: where between two models, from 0 to 1")
	flags.StringSliceVar(&f.lora, "lora", nil, "short form, one model: folders of LoRA adapters to add to it, in this order")
	flags.StringVar(&f.quantize, "gguf-type", "", "type of the tensors of a .gguf output: F16, BF16, F32, Q8_0, Q4_K, ...")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, a, args) }
	cmd.AddCommand(newMergeDiff(a))
	return cmd
}

func (f mergeFlags) run(cmd *cobra.Command, a *app, args []string) error {
	if f.out == "" {
		return &fault.Usage{Err: errors.New("give --out, a folder or a file that ends in .safetensors or .gguf")}
	}
	if err := f.check(a); err != nil {
		return err
	}
	if err := f.idle(cmd); err != nil {
		return err
	}
	recipes, dir, err := f.recipes(args)
	if err != nil {
		return err
	}
	if len(recipes) > 1 {
		if recipes, err = f.several(cmd, a, recipes, dir); err != nil {
			return err
		}
	} else if f.intermediate != "" {
		return &fault.Usage{Err: errors.New("--intermediate: there is one recipe, which makes the output; leave the flag out")}
	}
	return f.merge(cmd, a, recipes[len(recipes)-1], dir)
}

// merge makes the output of one recipe.
func (f mergeFlags) merge(cmd *cobra.Command, a *app, recipe checkpoint.Recipe, dir string) error {
	o, err := f.options(a, dir)
	if err != nil {
		return err
	}
	gguf := strings.HasSuffix(f.out, ".gguf")
	if gguf { // merged beside it first
		o.Out, o.Overwrite, o.Beside = checkpoint.Stage(f.out), true, nil
		if !f.dryRun {
			release, err := claimFile(f.out, f.overwrite)()
			if err != nil {
				return err
			}
			defer func() { _ = release() }() // the lock ends with the process at the latest
			if err := checkpoint.CheckManifest(f.out); err != nil {
				return err
			}
		}
	}

	restore := collectEarly()
	plan, err := checkpoint.NewPlan(recipe, o)
	restore()
	if err != nil {
		return err
	}
	defer plan.Close()
	if f.dryRun {
		return a.mergeDryRun(plan, gguf)
	}
	began := time.Now()
	result, err := a.executeMerge(cmd.Context(), plan)
	if err != nil {
		return err
	}

	if f.verify {
		verified := func(list []checkpoint.Verification, _ checkpoint.Manifest) error {
			a.remark("verified: %d files", len(list))
			return nil
		}
		if err := a.verifyMerged(cmd, o.Out, "", verified); err != nil {
			return err
		}
	}
	if gguf {
		if result.Manifest, err = f.encode(cmd.Context(), result.Manifest); err != nil {
			return err
		}
	}
	if err := a.printMerged(f.out, result, began); err != nil {
		return err
	}
	if !f.inner {
		a.nextAfterMerge(f.out, result.Manifest)
	}
	return nil
}

// check refuses values of flags that no merge takes, before a recipe or a model is read.
func (f mergeFlags) check(a *app) error {
	if f.method != "" {
		if _, err := merge.FindMethod(f.method); err != nil {
			return &fault.Usage{Err: err}
		}
	}
	o, err := f.options(a, "")
	if err != nil {
		return err
	}
	return o.Validate()
}

// idle refuses flags of the short form where a recipe is named, of other outputs than the one that is written, and what a dry run leaves out.
func (f mergeFlags) idle(cmd *cobra.Command) error {
	switch {
	case len(f.lora) > 0: // what does not go with it otherwise, adapters says
		if err := idle(cmd, "with --lora", "t"); err != nil {
			return err
		}
	case f.method == "":
		if err := idle(cmd, "beside a recipe, which says it itself", "base", "weight", "t"); err != nil {
			return err
		}
	}
	if choice, err := merge.FindMethod(f.method); err == nil && cmd.Flags().Changed("t") && !choice.Has("t") {
		return &fault.Usage{Err: fmt.Errorf("--t: %s has none", f.method)}
	}
	if filepath.Ext(f.out) == ".safetensors" || filepath.Ext(f.out) == ".gguf" {
		if err := idle(cmd, "where --out is one file", "shard-size"); err != nil {
			return err
		}
	}
	if filepath.Ext(f.out) == ".gguf" { // before the merge, which it is encoded from
		if err := (convert.Options{To: convert.ToGGUF, Type: f.quantize}).Validate(); err != nil {
			return err
		}
	} else {
		if err := idle(cmd, "where --out is not a .gguf file", "gguf-type"); err != nil {
			return err
		}
	}
	if f.dryRun {
		return idle(cmd, "with --dry-run", "verify")
	}
	return nil
}

// options are those of the flags. dir is the folder of the recipe.
func (f mergeFlags) options(a *app, dir string) (o checkpoint.Options, err error) {
	memory := int64(defaultMergeMemory)
	if a.memory != "" {
		if memory, err = byteSize("--memory", a.memory); err != nil {
			return o, err
		}
	}
	shard, err := byteSize("--shard-size", f.shard)
	return checkpoint.Options{
		Find: data.ModelPath, Beside: tuned.MergeFiles,
		Out: f.out, RecipeDir: dir, Memory: memory, ShardSize: shard, DType: f.dtype, Threads: f.threads, Seed: a.seed, Overwrite: f.overwrite,
		AllowMissing: f.missing, Saturate: f.saturate, Versions: bundle.Versions(),
	}, err
}

// executeMerge merges, and tells what there is to note before and after.
func (a *app) executeMerge(ctx context.Context, plan *checkpoint.Plan) (*checkpoint.Result, error) {
	for _, n := range plan.Notes {
		a.remark("note: %s", n)
	}
	debug.SetMemoryLimit(plan.Memory)
	progress, done := a.mergeProgress()
	result, err := plan.Execute(ctx, progress)
	done()
	if err != nil {
		return nil, err
	}

	for _, n := range result.Notes[len(plan.Notes):] {
		a.remark("note: %s", n)
	}
	if result.Saturated > 0 {
		a.remark("note: %d values were too large for the type of the output and became its largest", result.Saturated)
	}
	return result, nil
}

func (a *app) printMerged(out string, result *checkpoint.Result, began time.Time) error {
	if a.json {
		return a.printJSON(result)
	}
	resumed := ""
	if result.Resumed > 0 {
		resumed = fmt.Sprintf(", %d of them by an earlier run", result.Resumed)
	}
	_, err := fmt.Fprintf(a.out, "%s: %d tensors%s by %s in %s\n", out, result.Tensors, resumed, result.Method, time.Since(began).Round(time.Millisecond))
	return err
}

// encode makes the GGUF file of a merge.
func (f mergeFlags) encode(ctx context.Context, m checkpoint.Manifest) (checkpoint.Manifest, error) {
	name := strings.TrimSuffix(filepath.Base(f.out), ".gguf")
	return checkpoint.Encode(ctx, m, f.out, strings.TrimSpace("gguf "+f.quantize), func(ctx context.Context, merged, encoded string) error {
		_, err := convert.Format(ctx, merged, encoded, convert.Options{To: convert.ToGGUF, Type: f.quantize, Name: name})
		return err
	})
}

// recipes reads the recipes of a file, or makes one of the short form.
func (f mergeFlags) recipes(args []string) (list []checkpoint.Recipe, dir string, err error) {
	defer collectEarly()()
	if len(f.lora) > 0 {
		r, err := f.adapters(args)
		return []checkpoint.Recipe{r}, "", err
	}
	if f.method == "" {
		if len(args) != 1 {
			return nil, "", &fault.Usage{Err: fmt.Errorf("%d arguments; give one recipe, or models and a --method", len(args))}
		}
		text, err := untrusted.ReadFilled(args[0], checkpoint.MaxRecipe)
		if err != nil {
			return nil, "", &fault.Input{File: args[0], Err: err, Fix: "name a recipe, or models and a --method"}
		}
		list, err = checkpoint.ParseRecipes(args[0], text)
		return list, filepath.Dir(args[0]), err
	}
	r, err := f.short(args)
	return []checkpoint.Recipe{r}, "", err
}

// short makes a recipe of the short form.
func (f mergeFlags) short(args []string) (r checkpoint.Recipe, err error) {
	choice, err := merge.FindMethod(f.method)
	if err != nil {
		return r, &fault.Usage{Err: err}
	}
	if f.weights != nil && len(f.weights) != len(args) {
		return r, &fault.Usage{Err: fmt.Errorf("--weight: %d weights for %d models; give each model one", len(f.weights), len(args))}
	}
	r = checkpoint.Recipe{Method: f.method, BaseModel: checkpoint.Ref(f.base), Parameters: checkpoint.Parameters{}}
	for _, name := range choice.Parameters() {
		if name == "t" {
			r.Parameters["t"] = checkpoint.Number(f.t)
		}
	}
	for i, path := range args {
		s := checkpoint.Source{Model: checkpoint.Ref(path), Parameters: checkpoint.Parameters{"weight": checkpoint.Number(1)}}
		if f.weights != nil {
			s.Parameters["weight"] = checkpoint.Number(f.weights[i])
		}
		if !choice.Has("weight") {
			if f.weights != nil {
				return r, &fault.Usage{Err: fmt.Errorf("--weight: %s has none", f.method)}
			}
			s.Parameters = nil
		}
		r.Models = append(r.Models, s)
	}
	return r, nil
}

// adapters is the recipe that adds adapters to one model.
func (f mergeFlags) adapters(args []string) (r checkpoint.Recipe, err error) {
	switch {
	case f.method != "" || f.base != "" || f.weights != nil:
		return r, &fault.Usage{Err: errors.New("--lora adds adapters to one model; to merge models with adapters, write them in a recipe as MODEL+ADAPTER")}
	case len(args) != 1:
		return r, &fault.Usage{Err: fmt.Errorf("--lora: %d models; give the one that the adapter was trained on", len(args))}
	}
	ref := checkpoint.Ref(strings.Join(append(args, f.lora...), "+"))
	return checkpoint.Recipe{Method: "passthrough", Models: []checkpoint.Source{{Model: ref}}}, nil
}

// byteSize reads sizes such as 256M, 5GB and 1GiB. Powers of 1024 have no B or an i; those of 1000 end in B.
func byteSize(flag, text string) (int64, error) {
	units := map[string]float64{
		"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
		"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
	digits := strings.TrimRight(text, "kKmMgGtTiIbB")
	unit, ok := units[strings.ToUpper(text[len(digits):])]
	number, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || !ok || !(number > 0) || number*unit > 1<<60 {
		return 0, &fault.Usage{Err: fmt.Errorf("%s: %q is not a size; use, for example, 256M or 5GB", flag, text)}
	}
	return int64(number * unit), nil
}

// mergeProgress shows how many bytes are merged. done ends it.
func (a *app) mergeProgress() (show func(checkpoint.Progress), done func()) {
	set, done := a.bytesCounter("merge")
	if set == nil {
		return nil, done
	}
	return func(p checkpoint.Progress) { set(p.Done, p.Total) }, done
}

// mergeDryRun prints the plan and what the disk has left.
func (a *app) mergeDryRun(plan *checkpoint.Plan, gguf bool) error {
	estimate, err := plan.Estimate()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			*checkpoint.Plan
			checkpoint.Estimate
		}{plan, estimate})
	}
	if err := plan.Describe(a.out); err != nil {
		return err
	}
	free := "unknown"
	if estimate.Free > 0 {
		free = fmt.Sprintf("%d bytes", estimate.Free)
	}
	_, err = fmt.Fprintf(a.out, "free:    %s\ntime:    about %s\n", free, time.Duration(estimate.Seconds*float64(time.Second)).Round(time.Second/10))
	if gguf && err == nil {
		_, err = fmt.Fprintln(a.out, "note: the GGUF file is encoded from the merged tensors, which need their room until then")
	}
	return err
}
