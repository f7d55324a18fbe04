package memory

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Only what is as it stands in its file is let go: not data, nor constants that were filled in at the start, nor memory without a file.
func TestUnchanged(t *testing.T) {
	maps := strings.Join([]string{
		"00400000-00402000 r--p 00000000 fd:00 12 /usr/bin/ballast", "Size: 8 kB", "Anonymous:             0 kB", "VmFlags: rd mr mw me",
		"00402000-01546000 r-xp 00002000 fd:00 12 /usr/bin/ballast", "Anonymous:             0 kB",
		"01546000-02555000 r--p 01146000 fd:00 12 /usr/bin/ballast with a space", "Anonymous:             0 kB",
		"02555000-02556000 r--p 02154000 fd:00 12 /usr/bin/ballast", "Anonymous:             4 kB", // filled in, then made constant
		"02556000-02cb2000 rw-p 02155000 fd:00 12 /usr/bin/ballast", "Anonymous:             0 kB",
		"02cb2000-04d00000 rw-p 00000000 00:00 0", "Anonymous:             0 kB",
		"05000000-05001000 r--s 00000000 fd:00 13 /data/shared", "Anonymous:             0 kB",
		"7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]", "Anonymous:             0 kB", "",
	}, "\n")
	want := []mapping{{0x400000, 0x402000}, {0x402000, 0x1546000}, {0x1546000, 0x2555000}}
	if got := unchanged([]byte(maps)); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := unchanged([]byte("no maps\n-\n")); got != nil {
		t.Errorf("of what is no list of mappings: %x", got)
	}
}

// The program still runs when its pages were let go.
func TestReleaseProgram(t *testing.T) {
	least := int64(1 << 20) // the test itself has some MB of code
	if _, err := os.Stat("/proc/self/smaps"); err != nil {
		least = 0 // a system that does not say what is mapped
	}
	for range 3 {
		if got := ReleaseProgram(); got < least {
			t.Errorf("released %d bytes, want at least %d", got, least)
		}
	}
	if text := strings.Repeat("ab", 2); text != "abab" || Size(1<<34) != "17.2 GB" {
		t.Errorf("%q, %s", text, Size(1<<34))
	}
}
