package tuned

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// MergeFiles are the manifest and the card that make the output of a merge a bundle, where all that is merged are bundles of one network
// whose inputs, preprocessing and labels agree; see bundle.Merged. Otherwise it is weights alone, and a note says why; of inputs among
// which there is no bundle nothing is said. It is the Beside of checkpoint.Options.
func MergeFiles(method string, inputs []*checkpoint.Input, tensors []checkpoint.Tensor) (files map[string][]byte, notes []string, err error) {
	alone := func(format string, args ...any) (map[string][]byte, []string, error) {
		return nil, []string{"the output is weights alone, which evaluate cannot run: " + fmt.Sprintf(format, args...)}, nil
	}
	var sources []bundle.Source
	var names []string
	other := ""
	for _, in := range inputs {
		names = append(names, in.Model)
		dir := filepath.Dir(in.Path)
		if filepath.Base(in.Path) != bundle.WeightsFile || !bundle.Is(dir) {
			other = in.Model
			continue
		}
		m, err := bundle.OpenManifest(dir)
		if err != nil {
			return alone("%v", err)
		}
		sources = append(sources, bundle.Source{Name: in.Model, Manifest: m})
	}
	switch {
	case len(sources) == 0:
		return nil, nil, nil
	case other != "":
		return alone("%s is not a model that Ballast wrote", printable.Line(other))
	}

	m, notes, against := bundle.Merged(sources, fmt.Sprintf("merge: %s of %d models: %s", method, len(names), strings.Join(names, ", ")))
	if against != "" {
		return alone("%s", against)
	}
	same, err := sameTensors(inputs[0].Path, tensors)
	if err != nil {
		return nil, nil, err
	}
	if !same {
		return alone("its tensors have other names, shapes or types than those of %s", printable.Line(inputs[0].Model))
	}
	files, err = m.Texts()
	return files, notes, err
}

// sameTensors reports whether a file has these tensors and no others.
func sameTensors(path string, tensors []checkpoint.Tensor) (same bool, err error) {
	f, err := weights.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if len(f.Tensors()) != len(tensors) {
		return false, nil
	}
	for _, t := range tensors {
		info, ok := f.Info(t.Name)
		if !ok || info.Type != t.Type || !slices.Equal(info.Shape, t.Shape) {
			return false, nil
		}
	}
	return true, nil
}
