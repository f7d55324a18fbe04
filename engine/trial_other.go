//go:build cgo && !noxla && ((darwin && arm64) || (windows && amd64))

package engine

// tryPlugin tries nothing where a process cannot be forked without harm.
func tryPlugin(string) error { return nil }

// preload has nothing to do: there is no CUDA engine for these platforms.
func preload(string) bool { return false }
