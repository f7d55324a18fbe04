package preprocess

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// maxFile is the most bytes of a file of settings that are read; a timm config with 21,000 labels has 1.5 MB.
const maxFile = 4 << 20

// Parse reads what a user says: the name of a preset, settings as YAML or JSON ("{preset: imagenet, size: 96}"), or the path of a file that
// has such settings, or is a preprocessor_config.json of transformers or a config.json of timm. Settings are written over the preset that
// they name, 0-1 where they name none. An unknown preset or key is a usage error that names the nearest.
func Parse(text string) (Preprocess, error) {
	if slices.Contains(Presets(), text) {
		return New(text)
	}
	if strings.ContainsAny(text, "{:\n") && !isFile(text) {
		p, err := ParseSettings([]byte(text))
		if err != nil {
			return p, &fault.Usage{Err: fmt.Errorf("--preprocess: %w", err)}
		}
		p.Source = "--preprocess"
		return p, nil
	}
	if !isFile(text) && !strings.ContainsAny(text, "./\\") {
		err := choice.NewUnknown("preset", text, Presets())
		return Preprocess{}, &fault.Usage{Err: fmt.Errorf("--preprocess: %w; or give settings, as in '{preset: imagenet, size: 96}', or a file", err)}
	}
	return FromFile(text)
}

// isFile reports whether something is there.
func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// ParseSettings reads settings as YAML or JSON.
func ParseSettings(text []byte) (Preprocess, error) {
	m, err := strict.Settings(text)
	if err != nil {
		return Preprocess{}, err
	}
	return fromMap(m)
}

// fromMap writes settings over a preset.
func fromMap(m map[string]any) (Preprocess, error) {
	preset := "0-1"
	if given, ok := m["preset"]; ok {
		name, err := json.Marshal(strict.Plain(given))
		if err != nil || json.Unmarshal(name, &preset) != nil {
			return Preprocess{}, fmt.Errorf("preset is %v; use %s", given, strings.Join(Presets(), ", "))
		}
	}
	p, err := New(preset)
	if err != nil {
		return p, err
	}
	for _, key := range []string{"resize", "crop", "size", "mean", "std"} { // one number stands for a list of one
		if v, ok := m[key]; ok {
			if _, list := strict.Plain(v).([]any); !list && v != nil {
				m[key] = []any{v}
			}
		}
	}
	if err := strict.DecodeMap(m, &p); err != nil {
		return p, err
	}
	if p.Fit == FitCrop && p.CropPct == 0 {
		p.CropPct = 0.875
	}
	return p, p.Validate()
}

// FromFile reads a file of settings, or one that transformers or timm wrote.
func FromFile(path string) (Preprocess, error) {
	text, err := untrusted.ReadFilled(path, maxFile)
	if err != nil {
		return Preprocess{}, &fault.Input{File: path, Err: untrusted.Reason(err), Fix: "name a preset (" + strings.Join(Presets(), ", ") + "), or a file of settings"}
	}
	p, known, err := ParseConfig(text)
	if !known && err == nil {
		p, err = ParseSettings(text)
	}
	if err != nil {
		return p, &fault.Input{File: path, Err: err, Fix: "correct it, or name a preset: " + strings.Join(Presets(), ", ")}
	}
	p.Source = filepath.Base(path)
	return p, nil
}

// FromFolder reads what stands beside a model: preprocessor_config.json of transformers, else the pretrained_cfg in timm's config.json. found
// is false where there is neither.
func FromFolder(dir string) (p Preprocess, found bool, err error) {
	for _, name := range []string{"preprocessor_config.json", "config.json"} {
		path, err := untrusted.Inside(dir, name)
		if err != nil {
			return p, false, err
		}
		text, err := untrusted.ReadFilled(path, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return p, false, &fault.Input{File: path, Err: untrusted.Reason(err)}
		}
		p, known, err := ParseConfig(text)
		if err != nil {
			return p, false, &fault.Input{File: path, Err: err, Fix: "name a preprocessing with --preprocess"}
		}
		if known {
			p.Source = name
			return p, true, nil
		}
	}
	return p, false, nil
}
