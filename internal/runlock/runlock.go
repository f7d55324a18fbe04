// Package runlock keeps two processes out of one run folder. The lock is a file of the folder, which others may have filled.
package runlock

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Lock is a lock that this process holds until Release or its end.
type Lock struct{ held *flock.Flock }

// Busy is the error of a lock that another process holds.
type Busy struct {
	Path  string
	Owner int // number of the process; 0 = not known
}

// Error names the lock and who holds it.
func (b *Busy) Error() string { return b.Path + " is held by " + b.Who() }

// Who is "process 123", or "another process".
func (b *Busy) Who() string {
	if b.Owner == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d", b.Owner)
}

// Take takes the lock and leaves the number of the process in its file. It does not wait: where another process holds the lock it
// returns a *Busy. A link or a pipe in the place of the file is an *untrusted.Error and is not touched.
func Take(path string) (*Lock, error) {
	f, err := untrusted.AppendNoLink(path)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	held := flock.New(path, flock.SetFlag(os.O_RDWR|untrusted.NoFollow))
	ok, err := held.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		busy := &Busy{Path: path}
		if text, err := untrusted.ReadFileNoLink(path, 32); err == nil { // only for the message
			if owner, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && owner > 0 {
				busy.Owner = owner
			}
		}
		return nil, busy
	}
	l := &Lock{held}
	if err := sign(path); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

func sign(path string) error {
	f, err := untrusted.CreateNoLink(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, os.Getpid())
	return errors.Join(err, f.Close())
}

// Release gives the lock free. The file stays.
func (l *Lock) Release() error { return l.held.Unlock() }
