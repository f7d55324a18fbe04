package subject

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/adapt"
	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/zoo"
)

// Kind is what a path was found to be.
type Kind string

// The kinds of models.
const (
	OfBundle  Kind = "bundle"  // a folder that Ballast wrote
	OfAdapter Kind = "adapter" // a folder that package adapt wrote
	OfONNX    Kind = "onnx"    // an ONNX file
	OfWeights Kind = "weights" // weights of another library, with or without a configuration beside them
)

// Find decides what a name is that a user has given for a model: a network that "ballast data get" has fetched, a bundle, an ONNX file or a
// folder with one, or weights. path is the bundle's folder, the ONNX file, or the file or folder of the weights. Where nothing is there, or
// nothing that is known, the error says what was looked for.
func Find(name string) (kind Kind, path string, err error) {
	if path, err = data.ModelPath(name); err != nil {
		return "", "", err
	}
	switch {
	case bundle.Is(path):
		return OfBundle, path, nil
	case adapt.Is(path):
		return OfAdapter, path, nil
	}
	stat, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", &fault.Input{File: path, Err: errors.New("there is no model here"), Fix: fixNothing}
		}
		return "", "", &fault.Input{File: path, Err: untrusted.Reason(err), Fix: fixNothing}
	}
	if stat.IsDir() {
		if graph, ok, err := onlyGraph(path); err != nil || ok {
			return OfONNX, graph, err
		}
	}
	found, err := weights.Detect(path)
	switch {
	case err == nil && found == weights.ONNX:
		return OfONNX, path, nil
	case err == nil && found != weights.NPY && found != weights.GGUF && found != weights.TFJS:
		return OfWeights, path, nil
	}
	return OfBundle, path, nil // its opening says what it is instead
}

// fixNothing says what is looked for.
const fixNothing = `name a folder that "ballast train" has written, an ONNX file, a folder with config.json and weights, a file of weights, or a model of "ballast data list"`

// onlyGraph is the one ONNX file of a folder that has no weights of another kind.
func onlyGraph(dir string) (file string, ok bool, err error) {
	for _, name := range []string{"model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return "", false, nil
		}
	}
	var found []string
	for _, inside := range []string{dir, filepath.Join(dir, "onnx")} {
		entries, err := os.ReadDir(inside)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.EqualFold(filepath.Ext(e.Name()), ".onnx") && !e.IsDir() {
				found = append(found, filepath.Join(inside, e.Name()))
			}
		}
	}
	switch len(found) {
	case 0:
		return "", false, nil
	case 1:
		return found[0], true, nil
	}
	for _, file := range found {
		if filepath.Base(file) == "model.onnx" {
			return file, true, nil
		}
	}
	return "", false, &fault.Input{File: dir, Err: fmt.Errorf("there are %d ONNX files in it", len(found)), Fix: "name one of them, such as " + found[0]}
}

// Open opens a model of any origin. A preprocessing is refused for a bundle that Ballast wrote, which has its own.
func Open(name string, o Options) (*Model, error) {
	if err := checkOutputs(o.Outputs); err != nil {
		return nil, err
	}
	kind, path, err := Find(name)
	if err != nil {
		return nil, err
	}
	switch kind {
	case OfONNX:
		return openGraph(path, o)
	case OfWeights:
		return openWeights(path, o)
	}
	m := &Model{Path: path}
	if kind == OfAdapter {
		if m.Adapter, err = adapt.Open(path, o.Registry); err != nil {
			return nil, err
		}
		m.Bundle = m.Adapter.Bundle
	} else if m.Bundle, err = bundle.Open(path, o.Registry); err != nil {
		return nil, err
	}
	for flag, given := range map[string]bool{"--preprocess": o.Preprocess != nil, "--outputs": o.Outputs != ""} {
		if given {
			return nil, &fault.Usage{Err: fmt.Errorf("%s has no effect on %s, a %s, which says itself what it takes and gives; leave it out", flag, name, kind)}
		}
	}
	manifest := &m.Bundle.Manifest
	m.Name = manifest.Name
	if images := manifest.Images; images != nil && len(manifest.InputShape) == 3 {
		shape := manifest.InputShape
		m.Preprocess, m.Target = *images, preprocess.Target{Height: shape[0], Width: shape[1], Channels: shape[2]}
	}
	return m, nil
}

// openWeights makes a bundle of weights whose network is known.
func openWeights(path string, o Options) (m *Model, err error) {
	if o.Outputs == Probabilities {
		return nil, &fault.Usage{Err: fmt.Errorf("--outputs probabilities has no effect on %s: the networks that are known here give logits; leave it out", path)}
	}
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	dir := filepath.Dir(file.Path())
	config, err := configIn(dir)
	if err != nil {
		return nil, err
	}
	r, err := zoo.Recognize(file, config)
	if errors.Is(err, zoo.ErrUnrecognized) { // what it is instead, and what is missing for running it
		if _, err := bundle.Open(path, o.Registry); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	m = &Model{Path: path, Name: filepath.Base(filepath.Clean(path)), foreign: true, files: []string{file.Path()}}
	m.assume("network", "the names and shapes of its tensors", false, "%s with the names of %s, %s", r.Family, r.Style, described(r.Network))
	for _, text := range r.Assumed {
		m.assume("network", "", true, "%s", text)
	}
	if err := m.preprocessOf(dir, r, o); err != nil {
		return nil, err
	}
	manifest, err := m.manifest(r, config)
	if err != nil {
		return nil, err
	}
	if m.Bundle, err = bundle.ImportRecognized(r, manifest); err != nil {
		return nil, err
	}
	return m, nil
}

// openFile opens the weights of a folder of transformers or timm, or a file.
func openFile(path string) (weights.File, error) {
	if stat, err := os.Stat(path); err != nil || !stat.IsDir() {
		return weights.Open(path)
	}
	for _, name := range []string{"model.safetensors", "pytorch_model.bin"} {
		inside, err := untrusted.Inside(path, name)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(inside); err == nil {
			return weights.Open(inside)
		}
	}
	return weights.Open(path)
}

// configIn reads the config.json of a folder, if there is one.
func configIn(dir string) (*hf.Config, error) {
	if _, err := os.Stat(filepath.Join(dir, hf.ConfigFile)); err != nil {
		return nil, nil //nolint:nilerr // many folders have none
	}
	return hf.LoadConfig(dir)
}

// described is a network in a few words.
func described(n zoo.Network) string {
	switch n := n.(type) {
	case zoo.ImageNetResNet:
		kind := "basic blocks"
		if len(n.Inner) > 0 {
			kind = "bottlenecks"
		}
		return fmt.Sprintf("%v %s, %d classes", n.Blocks, kind, n.Classes)
	case zoo.ViT:
		return fmt.Sprintf("%d blocks of width %d on patches of %dx%d, %d classes", n.Depth, n.Dim, n.Patch, n.Patch, n.Classes)
	case zoo.ConvNeXt:
		return fmt.Sprintf("%v blocks of widths %v, %d classes", n.Depths, n.Dims, n.Classes)
	}
	return fmt.Sprintf("%d classes", n.Outputs())
}

// usualSide is the side of images that most published networks take.
const usualSide = 224

// preprocessOf finds the preprocessing of weights: what is given, what stands beside them, or what their libraries use.
func (m *Model) preprocessOf(dir string, r zoo.Recognized, o Options) error {
	side := usualSide
	p, found := preprocess.Assumed(r.Channels), false
	switch {
	case o.Preprocess != nil:
		p, found = *o.Preprocess, true
	default:
		beside, ok, err := preprocess.FromFolder(dir)
		if err != nil {
			return err
		}
		if ok {
			p, found = beside, true
			break
		}
		if p, err = usual(r); err != nil {
			return err
		}
	}

	m.Target = preprocess.Target{Height: r.Side, Width: r.Side, Channels: r.Channels}
	if r.Side == 0 {
		m.Target.Height, m.Target.Width = side, side
		switch {
		case len(p.Size) > 0:
			m.Target.Height, m.Target.Width = p.Size[0], p.Size[len(p.Size)-1]
		case len(p.Crop) > 0:
			m.Target.Height, m.Target.Width = p.Crop[0], p.Crop[len(p.Crop)-1]
		case len(p.Resize) == 2:
			m.Target.Height, m.Target.Width = p.Resize[0], p.Resize[1]
		}
	}

	if p.Order == preprocess.BGR {
		return &fault.Usage{Err: errors.New("--preprocess: order bgr is for ONNX files and commands; the networks that are known here take rgb")}
	}
	if err := p.CheckChannels(r.Channels); err != nil {
		return &fault.Usage{Err: err}
	}

	m.Preprocess = p
	m.assume("input", "", false, "images of %dx%d with %d channels", m.Target.Height, m.Target.Width, m.Target.Channels)
	m.assume("outputs", "the last layer is dense", false, "%s", Logits)
	because, guess := p.Source, !found
	if guess {
		because = "no preprocessor_config.json or timm's config.json beside it; " + p.Source
	}

	m.assume("preprocessing", because, guess, "%s", p.Says(m.Target.Height, m.Target.Width, m.Target.Channels))
	return nil
}

// usual is the preprocessing that published networks of a family have.
func usual(r zoo.Recognized) (preprocess.Preprocess, error) {
	switch r.Family {
	case "vit":
		p, err := preprocess.New("-1-1")
		p.Source = "as most vision transformers"
		return p, err
	case "efficientnet-lite":
		p, err := preprocess.New("imagenet")
		const mean, deviation = 127.0 / 255, 128.0 / 255
		p.Mean, p.Std, p.Source = []float64{mean}, []float64{deviation}, "as EfficientNet-Lite was published"
		return p, err
	}
	p := preprocess.Assumed(r.Channels)
	return p, nil
}

// manifest is that of the bundle.
func (m *Model) manifest(r zoo.Recognized, config *hf.Config) (bundle.Manifest, error) {
	var labels []string
	if config != nil {
		labels = classNames(config, r.Network.Outputs())
	}
	m.assumeLabels(labels, r.Network.Outputs(), hf.ConfigFile)
	if labels == nil {
		labels = numbers(r.Network.Outputs())
	}

	manifest := bundle.NewManifest(zoo.Choice{Network: r.Network}, []int{m.Target.Height, m.Target.Width, m.Target.Channels}, labels)
	manifest.Name = m.Name
	manifest.Preprocess = numbersOf(m.Preprocess, m.Target.Channels)
	images := m.Preprocess
	images.Mean, images.Std, images.Rescale = []float64{}, []float64{}, 1.0/255
	manifest.Images = &images
	manifest.Provenance.Created = time.Now().UTC().Truncate(time.Second)
	manifest.Provenance.Versions = bundle.Versions()
	manifest.Provenance.Derived = []string{fmt.Sprintf("read from %s, a file with the names of %s", filepath.Base(r.File.Path()), r.Style)}
	return manifest, nil
}

// numbersOf is the part of a preprocessing that a bundle does in its graph: from numbers in [0,1] to those of the network.
func numbersOf(p preprocess.Preprocess, channels int) (out bundle.Preprocess) {
	scale := 255 * p.Rescale
	for c := range channels {
		mean, std := 0.0, 1.0
		if len(p.Mean) > 0 {
			mean = p.Mean[min(c, len(p.Mean)-1)]
		}
		if len(p.Std) > 0 {
			std = p.Std[min(c, len(p.Std)-1)]
		}
		out.Mean, out.Std = append(out.Mean, mean/scale), append(out.Std, std/scale)
	}
	return out
}

// classNames are the names of the outputs that a configuration has; nil where they are none, or placeholders as LABEL_0.
func classNames(config *hf.Config, classes int) []string {
	labels := config.Labels()
	if labels == nil {
		labels = timmLabels(config)
	}
	if len(labels) != classes {
		return nil
	}
	for i, name := range labels {
		if name != "LABEL_"+strconv.Itoa(i) {
			return labels
		}
	}
	return nil
}

// numbers are names of classes that have none.
func numbers(n int) []string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = strconv.Itoa(i)
	}
	return labels
}

// assumeLabels says where the names of the classes are from.
func (m *Model) assumeLabels(labels []string, classes int, from string) {
	const most = 3
	if labels == nil {
		m.assume("labels", "no names are given", true, "%d outputs without names, numbered from 0: classes of the data are matched by number or place", classes)
		return
	}
	shown := strings.Join(labels[:min(most, len(labels))], ", ")
	if len(labels) > most {
		shown += ", ..."
	}
	m.assume("labels", from, false, "%d: %s", len(labels), shown)
}
