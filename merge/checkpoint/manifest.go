package checkpoint

import (
	"bytes"
	"context"
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

// Encoded writes the manifest of a merged model that was encoded into file after the merge, in which encoding it was, and returns it.
// The file may still be on its way to out, beside which the manifest is written: so there is no moment without one.
func (m Manifest) Encoded(ctx context.Context, file, out, encoding string) (Manifest, error) {
	sum, size, err := hashFile(ctx, file, make([]byte, copyBuffer), nil)
	if err != nil {
		return m, err
	}
	m.Outputs, m.Encoding = []OutputFile{{File: filepath.Base(out), Bytes: size, SHA256: sum}}, encoding
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	return m, writeWhole(manifestOf(out), append(text, '\n'))
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
	from, err := hf.Companions(p.copied)
	if err != nil {
		return nil, err
	}
	for _, name := range from {
		if name == hf.CardFile {
			continue // it describes another model
		}
		dir := p.copied
		if p.vocab != nil && len(hf.Tokenizer([]string{name})) > 0 {
			dir = p.vocab.tokenizer
		}
		text, err := hf.ReadCompanion(dir, name)
		if errors.Is(err, os.ErrNotExist) {
			continue // the other tokenizer does without
		}
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		if name == "tokenizer.json" && p.vocab != nil {
			if text, err = p.vocab.withTokens(text); err != nil {
				return nil, &fault.Input{File: filepath.Join(dir, name), Err: err}
			}
		}
		if name == hf.ConfigFile {
			if text, err = p.config(text); err != nil {
				return nil, &fault.Input{File: filepath.Join(p.copied, name), Err: err}
			}
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(work, name)), 0o755); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		if err := add(name, text); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// resolved is the recipe with what options have set.
func (p *Plan) resolved() Recipe {
	r := p.Recipe
	if p.options.DType != "" {
		r.OutDType = p.options.DType
	}
	return r
}

// config is a config.json with what the merge has changed: type, layers, tokens.
func (p *Plan) config(text []byte) ([]byte, error) {
	var config map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&config); err != nil {
		return nil, err
	}
	before := maps.Clone(config)
	words := map[string]string{"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
	for _, key := range []string{"torch_dtype", "dtype"} {
		if word, ok := config[key].(string); ok {
			if now, ok := words[p.tensors[0].typ]; ok && word != now {
				config[key] = now
			}
		}
	}
	if p.layers > 0 {
		for _, key := range []string{"num_hidden_layers", "n_layer", "num_layers", "n_layers"} {
			if _, ok := config[key]; ok {
				config[key] = json.Number(fmt.Sprint(p.layers))
			}
		}
	}
	if _, ok := config["tie_word_embeddings"]; p.untied && (ok || config["model_type"] != nil) {
		config["tie_word_embeddings"] = false
	}
	if rows := p.rows(); rows > 0 {
		if _, ok := config["vocab_size"]; ok {
			config["vocab_size"] = json.Number(fmt.Sprint(rows))
		}
	}
	if maps.EqualFunc(before, config, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
		return text, nil
	}
	out, err := json.MarshalIndent(config, "", "  ")
	return append(out, '\n'), err
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
	text, err := untrusted.ReadFile(file, maxManifest)
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

// Verification is what Verify found of a file.
type Verification struct {
	File   string `json:"file"`
	Role   string `json:"role"`   // output or input
	Status string `json:"status"` // ok, missing, or what differs
}

// OK tells whether a file is as the manifest says. An input that is not here any more is no fault.
func (v Verification) OK() bool {
	return v.Status == "ok" || v.Role == "input" && v.Status == "missing"
}

// maxManifest bounds a manifest; one of a thousand files has 200 kB.
const maxManifest = 16 << 20

// Verify compares the files of a merged model with its manifest. path is its folder, its file, or the manifest. Where inputs names a folder,
// the files that were merged are compared too, those that are still there, at the paths at which they were merged. A stranger's manifest can
// say any path, so they must lie in that folder, links followed, and of those that differ no more is said than that.
func Verify(ctx context.Context, path, inputs string) (Manifest, []Verification, error) {
	file := path
	if stat, err := os.Stat(path); err == nil && stat.IsDir() {
		file = filepath.Join(path, ManifestFile)
	} else if !strings.HasSuffix(path, ManifestFile) {
		file = manifestOf(path)
	}
	m, err := readManifest(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = &fault.Input{File: path, Err: fmt.Errorf("it has no manifest: %w", fs.ErrNotExist), Fix: "name the output of ballast merge"}
	}
	if err != nil {
		return m, nil, err
	}
	from := make([]string, len(m.Inputs))
	if inputs != "" {
		for i, in := range m.Inputs {
			if from[i], err = inFolder(inputs, in.File); err != nil {
				return m, nil, &fault.Input{File: file, Field: "inputs", Err: err, Fix: "name the folder that holds the models that were merged, or leave the inputs out"}
			}
		}
	}
	if err := m.wellFormed(file); err != nil {
		return m, nil, err
	}

	var list []Verification
	buffer := make([]byte, copyBuffer)
	for _, o := range m.Outputs {
		path, err := untrusted.Inside(filepath.Dir(file), o.File)
		if err != nil {
			return m, nil, &fault.Input{File: file, Field: "outputs", Err: fmt.Errorf("%q lies outside its folder", strict.Short(o.File)), Fix: "do not trust it"}
		}
		status, err := compare(ctx, path, o.Bytes, o.SHA256, buffer, false)
		if err != nil {
			return m, nil, err
		}
		list = append(list, Verification{File: o.File, Role: "output", Status: status})
	}
	if inputs == "" {
		return m, list, nil
	}
	for i, in := range m.Inputs {
		status, err := compare(ctx, from[i], in.Bytes, in.SHA256, buffer, true)
		if err != nil {
			return m, nil, err
		}
		list = append(list, Verification{File: in.File, Role: "input", Status: status})
	}
	return m, list, nil
}

// wellFormed refuses a manifest whose sizes and checksums are none.
func (m Manifest) wellFormed(file string) error {
	bad := func(field, name, what string) error {
		return &fault.Input{File: file, Field: field, Err: fmt.Errorf("%q %s", strict.Short(name), what), Fix: "do not trust it"}
	}
	for _, o := range m.Outputs {
		if !isSum(o.SHA256) || o.Bytes < 0 {
			return bad("outputs", o.File, "has no SHA-256 or size")
		}
	}
	for _, in := range m.Inputs {
		if !isSum(in.SHA256) || in.Bytes < 0 {
			return bad("inputs", in.File, "has no SHA-256 or size")
		}
	}
	return nil
}

// inFolder is the path of an input, relative ones counted from the current folder, if it lies in dir, links followed.
func inFolder(dir, name string) (string, error) {
	where := dir
	if dir == "." {
		where = "the current folder"
	}
	outside := fmt.Errorf("%q lies outside %s", strict.Short(name), where)
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return "", err
	}
	abs, err := filepath.Abs(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	// The folder may be named by way of a link, as the current one often is; the file itself may be gone.
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(real, filepath.Base(abs))
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil {
		return "", outside
	}
	path, err := untrusted.Inside(root, filepath.ToSlash(rel))
	if err != nil {
		return "", outside
	}
	return path, nil
}

func isSum(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size
}

// compare says how a file differs from what a manifest says of it: ok, missing, another size or sum. Only a regular file of the very
// size is read.
func compare(ctx context.Context, path string, bytes int64, sum string, buffer []byte, input bool) (string, error) {
	f, err := untrusted.Open(path)
	var refused *untrusted.Error
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "missing", nil
	case errors.As(err, &refused):
		return "no regular file", nil
	case err != nil:
		return "", fmt.Errorf("merge: %w", err)
	}
	stat, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("merge: %w", err)
	}
	if stat.Size() != bytes {
		if input {
			return "it has another size", nil
		}
		return fmt.Sprintf("%d bytes, want %d", stat.Size(), bytes), nil
	}
	got, size, err := hashFile(ctx, path, buffer, nil)
	switch {
	case err != nil:
		return "", err
	case size == bytes && got == strings.ToLower(sum):
		return "ok", nil
	case input:
		return "it has another SHA-256", nil
	}
	return fmt.Sprintf("sha256 %s, want %s", got, sum), nil
}
