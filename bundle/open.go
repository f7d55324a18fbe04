package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/own"
)

// maxManifest is the most bytes of ballast.json that are read: with 20,000 labels it has 1 MB.
const maxManifest = 8 << 20

// Is reports whether a path is the folder of a bundle: it holds a manifest, whether or not that can be read.
func Is(path string) bool {
	_, err := os.Stat(filepath.Join(path, ManifestFile))
	return err == nil
}

// Open reads a bundle folder and checks it: the manifest strictly, and each tensor's name, shape and type against the
// network. What is wrong with a file is bad input (fault.IsInput): a *fault.Input that names file, place and fix, or a *format.Error
// where the file of weights is damaged. A model file of another format is a *ForeignError, which says what it is and what is missing
// for running it.
//
// mine is where the names of the program's own norms, networks and so on are looked up, see package own: a bundle that names one opens
// with the registry that it was trained with. Without it, the error names it.
//
// The folder may be from a stranger: files that are pipes or devices, or links out of the folder, are refused, and the memory taken
// follows the sizes of the files, whatever sizes the manifest names. Nothing in it is run.
func Open(path string, mine ...own.Registry) (*Bundle, error) {
	path = durable.Current(path)
	m, manifestPath, err := openManifest(path, own.Join(mine))
	if err != nil {
		return nil, err
	}
	b := &Bundle{Manifest: m, Store: model.NewStore()}
	return b, b.load(path, manifestPath)
}

// OpenManifest reads the manifest of a bundle folder as Open does, without its weights.
func OpenManifest(path string, mine ...own.Registry) (Manifest, error) {
	m, _, err := openManifest(durable.Current(path), own.Join(mine))
	return m, err
}

// openManifest reads and checks the manifest of a folder, and returns where it is.
func openManifest(path string, mine own.Registry) (m Manifest, manifestPath string, err error) {
	if stat, err := os.Stat(path); err == nil && !stat.IsDir() {
		return m, "", noManifest(path, fs.ErrNotExist)
	}
	manifestPath, err = untrusted.Inside(path, ManifestFile)
	var text []byte
	if err == nil {
		text, err = untrusted.ReadFilled(manifestPath, maxManifest)
	}
	var refused *untrusted.Error
	if errors.As(err, &refused) {
		return m, "", refused
	}
	if err != nil {
		return m, "", noManifest(path, err)
	}
	m = Manifest{Calibration: Uncalibrated()}
	if err := strict.DecodeOwn(text, &m, mine); err != nil {
		var misuse *choice.Misuse
		if errors.As(err, &misuse) { // the registry is at fault, and not the file
			return m, "", fmt.Errorf("bundle: open %s: %w", path, misuse)
		}
		return m, "", &fault.Input{File: manifestPath, Err: err, Fix: missingFix(err)}
	}
	if err := m.Validate(); err != nil {
		return m, "", badManifest(manifestPath, "", err, "")
	}
	return m, manifestPath, nil
}

// missingFix is the fix for a name that nothing has; "" for other errors.
func missingFix(err error) string {
	missing, ok := choice.Missing(err)
	if !ok {
		return ""
	}
	return fmt.Sprintf("correct the name; or, if %s is a %s of the program that trained the model, open it in Go with that: bundle.Open(path, own.Registry{...})",
		strict.Short(missing.Name), missing.What)
}

// load declares the network's variables with the values of the weights file.
func (b *Bundle) load(path, manifestPath string) (err error) {
	weightsPath, err := untrusted.Inside(path, WeightsFile)
	if err != nil {
		return err
	}
	file, err := safetensors.Open(weightsPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	// The graph of the network says which tensors it needs. It is built, not run, so the engine every build has will do.
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		return err
	}
	defer e.Close()
	param.From(b.Store, tensorsOf(weightsPath, file))
	err = b.Declare(e.Backend)
	param.From(b.Store, nil)
	var bad *fault.Input
	if errors.As(err, &bad) { // of the weights
		return bad
	}
	if err != nil {
		return badManifest(manifestPath, "network", err, "correct network or input_shape")
	}
	return leftOver(weightsPath, file, b.Variables())
}

// badManifest is what is wrong with a manifest, or with the machine's memory.
func badManifest(path, field string, err error, fix string) error {
	var short *memory.Error
	if errors.As(err, &short) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return &fault.Input{File: path, Field: field, Err: err, Fix: fix}
}

// noManifest says what a path without a manifest is.
func noManifest(path string, err error) error {
	if _, statErr := os.Stat(filepath.Join(path, AdapterFile)); statErr == nil && errors.Is(err, fs.ErrNotExist) {
		return &fault.Input{
			File: path, Err: errors.New("it is an adapter, which evaluate and run take alone"),
			Fix: "name the model that was adapted, " + filepath.Join(path, "model"),
		}
	}
	if stat, statErr := os.Stat(path); statErr == nil {
		foreign, foreignErr := Identify(path)
		switch {
		case foreignErr == nil && foreign.Architecture != bundleWeights:
			return &ForeignError{*foreign}
		case foreignErr != nil && (!stat.IsDir() || !errors.Is(foreignErr, weights.ErrKind)): // damaged, refused, or no model at all
			return foreignErr
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no model here, " + ManifestFile + " is missing")
	}
	return &fault.Input{File: path, Err: err, Fix: `name a folder that "ballast train" has written`}
}
