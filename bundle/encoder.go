package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/format/wordpiece"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// Encoder turns texts into vectors: a network of BERT's kind, its weights and its tokenizer, from a folder as the sentence-transformers
// library writes it.
type Encoder struct {
	Network   zoo.Encoder
	Store     *model.Store
	Tokenizer *wordpiece.Tokenizer
	Most      int // tokens of a text, the frame included; what is longer is cut
}

// OpenEncoder reads a folder with config.json, tokenizer.json and the weights in any format that format/weights reads. What the
// sentence-transformers library adds is read where it is there: the longest text, the pooling, and whether vectors have length 1.
func OpenEncoder(dir string) (enc *Encoder, err error) {
	config, err := hf.LoadConfig(dir)
	if err != nil {
		return nil, err
	}
	configPath := filepath.Join(dir, hf.ConfigFile)
	if config.BERT == nil {
		return nil, &fault.Input{File: configPath, Field: "model_type", Err: fmt.Errorf("it is %q", config.ModelType), Fix: `name the folder of a model of type "bert"`}
	}
	network, err := zoo.EncoderOfBERT(*config.BERT)
	if err != nil {
		return nil, &fault.Input{File: configPath, Err: err}
	}
	enc = &Encoder{Network: network, Store: model.NewStore(), Most: network.Positions}
	if err := enc.options(dir); err != nil {
		return nil, err
	}
	tokenizer, err := untrusted.Inside(dir, "tokenizer.json")
	if err != nil {
		return nil, err
	}
	if enc.Tokenizer, err = wordpiece.Open(tokenizer); err != nil {
		return nil, err
	}
	file, err := openWeights(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return enc, enc.fill(file)
}

// openWeights opens the one file of weights in a folder, or the folder itself where they are in several.
func openWeights(dir string) (weights.File, error) {
	for _, name := range []string{"model.safetensors", "pytorch_model.bin"} {
		path, err := untrusted.Inside(dir, name)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err == nil {
			return weights.Open(path)
		}
	}
	return weights.Open(dir)
}

// fill declares the variables and reads their values.
func (e *Encoder) fill(file weights.File) error {
	prefix := ""
	if _, ok := file.Info("bert.embeddings.word_embeddings.weight"); ok {
		prefix = "bert."
	}
	values, err := zoo.Values("/"+scopeName, file, e.Network.Imports(prefix), prefix+"pooler.", "cls.")
	if err != nil {
		return err
	}
	eng, err := engine.Open(engine.KindGo)
	if err != nil {
		return err
	}
	defer eng.Close()
	param.From(e.Store, values)
	err = exceptions.TryCatch[error](func() {
		g := NewGraph(eng.Backend, "declare")
		defer g.Finalize()
		model.SetStore(g, e.Store)
		e.Network.Apply(e.Store.RootScope().In(scopeName), Parameter(g, "tokens", shapes.Make(dtypes.Int32, 1, 1)), nil)
	})
	param.From(e.Store, nil)
	var bad *fault.Input
	if errors.As(err, &bad) { // of the weights
		return bad
	}
	if err != nil {
		return fmt.Errorf("bundle: encoder: %w", err)
	}
	return nil
}

// options reads what the sentence-transformers library writes beside a model.
func (e *Encoder) options(dir string) error {
	var longest struct {
		Most int `json:"max_seq_length"`
	}
	if err := readBeside(dir, "sentence_bert_config.json", &longest); err != nil {
		return err
	}
	if longest.Most > 0 {
		e.Most = min(e.Most, longest.Most)
	}
	var modules []struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	if err := readBeside(dir, "modules.json", &modules); err != nil || modules == nil {
		return err
	}
	e.Network.Normalize = false
	for _, m := range modules {
		switch filepath.Ext(m.Type) {
		case ".Transformer":
		case ".Normalize":
			e.Network.Normalize = true
		case ".Pooling":
			if !filepath.IsLocal(m.Path) {
				return &fault.Input{File: filepath.Join(dir, "modules.json"), Err: fmt.Errorf("the path %q leads out of the folder", strict.Short(m.Path))}
			}
			if err := e.pooling(dir, filepath.Join(m.Path, "config.json")); err != nil {
				return err
			}
		default:
			return &fault.Input{File: filepath.Join(dir, "modules.json"), Err: fmt.Errorf("the part %q is not known here", strict.Short(m.Type)), Fix: "only Transformer, Pooling and Normalize are"}
		}
	}
	return nil
}

func (e *Encoder) pooling(dir, name string) error {
	var way map[string]any
	if err := readBeside(dir, name, &way); err != nil {
		return err
	}
	var ways []string
	for key, on := range way {
		if on == true && key != "include_prompt" {
			ways = append(ways, key)
		}
	}
	slices.Sort(ways)
	switch fmt.Sprint(ways) {
	case "[pooling_mode_mean_tokens]", "[]":
	case "[pooling_mode_cls_token]":
		e.Network.Pooling = zoo.PoolFirst
	default:
		return &fault.Input{File: filepath.Join(dir, name), Err: fmt.Errorf("the pooling is %s", strict.Short(fmt.Sprint(ways))), Fix: "pooling_mode_mean_tokens alone and pooling_mode_cls_token alone are known here"}
	}
	return nil
}

// maxBeside is the most bytes of the small files that the sentence-transformers library writes; they have 1 kB.
const maxBeside = 1 << 20

// readBeside reads a JSON file, if it is there.
func readBeside(dir, name string, into any) error {
	path, err := untrusted.Inside(dir, filepath.ToSlash(name))
	if err != nil {
		return err
	}
	data, err := untrusted.ReadFile(path, maxBeside)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(hf.Standard(data), into)
	}
	if err != nil {
		return &fault.Input{File: path, Err: err}
	}
	return nil
}

// EncoderForward runs an encoder on one engine. Safe for concurrent use.
type EncoderForward struct {
	mu   sync.Mutex
	exec *model.Exec
	enc  *Encoder
}

// NewForward prepares the encoder for an engine. It is compiled for each length and number of texts when they first come.
func (e *Encoder) NewForward(eng *engine.Engine) (*EncoderForward, error) {
	exec, err := model.NewExec(eng.Backend, e.Store, func(scope *model.Scope, tokens, counts *Node) *Node {
		return e.Network.Apply(scope.At(scopeName), tokens, counts)
	})
	if err != nil {
		return nil, fmt.Errorf("bundle: encoder: %w", err)
	}
	return &EncoderForward{exec: exec, enc: e}, nil
}

// Texts of about the same length go through the network together, at most encoderTokens tokens, filled up to a multiple of encoderStep a
// text and to a power of two texts: few programs are compiled, and little is computed in vain.
const (
	encoderTokens = 1024
	encoderStep   = 16
)

// Vectors returns a vector of Network.Dim numbers for each text.
func (f *EncoderForward) Vectors(texts []string) ([][]float32, error) {
	tokens := make([][]int, len(texts))
	order := make([]int, len(texts))
	for i, text := range texts {
		tokens[i], order[i] = f.enc.Tokenizer.Encode(text, f.enc.Most), i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(tokens[b]) - len(tokens[a]) })
	f.mu.Lock()
	defer f.mu.Unlock()
	vectors := make([][]float32, len(texts))
	for len(order) > 0 {
		longest := max(len(tokens[order[0]]), 1)
		time := min((longest+encoderStep-1)/encoderStep*encoderStep, f.enc.Network.Positions)
		batch := 1
		for batch < len(order) && 2*batch*time <= encoderTokens {
			batch *= 2
		}
		n := min(batch, len(order))
		if err := f.run(order[:n], tokens, vectors, batch, time); err != nil {
			return nil, err
		}
		order = order[n:]
	}
	return vectors, nil
}

// run computes the vectors of the texts in part, in a batch of rows with time tokens each.
func (f *EncoderForward) run(part []int, tokens [][]int, vectors [][]float32, batch, time int) error {
	ids, counts := make([]int32, batch*time), make([]bool, batch*time)
	for i := range ids {
		ids[i] = int32(f.enc.Tokenizer.Pad())
	}
	for row, text := range part {
		for j, id := range tokens[text] {
			if id >= f.enc.Network.Vocabulary {
				return fmt.Errorf("bundle: encoder: the tokenizer has number %d, the network %d words; they belong to different models", id, f.enc.Network.Vocabulary)
			}
			ids[row*time+j], counts[row*time+j] = int32(id), true
		}
	}
	inputs := []*tensors.Tensor{tensors.FromFlatDataAndDimensions(ids, batch, time), tensors.FromFlatDataAndDimensions(counts, batch, time)}
	defer func() {
		for _, t := range inputs {
			_ = t.FinalizeAll()
		}
	}()
	output, err := f.exec.Call1(inputs[0], inputs[1])
	if err != nil {
		return fmt.Errorf("bundle: run encoder: %w", err)
	}
	defer func() { _ = output.FinalizeAll() }()
	flat, err := tensors.CopyFlatData[float32](output)
	if err != nil {
		return fmt.Errorf("bundle: run encoder: %w", err)
	}
	dim := f.enc.Network.Dim
	for row, text := range part {
		vectors[text] = flat[row*dim : (row+1)*dim : (row+1)*dim]
	}
	return nil
}

// Close frees the compiled programs; the encoder stays usable.
func (f *EncoderForward) Close() { f.exec.Finalize() }
