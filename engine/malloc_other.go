//go:build cgo && !noxla && ((darwin && arm64) || (windows && amd64))

package engine

// steadyAllocator has nothing to set where the C library is not glibc.
func steadyAllocator() bool { return false }
