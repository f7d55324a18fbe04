package engine

import "syscall"

// freeBytes is what a user may still write into the file system of a folder. A variable, so that a test can fill the disk.
var freeBytes = func(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
