package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Verification is the result of Verify for one file.
type Verification struct {
	File   string `json:"file"`
	Role   string `json:"role"`   // output or input
	Status string `json:"status"` // ok, missing, or what differs
}

// OK reports whether a file matches the manifest. An input that no longer exists is not an error.
func (v Verification) OK() bool {
	return v.Status == "ok" || v.Role == "input" && v.Status == "missing"
}

// Damaged returns an error about the first file that is not as the manifest says, nil if all are. path is what was verified.
func Damaged(path string, list []Verification) error {
	for _, v := range list {
		if !v.OK() {
			return &fault.Input{File: path, Field: v.File, Err: errors.New(v.Status), Fix: "the file is damaged or was changed: merge again"}
		}
	}
	return nil
}

// maxManifest bounds a manifest; one of a thousand files has 200 kB.
const maxManifest = 16 << 20

// Verify compares the files of a merged model with its manifest. path is its folder, its file, or the manifest. Where inputs names a folder,
// the files that were merged are compared too, those that are still there, at the paths at which they were merged. A stranger's manifest can
// say any path, so they must lie in that folder, links followed, and of those that differ no more is said than that.
func Verify(ctx context.Context, path, inputs string) (Manifest, []Verification, error) {
	file := path
	if stat, err := os.Stat(path); err == nil && stat.IsDir() {
		file = filepath.Join(path, ManifestFile)
	} else if !strings.HasSuffix(path, ManifestFile) {
		file = manifestOf(path)
	}
	m, err := readManifest(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = &fault.Input{File: path, Err: fmt.Errorf("it has no manifest: %w", fs.ErrNotExist), Fix: "name the output of ballast merge"}
	}
	if err != nil {
		return m, nil, err
	}
	from := make([]string, len(m.Inputs))
	if inputs != "" {
		for i, in := range m.Inputs {
			if from[i], err = inFolder(inputs, in.File); err != nil {
				return m, nil, &fault.Input{File: file, Field: "inputs", Err: err, Fix: "name the folder that holds the models that were merged, or leave the inputs out"}
			}
		}
	}
	if err := m.wellFormed(file); err != nil {
		return m, nil, err
	}

	var list []Verification
	buffer := make([]byte, copyBuffer)
	for _, o := range m.Outputs {
		path, err := untrusted.Inside(filepath.Dir(file), o.File)
		if err != nil {
			return m, nil, &fault.Input{File: file, Field: "outputs", Err: fmt.Errorf("%q lies outside its folder", strict.Short(o.File)), Fix: "do not trust it"}
		}
		status, err := compare(ctx, path, o.Bytes, o.SHA256, buffer, false)
		if err != nil {
			return m, nil, err
		}
		list = append(list, Verification{File: o.File, Role: "output", Status: status})
	}
	if inputs == "" {
		return m, list, nil
	}
	for i, in := range m.Inputs {
		status, err := compare(ctx, from[i], in.Bytes, in.SHA256, buffer, true)
		if err != nil {
			return m, nil, err
		}
		list = append(list, Verification{File: in.File, Role: "input", Status: status})
	}
	return m, list, nil
}

// wellFormed refuses a manifest whose sizes and checksums are none.
func (m Manifest) wellFormed(file string) error {
	bad := func(field, name, what string) error {
		return &fault.Input{File: file, Field: field, Err: fmt.Errorf("%q %s", strict.Short(name), what), Fix: "do not trust it"}
	}
	for _, o := range m.Outputs {
		if !isSum(o.SHA256) || o.Bytes < 0 {
			return bad("outputs", o.File, "has no SHA-256 or size")
		}
	}
	for _, in := range m.Inputs {
		if !isSum(in.SHA256) || in.Bytes < 0 {
			return bad("inputs", in.File, "has no SHA-256 or size")
		}
	}
	return nil
}

// inFolder is the path of an input, relative ones counted from the current folder, if it lies in dir, links followed.
func inFolder(dir, name string) (string, error) {
	where := dir
	if dir == "." {
		where = "the current folder"
	}
	outside := fmt.Errorf("%q lies outside %s", strict.Short(name), where)
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return "", err
	}
	abs, err := filepath.Abs(filepath.FromSlash(name))
	if err != nil {
		return "", err
	}
	// The folder may be named by way of a link, as the current one often is; the file itself may be gone.
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(real, filepath.Base(abs))
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil {
		return "", outside
	}
	path, err := untrusted.Inside(root, filepath.ToSlash(rel))
	if err != nil {
		return "", outside
	}
	return path, nil
}

func isSum(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == sha256.Size
}

// compare says how a file differs from what a manifest says of it: ok, missing, another size or sum. Only a regular file of the very
// size is read.
func compare(ctx context.Context, path string, bytes int64, sum string, buffer []byte, input bool) (string, error) {
	f, err := untrusted.Open(path)
	var refused *untrusted.Error
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "missing", nil
	case errors.As(err, &refused):
		return "no regular file", nil
	case err != nil:
		return "", fmt.Errorf("merge: %w", err)
	}

	stat, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("merge: %w", err)
	}
	if stat.Size() != bytes {
		if input {
			return "it has another size", nil
		}
		return fmt.Sprintf("%d bytes, want %d", stat.Size(), bytes), nil
	}

	got, size, err := hashFile(ctx, path, buffer, nil)
	switch {
	case err != nil:
		return "", err
	case size == bytes && got == strings.ToLower(sum):
		return "ok", nil
	case input:
		return "it has another SHA-256", nil
	}
	return fmt.Sprintf("sha256 %s, want %s", got, sum), nil
}
