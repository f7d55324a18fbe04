//go:build unix

package untrusted

import "syscall"

const (
	nonBlocking = syscall.O_NONBLOCK // opening a pipe does not wait for its writer
	noFollow    = syscall.O_NOFOLLOW
)
