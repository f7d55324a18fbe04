package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/merge/signature"
)

func newSignatureInspect(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "inspect FILE...",
		Short:   "Show signatures, and how alike they are",
		Long:    "Inspect shows what is in signature files. With several files, it also shows the cosine of each with the first: high for the same corruption, low for different ones.",
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
	w := console.NewTable(a.out, 2)
	fmt.Fprintln(w, a.heads("TENSOR", "SHAPE", "NORM", "REMOVED"))
	for _, t := range v.Tensors {
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%.1f %%\n", t.Name, times(t.Shape), t.Norm, 100*t.Removed)
	}
	return w.Flush()
}
