package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Estimate is what a plan will take, by small trials on this machine.
type Estimate struct {
	Free    int64   `json:"free_bytes"` // on the disk of the output; 0 = unknown
	Seconds float64 `json:"seconds"`
}

// Estimate tries reading, hashing and writing for a moment, and says how long the merge will take.
func (p *Plan) Estimate() (Estimate, error) {
	const trial = 8 << 20
	parent := filepath.Dir(filepath.Clean(p.Out))
	for !exists(parent) {
		parent = filepath.Dir(parent)
	}

	e := Estimate{Free: freeBytes(parent)}
	f, err := os.CreateTemp(parent, ".ballast-trial.tmp-*")
	if err != nil {
		return e, fmt.Errorf("merge: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // an empty trial that stays does no harm
	defer f.Close()
	content := make([]byte, trial)
	began := time.Now()
	if _, err := f.Write(content); err != nil {
		return e, fmt.Errorf("merge: %w", err)
	}
	if err := f.Sync(); err != nil {
		return e, fmt.Errorf("merge: %w", err)
	}
	writing := time.Since(began).Seconds() / trial
	began = time.Now()
	sha256.Sum256(content)
	hashing := time.Since(began).Seconds() / trial
	size := int64(0)
	for _, in := range p.Inputs {
		size += in.Bytes
	}

	merging := 1e-9 * float64(1+p.Method.Passes) * float64(p.Read) / float64(p.options.Threads)
	e.Seconds = max(writing*float64(p.Write), (hashing*float64(size+p.Write))/float64(min(2, p.options.Threads))) + merging
	return e, nil
}
