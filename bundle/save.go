package bundle

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/durable"
)

// Save writes the bundle as a folder, whole or not at all: an older bundle at path is replaced only when the new one is
// complete and synced, and a crash in between leaves the old one.
func (b *Bundle) Save(path string) error {
	if err := b.Manifest.Validate(); err != nil {
		return fmt.Errorf("bundle: save %s: %w", path, err)
	}
	manifest, err := json.MarshalIndent(b.Manifest, "", "  ")
	if err != nil {
		return fmt.Errorf("bundle: save %s: %w", path, err)
	}
	err = durable.WriteDir(path, func(tmp string) error {
		if err := WriteTensors(filepath.Join(tmp, WeightsFile), b.Variables()); err != nil {
			return err
		}
		for name, content := range map[string]string{ManifestFile: string(manifest) + "\n", CardFile: b.Manifest.card()} {
			err := durable.WriteFile(filepath.Join(tmp, name), func(w io.Writer) error {
				_, err := io.WriteString(w, content)
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
