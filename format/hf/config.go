package hf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// ConfigFile is the name of a config in a model's folder.
const ConfigFile = "config.json"

// maxConfig bounds a config.json; the largest known, with 21,000 labels twice, has 1.5 MB.
const maxConfig = 4 << 20

// maxConfigValues bounds the values in a config.json; 21,000 labels twice are 42,000.
const maxConfigValues = 200_000

// Config is a config.json.
type Config struct {
	ModelType           string   `json:"model_type"`           // "bert", "llama", "vit", "resnet", ...; "" if the file does not say
	Architectures       []string `json:"architectures"`        // classes, such as "LlamaForCausalLM"
	DType               string   `json:"dtype"`                // of the weights, such as "bfloat16"; torch_dtype in older files
	TransformersVersion string   `json:"transformers_version"` // that wrote the file
	TieWordEmbeddings   bool     `json:"tie_word_embeddings"`  // the output layer's weights are those of the embeddings

	// The family with all defaults filled in; one of them at most is set.
	BERT   *BERT   `json:"bert,omitempty"`
	Llama  *Llama  `json:"llama,omitempty"`
	ViT    *ViT    `json:"vit,omitempty"`
	ResNet *ResNet `json:"resnet,omitempty"`

	Keys map[string]json.RawMessage `json:"-"` // everything in the file, as it stands; Standard makes JSON of Python's NaN and Infinity

	standard []byte // the file as JSON
}

// LoadConfig reads a config.json, or that of a folder. The file may be a link within its folder or into the blobs of a Hugging Face
// cache; one that leads elsewhere is an error, since folders come from strangers.
func LoadConfig(path string) (*Config, error) {
	if stat, err := os.Stat(path); err == nil && stat.IsDir() && filepath.Base(path) != ConfigFile {
		path = filepath.Join(path, ConfigFile)
	}
	data, err := read(path, maxConfig)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(data)
	if typed := new(Error); errors.As(err, &typed) {
		typed.File = path
	}
	return c, err
}

// read reads a file of at most most bytes that does not lead out of its folder by a link.
func read(path string, most int64) ([]byte, error) {
	dir, name := filepath.Split(path)
	if _, err := untrusted.Inside(cmp.Or(dir, "."), name); err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	data, err := untrusted.ReadFile(path, most)
	if err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	if len(data) == 0 && name == ConfigFile {
		return nil, fmt.Errorf("hf: %w", untrusted.Empty(path))
	}
	return data, nil
}

// ParseConfig reads the text of a config.json. Keys that are missing take the defaults of the family. NaN, Infinity and -Infinity are read as
// Python writes them.
func ParseConfig(data []byte) (*Config, error) {
	if len(data) > maxConfig {
		return nil, &Error{Kind: ErrLimit, Text: fmt.Sprintf("more than %d bytes", maxConfig), Fix: fixDownload}
	}
	if err := untrusted.CheckJSON(ConfigFile, data, maxConfigValues); err != nil {
		return nil, &Error{Kind: ErrLimit, Err: err, Fix: fixDownload}
	}
	c := &Config{standard: Standard(data)}
	d := json.NewDecoder(bytes.NewReader(c.standard))
	if err := d.Decode(&c.Keys); err != nil {
		return nil, &Error{Kind: ErrConfig, Err: untrusted.JSONError(err), Fix: fixDownload}
	}
	if c.Keys == nil {
		return nil, &Error{Kind: ErrConfig, Text: "it is null, want an object", Fix: fixDownload}
	}
	if d.More() {
		return nil, &Error{Kind: ErrConfig, Text: "text after its end", Fix: fixDownload}
	}
	for key, raw := range c.Keys {
		c.Keys[key] = Restore(raw)
	}
	if err := c.into(map[string]any{"model_type": &c.ModelType, "architectures": &c.Architectures, "torch_dtype": &c.DType,
		"transformers_version": &c.TransformersVersion, "tie_word_embeddings": &c.TieWordEmbeddings}); err != nil {
		return nil, err
	}
	if err := c.into(map[string]any{"dtype": &c.DType}); err != nil {
		return nil, err
	}
	var err error
	switch c.ModelType {
	case "bert":
		// The classes of BERT, unlike Llama's, tie the embeddings if the file does not say.
		if c.Keys["tie_word_embeddings"] == nil {
			c.TieWordEmbeddings = true
		}
		b := NewBERT()
		c.BERT, err = &b, c.fill(&b)
	case "llama":
		l := NewLlama()
		if err = c.fill(&l); err == nil {
			err = l.complete(c)
		}
		c.Llama = &l
	case "vit":
		v := NewViT()
		c.ViT, err = &v, c.fill(&v)
	case "resnet":
		r := NewResNet()
		c.ResNet, err = &r, c.fill(&r)
	}
	if err != nil {
		return nil, err
	}
	return c, c.check()
}

// into decodes keys, where the file has them and they are not null.
func (c *Config) into(fields map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		raw := c.Keys[key]
		if raw == nil || string(raw) == "null" {
			continue
		}
		if err := json.Unmarshal(Standard(raw), fields[key]); err != nil {
			return &Error{Field: key, Kind: ErrConfig, Text: printable.Quote(string(raw)), Err: untrusted.JSONError(err), Fix: "correct the value"}
		}
	}
	return nil
}

// fill decodes the whole file over the defaults of a family. null leaves a default alone.
func (c *Config) fill(family any) error {
	err := json.Unmarshal(c.standard, family)
	if err == nil {
		return nil
	}
	out := &Error{Kind: ErrConfig, Err: untrusted.JSONError(err), Fix: "correct the value"}
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
		out.Field, out.Err = wrong.Field, nil
		kind, _, _ := strings.Cut(wrong.Value, " ") // what follows "number" is the number, however long
		out.Text = fmt.Sprintf("got a %s, want %s", kind, wrong.Type)
	}
	return out
}

// sizes are the numbers of a family that must be above 0.
func (c *Config) check() error {
	var sizes map[string]int
	heads, width := 1, 0
	switch {
	case c.BERT != nil:
		b := c.BERT
		sizes = map[string]int{"vocab_size": b.VocabSize, "hidden_size": b.HiddenSize, "num_hidden_layers": b.Layers, "num_attention_heads": b.Heads,
			"intermediate_size": b.IntermediateSize, "max_position_embeddings": b.MaxPositions}
		heads, width = b.Heads, b.HiddenSize
	case c.Llama != nil:
		l := c.Llama
		sizes = map[string]int{"vocab_size": l.VocabSize, "hidden_size": l.HiddenSize, "num_hidden_layers": l.Layers, "num_attention_heads": l.Heads,
			"num_key_value_heads": l.KeyValueHeads, "intermediate_size": l.IntermediateSize, "head_dim": l.HeadDim, "max_position_embeddings": l.MaxPositions}
		if l.KeyValueHeads > 0 && l.Heads%l.KeyValueHeads != 0 {
			return &Error{Field: "num_key_value_heads", Kind: ErrConfig, Text: fmt.Sprintf("%d does not divide num_attention_heads %d", l.KeyValueHeads, l.Heads), Fix: "correct the value"}
		}
	case c.ViT != nil:
		v := c.ViT
		sizes = map[string]int{"hidden_size": v.HiddenSize, "num_hidden_layers": v.Layers, "num_attention_heads": v.Heads, "intermediate_size": v.IntermediateSize,
			"image_size": v.ImageSize, "patch_size": v.PatchSize, "num_channels": v.Channels}
		heads, width = v.Heads, v.HiddenSize
	case c.ResNet != nil:
		r := c.ResNet
		sizes = map[string]int{"num_channels": r.Channels, "embedding_size": r.EmbeddingSize}
		if len(r.HiddenSizes) != len(r.Depths) || len(r.Depths) == 0 || slices.Min(r.Depths) < 1 || slices.Min(r.HiddenSizes) < 1 {
			return &Error{Field: "depths", Kind: ErrConfig, Text: fmt.Sprintf("%v with hidden_sizes %v", r.Depths, r.HiddenSizes), Fix: "give both one number above 0 a stage"}
		}
		if r.LayerType != "basic" && r.LayerType != "bottleneck" {
			return &Error{Field: "layer_type", Kind: ErrConfig, Text: printable.Quote(r.LayerType), Fix: "it is basic or bottleneck"}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(sizes)) {
		if sizes[key] < 1 {
			return &Error{Field: key, Kind: ErrConfig, Text: strconv.Itoa(sizes[key]), Fix: "it must be at least 1"}
		}
	}
	if width%max(heads, 1) != 0 {
		return &Error{Field: "num_attention_heads", Kind: ErrConfig, Text: fmt.Sprintf("%d does not divide hidden_size %d", heads, width), Fix: "correct the value"}
	}
	return nil
}

// Architecture names the network in one word or two: the first of Architectures, else the model type.
func (c *Config) Architecture() string {
	if len(c.Architectures) > 0 {
		return c.Architectures[0]
	}
	return cmp.Or(c.ModelType, "unknown")
}

// labels are id2label: the class names by the digits of their numbers.
type labels map[string]string

// list returns the names in the order of their numbers, nil if the numbers are not 0, 1, 2 ...
func (l labels) list() []string {
	out := make([]string, len(l))
	for i := range out {
		name, ok := l[strconv.Itoa(i)]
		if !ok {
			return nil
		}
		out[i] = name
	}
	return out
}

// Labels returns the names of the classes in the order of the outputs (id2label), nil where the file has none.
func (c *Config) Labels() []string {
	var l labels
	if raw := c.Keys["id2label"]; raw == nil || json.Unmarshal(raw, &l) != nil || len(l) == 0 {
		return nil
	}
	return l.list()
}
