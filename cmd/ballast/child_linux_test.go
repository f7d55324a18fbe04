package main

import (
	"os"
	"strconv"
	"strings"
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

// peakFile is the variable that names the file a child writes its peak memory into when it ends. What the system counts for a child
// holds its parent's memory at the time of the start, too.
const peakFile = "BALLAST_TEST_PEAK"

// notePeak writes the most memory that this process had into that file.
func notePeak() {
	if path := os.Getenv(peakFile); path != "" {
		status, err := os.ReadFile("/proc/self/status")
		if err == nil {
			_ = os.WriteFile(path, status, 0o600)
		}
	}
}

// peakOf is the most memory that a child had, in bytes: what it noted in a file, or what the system counts if it was killed.
func peakOf(s *os.ProcessState, noted string) int64 {
	status, _ := os.ReadFile(noted)
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
				return kB << 10
			}
		}
	}
	if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}

// mkfifo makes a pipe.
func mkfifo(path string) error { return syscall.Mkfifo(path, 0o644) }
