package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
)

// fewTensors and fewKeys are how many tensors and entries of the metadata are listed unasked.
const fewTensors, fewKeys = 40, 500

func newInspect(a *app) *cobra.Command {
	pattern := ""
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what is in a model file of any format",
		Long: `Inspect shows what a model file is, whatever its name: kind, architecture, tensors with their types and sizes, metadata, the
checksum of each file, and what Ballast still needs to run it. It reads bundles, safetensors (one file or shards), GGUF, ONNX, PyTorch
checkpoints (without running anything in them), TensorFlow.js models and NumPy arrays.`,
		Example: `  ballast inspect model.gguf
  ballast inspect checkpoint.pth --tensors 'layer1.*'
  ballast inspect model/ --json | jq .files`,
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().StringVar(&pattern, "tensors", "", "list the tensors whose names match, * for any text; '*' lists all (default the first 40)")
	cmd.RunE = func(c *cobra.Command, args []string) error {
		path, err := data.ModelPath(args[0])
		if err != nil {
			return err
		}
		defer collectEarly()()
		show, done := a.bytesCounter("checksum")
		in, err := bundle.Inspect(c.Context(), path, show)
		done()
		if err != nil {
			return err
		}
		total := len(in.List)
		if pattern != "" {
			in.List = slices.DeleteFunc(in.List, func(t weights.Info) bool { return !matches(pattern, t.Name) })
		}
		if a.json {
			return a.printJSON(in)
		}
		return printInspection(a.out, in, total, pattern != "")
	}
	return cmd
}

// matches tells whether a name fits a pattern in which * stands for any text. Without one, the name must hold the pattern.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return strings.Contains(name, pattern)
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func printInspection(out io.Writer, in *bundle.Inspection, total int, asked bool) error {
	w := console.NewTable(out, 2)
	fmt.Fprintf(w, "kind\t%s\n", in.Kind)
	for _, f := range in.Files {
		fmt.Fprintf(w, "file\t%s  %s  sha256 %s\n", printable.Line(f.Path), size(f.Bytes), f.SHA256)
	}
	because := ""
	if in.Because != "" {
		because = " (by " + in.Because + ")"
	}
	fmt.Fprintf(w, "architecture\t%s\n", printable.Line(brief(in.Architecture)+because))
	var types []string
	for _, t := range slices.Sorted(maps.Keys(in.Types)) {
		types = append(types, fmt.Sprintf("%d %s", in.Types[t], t))
	}
	fmt.Fprintf(w, "tensors\t%d of %d parameters, %s: %s\n", in.Tensors, in.Parameters, size(in.Bytes), printable.Line(strings.Join(types, ", ")))
	if in.Bundle != nil {
		fmt.Fprintf(w, "input\t%v\n", in.Bundle.InputShape)
		fmt.Fprintf(w, "labels\t%s\n", brief(strings.Join(in.Bundle.Labels, ", ")))
	}
	if in.Graph != nil {
		printGraph(w, in.Graph)
	}
	if len(in.Companions) > 0 {
		fmt.Fprintf(w, "beside it\t%s\n", printable.Line(strings.Join(in.Companions, ", ")))
	}
	if in.Licence != "" {
		fmt.Fprintf(w, "licence\t%s\n", brief(in.Licence))
	}
	if in.Runs {
		fmt.Fprintf(w, "runs\tyes\n")
	} else {
		fmt.Fprintf(w, "runs\tno, missing: %s\n", printable.Line(strings.Join(in.Missing, ", ")))
	}
	for _, note := range in.Notes {
		fmt.Fprintf(w, "note\t%s\n", printable.Line(note))
	}
	for i, key := range slices.Sorted(maps.Keys(in.Metadata)) {
		if i == fewKeys {
			fmt.Fprintf(w, "metadata\t... and %d more; --json shows all\n", len(in.Metadata)-fewKeys)
			break
		}
		fmt.Fprintf(w, "metadata\t%s = %s\n", brief(key), brief(in.Metadata[key]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printTensors(out, in.List, total, asked)
}

// printGraph lists what a graph takes, gives and is made of.
func printGraph(w io.Writer, g *bundle.ONNXGraph) {
	value := func(what string, v bundle.GraphValue) {
		shape := "of any shape"
		if v.Shape != nil {
			shape = fmt.Sprint(v.Shape)
		}
		fmt.Fprintf(w, "%s\t%s  %s %s\n", what, printable.Line(v.Name), printable.Line(v.Type), printable.Line(shape))
	}
	for _, v := range g.Inputs {
		value("input", v)
	}
	for _, v := range g.Outputs {
		value("output", v)
	}
	for _, domain := range slices.Sorted(maps.Keys(g.Opsets)) {
		fmt.Fprintf(w, "opset\t%s %d\n", printable.Line(domain), g.Opsets[domain])
	}
	var operators []string
	for _, name := range slices.Sorted(maps.Keys(g.Operators)) {
		operators = append(operators, fmt.Sprintf("%d %s", g.Operators[name], name))
	}
	fmt.Fprintf(w, "operators\t%s\n", printable.Line(strings.Join(operators, ", ")))
	if len(g.Unsupported) > 0 {
		fmt.Fprintf(w, "not supported\t%s\n", printable.Line(strings.Join(g.Unsupported, ", ")))
	}
}

func printTensors(out io.Writer, list []weights.Info, total int, asked bool) error {
	w := console.NewTable(out, 2)
	fmt.Fprintf(w, "\ntensor\ttype\tshape\tbytes\n")
	for i, t := range list {
		if !asked && i == fewTensors {
			break
		}
		if t.Unread != "" {
			fmt.Fprintf(w, "%s\t%s\t\tcannot be read: %s\n", printable.Line(t.Name), printable.Line(t.Type), printable.Line(t.Unread))
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%v\t%d\n", printable.Line(t.Name), printable.Line(t.Type), t.Shape, t.Bytes)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case !asked && total > fewTensors:
		fmt.Fprintf(out, "... and %d more; --tensors '*' lists all\n", total-fewTensors)
	case asked:
		fmt.Fprintf(out, "%d of %d tensors match\n", len(list), total)
	}
	return nil
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}

// brief cuts text to one line, and escapes what would act on a terminal.
func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if n := utf8.RuneCountInString(s); n > 100 {
		end := 0
		for range 100 {
			_, width := utf8.DecodeRuneInString(s[end:])
			end += width
		}
		return printable.Line(s[:end]) + fmt.Sprintf("... (%d characters)", n)
	}
	return printable.Line(s)
}
