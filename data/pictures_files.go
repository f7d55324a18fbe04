package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// pictureFiles are pictures in files of their own.
type pictureFiles []string

var _ container = pictureFiles(nil)

// Title is the path.
func (f pictureFiles) Title(i int) string { return f[i] }

// Content reads the file.
func (f pictureFiles) Content(i int) ([]byte, error) { return picture.Read(f[i]) }

// Files is nil: each picture is a file.
func (f pictureFiles) Files() []string { return nil }

// hashFile sets the SHA-256 of a file, which is read in pieces.
func hashFile(sum *string, path string) error {
	file, err := untrusted.Open(path)
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return errors.Join(err, file.Close())
	}
	*sum = hex.EncodeToString(h.Sum(nil))
	return file.Close()
}

// OpenFiles opens files of pictures as a set of images without classes, all of label 0, in their order. channels is 1 or 3; 0 = grey if the
// first image is. Its images may have sizes of their own (Varied); Read takes those that are as large as the first.
func OpenFiles(files []string, channels int) (Dataset, error) {
	if len(files) == 0 {
		return nil, usage("data: no files of images are named")
	}
	p := &pictures{
		name: "dir:" + files[0], origin: ".", from: pictureFiles(slices.Clone(files)), labels: make([]int32, len(files)), classes: []string{"0"},
		pictureOptions: pictureOptions{channels: channels},
	}
	return p, p.ready(Opening{})
}
