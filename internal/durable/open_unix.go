//go:build unix

package durable

import (
	"strings"
	"syscall"
)

const lockFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// isDescriptor tells whether a path names an open file of this process, such as /dev/stdout.
func isDescriptor(path string) bool {
	return path == "/dev/stdout" || path == "/dev/stderr" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}
