package adapt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/own"
)

// The files of an adapter's folder.
const (
	ManifestFile = bundle.AdapterFile    // Manifest
	StateFile    = "adapter.safetensors" // state and Progress, replaced as one
	ModelFolder  = "model"               // the bundle that was adapted, as it was
)

// Files are the files of an adapter's folder, as durable.Only takes them.
var Files = []string{
	ManifestFile, StateFile, ModelFolder + "/" + bundle.ManifestFile, ModelFolder + "/" + bundle.WeightsFile, ModelFolder + "/" + bundle.CardFile,
}

// SchemaVersion is the version of adapter.json this package writes; it reads this one and older ones.
const SchemaVersion = 1

// maxManifest is the most bytes of adapter.json that are read, and of the progress in a state.
const maxManifest = 1 << 20

// progressKey is the metadata of a state that hold the progress.
const progressKey = "progress"

// Manifest says how an adapter was made: adapter.json.
type Manifest struct {
	SchemaVersion int    `json:"schema_version"`
	Method        Choice `json:"method"`
	Batch         int    `json:"batch"`          // examples of a step
	Seed          uint64 `json:"seed"`           // of what the method draws
	Engine        string `json:"engine"`         // kind of the engine; on another the last bits differ
	Data          string `json:"data,omitempty"` // what it was taken through
	DataChecksum  string `json:"data_checksum,omitempty"`
	Weights       string `json:"weights"` // checksum of the model as it was, see weights.Set
}

// Validate says what is wrong with the manifest.
func (m Manifest) Validate() error {
	switch {
	case m.SchemaVersion < 1 || m.SchemaVersion > SchemaVersion:
		return fmt.Errorf("schema_version is %d, this build reads 1 to %d; use a newer ballast", m.SchemaVersion, SchemaVersion)
	case m.Method.Method == nil:
		return errors.New("method is missing")
	case m.Batch < 1:
		return fmt.Errorf("batch is %d; it must be at least 1", m.Batch)
	}
	return nil
}

// Is reports whether a path is the folder of an adapter, whether or not it can be read.
func Is(path string) bool {
	_, err := os.Stat(filepath.Join(path, ManifestFile))
	return err == nil
}

// Create begins a folder for an adapter of a model: it writes the bundle and the manifest, whose Weights and SchemaVersion it fills in. The
// folder may be there; these files in it are replaced.
func Create(path string, b *bundle.Bundle, m Manifest) error {
	set, err := b.Weights()
	if err != nil {
		return err
	}
	m.SchemaVersion, m.Weights = SchemaVersion, set.Checksum()
	text, err := anynumber.MarshalIndent(m, "  ")
	if err != nil {
		return fmt.Errorf("adapt: save %s: %w", path, err)
	}
	if err := b.Replace(filepath.Join(path, ModelFolder)); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(path, ManifestFile), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// SaveState writes state and progress of an adapter into its folder: the old ones or the new ones are there, at any moment.
func SaveState(path string, a Adapter, p Progress) error {
	state, err := a.State()
	if err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("adapt: save %s: %w", path, err)
	}
	list := make([]safetensors.Tensor, len(state))
	for i, t := range state {
		list[i] = safetensors.Tensor{Name: t.Name, DType: safetensors.F32, Shape: t.Shape, Open: func() (io.Reader, error) {
			raw, err := binary.Append(nil, binary.LittleEndian, t.Values)
			return bytes.NewReader(raw), err
		}}
	}
	return safetensors.WriteFile(filepath.Join(path, StateFile), list, map[string]string{"format": "ballast", progressKey: string(text)})
}

// Saved is what the folder of an adapter holds.
type Saved struct {
	Path     string
	Manifest Manifest
	Bundle   *bundle.Bundle // the model as it was
	Progress Progress

	state weights.Set // nil = that of the start
}

// Open reads the folder of an adapter. What is wrong with a file is bad input (fault.IsInput). mine is where names of a program's own are
// looked up. The folder may be from a stranger, as bundle.Open says it.
func Open(path string, mine ...own.Registry) (*Saved, error) {
	s := &Saved{Path: path}
	manifest, err := untrusted.Inside(path, ManifestFile)
	if err != nil {
		return nil, err
	}
	text, err := untrusted.ReadFilled(manifest, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Input{File: path, Err: errors.New("there is no adapter here, " + ManifestFile + " is missing"), Fix: `name a folder that "ballast adapt" has written`}
	}
	if err != nil {
		return nil, err
	}
	if err := strict.DecodeOwn(text, &s.Manifest, own.Join(mine)); err != nil {
		var misuse *choice.Misuse
		if errors.As(err, &misuse) {
			return nil, fmt.Errorf("adapt: open %s: %w", path, misuse)
		}
		return nil, &fault.Input{File: manifest, Err: err}
	}
	if err := s.Manifest.Validate(); err != nil {
		return nil, &fault.Input{File: manifest, Err: err}
	}

	folder, err := untrusted.Inside(path, ModelFolder)
	if err != nil {
		return nil, err
	}
	if s.Bundle, err = bundle.Open(folder, mine...); err != nil {
		return nil, err
	}
	set, err := s.Bundle.Weights()
	if err != nil {
		return nil, err
	}
	if set.Checksum() != s.Manifest.Weights {
		return nil, &fault.Input{
			File: filepath.Join(folder, bundle.WeightsFile), Err: errors.New("the weights are not those that were adapted: their checksum is another than in " + ManifestFile),
			Fix: "adapt this model anew",
		}
	}
	return s, s.readState()
}

// readState reads state and progress; without a file the adapter is as it was started.
func (s *Saved) readState() (err error) {
	path, err := untrusted.Inside(s.Path, StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	text := file.Metadata()[progressKey]
	if len(text) > maxManifest {
		return &fault.Input{File: path, Field: progressKey, Err: fmt.Errorf("it has %d bytes; want at most %d", len(text), maxManifest)}
	}
	if err := strict.Decode([]byte(text), &s.Progress); err != nil {
		return &fault.Input{File: path, Field: progressKey, Err: err, Fix: "adapt the model anew"}
	}
	if err := s.Progress.check(len(s.Bundle.Manifest.Labels)); err != nil {
		return &fault.Input{File: path, Field: progressKey, Err: err, Fix: "adapt the model anew"}
	}
	s.state = weights.Set{}
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		if info.DType != safetensors.F32 {
			return &fault.Input{File: path, Field: name, Err: fmt.Errorf("the tensor is %s; want %s", info.DType, safetensors.F32)}
		}
		raw, err := file.Bytes(name)
		if err != nil {
			return err
		}
		values := make([]float32, len(raw)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		s.state = append(s.state, weights.Tensor{Name: name, Shape: info.Shape, Values: values})
	}
	return nil
}

// check says what a progress cannot be.
func (p Progress) check(classes int) error {
	least := min(p.Examples, p.Labelled, p.Right, p.RightBefore)
	if least < 0 || p.Labelled > p.Examples || max(p.Right, p.RightBefore) > p.Labelled {
		return fmt.Errorf("%d examples, %d labelled, %d and %d right", p.Examples, p.Labelled, p.Right, p.RightBefore)
	}
	for _, n := range []int{len(p.Answers), len(p.AnswersBefore), len(p.Recent), len(p.RecentExpected)} {
		if n != len(p.Answers) || n > 0 && classes > 0 && n%classes != 0 {
			return fmt.Errorf("answers of %d classes, the model has %d", n, classes)
		}
	}
	return nil
}

// Files are the paths of the files, those that are there.
func (s *Saved) Files() []string {
	var paths []string
	for _, name := range Files {
		path := filepath.Join(s.Path, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// Start starts the adapter where it was saved. Close it.
func (s *Saved) Start(e *engine.Engine) (Adapter, error) {
	a, err := s.Manifest.Method.Start(Model{Bundle: s.Bundle, Engine: e, Batch: s.Manifest.Batch, Seed: s.Manifest.Seed})
	if err != nil {
		return nil, err
	}
	if err := s.Restore(a); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Restore gives an adapter that Start has made the state that was saved.
func (s *Saved) Restore(a Adapter) error {
	if s.state == nil {
		return a.Reset()
	}
	begun, err := a.State()
	if err != nil {
		return err
	}
	ordered := make(weights.Set, 0, len(s.state)) // files sort names otherwise than adapters may
	for _, t := range begun {
		if found, ok := s.state.Find(t.Name); ok {
			ordered = append(ordered, found)
		}
	}
	for _, t := range s.state {
		if _, ok := begun.Find(t.Name); !ok {
			ordered = append(ordered, t)
		}
	}
	if err := a.SetState(ordered); err != nil {
		var bad *fault.Input
		if errors.As(err, &bad) {
			return &fault.Input{File: filepath.Join(s.Path, StateFile), Field: bad.Field, Err: bad.Err, Fix: "adapt the model anew"}
		}
		return err
	}
	return nil
}

// Describe is the method with its options, for people: "alpha-bn source_weight=0.9". What is at its default and no number is left out.
func Describe(m Method) string {
	fields := optionsOf(m)
	defaults := map[string]json.RawMessage{}
	for _, k := range All() {
		if k.Name == Name(m) {
			defaults = optionsOf(k.New())
		}
	}
	words := []string{Name(m)}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value := string(fields[key])
		if _, err := strconv.ParseFloat(value, 64); err == nil || value != string(defaults[key]) {
			words = append(words, key+"="+strings.Trim(value, `"`))
		}
	}
	return strings.Join(words, " ")
}

// optionsOf are the options of a method as JSON has them, without its name.
func optionsOf(m Method) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	if text, err := (Choice{m}).MarshalJSON(); err == nil {
		_ = json.Unmarshal(text, &fields) // it is an object, or there are none
	}
	delete(fields, "name")
	return fields
}
