package onnx

import (
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// dataPath is the path of a file of external data, which must lie in the model's folder, links followed. Where the model itself is a link,
// as in caches that keep all files under their checksums, its data may be one into the folder of the file that the model leads to.
func dataPath(file, location string) (string, error) {
	dir := filepath.Dir(file)
	path, refused := untrusted.Inside(dir, location)
	if refused == nil || untrusted.NoLink(file) == nil || !filepath.IsLocal(filepath.FromSlash(location)) {
		return path, refused
	}
	model, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", refused
	}
	data, err := filepath.EvalSymlinks(filepath.Join(dir, filepath.FromSlash(location)))
	if err != nil || filepath.Dir(data) != filepath.Dir(model) {
		return "", refused
	}
	return filepath.Join(dir, filepath.FromSlash(location)), nil
}
