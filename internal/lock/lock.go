// Package lock lets one process at a time write one of Ballast's own folders, such as that of a data set or of the engines. The lock file
// is never removed; the system releases the lock when the process ends, even if it is killed.
package lock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// every is how often a lock that another process holds is tried.
const every = 100 * time.Millisecond

// Lock is a lock that this process holds.
type Lock struct {
	file   *flock.Flock
	before []byte // what the file held; nil = it was missing
}

// Take waits until the lock of a path is this process's. If it has to wait, waiting, which may be nil, is told once who holds it. The lock
// file must be a regular file, not a link.
func Take(ctx context.Context, path string, waiting func(owner string)) (*Lock, error) {
	for told := false; ; {
		l, owner, err := Try(path)
		if l != nil || err != nil {
			return l, err
		}
		if !told && waiting != nil {
			waiting(owner)
		}
		told = true
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Try takes the lock if nobody has it. Otherwise l is nil and owner says who: "process 123".
func Try(path string) (l *Lock, owner string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, "", fmt.Errorf("lock: %w", err)
	}
	if stat, err := os.Lstat(path); err == nil && !stat.Mode().IsRegular() {
		return nil, "", &untrusted.Error{Path: path, Text: "it is " + untrusted.Kind(stat.Mode()) + ", not a lock", Fix: "remove it"}
	}
	for {
		before, _ := untrusted.ReadFileNoLink(path, mostOwner) // what cannot be read is not put back
		file := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|noFollow))
		ok, err := file.TryLock()
		if err != nil {
			return nil, "", fmt.Errorf("lock: %s: %w", path, err)
		}
		if !ok {
			return nil, ownerOf(path), nil
		}
		mine, err1 := file.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && !os.SameFile(mine, there) || errors.Is(err2, fs.ErrNotExist) {
			_ = file.Unlock() // who held it took it back in between
			continue
		}
		// Who holds it is for people; the lock holds without it.
		_ = write(path, fmt.Appendf(nil, "%d\n", os.Getpid()))
		return &Lock{file, before}, "", nil
	}
}

// Holder says who holds the lock of a path, "" if nobody does. It makes no file and changes none.
func Holder(path string) string {
	if stat, err := os.Lstat(path); err != nil || !stat.Mode().IsRegular() {
		return ""
	}
	file := flock.New(path, flock.SetFlag(os.O_RDWR|noFollow))
	ok, err := file.TryLock()
	if err != nil {
		return "" // who may not even open it cannot wait for it
	}
	if !ok {
		return ownerOf(path)
	}
	_ = file.Unlock() // closing it is enough
	return ""
}

// write puts text, this process's number, into a lock file.
func write(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|noFollow, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// mostOwner is the most bytes of a lock file that are read.
const mostOwner = 64

// ownerOf names the process that wrote itself into a lock file.
func ownerOf(path string) string {
	content, err := untrusted.ReadFileNoLink(path, mostOwner)
	if err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && pid > 0 {
			return fmt.Sprintf("process %d", pid)
		}
	}
	return "another process"
}

// Release lets go of the lock. The file stays: removing it would let two processes hold two files of one name.
func (l *Lock) Release() error { return l.file.Unlock() }

// Undo lets go of the lock and leaves the file as it was before, for those who took it and then changed nothing.
func (l *Lock) Undo() error {
	var err error
	if l.before == nil {
		// Windows removes no open file; there it stays.
		_ = os.Remove(l.file.Path())
	} else {
		err = write(l.file.Path(), l.before)
	}
	return errors.Join(err, l.file.Unlock())
}
