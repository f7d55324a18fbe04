//go:build !linux

package main

import "os"

const addressSpace = "BALLAST_TEST_ADDRESS_SPACE"

func limitAddressSpace() {}

// peakOf is 0 where the system does not say.
func peakOf(*os.ProcessState) int64 { return 0 }
