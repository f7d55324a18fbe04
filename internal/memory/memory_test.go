package memory_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/internal/memory"
)

func TestNeed(t *testing.T) {
	if got := memory.Limit(); got < 64<<20 {
		t.Errorf("the machine's limit is %d bytes", got)
	}
	memory.SetLimit(1000)
	defer memory.SetLimit(0)
	if err := memory.Need("an array", 1000); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	err := memory.Need("an array", 1_500_000)
	var e *memory.Error
	if !errors.As(err, &e) || !e.Exhausted() || !strings.Contains(err.Error(), "an array needs 1.5 MB of memory, the limit is 1.0 kB") {
		t.Errorf("got %v", err)
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 999_960: "1.0 MB", 1 << 34: "17.2 GB", math.MaxInt64: "more than 9 EB"} {
		if got := memory.Size(bytes); got != want {
			t.Errorf("Size(%d) = %q, want %q", bytes, got, want)
		}
	}
}
