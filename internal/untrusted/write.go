package untrusted

import (
	"errors"
	"io/fs"
	"os"
)

// NoFollow is the flag that keeps opening from following a link in the last part of a path, where the system has one.
const NoFollow = noFollow

// CreateNoLink opens a file for reading and writing, empty: one that is there is emptied, one that is missing is made. A link, a pipe,
// a device or a folder of that name is an *Error and stays as it is. It is for files of a folder that others may have filled, such as
// the lock of a run.
func CreateNoLink(path string) (*os.File, error) {
	f, err := writable(path, 0)
	if err != nil {
		return nil, err
	}
	// Only now: what was opened is what may be emptied.
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// AppendNoLink is CreateNoLink for a file that keeps what it has: writes go to its end.
func AppendNoLink(path string) (*os.File, error) { return writable(path, os.O_APPEND) }

func writable(path string, flags int) (*os.File, error) {
	// Asked first, so that opening neither waits for a reader nor acts on a device.
	if stat, err := os.Lstat(path); err == nil {
		if err := ownFile(path, stat); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|nonBlocking|noFollow|flags, 0o644)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err == nil {
		err = ownFile(path, stat)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func ownFile(path string, stat fs.FileInfo) error {
	if mode := stat.Mode(); !mode.IsRegular() {
		return &Error{path, "it is " + Kind(mode) + ", not a file", "remove it, or choose another folder"}
	}
	return nil
}

// FolderNoLink makes a folder, unless it is there. A link or anything else of that name is an *Error, though it lead to a folder.
func FolderNoLink(path string) error {
	if err := os.Mkdir(path, 0o755); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	stat, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !stat.IsDir() {
		return &Error{path, "it is " + Kind(stat.Mode()) + ", not a folder", "remove it, or choose another folder"}
	}
	return nil
}
