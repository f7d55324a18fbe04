package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Open reads a bundle folder and checks it: the manifest strictly, and each tensor's name, shape and type against the
// network. What is wrong with a file is a *fault.Input that names file, place and mend. A model file of another format is a
// *ForeignError, which says what it is and what is missing for running it.
func Open(path string) (*Bundle, error) {
	path = durable.Current(path)
	manifestPath := filepath.Join(path, ManifestFile)
	text, err := os.ReadFile(manifestPath)
	if err != nil {
		return nil, noManifest(path, err)
	}
	b := &Bundle{Manifest: Manifest{Calibration: Calibration{Temperature: 1}}, Store: model.NewStore()}
	if err := strict.Decode(text, &b.Manifest); err != nil {
		return nil, &fault.Input{File: manifestPath, Err: err}
	}
	if err := b.Manifest.Validate(); err != nil {
		return nil, &fault.Input{File: manifestPath, Err: err}
	}
	// The graph of the network says which tensors it needs. It is built, not run, so the engine every build has will do.
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	if err := b.Declare(e.Backend); err != nil {
		return nil, &fault.Input{File: manifestPath, Field: "network", Err: err, Mend: "correct network or input_shape"}
	}
	if err := ReadTensors(filepath.Join(path, WeightsFile), b.Variables()); err != nil {
		return nil, err
	}
	return b, nil
}

// noManifest says what a path without a manifest is.
func noManifest(path string, err error) error {
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
	return &fault.Input{File: path, Err: err, Mend: `name a folder that "ballast train" has written`}
}
