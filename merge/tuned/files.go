package tuned

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/own"
)

// Load reads the floating tensors of a bundle, in the order of its network, or of any model file, as weights.Load does. mine is what
// bundle.Open takes, here and in the other functions.
func Load(path string, mine ...own.Registry) (weights.Set, error) {
	if !bundle.Is(path) {
		return weights.Load(path)
	}
	b, err := bundle.Open(path, mine...)
	if err != nil {
		return nil, err
	}
	defer b.Store.Finalize()
	return b.Weights()
}

// appliedKey is where a weight file keeps which signatures are on it.
const appliedKey = "ballast.signatures"

// derivedMark begins the line of a bundle's provenance that keeps the same.
const derivedMark = "signature: applied "

// AppliedTo returns the signatures that a model on the disk says are on it.
func AppliedTo(path string, mine ...own.Registry) ([]signature.Applied, error) {
	text, err := appliedText(path, mine)
	if err != nil || text == "" {
		return nil, err
	}
	var list []signature.Applied
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, &fault.Input{File: path, Field: appliedKey, Err: err, Fix: "use the clean model"}
	}
	return list, nil
}

// appliedText is the newest record of signatures in a model, "" without one.
func appliedText(path string, mine []own.Registry) (text string, err error) {
	if !bundle.Is(path) {
		f, err := weights.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close() //nolint:errcheck // it was only read
		return f.Metadata()[appliedKey], nil
	}
	b, err := bundle.Open(path, mine...)
	if err != nil {
		return "", err
	}
	defer b.Store.Finalize()
	for _, line := range b.Manifest.Provenance.Derived {
		if rest, ok := strings.CutPrefix(line, derivedMark); ok {
			text = rest
		}
	}
	return text, nil
}

// SaveLike writes weights into the folder out as a model of the kind that the path holds: a bundle, or a safetensors file with the other
// tensors as they were. applied is noted in it, for AppliedTo.
func SaveLike(path, out string, set weights.Set, applied []signature.Applied, mine ...own.Registry) error {
	if applied == nil {
		applied = []signature.Applied{} // an empty record takes the place of an older one
	}
	record, err := json.Marshal(applied)
	if err != nil {
		return err
	}
	if bundle.Is(path) {
		return saveBundle(path, out, set, string(record), mine)
	}
	return saveFile(path, out, set, string(record))
}

func saveBundle(path, out string, set weights.Set, record string, mine []own.Registry) error {
	b, err := bundle.Open(path, mine...)
	if err != nil {
		return err
	}
	defer b.Store.Finalize()
	if err := b.SetWeights(set); err != nil {
		return err
	}

	b.Manifest.Metrics = nil // they were measured without
	b.Manifest.Provenance.Created = time.Now().UTC()
	b.Manifest.Provenance.Derived = append(slices.Clone(b.Manifest.Provenance.Derived), derivedMark+record)
	return b.Save(out)
}

func saveFile(path, out string, set weights.Set, record string) error {
	f, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	ours := f.Kind() == weights.Safetensors || f.Kind() == weights.Sharded

	var list []safetensors.Tensor
	for _, info := range f.Tensors() {
		t, ok := set.Find(info.Name)
		switch {
		case ok:
			raw, to, err := rounded(info, t.Values)
			if err != nil {
				return err
			}
			list = append(list, safetensors.Tensor{Name: info.Name, DType: safetensors.DType(to), Shape: info.Shape, Data: raw})
		case ours: // counters of other formats have no name in a safetensors file
			raw := make([]byte, info.Bytes)
			if err := f.ReadBytes(info.Name, 0, raw); err != nil {
				return err
			}
			list = append(list, safetensors.Tensor{Name: info.Name, DType: safetensors.DType(info.Type), Shape: info.Shape, Data: raw})
		}
	}

	metadata := map[string]string{"format": "pt"}
	if f.Kind() == weights.Safetensors {
		metadata = maps.Clone(f.Metadata())
	}
	metadata[appliedKey] = record
	return durable.WriteDir(out, durable.Marked(false), func(tmp string) error {
		return safetensors.WriteFile(filepath.Join(tmp, "model.safetensors"), list, metadata)
	})
}

// rounded is values in the type that a tensor has in its file, F32 where safetensors has none like it.
func rounded(info weights.Info, values []float32) (raw []byte, to string, err error) {
	to = "F32"
	if weights.Width(info.Type) > 0 {
		to = info.Type
	}
	raw = make([]byte, len(values)*weights.Width(to))
	if overflowed, err := weights.Round(raw, to, values); err != nil || overflowed > 0 {
		return nil, "", errors.Join(err, fmt.Errorf("signature: %s: %d values are too large for %s", info.Name, overflowed, to))
	}
	return raw, to, nil
}
