package main

import (
	"os"
	"strconv"
	"syscall"
)

// addressSpace is the variable that limits a child's address space, in bytes.
const addressSpace = "BALLAST_TEST_ADDRESS_SPACE"

// limitAddressSpace takes the limit from the environment, so that a child that grows without bound fails instead of the machine.
func limitAddressSpace() {
	if n, err := strconv.ParseUint(os.Getenv(addressSpace), 10, 64); err == nil {
		_ = syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: n, Max: n})
	}
}

// peakOf is the most memory that a process had, in bytes.
func peakOf(s *os.ProcessState) int64 {
	if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}
