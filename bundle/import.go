package bundle

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/param"
	"github.com/ballast-ml/ballast/zoo"
)

// Import makes a bundle of weights that another framework wrote, for a network that knows their names there. The manifest says all the
// rest. A tensor that is missing, left over or of another shape is a *fault.Input that names file, tensor and fix; a damaged file is a
// *format.Error.
func Import(path string, m Manifest) (b *Bundle, err error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("bundle: import %s: %w", path, err)
	}
	network, ok := m.Network.Network.(zoo.Importable)
	if !ok {
		return nil, fmt.Errorf("bundle: import %s: it is not known what %s's weights are called in files of other frameworks", path, zoo.Name(m.Network.Network))
	}
	file, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return importAs(path, file, m, network.Imports())
}

// ImportRecognized makes a bundle of a file that zoo.Recognize knows; the network of the manifest is that of r. Errors are those of Import.
func ImportRecognized(r zoo.Recognized, m Manifest) (*Bundle, error) {
	m.Network = zoo.Choice{Network: r.Network}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("bundle: import %s: %w", r.File.Path(), err)
	}
	return importAs(r.File.Path(), r.File, m, r.Imports, r.Beside...)
}

// importAs reads the values of all variables from a file.
func importAs(path string, file weights.File, m Manifest, imports []zoo.Import, beside ...string) (*Bundle, error) {
	b := &Bundle{Manifest: m, Store: model.NewStore()}
	// The graph says which variables there are; it is built, not run.
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	values, err := zoo.Values("/"+scopeName, file, imports, beside...)
	if err != nil {
		return nil, err
	}
	param.From(b.Store, values)
	err = b.Declare(e.Backend)
	param.From(b.Store, nil)
	var bad *fault.Input
	if errors.As(err, &bad) { // of the weights
		return nil, bad
	}
	if err != nil {
		return nil, fmt.Errorf("bundle: import %s: %w", path, err)
	}
	return b, nil
}
