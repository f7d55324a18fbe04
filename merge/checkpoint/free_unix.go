//go:build linux || darwin

package checkpoint

import "syscall"

// freeBytes is what is left on the disk of a folder.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
