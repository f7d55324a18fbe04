package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Foreign describes a model file that Ballast did not write: what it is, and what is missing for running it here.
type Foreign struct {
	Path         string         `json:"path"`         // as given
	File         string         `json:"file"`         // that holds the weights or names the files that do
	Kind         weights.Kind   `json:"kind"`         // "gguf", "safetensors", "pytorch", ...
	Architecture string         `json:"architecture"` // such as "LlamaForCausalLM" or "llama"; "unknown"
	Because      string         `json:"because"`      // where Architecture is from: a config, a key of the file, or the name of a tensor
	Tensors      int            `json:"tensors"`
	Parameters   int64          `json:"parameters"`      // elements of all tensors
	Bytes        int64          `json:"bytes"`           // of all tensors as stored
	Types        map[string]int `json:"types"`           // tensors of each type
	Missing      []string       `json:"missing"`         // for running it
	Fix          string         `json:"fix"`             // what to do about that
	Graph        *ONNXGraph     `json:"graph,omitempty"` // of an ONNX file
}

// ForeignError is what Open returns for a model file that is no bundle. It is bad input: another file, or a conversion, mends it.
type ForeignError struct{ Foreign }

// maxMissing is how many of the missing parts, which are named by the file, an error lists.
const maxMissing = 10

// Error says what the file is, what is missing for running it, and the fix.
func (e *ForeignError) Error() string {
	missing := make([]string, 0, maxMissing+1)
	for i, what := range e.Missing {
		if i == maxMissing {
			missing = append(missing, fmt.Sprintf("and %d more", len(e.Missing)-i))
			break
		}
		missing = append(missing, strict.Short(what))
	}
	return fmt.Sprintf("%s: this is %s, not a Ballast bundle; for running it there is missing: %s; %s", e.Path, e.summary(), strings.Join(missing, ", "), e.Fix)
}

// BadInput tells that the file is at fault.
func (e *ForeignError) BadInput() bool { return true }

// bundleWeights is what hf.Guess calls the weights of a bundle.
const bundleWeights = "bundle"

// kindNames are the formats for people.
var kindNames = map[weights.Kind]string{
	weights.Safetensors: "a safetensors file", weights.Sharded: "a safetensors model in shards", weights.GGUF: "a GGUF file", weights.NPZ: "an archive of NumPy arrays",
	weights.NPY: "a NumPy array", weights.PyTorch: "a PyTorch checkpoint", weights.TFJS: "a TensorFlow.js model", weights.ONNX: "an ONNX graph",
}

// summary is one phrase: "a GGUF file of a llama (272 tensors, 134515008 parameters)".
func (f *Foreign) summary() string {
	what := kindNames[f.Kind]
	if what == "" {
		what = "a file of kind " + string(f.Kind)
	}
	if f.Architecture != "unknown" {
		what += " (" + strict.Short(f.Architecture) + ")"
	}
	return fmt.Sprintf("%s of %d tensors and %d parameters", what, f.Tensors, f.Parameters)
}

// Identify opens a model file of any format and says what it is.
func Identify(path string) (*Foreign, error) {
	file, err := weights.OpenStored(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return identify(path, file, file.Tensors())
}

// identify describes a file with its tensors, which are made anew each time it is asked for them.
func identify(path string, file weights.File, list []weights.Info) (*Foreign, error) {
	f := &Foreign{Path: path, File: file.Path(), Kind: file.Kind(), Types: map[string]int{}, Missing: []string{}}
	names := make([]string, 0, len(list))
	for _, t := range list {
		f.Tensors++
		f.Parameters += int64(t.Elements)
		f.Bytes += t.Bytes
		f.Types[t.Type]++
		names = append(names, t.Name)
	}
	config, err := configBeside(file.Path())
	if err != nil {
		return nil, err
	}
	f.architecture(file, names, config)
	f.missing()
	if m, ok := file.(interface{ Model() *onnx.Model }); ok {
		f.graph(m.Model())
	}
	return f, nil
}

// configBeside reads the config.json of the folder that a file stands in, if there is one that names a model.
func configBeside(file string) (*hf.Config, error) {
	path := filepath.Join(filepath.Dir(file), hf.ConfigFile)
	if _, err := os.Stat(path); err != nil {
		return nil, nil //nolint:nilerr // most folders have none
	}
	return hf.LoadConfig(path)
}

func (f *Foreign) architecture(file weights.File, names []string, config *hf.Config) {
	guess := hf.Guess(names)
	switch name := file.Metadata()["general.architecture"]; {
	case f.isAdapter(file):
	case f.Kind == weights.GGUF && name != "":
		f.Architecture, f.Because = name, "general.architecture"
	case config != nil && config.Architecture() != "unknown":
		f.Architecture, f.Because = config.Architecture(), hf.ConfigFile
	case guess.Name != "unknown":
		f.Architecture, f.Because = guess.Name, "tensor "+guess.Because
	default:
		f.Architecture = "unknown"
	}
}

// isAdapter describes an adapter, which is no model by itself; it reports whether a file is one.
func (f *Foreign) isAdapter(file weights.File) bool {
	base, ok := weights.Adapter(file)
	if !ok {
		return false
	}
	f.Architecture, f.Because = "adapter (LoRA)", "the names of its tensors"
	if base != "" {
		f.Architecture, f.Because = "adapter (LoRA) for "+base, "adapter_config.json"
	}
	return true
}

// missing says what stands between the file and a run.
func (f *Foreign) missing() {
	switch f.Kind {
	case weights.ONNX:
		f.Missing = []string{"the input's shape, preprocessing and labels of a bundle"}
		f.Fix = fmt.Sprintf(`run the graph itself with "ballast run %s --input NAME=x.npy --output y.npz"`, f.Path)
	case weights.NPY:
		f.Missing = []string{"the other tensors of a model"}
		f.Fix = `name a model; logits and labels go to "ballast evaluate --logits x.npy --labels y.npy"`
	default:
		f.Missing = []string{"the network as a part of a bundle", "the shape of its input", "its preprocessing and labels"}
		f.Fix = fmt.Sprintf(`"ballast inspect %s" shows what it holds; where zoo has its network, bundle.Import makes a bundle of it in Go, and an ONNX export runs as it is`, f.Path)
	}
}
