package checkpoint

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// ManifestFile is the name of a merge's manifest in the folder of its output.
const ManifestFile = "ballast-merge.json"

// RecipeFile is the name of the resolved recipe in the folder of the output.
const RecipeFile = "ballast-merge-recipe.json"

// Manifest says what a merged model was made of and what its files must be. Two runs of one merge write the same.
type Manifest struct {
	SchemaVersion int               `json:"schema_version"`
	Method        string            `json:"method"`
	Seed          uint64            `json:"seed"`
	Recipe        json.RawMessage   `json:"recipe"`
	Versions      map[string]string `json:"versions"`
	Inputs        []InputFile       `json:"inputs"`
	Outputs       []OutputFile      `json:"outputs"`
	Encoding      string            `json:"encoding,omitempty"` // of an output that was encoded after the merge: "gguf Q8_0"
	Tensors       int               `json:"tensors"`
}

// InputFile is a file that was read.
type InputFile struct {
	Model  string `json:"model"`
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// OutputFile is a file that was written, its name relative to the manifest.
type OutputFile struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// finish writes what goes with the tensors and moves all of it into place.
func (e *execution) finish() (*Result, error) {
	p := e.p
	for _, in := range p.Inputs {
		if stamp, _, err := stampOf(in.files); err != nil || stamp != in.stamp {
			return nil, &fault.Input{File: in.Path, Err: errors.New("it has changed while it was merged"), Fix: "merge again"}
		}
	}

	recipe, err := json.Marshal(p.Recipe)
	if err != nil {
		return nil, err
	}
	m := Manifest{SchemaVersion: 1, Method: p.Method.Name, Seed: p.Seed, Recipe: recipe, Versions: p.options.Versions, Inputs: e.inputs, Tensors: len(p.tensors)}
	if m.Versions == nil {
		m.Versions = map[string]string{}
	}
	for i, f := range p.Files {
		m.Outputs = append(m.Outputs, OutputFile{File: f.Name, Bytes: f.Bytes, SHA256: e.sums[i]})
	}

	if !p.single() {
		others, err := p.companions(e.work)
		if err != nil {
			return nil, err
		}
		for _, name := range others {
			sum, size, err := hashFile(e.ctx, filepath.Join(e.work, name), make([]byte, copyBuffer), nil)
			if err != nil {
				return nil, err
			}
			m.Outputs = append(m.Outputs, OutputFile{File: name, Bytes: size, SHA256: sum})
		}
	}

	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	manifest := filepath.Join(e.work, ManifestFile)
	if p.single() {
		manifest = manifestOf(p.Out)
	}
	if err := e.journal.place(sumOf(text)); err != nil {
		return nil, err
	}
	if err := writeWhole(manifest, text); err != nil {
		return nil, err
	}
	if err := p.place(e.work); err != nil {
		return nil, err
	}
	if err := e.clean(); err != nil {
		return nil, err
	}
	notes := append(slices.Clone(p.Notes), e.notes...)
	return &Result{Manifest: m, Resumed: e.resumed, Saturated: int(e.saturated.Load()), Notes: notes}, nil
}

func writeWhole(path string, text []byte) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// manifestOf is the manifest of a single file: beside it, by its name.
func manifestOf(file string) string {
	return strings.TrimSuffix(file, ".safetensors") + "." + ManifestFile
}

// place moves the output to where it belongs.
func (p *Plan) place(work string) error {
	if p.single() {
		if err := os.Rename(filepath.Join(work, p.Files[0].Name), p.Out); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		return durable.SyncDir(filepath.Dir(p.Out))
	}
	return durable.ReplaceDir(p.Out, work, p.permit())
}

// companions writes the index, the recipe, and the config and tokenizer of the reference model, and returns their names.
func (p *Plan) companions(work string) (names []string, err error) {
	add := func(name string, text []byte) error {
		names = append(names, name)
		return writeWhole(filepath.Join(work, name), text)
	}

	if len(p.Files) > 1 {
		total, index := int64(0), map[string]string{}
		for _, t := range p.tensors {
			total += t.bytes
			index[t.name] = p.Files[t.file].Name
		}
		text, err := json.MarshalIndent(map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": index}, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := add("model.safetensors.index.json", append(text, '\n')); err != nil {
			return nil, err
		}
	}

	recipe, err := json.MarshalIndent(p.resolved(), "", "  ")
	if err != nil {
		return nil, err
	}
	if err := add(RecipeFile, append(recipe, '\n')); err != nil {
		return nil, err
	}
	err = p.copies(func(name string, text []byte) error {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(work, name)), 0o755); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		return add(name, text)
	})
	for _, name := range slices.Sorted(maps.Keys(p.beside)) {
		if err == nil {
			err = add(name, p.beside[name])
		}
	}
	return names, err
}

// copies gives the files that go along from the reference model and its tokenizer, with what the merge changes in them, to each in turn.
// It is called once before anything is merged, so that one that cannot be read or changed is known before hours of work.
func (p *Plan) copies(each func(name string, text []byte) error) error {
	from, err := p.carried()
	if err != nil {
		return err
	}
	for _, c := range from {
		text, err := p.companion(c)
		if err != nil {
			return err
		}
		if err := each(c.name, text); err != nil {
			return err
		}
	}
	if p.template != "" {
		return each(templateFile, []byte(p.template))
	}
	return nil
}

// companion is a file of a model's folder that goes along.
type companion struct{ dir, name string }

// carried lists the companions of the output: those of the donor, but the tokenizer of another where the recipe says so. The card stays: it
// describes another model.
func (p *Plan) carried() (list []companion, err error) {
	names, err := hf.Companions(p.copied)
	if err != nil {
		return nil, err
	}
	tokenizer := hf.Tokenizer(names)
	for _, name := range names {
		other := p.vocab != nil && p.vocab.tokenizer != p.copied && slices.Contains(tokenizer, name)
		if name != hf.CardFile && !other {
			list = append(list, companion{p.copied, name})
		}
	}
	if p.vocab != nil && p.vocab.tokenizer != p.copied {
		names, err := hf.Companions(p.vocab.tokenizer)
		if err != nil {
			return nil, err
		}
		for _, name := range hf.Tokenizer(names) {
			list = append(list, companion{p.vocab.tokenizer, name})
		}
	}
	return slices.DeleteFunc(list, func(c companion) bool { return c.name == templateFile && p.template != "" }), nil
}

// companion is the text of a companion, with what the merge has changed.
func (p *Plan) companion(c companion) ([]byte, error) {
	text, err := hf.ReadCompanion(c.dir, c.name)
	if err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	switch {
	case c.name == "tokenizer.json" && p.vocab != nil:
		text, err = p.vocab.withTokens(text)
	case c.name == tokenizerConfigFile && p.template != "":
		text, err = p.withTemplate(text)
	case c.name == hf.ConfigFile:
		if text, err = p.config(text); err == nil {
			text, _, err = hf.Typed(text, typeWords[p.mostly()])
		}
	}
	if err != nil {
		return nil, &fault.Input{File: filepath.Join(c.dir, c.name), Err: err}
	}
	return text, nil
}

// resolved is the recipe with what options have set.
func (p *Plan) resolved() Recipe {
	r := p.Recipe
	if p.options.DType != "" {
		r.OutDType = p.options.DType
	}
	return r
}

// config is a config.json with what the merge has changed: layers, tokens.
func (p *Plan) config(text []byte) ([]byte, error) {
	var config map[string]any
	d := json.NewDecoder(bytes.NewReader(hf.Standard(text)))
	d.UseNumber()
	if err := d.Decode(&config); err != nil {
		return nil, err
	}
	before, language := fmt.Sprint(config), textOf(config)

	if p.layers > 0 {
		if err := p.restack(config); err != nil {
			return nil, err
		}
	}
	if _, ok := config["tie_word_embeddings"]; p.untied && (ok || config["model_type"] != nil) {
		config["tie_word_embeddings"] = false
	}
	if _, ok := language["tie_word_embeddings"]; p.untied && ok {
		language["tie_word_embeddings"] = false
	}
	if rows := p.rows(); rows > 0 {
		for _, part := range []map[string]any{config, language} {
			if _, ok := part["vocab_size"]; ok {
				part["vocab_size"] = json.Number(fmt.Sprint(rows))
			}
		}
	}
	if fmt.Sprint(config) == before {
		return text, nil
	}
	out, err := json.MarshalIndent(config, "", "  ")
	return append(hf.Restore(out), '\n'), err
}

// typeWords are the types of weights in a config's words.
var typeWords = map[string]string{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

// mostly is the type of most elements that were merged.
func (p *Plan) mostly() string {
	count := map[string]int64{}
	for _, t := range p.tensors {
		if typeWords[t.typ] != "" {
			count[t.typ] += t.bytes
		}
	}
	return slices.MaxFunc(append(slices.Sorted(maps.Keys(count)), ""), func(a, b string) int { return cmp.Compare(count[a], count[b]) })
}

// rows is the number of rows of the merged embeddings, 0 without any.
func (p *Plan) rows() int {
	for _, t := range p.tensors {
		if isVocabulary(t.name) && len(t.shape) == 2 {
			return t.shape[0]
		}
	}
	return 0
}

// Owns returns nil if the folder dir holds the output of a merge and nothing else; else an error names what it holds.
func Owns(dir string) error {
	m, err := readManifest(filepath.Join(dir, ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it holds no merged model")
	}
	if err != nil {
		return err
	}
	names := []string{ManifestFile}
	for _, o := range m.Outputs {
		names = append(names, filepath.ToSlash(o.File))
	}
	return durable.Only(names...)(dir)
}

func readManifest(file string) (m Manifest, err error) {
	text, err := untrusted.ReadFilled(file, maxManifest)
	var refused *untrusted.Error
	if errors.As(err, &refused) {
		return m, err
	}
	if err != nil {
		return m, &fault.Input{File: file, Err: err, Fix: "name the output of ballast merge"}
	}
	if err := strict.Decode(text, &m); err != nil {
		return m, &fault.Input{File: file, Err: err}
	}
	if m.SchemaVersion != 1 {
		return m, &fault.Input{File: file, Field: "schema_version", Err: fmt.Errorf("it is %d, this version knows 1", m.SchemaVersion), Fix: "use the version that wrote it"}
	}
	return m, nil
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
