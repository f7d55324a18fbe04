package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/merge/tuned"
)

func newSignature(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signature",
		Short: "Take what makes a model robust, and patch it onto others",
		Long: `Signature extracts a robust weight signature: what a model fine-tuned on corrupted data has in its weights that one fine-tuned on
clean data has not, both from one pretrained model. It is a small file that is added to a clean model, also one of other data.`,
		Example: `  ballast signature extract --pre base --clean clean --robust noisy --layers first:3 --levels 16 --out noise.sig
  ballast signature apply clean noise.sig contrast.sig=0.5 --out patched
  ballast signature inspect noise.sig`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(newSignatureExtract(a), newSignatureApply(a), newSignatureRemove(a), newSignatureInspect(a))
	return cmd
}

// loadWeights reads the floating tensors of a bundle, in the order of its network, or of any model file, in the natural order of their
// names (layer_2 before layer_10).
func loadWeights(path string) (weights.Set, error) {
	if isBundle(path) {
		b, err := bundle.Open(path)
		if err != nil {
			return nil, err
		}
		defer b.Store.Finalize()
		return b.Weights()
	}
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var w weights.Set
	for _, info := range f.Tensors() {
		if isCounter(info) {
			continue
		}
		t := weights.Tensor{Name: info.Name, Shape: info.Shape, Values: make([]float32, info.Elements)}
		if err := f.ReadFloat32s(info.Name, 0, t.Values); err != nil {
			return nil, err
		}
		w = append(w, t)
	}
	slices.SortFunc(w, func(x, y weights.Tensor) int { return naturally(x.Name, y.Name) })
	return w, nil
}

// isCounter reports whether a tensor holds whole numbers.
func isCounter(info weights.Info) bool {
	name := strings.ToLower(info.Type)
	return strings.HasPrefix(name, "i") && !strings.HasPrefix(name, "iq") || strings.HasPrefix(name, "u") || strings.HasPrefix(name, "bool")
}

// naturally compares names with numbers in them by the numbers.
func naturally(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			x, y := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func newSignatureExtract(a *app) *cobra.Command {
	method := signature.NewRobust()
	var pre, clean, robust, out, name, quantizer string
	var levels int
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "extract --pre MODEL --clean MODEL --robust MODEL --out FILE",
		Short: "Extract a signature from three models",
		Long: `Extract computes, for every selected tensor, v = robust - pretrained less its part along b = clean - pretrained. The three are models
that "ballast train" has written, or weight files of any format.

--layers: first:N, the first N convolutions; blocks:N, the first N blocks of a residual network with their norms; all; or names,
separated by commas, with * for any characters. --levels is the number of values a stored weight may have, not of bits: 16 take
4 bits.`,
		Example: `  ballast signature extract --pre base --clean clean --robust noisy --layers first:3 --levels 16 --out noise.sig
  ballast signature extract --pre p.safetensors --clean c.safetensors --robust r.safetensors --layers 'features.*' --out noise.sig`,
		Args: usageArgs(cobra.NoArgs),
	}
	flags := cmd.Flags()
	flags.StringVar(&pre, "pre", "", "the pretrained model that the others were fine-tuned from")
	flags.StringVar(&clean, "clean", "", "the model fine-tuned on clean data")
	flags.StringVar(&robust, "robust", "", "the model fine-tuned on corrupted data")
	flags.StringVar(&method.Layers, "layers", method.Layers, "what to patch: first:N, blocks:N, all, or names")
	flags.StringVar(&method.Norms, "norms", method.Norms, "what becomes of norms: recalibrate, patch or replace")
	flags.StringVar(&quantizer, "quantizer", signature.QuantizeLinear, "with --levels: linear, tanh or log")
	flags.IntVar(&levels, "levels", 0, "levels of the stored values (0 = float32)")
	flags.StringVar(&name, "name", "", "what to call it, such as the corruption (default: the name of --out)")
	flags.StringVar(&out, "out", "", "the signature file to write")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(*cobra.Command, []string) error {
		if pre == "" || clean == "" || robust == "" || out == "" {
			return &fault.Usage{Err: errors.New("signature extract: give --pre, --clean, --robust and --out")}
		}
		if err := method.Validate(); err != nil {
			return &fault.Usage{Err: err}
		}
		release, err := claimFile(out, overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }() // the lock ends with the process at the latest
		var all [3]weights.Set
		for i, path := range []string{pre, clean, robust} {
			var err error
			if all[i], err = loadWeights(path); err != nil {
				return err
			}
			if err := all[0].SameLayout(pre, all[i], path); err != nil {
				return err
			}
		}
		s, err := method.Extract(all[0], all[1], all[2])
		if err != nil {
			return err
		}
		if levels != 0 {
			if s, err = s.Quantize(quantizer, levels); err != nil {
				return err
			}
		}
		s.Name = name
		if name == "" {
			s.Name = strings.TrimSuffix(filepath.Base(out), filepath.Ext(out))
		}
		s.Metadata = map[string]string{"pretrained": all[0].Checksum()}
		if err := s.Save(out); err != nil {
			return err
		}
		for _, w := range s.Warnings {
			a.remark("warning: %s", w)
		}
		a.remark("written: %s", out)
		return a.printSignature(s)
	}
	return cmd
}

func newSignatureInspect(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "inspect FILE...",
		Short:   "Show signatures, and how alike they are",
		Long:    "Inspect shows what is in signature files. With several, it shows the cosine of each to the first one too: high for one corruption, low for two.",
		Example: "  ballast signature inspect noise.sig\n  ballast signature inspect noise.sig contrast.sig --json",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			var list []signature.Signature
			for _, path := range args {
				s, err := signature.Load(path)
				if err != nil {
					return err
				}
				list = append(list, s)
			}
			if len(list) == 1 {
				return a.printSignature(list[0])
			}
			var cosines []float64
			for _, s := range list {
				c, err := signature.Cosine(list[0], s)
				if err != nil {
					return err
				}
				cosines = append(cosines, c)
			}
			if a.json {
				out := map[string]any{"cosines": cosines}
				var views []signatureView
				for _, s := range list {
					views = append(views, viewOf(s))
				}
				out["signatures"] = views
				return a.printJSON(out)
			}
			for i, s := range list {
				fmt.Fprintf(a.out, "cosine to %s: %.4f\n", args[0], cosines[i])
				if err := a.printSignature(s); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// signatureView is what is shown of a signature.
type signatureView struct {
	ID        string                `json:"id"`
	Name      string                `json:"name"`
	Norms     string                `json:"norms"`
	Quantizer string                `json:"quantizer"`
	Levels    int                   `json:"levels,omitempty"`
	Bytes     int64                 `json:"bytes"`
	Share     float64               `json:"share_of_model,omitempty"` // of the bytes of the whole model in float32
	Tensors   []signatureTensorView `json:"tensors"`
	Warnings  []string              `json:"warnings,omitempty"`
}

type signatureTensorView struct {
	Name    string  `json:"name"`
	Shape   []int   `json:"shape"`
	Norm    float64 `json:"norm"`
	Removed float64 `json:"fraction_removed"` // of the robust model's difference, by the projection
}

func viewOf(s signature.Signature) signatureView {
	v := signatureView{ID: s.ID, Name: s.Name, Norms: s.Norms, Quantizer: s.Quantizer, Levels: s.Levels, Bytes: s.PackedSize(), Warnings: s.Warnings}
	if s.Model > 0 {
		v.Share = float64(v.Bytes) / (4 * float64(s.Model))
	}
	norms := s.TensorNorms()
	for i, t := range s.Tensors {
		v.Tensors = append(v.Tensors, signatureTensorView{Name: t.Name, Shape: t.Shape, Norm: norms[i], Removed: s.Removed[i]})
	}
	return v
}

func (a *app) printSignature(s signature.Signature) error {
	v := viewOf(s)
	if a.json {
		return a.printJSON(v)
	}
	how := "float32"
	if v.Quantizer != signature.QuantizeNone {
		how = fmt.Sprintf("%d levels, %s", v.Levels, v.Quantizer)
	}
	fmt.Fprintf(a.out, "signature %s (%s): %d tensors, %s, %d bytes", v.ID, v.Name, len(v.Tensors), how, v.Bytes)
	if v.Share > 0 {
		fmt.Fprintf(a.out, ", %.3g %% of the model", 100*v.Share)
	}
	fmt.Fprintln(a.out)
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "TENSOR\tSHAPE\tNORM\tREMOVED")
	for _, t := range v.Tensors {
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%.1f %%\n", t.Name, times(t.Shape), t.Norm, 100*t.Removed)
	}
	return w.Flush()
}

// appliedKey is where a weight file keeps what was put on it.
const appliedKey = "ballast.signatures"

// derivedMark begins the line of a bundle's provenance that keeps the same.
const derivedMark = "signature: applied "

// applied is what was put on a model before.
func appliedTo(path string) ([]signature.Applied, error) {
	text := ""
	if isBundle(path) {
		b, err := bundle.Open(path)
		if err != nil {
			return nil, err
		}
		defer b.Store.Finalize()
		for _, line := range b.Manifest.Provenance.Derived {
			if rest, ok := strings.CutPrefix(line, derivedMark); ok {
				text = rest
			}
		}
	} else {
		f, err := weights.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		text = f.Metadata()[appliedKey]
	}
	if text == "" {
		return nil, nil
	}
	var list []signature.Applied
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, &fault.Input{File: path, Field: appliedKey, Err: err, Fix: "use the clean model"}
	}
	return list, nil
}

func newSignatureApply(a *app) *cobra.Command {
	var out, dataName string
	var force, overwrite bool
	var total float64
	var shifts []string
	cmd := &cobra.Command{
		Use:   "apply MODEL SIGNATURE[=SCALE]... --out FOLDER",
		Short: "Add signatures to a model",
		Long: `Apply writes a copy of a model with signatures on it, each times its scale (1 if none is given), or with --total equal shares of one.
What was put on is noted in the model, so that no signature gets on twice. Statistics of batch norms are estimated again where --data and
--shift say on what: a pass over the training part, corrupted.`,
		Example: `  ballast signature apply clean noise.sig --out patched
  ballast signature apply clean noise.sig=0.7 contrast.sig=0.5 --out patched
  ballast signature apply clean noise.sig --data mnist --shift gaussian-noise:3 --out patched`,
		Args: usageArgs(cobra.MinimumNArgs(2)),
	}
	flags := cmd.Flags()
	flags.StringVar(&out, "out", "", "where to write the patched model (a folder)")
	flags.BoolVar(&force, "force", false, "put a signature on a model that has it already")
	flags.Float64Var(&total, "total", 0, "share this scale equally among the signatures, in place of scales of their own")
	flags.StringVar(&dataName, "data", "", "data set on whose training part statistics of norms are estimated again")
	flags.StringArrayVar(&shifts, "shift", nil, "corruption of --data, as NAME:SEVERITY")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		if out == "" {
			return &fault.Usage{Err: errors.New("signature apply: give --out, a folder for the patched model")}
		}
		release, err := claimLike(args[0], out, overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }()
		scaled, err := scaledSignatures(args[1:], total)
		if err != nil {
			return err
		}
		target, err := loadWeights(args[0])
		if err != nil {
			return err
		}
		o := signature.ApplyOptions{Force: force}
		if o.Applied, err = appliedTo(args[0]); err != nil {
			return err
		}
		if dataName != "" {
			done, err := a.recalibrator(c.Context(), &o, args[0], dataName, shifts)
			if err != nil {
				return err
			}
			defer done()
		}
		p, err := signature.Apply(target, scaled, o)
		if err != nil {
			return err
		}
		if err := saveLike(args[0], out, p.Weights, p.Applied); err != nil {
			return err
		}
		for _, w := range p.Warnings {
			a.remark("warning: %s", w)
		}
		a.remark("written: %s", out)
		if a.json {
			return a.printJSON(map[string]any{"out": out, "applied": p.Applied, "warnings": p.Warnings})
		}
		for _, s := range p.Applied {
			fmt.Fprintf(a.out, "%s (%s) x %v\n", s.ID, s.Name, s.Scale)
		}
		return nil
	}
	return cmd
}

// scaledSignatures reads FILE or FILE=SCALE arguments.
func scaledSignatures(args []string, total float64) ([]signature.Scaled, error) {
	var list []signature.Scaled
	var bare []signature.Signature
	for _, arg := range args {
		path, scale := arg, 1.0
		if i := strings.LastIndex(arg, "="); i >= 0 {
			v, err := strconv.ParseFloat(arg[i+1:], 64)
			if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, &fault.Usage{Err: fmt.Errorf("signature: the scale of %s is no number; write FILE=0.5", arg)}
			}
			if total != 0 {
				return nil, &fault.Usage{Err: fmt.Errorf("signature: %s has a scale of its own; leave it out, or --total", arg)}
			}
			path, scale = arg[:i], v
		}
		s, err := signature.Load(path)
		if err != nil {
			return nil, err
		}
		list, bare = append(list, signature.Scaled{Signature: s, Scale: scale}), append(bare, s)
	}
	if total != 0 {
		return signature.EqualShares(total, bare...), nil
	}
	return list, nil
}

// recalibrator lets statistics of norms be estimated again on corrupted data.
func (a *app) recalibrator(ctx context.Context, o *signature.ApplyOptions, model, name string, shifts []string) (done func(), err error) {
	if !isBundle(model) {
		return nil, &fault.Usage{Err: errors.New(`signature apply: --data needs a model that "ballast train" has written`)}
	}
	b, err := bundle.Open(model)
	if err != nil {
		return nil, err
	}
	ds, err := data.Open(name, "train")
	if err != nil {
		return nil, err
	}
	for _, text := range shifts {
		kind, level, _ := strings.Cut(text, ":")
		severity, err := strconv.Atoi(level)
		if err != nil {
			return nil, &fault.Usage{Err: fmt.Errorf("signature apply: --shift %s; write NAME:SEVERITY, such as gaussian-noise:3", text)}
		}
		s, err := corrupt.Find(kind)
		if err != nil {
			return nil, err
		}
		if ds, err = corrupt.Wrap(ds, s, severity, a.seed); err != nil {
			return nil, err
		}
	}
	e, err := a.openEngine()
	if err != nil {
		return nil, err
	}
	o.Recalibrate = func(w weights.Set) (weights.Set, error) {
		return tuned.Recalibrate(ctx, b, e, w, ds, min(64, ds.Len()), 0)
	}
	return e.Close, nil
}

// claimLike claims the folder that saveLike writes.
func claimLike(path, out string, overwrite bool) func() (func() error, error) {
	if isBundle(path) {
		return claimBundle(out, overwrite)
	}
	return claimMarked(out, overwrite)
}

// saveLike writes weights as a model of the kind that the path holds: a bundle, or a safetensors file with the other tensors as they were.
func saveLike(path, out string, w weights.Set, applied []signature.Applied) error {
	if applied == nil {
		applied = []signature.Applied{}
	}
	record, err := json.Marshal(applied)
	if err != nil {
		return err
	}
	if isBundle(path) {
		b, err := bundle.Open(path)
		if err != nil {
			return err
		}
		if err := b.SetWeights(w); err != nil {
			return err
		}
		b.Manifest.Metrics = nil // they were measured without
		b.Manifest.Provenance.Created = time.Now().UTC()
		b.Manifest.Provenance.Derived = append(slices.Clone(b.Manifest.Provenance.Derived), derivedMark+string(record))
		return b.Save(out)
	}
	f, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	metadata := map[string]string{"format": "pt"}
	if f.Kind() == weights.Safetensors {
		metadata = maps.Clone(f.Metadata())
	}
	metadata[appliedKey] = string(record)
	var list []safetensors.Tensor
	for _, info := range f.Tensors() {
		t, ok := w.Find(info.Name)
		if !ok {
			raw := make([]byte, info.Bytes)
			if err := f.ReadBytes(info.Name, 0, raw); err != nil {
				return err
			}
			if f.Kind() != weights.Safetensors && f.Kind() != weights.Sharded {
				continue // counters of other formats have no name here
			}
			list = append(list, safetensors.Tensor{Name: info.Name, DType: safetensors.DType(info.Type), Shape: info.Shape, Data: raw})
			continue
		}
		to := "F32"
		if weights.Width(info.Type) > 0 {
			to = info.Type
		}
		raw := make([]byte, len(t.Values)*weights.Width(to))
		if overflowed, err := weights.Round(raw, to, t.Values); err != nil || overflowed > 0 {
			return errors.Join(err, fmt.Errorf("signature: %s: %d values are too large for %s", info.Name, overflowed, to))
		}
		list = append(list, safetensors.Tensor{Name: info.Name, DType: safetensors.DType(to), Shape: info.Shape, Data: raw})
	}
	return durable.WriteDir(out, durable.Marked(false), func(tmp string) error {
		return safetensors.WriteFile(filepath.Join(tmp, "model.safetensors"), list, metadata)
	})
}

func newSignatureRemove(a *app) *cobra.Command {
	var out string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "remove MODEL SIGNATURE --out FOLDER",
		Short: "Take a signature off a model again",
		Long: `Remove subtracts what apply added. It says whether the tensors are to the bit what they were; rounding may leave a difference in the
last one, so keep the clean model where that matters.`,
		Example: "  ballast signature remove patched noise.sig --out clean-again",
		Args:    usageArgs(cobra.ExactArgs(2)),
	}
	cmd.Flags().StringVar(&out, "out", "", "where to write the model (a folder)")
	overwriteFlag(cmd, &overwrite)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if out == "" {
			return &fault.Usage{Err: errors.New("signature remove: give --out, a folder for the model")}
		}
		release, err := claimLike(args[0], out, overwrite)()
		if err != nil {
			return err
		}
		defer func() { _ = release() }()
		s, err := signature.Load(args[1])
		if err != nil {
			return err
		}
		w, err := loadWeights(args[0])
		if err != nil {
			return err
		}
		applied, err := appliedTo(args[0])
		if err != nil {
			return err
		}
		clean, left, exact, err := signature.Remove(w, s, applied)
		if err != nil {
			return err
		}
		if err := saveLike(args[0], out, clean, left); err != nil {
			return err
		}
		a.remark("written: %s", out)
		if a.json {
			return a.printJSON(map[string]any{"out": out, "exact": exact, "applied": left})
		}
		text := "rounding left differences in the last bit"
		if exact {
			text = "every tensor is what it was, to the bit"
		}
		_, err = fmt.Fprintln(a.out, text)
		return err
	}
	return cmd
}
