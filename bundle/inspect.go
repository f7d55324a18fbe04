package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/hf"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/own"
	"github.com/ballast-ml/ballast/zoo"
)

// Inspection is everything that can be said about a model without running it.
type Inspection struct {
	Foreign
	Bundle     *Manifest         `json:"bundle,omitempty"` // set if it is a bundle; Kind is then "bundle"
	Runs       bool              `json:"runs"`             // "ballast run" takes it
	Files      []FileSum         `json:"files"`            // that hold the weights
	Companions []string          `json:"companions"`       // config, tokenizer, card beside them
	Licence    string            `json:"licence,omitempty"`
	Metadata   map[string]string `json:"metadata"`
	Notes      []string          `json:"notes"`
	List       []weights.Info    `json:"list"` // every tensor, in the order of the data, then those that cannot be read
}

// FileSum is a file with its checksum.
type FileSum struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// KindBundle is the kind of Ballast's own models.
const KindBundle weights.Kind = "bundle"

// Inspect opens a bundle or a model file of any format, reads every file once for its checksum, and describes what it found.
// progress is told of the bytes read; it may be nil. mine is what Open takes.
func Inspect(ctx context.Context, path string, progress func(done, total int64), mine ...own.Registry) (*Inspection, error) {
	in := &Inspection{Companions: []string{}}
	opened := path
	if _, err := os.Stat(filepath.Join(path, ManifestFile)); err == nil {
		b, err := Open(path, mine...)
		if err != nil {
			return nil, err
		}
		in.Bundle = &b.Manifest
		opened = filepath.Join(path, WeightsFile)
	}
	file, err := weights.OpenStored(opened)
	if err != nil {
		return nil, notOne(path, err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	in.List = file.Tensors()
	foreign, err := identify(path, file, in.List)
	if err != nil {
		return nil, err
	}
	in.Foreign, in.Metadata = *foreign, file.Metadata()
	in.List = append(in.List, weights.Unlisted(file)...)
	in.Notes = append([]string{}, weights.Notes(file)...)
	if in.Graph != nil {
		in.Notes = append(in.Notes, in.Graph.notes()...)
	}
	if in.Graph != nil && in.Graph.Runs {
		in.Runs, in.Missing = true, []string{}
	}
	if in.Bundle != nil {
		in.Kind, in.Runs = KindBundle, true
		in.Architecture, in.Because = zoo.Name(in.Bundle.Network.Network), ManifestFile
		in.Missing, in.Fix = []string{}, ""
	}
	if err := in.beside(path); err != nil {
		return nil, err
	}
	if in.Files, err = Sums(ctx, weights.Files(file), progress); err != nil {
		return nil, err
	}
	return in, weights.Verify(ctx, file)
}

// notOne makes the error for a file of no kind that is known one that the caller may show.
func notOne(path string, err error) error {
	var bad interface{ BadInput() bool }
	if errors.Is(err, os.ErrNotExist) || errors.As(err, &bad) {
		return err
	}
	return &fault.Input{File: path, Err: err}
}

// beside lists the files of a model's folder. They are extras, so a folder that cannot be read is no failure; one that holds links out
// of it, or pipes, is.
func (in *Inspection) beside(path string) error {
	dir := filepath.Dir(in.File)
	if stat, err := os.Stat(path); err == nil && stat.IsDir() {
		dir = path
	} else if _, err := os.Stat(filepath.Join(dir, hf.ConfigFile)); err != nil {
		return nil
	}
	names, err := hf.Companions(dir)
	if refused := new(untrusted.Error); errors.As(err, &refused) {
		return err
	}
	in.Companions = append(in.Companions, names...)
	if card, err := hf.LoadCard(filepath.Join(dir, hf.CardFile)); err == nil {
		in.Licence = card.Licence
	}
	return nil
}

// Checksums reads the files of a bundle's folder that its answers depend on, the manifest and the weights, for their checksums.
func Checksums(ctx context.Context, dir string) ([]FileSum, error) {
	dir = durable.Current(dir)
	var paths []string
	for _, name := range []string{ManifestFile, WeightsFile} {
		path, err := untrusted.Inside(dir, name)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return Sums(ctx, paths, nil)
}

// Sums reads files for their checksums. progress is told of the bytes read; it may be nil.
func Sums(ctx context.Context, paths []string, progress func(done, total int64)) ([]FileSum, error) {
	out := make([]FileSum, len(paths))
	total, done := int64(0), int64(0)
	for i, path := range paths {
		stat, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		out[i] = FileSum{Path: path, Bytes: stat.Size()}
		total += stat.Size()
	}
	for i, path := range paths {
		f, err := untrusted.Open(path)
		if err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		h := sha256.New()
		buffer := make([]byte, 1<<20)
		for {
			n, err := f.Read(buffer)
			h.Write(buffer[:n])
			done += int64(n)
			if progress != nil {
				progress(done, total)
			}
			if err == nil {
				err = context.Cause(ctx)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, errors.Join(fmt.Errorf("bundle: %s: %w", path, err), f.Close())
			}
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
		out[i].SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return out, nil
}
