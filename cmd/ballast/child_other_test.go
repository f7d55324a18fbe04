//go:build !linux

package main

import "os"

const (
	addressSpace = "BALLAST_TEST_ADDRESS_SPACE"
	peakFile     = "BALLAST_TEST_PEAK"
)

func limitAddressSpace() {}

func notePeak() {}

// peakOf is 0 where the system does not say.
func peakOf(*os.ProcessState, string) int64 { return 0 }

// mkfifo makes no pipe, where the system has none: the file is missing.
func mkfifo(string) error { return nil }
