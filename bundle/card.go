package bundle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/calibrate"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/markdown"
	"github.com/ballast-ml/ballast/zoo"
)

// card is the model card: what the model is, how good, how made, how to use. It says nothing the manifest does not. What stands in the
// manifest may come from strangers, so it is written as text.
func (m Manifest) card() string {
	var b strings.Builder
	network, _ := json.Marshal(m.Network) // Save has marshalled it before
	fmt.Fprintf(&b, "# %s\n\n", markdown.Text(m.Name))

	labels := make([]string, len(m.Labels))
	for i, label := range m.Labels {
		labels[i] = markdown.Text(label)
	}
	switch m.Answers() {
	case zoo.Language:
		fmt.Fprintf(&b, "A language model of texts of %d tokens, with a vocabulary of %d.\n\n", m.size(), m.Network.Outputs())
	case zoo.Translate:
		image := append(slices.Clone(m.InputShape[:len(m.InputShape)-1]), m.Network.Outputs())
		fmt.Fprintf(&b, "A network that answers %v inputs with %v images.\n\n", m.InputShape, image)
	default:
		fmt.Fprintf(&b, "A classifier of %v inputs into %d classes: %s.\n\n", m.InputShape, len(labels), strings.Join(labels, ", "))
	}
	fmt.Fprintf(&b, "Network: %s\n\n", markdown.Code(string(network)))

	if p := m.Preprocess; len(p.Crop) > 0 || len(p.Resize) > 0 || p.Channels > 0 {
		var steps []string
		if len(p.Crop) > 0 {
			steps = append(steps, fmt.Sprintf("the middle %d x %d is cut out", p.Crop[0], p.Crop[1]))
		}
		if len(p.Resize) > 0 {
			steps = append(steps, fmt.Sprintf("resized to %d x %d", p.Resize[0], p.Resize[1]))
		}
		if p.Channels > 0 {
			steps = append(steps, fmt.Sprintf("given %d channels", p.Channels))
		}
		fmt.Fprintf(&b, "Images are made to fit inside the model: %s.\n\n", strings.Join(steps, ", "))
	}

	if len(m.Preprocess.Mean) > 0 {
		fmt.Fprintf(&b, "Inputs are standardised inside the model, channel by channel, with mean %.4g and standard deviation %.4g: give them raw.\n\n",
			m.Preprocess.Mean, m.Preprocess.Std)
	}
	if t := m.Calibration.Temperature; t != 1 {
		fmt.Fprintf(&b, "Calibrated: logits are divided by the temperature %.6g.\n\n", t)
	}
	if m.Calibration.Map != nil && m.Calibration.Map.Fitted != nil {
		fmt.Fprintf(&b, "Calibrated: logits go through the method %s. It may change answers.\n\n", calibrate.FittedName(m.Calibration.Map.Fitted))
	}
	if s := m.Calibration.Sets; s != nil {
		fmt.Fprintf(&b, "Conformal sets (%s) hold the right class %.4g of the time or more, for examples like the %d that the threshold was fitted to.\n\n",
			s.Score, s.Coverage, s.Examples)
	}

	if len(m.Metrics) > 0 {
		b.WriteString("## Measured\n\n| metric | value |\n| --- | --- |\n")
		for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
			fmt.Fprintf(&b, "| %s | %.6g |\n", markdown.Text(name), m.Metrics[name])
		}
		b.WriteString("\n")
	}

	p := m.Provenance
	b.WriteString("## How it was made\n\n")
	line := func(what, value string) {
		if value != "" && value != "0" {
			fmt.Fprintf(&b, "- %s: %s\n", markdown.Text(what), markdown.Text(value))
		}
	}
	line("data", p.Data)
	line("data checksum", p.DataChecksum)
	line("data licence", p.DataLicence)
	line("seed", fmt.Sprint(p.Seed))
	line("updates", fmt.Sprint(p.Steps))
	line("engine", p.Engine)
	for _, name := range slices.Sorted(maps.Keys(p.Versions)) {
		line(name, p.Versions[name])
	}
	if !p.Created.IsZero() {
		line("made", p.Created.UTC().Format("2006-01-02 15:04 UTC"))
	}
	for _, what := range p.Derived {
		line("then", what)
	}

	audit, use := usage(network)
	fmt.Fprintf(&b, "\nThe whole recipe is in `%s`. The metrics hold for data like the test part and say nothing about shifted inputs:\n"+
		"measure those with `%s`.\n\n", ManifestFile, audit)
	b.WriteString("## How to use it\n\n" + use + " `NewForward(engine, batch)`, `Logits(x, n)`.\n" +
		"The weights are plain safetensors: kernels are [kh, kw, cin, cout] or [in, out], images are NHWC.\n")
	return b.String()
}

// usage says by what a model is measured, and how it is opened: one with names of a program's own, by that program alone.
func usage(network []byte) (audit, use string) {
	var known zoo.Choice
	if missing, ok := choice.Missing(known.UnmarshalJSON(network)); ok {
		return "evaluate.Bundle", fmt.Sprintf("Its %s %s belongs to the program that trained it, which alone can open it.\n\n"+
			"In Go: `bundle.Open(dir, own.Registry{...})` with it,", missing.What, markdown.Code(missing.Name))
	}
	return "ballast evaluate", "    ballast evaluate DIR --data NAME\n\nIn Go: `bundle.Open(dir)`,"
}
