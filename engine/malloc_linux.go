//go:build cgo && !noxla && linux && (amd64 || arm64)

package engine

/*
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// Runs before Go starts a thread: a thread that has an arena keeps it, and glibc shares out the arenas there are.
__attribute__((constructor)) static void ballast_one_arena(void) {
#ifdef __GLIBC__
	const char *choice = getenv("BALLAST_MALLOC");
	if (choice == NULL || strcmp(choice, "default") != 0) {
		mallopt(M_ARENA_MAX, 1);
	}
#endif
}

static int ballast_glibc(void) {
#ifdef __GLIBC__
	return 1;
#else
	return 0;
#endif
}

// ballast_steady_malloc returns 1 if the C library took all settings.
static int ballast_steady_malloc(void) {
#ifdef __GLIBC__
	return mallopt(M_MMAP_MAX, 0) & mallopt(M_TRIM_THRESHOLD, -1);
#else
	return 0;
#endif
}
*/
import "C"

import (
	"os"
	"sync"
)

// EnvMalloc is the environment variable that, set to "default" when the program starts, leaves the C library's allocator
// as it is.
const EnvMalloc = "BALLAST_MALLOC"

// steadyAllocator keeps the memory that XLA's CPU plugin frees in the process. Every call of a compiled graph takes its
// scratch memory and its outputs from malloc. By default blocks of that size come from mmap or are trimmed off the heap
// when freed, and every call has the kernel map, clear and unmap the same pages again.
//
// M_MMAP_MAX 0 sends all blocks to the heap and a M_TRIM_THRESHOLD of -1 keeps what is freed there. M_MMAP_THRESHOLD is
// not set: glibc takes at most 32 MB for it. The arena of a thread other than the first one consists of heaps of 64 MB,
// and glibc maps larger blocks whatever M_MMAP_MAX says; so there is one arena, the one that grows by brk, and since no
// arena goes away again that is set before main (above).
var steadyAllocator = sync.OnceValue(func() bool {
	return os.Getenv(EnvMalloc) != "default" && C.ballast_steady_malloc() == 1
})

func glibc() bool { return C.ballast_glibc() == 1 }
