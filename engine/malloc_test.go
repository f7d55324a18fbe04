//go:build cgo && !noxla && linux && (amd64 || arm64)

package engine

import "testing"

func TestTheAllocatorIsSteady(t *testing.T) {
	if !glibc() {
		t.Skip("the C library is not glibc")
	}
	t.Setenv(EnvMalloc, "")
	if !steadyAllocator() {
		t.Error("glibc refused a setting")
	}
}
