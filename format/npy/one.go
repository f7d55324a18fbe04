package npy

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// archiveEnd is what the name of an archive ends in, before the colon and the name of one of its arrays.
const archiveEnd = ".npz"

// OpenOne opens one array: that of an .npy file, or one of an .npz file, whichever the bytes say it is. FILE.npz:NAME names the array.
// Without a name it is the only one, else the first of prefer that the archive has. It returns the array's name, "" of an .npy file, and
// how many arrays the file holds. Close the array.
//
// A name that the archive lacks, and an archive of several arrays of which none is named or preferred, are a *fault.Usage.
func OpenOne(path string, prefer ...string) (a *Array, name string, of int, err error) {
	path, name = SplitName(path)
	archive, err := isArchive(path)
	if err != nil {
		return nil, "", 0, err
	}
	if !archive {
		if name != "" {
			return nil, "", 0, &fault.Usage{Err: fmt.Errorf("%s holds one array and no names; name the file alone", printable.Line(path))}
		}
		a, err = Open(path)
		return a, "", 1, err
	}

	z, err := OpenArchive(path)
	if err != nil {
		return nil, "", 0, err
	}
	a, name, err = z.one(name, prefer)
	if err != nil {
		return nil, "", 0, errors.Join(err, z.Close())
	}
	a.close = z.Close
	return a, name, len(z.arrays), nil
}

// SplitName takes the name of an array off FILE.npz:NAME. A path that is a file has none.
func SplitName(path string) (file, name string) {
	at := strings.LastIndex(path, archiveEnd+":")
	if at < 0 {
		return path, ""
	}
	if _, err := os.Lstat(path); err == nil {
		return path, ""
	}
	return path[:at+len(archiveEnd)], path[at+len(archiveEnd)+1:]
}

// isArchive reports whether a file begins as zip archives do.
func isArchive(path string) (bool, error) {
	file, err := untrusted.OpenFilled(path)
	if err != nil {
		return false, fmt.Errorf("npy: %w", err)
	}
	defer file.Close()
	head := make([]byte, 4)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("npy: %w", err)
	}
	begins := string(head[:n])
	return begins == "PK\x03\x04" || begins == "PK\x05\x06", nil
}

// mostNames is how many names of arrays a message has.
const mostNames = 20

// one chooses an array.
func (a *Archive) one(name string, prefer []string) (*Array, string, error) {
	all := slices.Clone(a.names)
	for _, u := range a.unread {
		all = append(all, u.Name)
	}
	if name == "" && len(all) == 1 {
		name = all[0]
	}
	for _, p := range prefer {
		if name == "" && slices.Contains(all, p) {
			name = p
		}
	}
	for _, u := range a.unread {
		if u.Name == name && name != "" {
			return nil, "", u.Err
		}
	}
	if array := a.arrays[name]; array != nil {
		return array, name, nil
	}

	shown := make([]string, 0, min(len(all), mostNames)+1)
	for _, n := range all[:min(len(all), mostNames)] {
		shown = append(shown, printable.Short(n))
	}
	if len(all) > mostNames {
		shown = append(shown, fmt.Sprintf("and %d more", len(all)-mostNames))
	}
	there, file := strings.Join(shown, ", "), printable.Line(a.path)
	switch near, ok := strict.Nearest(name, all); {
	case len(all) == 0:
		return nil, "", &Error{File: a.path, Offset: -1, Kind: ErrArchive, Text: "it holds no array", Fix: fixSaveZ}
	case name == "":
		return nil, "", &fault.Usage{Err: fmt.Errorf("%s holds several arrays: %s; name one, such as %s:%s", file, there, file, shown[0])}
	case ok:
		return nil, "", &fault.Usage{Err: fmt.Errorf("%s has no array %s; did you mean %s?", file, printable.Short(name), printable.Short(near))}
	}
	return nil, "", &fault.Usage{Err: fmt.Errorf("%s has no array %s; there are %s", file, printable.Short(name), there)}
}

// WriteMemberFile writes one array as an .npy file, whole or not at all.
func WriteMemberFile(path string, m Member) error {
	return durable.WriteFile(path, func(w io.Writer) error { return m.write(w) })
}
