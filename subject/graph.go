package subject

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/onnxrun"
)

// Graph is a classifier in an ONNX file: one input of images or features, and one output of scores.
type Graph struct {
	File  *onnx.Model // as it was read
	Input onnx.Value  // that takes the examples

	Layout   string // preprocess.NCHW or NHWC; "" where the input is of features
	Features int    // numbers of an example, where it is no image
	Batch    int    // examples that one run takes; 0 = any number

	Output  string // whose values answer
	Scores  string // the value that is taken instead: what goes into the last Softmax or Sigmoid; "" = Output
	Form    string // Logits or Probabilities of what is taken; "" = its values tell
	Classes int    // 0 = the graph does not say
	Names   []string

	insisted bool // that the outputs are logits

	graph *onnxrun.Graph // of what leads to the scores, from float32 to float32
	put   preprocess.Preprocess
	last  *onnx.Node // that makes the output, but for those that only move or convert it
	m     *Model
}

// openGraph reads an ONNX file and finds out what it takes and gives.
func openGraph(path string, o Options) (*Model, error) {
	file, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	g := &Graph{File: file}
	m := &Model{Path: path, Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Graph: g, foreign: true, files: filesOf(file)}
	g.m = m
	if err := onnxrun.Check(file); err != nil {
		return nil, err
	}
	if err := g.findInput(); err != nil {
		return nil, err
	}
	if g.Features > 0 {
		err = g.featured(o)
	} else {
		err = g.pictured(path, o)
	}
	if err != nil {
		return nil, err
	}
	if err := g.findOutput(o); err != nil {
		return nil, err
	}
	if err := g.findNames(); err != nil {
		return nil, err
	}
	if g.graph, err = onnxrun.New(g.cut()); err != nil {
		return nil, err
	}
	return m, nil
}

// filesOf are the file of a model and those of its external data.
func filesOf(m *onnx.Model) []string {
	files := []string{m.Path}
	for _, t := range m.Graph.Initializers {
		if t.External == nil {
			continue
		}
		if path := filepath.Join(filepath.Dir(m.Path), filepath.FromSlash(t.External.Location)); !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	return files
}

// wrong is what a graph is not.
func (g *Graph) wrong(field, fix, format string, args ...any) error {
	return &fault.Input{File: g.File.Path, Field: field, Err: fmt.Errorf(format, args...), Fix: fix}
}

// fixRun is what to do with a graph that is no classifier of one input.
func (g *Graph) fixRun() string {
	return fmt.Sprintf(`run it on arrays with "ballast run %s --input NAME=x.npy --output y.npz"`, g.File.Path)
}

// findInput finds the one input and what it takes.
func (g *Graph) findInput() error {
	inputs := g.File.Graph.Inputs
	if len(inputs) != 1 {
		var names []string
		for _, v := range inputs {
			names = append(names, v.Name)
		}
		return g.wrong("", g.fixRun(), "it has %d inputs (%s); a classifier that is audited has one, of images or features", len(inputs), listed(names))
	}
	g.Input = inputs[0]
	switch g.Input.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16, onnx.Double, onnx.Uint8:
	default:
		return g.wrong("input "+g.Input.Name, g.fixRun(), "it takes %s; images are FLOAT, FLOAT16, BFLOAT16, DOUBLE or UINT8", g.Input.Type)
	}
	if d := g.Input.Dims; len(d) > 0 && d[0].Name == "" && d[0].Size > 0 {
		g.Batch = d[0].Size
	}
	switch g.Input.Rank {
	case 4:
		return nil
	case 2:
		if g.Features = g.dim(1); g.Features == 0 {
			return g.wrong("input "+g.Input.Name, "export the model with the number of features", "it takes features [batch, %s], and does not say how many", g.Input.Dims[1].Name)
		}
		return nil
	case -1:
		if _, _, ok := g.firstConv(); ok {
			return nil
		}
		return g.wrong("input "+g.Input.Name, "export the model with the shape of its input", "its shape is not given, and no convolution takes it, so it is unknown whether it is of images")
	}
	fix := g.fixRun()
	if g.Input.Rank == 3 && (colours(g.dim(0)) || colours(g.dim(2)) && g.dim(0) > 0) {
		fix = fmt.Sprintf("it looks like one image without a batch: export the model with an input of %s", dimensions(append([]onnx.Dim{{Name: "batch"}}, g.Input.Dims...)))
	}
	return g.wrong("input "+g.Input.Name, fix, "its shape is %s, of rank %d; images are [batch, channels, height, width] or [batch, height, width, channels], features [batch, features]",
		dimensions(g.Input.Dims), g.Input.Rank)
}

// dim is a dimension of the input; 0 = it may vary.
func (g *Graph) dim(i int) int {
	if i >= len(g.Input.Dims) || g.Input.Dims[i].Name != "" || g.Input.Dims[i].Size < 1 {
		return 0
	}
	return g.Input.Dims[i].Size
}

// dimensions is a shape for people.
func dimensions(dims []onnx.Dim) string {
	var parts []string
	for _, d := range dims {
		switch {
		case d.Name != "":
			parts = append(parts, d.Name)
		case d.Size < 0:
			parts = append(parts, "?")
		default:
			parts = append(parts, fmt.Sprint(d.Size))
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// listed names the first few of some names.
func listed(names []string) string {
	const most = 8
	if len(names) > most {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// featured is an input of features.
func (g *Graph) featured(o Options) error {
	if o.Preprocess != nil && o.Preprocess.Preset != "none" {
		return &fault.Usage{Err: fmt.Errorf("--preprocess is for images, and input %s of %s takes %d features; leave it out", g.Input.Name, g.m.Name, g.Features)}
	}
	g.m.assume("input", "its shape", false, "%s, %s of %d features", g.Input.Name, g.batchText(), g.Features)
	g.m.assume("preprocessing", "features", false, "none: numbers as the data set has them")
	return nil
}

func (g *Graph) batchText() string {
	if g.Batch > 0 {
		return fmt.Sprintf("batches of %d", g.Batch)
	}
	return "batches of any size"
}

// pictured is an input of images.
func (g *Graph) pictured(path string, o Options) error {
	because, err := g.findLayout(o)
	if err != nil {
		return err
	}
	m, channels, height, width := g.m, g.dim(1), g.dim(2), g.dim(3)
	if g.Layout == preprocess.NHWC {
		channels, height, width = g.dim(3), g.dim(1), g.dim(2)
	}
	if _, conv, ok := g.firstConv(); ok && channels == 0 {
		channels = conv
	}
	p, found, err := g.preprocessing(path, channels, o)
	if err != nil {
		return err
	}
	if channels == 0 {
		channels = p.Channels
	}
	if len(p.Size) > 0 && height == 0 && width == 0 {
		height, width = p.Size[0], p.Size[len(p.Size)-1]
	}
	if channels > 0 {
		if err := p.CheckChannels(channels); err != nil {
			return &fault.Usage{Err: err}
		}
	}
	m.Preprocess, m.Target = p, preprocess.Target{Height: height, Width: width, Channels: channels}
	g.put = p

	m.assume("input", "", false, "%s, %s of images of %s with %s channels, %s", g.Input.Name, g.batchText(), sideText(height, width), anyText(channels), g.Input.Type)
	m.assume("layout", because, because == "", "%s", strings.ToUpper(g.Layout))
	if !found {
		m.assume("preprocessing", "nothing says so: "+p.Source, true, "%s", p.Says(height, width, channels))
	} else {
		m.assume("preprocessing", p.Source, false, "%s", p.Says(height, width, channels))
	}
	return nil
}

func sideText(height, width int) string {
	if height == 0 || width == 0 {
		return "any size"
	}
	return fmt.Sprintf("%dx%d", height, width)
}

func anyText(n int) string {
	if n == 0 {
		return "any number of"
	}
	return fmt.Sprint(n)
}

// preprocessing is what is given, what stands beside the file, or what is most likely.
func (g *Graph) preprocessing(path string, channels int, o Options) (p preprocess.Preprocess, found bool, err error) {
	if o.Preprocess != nil {
		return *o.Preprocess, true, nil
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if p, found, err = preprocess.FromFolder(dir); err != nil || found {
			return p, found, err
		}
		if filepath.Base(filepath.Dir(path)) != "onnx" { // where transformers' exports put a file below their configuration
			break
		}
	}
	if g.Input.Type == onnx.Uint8 {
		p, err = preprocess.New("0-255")
		return p, true, err
	}
	return preprocess.Assumed(channels), false, nil
}

// findNames finds the names of the classes: in the graph, its metadata, or beside the file.
func (g *Graph) findNames() error {
	classes := g.Classes
	if classes == 1 { // one score, of class 1 of two
		classes = 2
	}
	from := "the graph"
	names := onnxrun.ClassLabels(g.File)
	if names == nil {
		names, from = metadataLabels(g.File.Metadata), "the file's metadata"
	}
	if names == nil {
		dir := filepath.Dir(g.File.Path)
		if filepath.Base(dir) == "onnx" {
			dir = filepath.Dir(dir)
		}
		config, err := configIn(dir)
		if err != nil {
			return err
		}
		if config != nil && (classes == 0 || len(config.Labels()) == classes) {
			names, from = classNames(config, len(config.Labels())), hf.ConfigFile
		}
	}
	if names == nil {
		var err error
		if names, from, err = labelsBeside(g.File.Path, classes); err != nil {
			return err
		}
	}
	if names != nil && classes > 0 && len(names) != classes {
		g.m.assume("labels", from, true, "%d names for %d outputs, so they are not used: class k of the data is output k", len(names), classes)
		return nil
	}
	g.Names = names
	if classes > 0 || names != nil {
		g.m.assumeLabels(names, max(classes, len(names)), from)
	}
	return nil
}

// images is the set that a graph can be asked about, or why it cannot.
func (g *Graph) fits(ds data.Dataset) error {
	info := ds.Info()
	switch {
	case g.Features > 0 && info.Size() != g.Features:
		return &fault.Usage{Err: fmt.Errorf("subject: %s has examples of shape %v, the model %s takes %d features; choose the data the model was made for", info.Name, info.Shape, g.m.Name, g.Features)}
	case g.Features > 0:
		return nil
	case len(info.Shape) != 3:
		return &fault.Usage{Err: fmt.Errorf("subject: %s has examples of shape %v, the model %s takes images; choose a data set of images", info.Name, info.Shape, g.m.Name)}
	}
	t := g.m.Target
	for i, want := range []int{t.Height, t.Width, t.Channels} {
		if want != 0 && want != info.Shape[i] {
			return &fault.Usage{Err: fmt.Errorf("subject: %s has examples of shape %v, the model %s takes %s with %s channels", info.Name, info.Shape, g.m.Name,
				sideText(t.Height, t.Width), anyText(t.Channels))}
		}
	}
	return nil
}

// errNoAnswers is an output that is no score of classes.
var errNoAnswers = errors.New("it gives no scores of classes")
