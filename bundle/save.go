package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/anynumber"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Save writes the bundle as a folder, whole or not at all. The folder must be new or empty: what is there is never replaced.
func (b *Bundle) Save(path string) error { return b.save(path, durable.Permit{Owns: Owns}) }

// Replace is Save where path may hold a bundle and nothing else: it is replaced when the new one is complete and synced, and a
// crash in between leaves the old one.
func (b *Bundle) Replace(path string) error {
	return b.save(path, durable.Permit{Overwrite: true, Owns: Owns})
}

// Owns returns nil if the folder dir holds a bundle that Ballast wrote and nothing else; else an error names what it holds.
func Owns(dir string) error {
	text, err := untrusted.ReadFileNoLink(filepath.Join(dir, ManifestFile), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it holds no bundle")
	}
	if err != nil {
		return err
	}
	var m struct {
		SchemaVersion int `json:"schema_version"`
	}
	if json.Unmarshal(text, &m) != nil || m.SchemaVersion < 1 {
		return fmt.Errorf("its %s was not written by Ballast", ManifestFile)
	}
	return durable.Only(Files...)(dir)
}

// Texts are the files of a bundle beside its weights, by their names: the manifest and the card.
func (m Manifest) Texts() (map[string][]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if !m.Calibration.Plain() {
		m.SchemaVersion = SchemaVersion
	}
	manifest, err := anynumber.MarshalIndent(m, "  ")
	if err != nil {
		return nil, err
	}
	if len(manifest) >= maxManifest {
		return nil, fmt.Errorf("the manifest has %d bytes, and %d are read; a calibration of so many classes needs a method with fewer numbers, such as temperature or vector",
			len(manifest), maxManifest)
	}
	return map[string][]byte{ManifestFile: append(manifest, '\n'), CardFile: []byte(m.card())}, nil
}

// Files are the files of a bundle.
var Files = []string{ManifestFile, WeightsFile, CardFile}

func (b *Bundle) save(path string, allowed durable.Permit) error {
	texts, err := b.Manifest.Texts()
	if err != nil {
		return fmt.Errorf("bundle: save %s: %w", path, err)
	}
	err = durable.WriteDir(path, allowed, func(tmp string) error {
		if err := WriteTensors(filepath.Join(tmp, WeightsFile), b.Variables()); err != nil {
			return err
		}
		for name, content := range texts {
			err := durable.WriteFile(filepath.Join(tmp, name), func(w io.Writer) error {
				_, err := w.Write(content)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("bundle: save %s: %w", path, err)
	}
	return nil
}
