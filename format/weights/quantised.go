package weights

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/pytorch"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Quantisation says that tensors of a checkpoint are codes, whose values follow from scales in other tensors. GGUF, ONNX and
// TensorFlow.js have types of their own for that; here it is a convention of names and of config.json.
type Quantisation struct {
	Method  string // "fp8", "gptq", "bitsandbytes", ...
	Because string // "quantization_config of config.json", or the tensor that gives it away
	Config  bool   // config.json says it

	block  []int            // sides of a block that shares a scale, from the config; nil where it does not say
	codes  map[string]scale // tensors that are read as codes times scales
	hidden []string         // tensors that only say how codes are read: scales, zero points, formats
	reason string           // why the checkpoint cannot be read as values; "" where it can
	at     string           // the tensor that is about
}

// read are the methods whose codes times scales are values, as far as the names of the scales go. Others are refused by name.
var read = []string{"fp8", "fbgemm_fp8", "bitsandbytes", "compressed-tensors", "modelopt", "quark", byNames}

// byNames is the method of a checkpoint whose tensors alone say that they are codes.
const byNames = "scales beside the weights"

// signatures are endings of names that only tensors of a method have, which are refused: codes are packed, or in an order of its own. It
// takes whole numbers, or bytes, under the name.
var signatures = []struct{ ending, method string }{
	{".qweight", "gptq or awq"}, {".quant_state.bitsandbytes__nf4", "bitsandbytes 4-bit"}, {".quant_state.bitsandbytes__fp4", "bitsandbytes 4-bit"},
	{".weight_packed", "compressed-tensors, packed"}, {".W_q", "hqq"}, {"._data", "quanto"}, {".codebooks", "aqlm"}, {".Qidxs", "quip"},
	{"_blocks", "mxfp4"}, {".q_weight", "exl2"}, {".trellis", "exl3"}, {"_qdata", "torchao"}, {":qdata", "torchao"}, {".weight_scales", "eetq"},
	{".weight_quantized", "quantised weights"},
}

// Quantised says how the tensors of an open file are quantised; nil where they are not. What a config.json beside it says counts, unless
// every tensor is of a plain type, as in models that were dequantised and kept their config.
func Quantised(f File) *Quantisation {
	switch f.Kind() {
	case Safetensors, Sharded, PyTorch, NPZ:
	default:
		return nil
	}
	q := &Quantisation{codes: map[string]scale{}}
	q.config(filepath.Dir(f.Path()))
	if !q.names(f) {
		return nil
	}
	if q.Method == "" {
		return nil
	}
	if q.reason == "" && !slices.Contains(read, q.Method) {
		q.reason = "its codes cannot be read as values here"
	}
	return q
}

// maxConfig bounds the configs that are looked at for quantisation.
const maxConfig = 4 << 20

// readBeside reads an object of a JSON file of a folder; nil where there is none that can be read, since a file of weights needs no config.
func readBeside(dir, name string) map[string]json.RawMessage {
	path, err := untrusted.Inside(dir, name)
	if err != nil {
		return nil
	}
	text, err := untrusted.ReadFile(path, maxConfig)
	if err != nil || untrusted.CheckJSON(path, text, 200_000) != nil {
		return nil
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(hf.Standard(text), &keys) != nil {
		return nil
	}
	return keys
}

// config takes up what the files beside the weights say.
func (q *Quantisation) config(dir string) {
	config := readBeside(dir, hf.ConfigFile)
	for _, part := range []string{"", "text_config", "language_config", "llm_config"} {
		keys := config
		if part != "" {
			keys = nil
			_ = json.Unmarshal(config[part], &keys) // nil where it is no object
		}
		for _, key := range hf.QuantisationKeys {
			var said struct {
				Method string `json:"quant_method"`
				Block  []int  `json:"weight_block_size"`
				Eight  bool   `json:"load_in_8bit"`
				Four   bool   `json:"load_in_4bit"`
			}
			if json.Unmarshal(keys[key], &said) != nil || string(keys[key]) == "null" {
				continue
			}
			q.Method, q.Because, q.Config, q.block = strings.ToLower(said.Method), key+" of "+hf.ConfigFile, true, said.Block
			if q.Method == "" && (said.Eight || said.Four) {
				q.Method = "bitsandbytes"
			}
			q.Method = cmp.Or(q.Method, "a method without a name")
			return
		}
	}
	for _, beside := range []struct{ name, method string }{
		{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}, {"hf_quant_config.json", "modelopt"},
	} {
		if readBeside(dir, beside.name) != nil {
			q.Method, q.Because = beside.method, beside.name
			return
		}
	}
}

// word is a type of any format in safetensors' words, as far as codes and scales go.
func word(t string) safetensors.DType {
	if as := pytorch.DType(t).Safetensors(); as != "" { // NumPy's words are the same
		return as
	}
	return safetensors.DType(t)
}

// isCode reports whether a type may be one of codes: bytes and whole numbers, and 8-bit floats.
func isCode(t safetensors.DType) bool {
	switch t {
	case safetensors.I8, safetensors.U8, safetensors.I16, safetensors.U16, safetensors.I32, safetensors.U32, safetensors.F4, safetensors.F6E2M3, safetensors.F6E3M2, safetensors.F8E8M0:
		return true
	}
	return isF8(t)
}

func isF8(t safetensors.DType) bool {
	switch t {
	case safetensors.F8E4M3, safetensors.F8E5M2, safetensors.F8E4M3FNUZ, safetensors.F8E5M2FNUZ:
		return true
	}
	return false
}

// buffers are parts of the names of whole numbers that networks keep beside their weights.
var buffers = []string{"position", "index", "mask", "ids", "num_batches_tracked", "attn.bias", "lengths", "offsets", "weight_format", "step"}

// names looks at every tensor: which are codes, which only say how codes are read. It reports whether any tensor is a code.
func (q *Quantisation) names(f File) bool {
	hidden := map[string]bool{}
	for info := range each(f) {
		t := word(info.Type)
		if !isCode(t) {
			continue
		}
		for _, s := range signatures {
			if strings.HasSuffix(info.Name, s.ending) {
				q.refuse(s.method, info.Name, "the codes of "+printable.Short(info.Name)+" are packed")
				return true
			}
		}
		how, found, err := scaleOf(info, f, q.block)
		switch {
		case found && err == nil && (isF8(t) || t == safetensors.I8):
			q.codes[info.Name] = how
			for _, name := range []string{how.scale, how.zero} {
				if name != "" {
					hidden[name] = true
				}
			}
			q.Method, q.Because = cmp.Or(q.Method, byNames), cmp.Or(q.Because, "tensor "+printable.Short(how.scale))
		case found:
			if err == nil {
				err = fmt.Errorf("%s is %s", printable.Short(info.Name), info.Type)
			}
			q.refuse(byNames, info.Name, err.Error())
			return true
		}
	}
	if q.Method == "" {
		return false
	}

	// What is left over may be buffers, and 8-bit floats that are plain values. Scales of 8 bits were found by their weights.
	for info := range each(f) {
		if _, scaled := q.codes[info.Name]; scaled || !isCode(word(info.Type)) {
			continue
		}
		isBuffer := slices.ContainsFunc(buffers, func(part string) bool { return strings.Contains(info.Name, part) })
		if hidden[info.Name] || isBuffer || isAside(info.Name) || len(info.Shape) < 2 && !isF8(word(info.Type)) {
			continue
		}
		q.refuse(q.Method, info.Name, fmt.Sprintf("%s is %s, and no scale lies beside it", printable.Short(info.Name), info.Type))
		return true
	}
	if len(q.codes) == 0 {
		return false
	}

	for info := range each(f) {
		if hidden[info.Name] || isAside(info.Name) {
			q.hidden = append(q.hidden, info.Name)
		}
	}
	return true
}

// refuse keeps why a checkpoint is not read as values.
func (q *Quantisation) refuse(method, tensor, reason string) {
	if q.Method == "" {
		q.Method, q.Because = method, "tensor "+printable.Short(tensor)
	}
	q.reason, q.at = reason, tensor
}

// asides are endings of the names of tensors that have to do with activations and formats, which weights are read without.
var asides = []string{
	".input_scale", ".output_scale", ".activation_scale", ".k_scale", ".v_scale", ".q_scale", ".prob_output_scale", ".input_zero_point", ".output_zero_point",
	".scale_input", ".weight_format", ".input_global_scale", ".weight_shape",
}

func isAside(name string) bool {
	return name == "scaled_fp8" || slices.ContainsFunc(asides, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// String is one phrase: `fp8 (quantization_config of config.json)`.
func (q *Quantisation) String() string {
	return fmt.Sprintf("%s (%s)", printable.Short(q.Method), q.Because)
}

// Weights is the number of tensors that are codes with scales.
func (q *Quantisation) Weights() int { return len(q.codes) }

// Aside are the tensors that say how codes are read, or how activations are, in the order of the file: they are not among those of the
// values.
func (q *Quantisation) Aside() []string { return slices.Clone(q.hidden) }

// Err says why the checkpoint cannot be read as values: a *fault.Input; nil where it can.
func (q *Quantisation) Err(f File) error {
	if q.reason == "" {
		return nil
	}
	return &fault.Input{
		File: f.Path(), Field: q.at, Err: fmt.Errorf("the model is quantised by %s: %s", q, q.reason),
		Fix: "use the model that it was quantised from, or dequantise it with the library that wrote it",
	}
}

// Dequantised shows a quantised file as values: its codes are F32 tensors, those that say how they are read are gone. Where it cannot, the
// error is that of Err.
func (q *Quantisation) Dequantised(f File) (File, error) {
	if err := q.Err(f); err != nil {
		return nil, err
	}
	v := &dequantised{File: f, q: q, scales: map[string]*loaded{}}
	for name := range maps.Keys(q.codes) {
		v.scales[name] = &loaded{}
	}
	for _, info := range f.Tensors() {
		if info, ok := v.Info(info.Name); ok {
			v.tensors = append(v.tensors, info)
		}
	}
	return v, nil
}

// AsDequantised says how a file was quantised that is shown as values; ok is false for any other.
func AsDequantised(f File) (q *Quantisation, ok bool) {
	for {
		if v, ok := f.(*dequantised); ok {
			return v.q, true
		}
		view, ok := f.(interface{ Unwrap() File })
		if !ok {
			return nil, false
		}
		f = view.Unwrap()
	}
}
