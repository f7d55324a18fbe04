package weights

import (
	"bytes"

	"github.com/ballast-ml/ballast/format/tfjs"
)

// tfjsFile is a TensorFlow.js model. Where a weight is quantised, the type says both, "float32(uint8)", and values are restored.
type tfjsFile struct {
	*tfjs.File
	path string
}

// isTFJS: JSON that begins like a model or a list of groups of weights.
func isTFJS(first []byte, _ int64) bool {
	text := bytes.TrimLeft(first, " \t\r\n")
	has := func(words ...string) bool {
		for _, word := range words {
			if bytes.Contains(text, []byte(word)) {
				return true
			}
		}
		return false
	}
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		return has(`"weightsManifest"`, `"modelTopology"`, `"layers-model"`, `"graph-model"`)
	case bytes.HasPrefix(text, []byte("[")):
		return has(`"weights"`) && has(`"name"`, `"paths"`)
	}
	return false
}

func openTFJS(path string) (File, error) {
	f, err := tfjs.Open(path)
	if err != nil {
		return nil, err
	}
	return &tfjsFile{f, path}, nil
}

func (f *tfjsFile) Kind() Kind   { return TFJS }
func (f *tfjsFile) Path() string { return f.path }

func (f *tfjsFile) Tensors() []Info { return tensorsOf(f, f.Names()) }

func (f *tfjsFile) Info(name string) (Info, bool) {
	i, ok := f.File.Info(name)
	if !ok {
		return Info{}, false
	}
	if i.Stored != i.DType {
		i.Stored = i.DType + "(" + i.Stored + ")" // float32 kept as uint8
	}
	out := Info{Name: name, Type: i.Stored, Shape: i.Shape, Elements: i.Elements, Bytes: i.Bytes, Block: 1}
	if i.Elements > 0 && i.DType != "string" {
		out.BlockBytes = int(i.Bytes / int64(i.Elements))
	}
	return out, true
}
