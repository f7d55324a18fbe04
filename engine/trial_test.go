//go:build cgo && !noxla && linux && (amd64 || arm64)

package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAPluginIsTriedOnce has a good plugin tried, then puts one that dies in its place, with the same size and time.
func TestAPluginIsTriedOnce(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler cc to make the plugins with")
	}
	t.Setenv(EnvHome, t.TempDir())
	dir := t.TempDir()
	path := filepath.Join(dir, "cpu_plugin.so")
	compile := func(into, last string) {
		source := "struct { long size; void *e; struct { long size; void *e; int major, minor; } v; } api = {48, 0, {24, 0, 0, 100}};\n" +
			"void *GetPjrtApi(void) { *(volatile int *)" + last + " = 1; return &api; }\n"
		if err := os.WriteFile(path+".c", []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.CommandContext(t.Context(), cc, "-shared", "-fPIC", "-o", into, path+".c").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	compile(path, "&api.v.minor")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	note, err := notePath(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := tryPlugin(path); err != nil {
		t.Fatal(err)
	}
	noted, err := os.Stat(note)
	if err != nil {
		t.Fatal(err)
	}
	if err := tryPlugin(path); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(note); err != nil || !os.SameFile(noted, again) {
		t.Errorf("tried again: %v", err)
	}

	other := filepath.Join(dir, "other.so")
	compile(other, "16")
	if err := os.Truncate(other, before.Size()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(other, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if err := tryPlugin(path); err == nil || !strings.Contains(err.Error(), "segmentation fault") {
		t.Errorf("got %v, want that it dies", err)
	}
	t.Setenv(EnvPatience, "soon")
	if err := tryPlugin(path); err == nil || !strings.Contains(err.Error(), EnvPatience) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkTryPlugin(b *testing.B) {
	path := os.Getenv("BALLAST_TEST_PLUGIN")
	if path == "" {
		b.Skip("set BALLAST_TEST_PLUGIN")
	}
	for _, first := range []bool{true, false} {
		name := "later"
		if first {
			name = "first"
		}
		b.Run(name, func(b *testing.B) {
			b.Setenv(EnvHome, b.TempDir())
			for b.Loop() {
				if note, err := notePath(path); err == nil && first {
					_ = os.Remove(note) // the first time there is none
				}
				if err := tryPlugin(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
