//go:build !linux

package memory

// machineLimit is a number that most machines can give; --memory says another.
func machineLimit() int64 { return 12 << 30 }
