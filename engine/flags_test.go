package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFlagsAreOnlyThoseAPluginKnows: a plugin ends the process at a flag it does not know.
func TestFlagsAreOnlyThoseAPluginKnows(t *testing.T) {
	name := func(i int) string { n, _, _ := strings.Cut(strings.TrimPrefix(cpuFlags[i], "--"), "="); return n }
	for _, c := range []struct{ what, content, set, want string }{
		{"none", "a library", "", ""},
		{"one, across a block", strings.Repeat("x", 4<<20-10) + name(0), "", cpuFlags[0]},
		{"both", name(0) + " " + name(1), "", cpuFlags[0] + " " + cpuFlags[1]},
		{"set by the user", name(0) + " " + name(1), "--" + name(1) + "=DOT --other=1", cpuFlags[0] + " --" + name(1) + "=DOT --other=1"},
		{"all set by the user", name(0), "--" + name(0) + "=false", "--" + name(0) + "=false"},
	} {
		path := filepath.Join(t.TempDir(), "cpu.so")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("XLA_FLAGS", c.set)
		if err := setFlags(path); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv("XLA_FLAGS"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
	}
	if err := setFlags("/nowhere/cpu.so"); err == nil {
		t.Error("no error for a plugin that is not there")
	}
}
