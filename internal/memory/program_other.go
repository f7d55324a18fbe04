//go:build !linux

package memory

// ReleaseProgram does nothing where it is not known which pages are as in their file.
func ReleaseProgram() (bytes int64) { return 0 }
