//go:build !linux && !darwin

package checkpoint

func freeBytes(string) int64 { return 0 }
