// Package durable writes files and folders atomically: a crash at any moment leaves the old one or the new one, complete. It
// replaces only what Ballast wrote, and lets one process at a time write an output.
//
// While it writes an output named out, three entries may lie beside it: .out.ballast-lock (the lock, with the process number),
// .out.ballast-tmp (the new content) and, if the system cannot exchange two folders in one step, .out.ballast-old. A killed process
// leaves them behind; the next writer of the same output removes them, and so does Clean.
package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// WriteFile writes a file through a temporary one in the same folder: fsync, rename, fsync of the folder. When write or
// the disk fails, the temporary file is removed and an existing file stays as it was. A pipe or a character device is written
// through; a link, a folder and any other device are a *fault.Usage. Another process that writes the same file is waited for, 10
// seconds at most; then it is a *Busy.
func WriteFile(path string, write func(w io.Writer) error) (err error) {
	stream, err := fileTarget(path)
	if err != nil {
		return err
	}
	if stream {
		return writeThrough(path, write)
	}

	release, err := hold(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	tmp := Beside(path, temporarySuffix)
	f, err := createTemporary(tmp)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(tmp)))
		}
	}()
	if err := fill(f, write); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return SyncDir(filepath.Dir(path))
}

// createTemporary makes a file anew: what a killed writer left goes, and a link is not followed.
func createTemporary(path string) (*os.File, error) {
	if err := ignoreMissing(os.RemoveAll(path)); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

// fill writes, syncs and closes a temporary file.
func fill(f *os.File, write func(w io.Writer) error) error {
	buffered := bufio.NewWriterSize(f, 1<<20)
	err := write(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeThrough writes into a pipe or a device as into a stream.
func writeThrough(path string, write func(w io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err = write(buffered); err == nil {
		err = buffered.Flush()
	}
	return errors.Join(err, f.Close())
}

// WriteDir writes a folder through a temporary one beside it, which fill fills. The files in it are synced, then it takes the place
// of path in one step where the system can, else of two, between which Current finds the old one. What path may hold before,
// allowed says; it is asked before fill is called and again before anything is replaced.
func WriteDir(path string, allowed Permit, fill func(tmp string) error) (err error) {
	allowed = permitOf(path, allowed)
	release, err := hold(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()

	if err := recoverDir(path); err != nil {
		return err
	}
	// Under the lock: without it, a folder may be exchanged and removed while it is looked at.
	if err := allowed.dir(path); err != nil {
		return err
	}
	tmp := Beside(path, temporarySuffix)
	if err := os.RemoveAll(tmp); err != nil { // of a writer that was killed
		return fmt.Errorf("durable: %w", err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	uncover := cover(tmp)
	if err = fill(tmp); err == nil && allowed.Mark {
		err = mark(tmp)
	}
	uncover()
	if err != nil {
		return err
	}
	return replaceDir(path, tmp, allowed)
}

// ReplaceDir syncs the files of a folder and moves it to path, beside which it must lie, as WriteDir does.
func ReplaceDir(path, tmp string, allowed Permit) (err error) {
	allowed = permitOf(path, allowed)
	release, err := hold(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := recoverDir(path); err != nil {
		return err
	}
	return replaceDir(path, tmp, allowed)
}

func replaceDir(path, tmp string, allowed Permit) error {
	if err := allowed.dir(path); err != nil {
		return err
	}
	path = filepath.Clean(path)
	if err := syncTree(tmp); err != nil {
		return err
	}

	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(tmp, path); err != nil {
			return fmt.Errorf("durable: %w", err)
		}
		return SyncDir(filepath.Dir(path))
	}
	if err := exchange(tmp, path); err == nil {
		return errors.Join(SyncDir(filepath.Dir(path)), os.RemoveAll(tmp))
	}

	old := Beside(path, oldSuffix)
	if err := os.Rename(path, old); err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("durable: %w", err), os.Rename(old, path))
	}
	return errors.Join(SyncDir(filepath.Dir(path)), os.RemoveAll(old))
}

// Current returns the folder to read for path: path itself, or the one that stepped aside for a successor that never arrived
// because its writer was killed. Readers change nothing.
func Current(path string) string {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		old := Beside(path, oldSuffix)
		if stat, err := os.Lstat(old); err == nil && stat.IsDir() {
			return old
		}
	}
	return path
}

// recoverDir puts a folder back that stepped aside for a successor that never arrived, and removes it if the successor did. The
// caller holds the lock.
func recoverDir(path string) error {
	old := Beside(path, oldSuffix)
	if _, err := os.Lstat(old); err != nil {
		return ignoreMissing(err)
	}
	if _, err := os.Lstat(path); err == nil {
		return os.RemoveAll(old)
	}
	return os.Rename(old, path)
}

// SyncDir makes renames in a folder survive a power cut. Windows has no such call and needs none.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("durable: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return SyncDir(path)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("durable: %w", err)
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// fileTarget tells whether path is written through as a stream, and refuses what a file cannot be written to.
func fileTarget(path string) (stream bool, err error) {
	stat, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("durable: %w", err)
	}
	mode := stat.Mode()
	switch {
	case mode.IsRegular():
		return false, nil
	case isDescriptor(path), mode&fs.ModeNamedPipe != 0, mode&fs.ModeCharDevice != 0:
		return true, nil
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			target = "another place"
		}
		return false, refuse("%s is a link to %s; name the file itself, or another one", path, target)
	}
	return false, refuse("%s is %s; name a file", path, untrusted.Kind(mode))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func refuse(format string, args ...any) error {
	return &fault.Usage{Err: fmt.Errorf(format, args...)}
}
