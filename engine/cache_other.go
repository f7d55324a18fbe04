//go:build !(cgo && !noxla && linux && (amd64 || arm64))

package engine

func cachePrograms(string, *programCache) bool { return false }
