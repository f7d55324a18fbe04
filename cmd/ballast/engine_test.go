package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/engine"
)

// TestAPluginThatDiesIsOneLine compiles plugins that are whole shared libraries and take the process that loads them with
// them. The real command must survive each, say so in one line, and fall back.
func TestAPluginThatDiesIsOneLine(t *testing.T) {
	if e, err := engine.Open(engine.KindGo); err != nil || runtime.GOOS != "linux" || e.Describe().BuiltWith != "cgo and XLA" {
		t.Skipf("needs a build with XLA on linux (%v)", err)
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler cc to make the plugins with")
	}
	const (
		begin = "#include <stdlib.h>\n#include <unistd.h>\n#include <stdio.h>\n"
		null  = "void *GetPjrtApi(void) { return 0; }\n"
	)
	constructor := func(body string) string {
		return begin + null + "__attribute__((constructor)) static void start(void) { " + body + " }\n"
	}
	interfaceOf := func(body string) string { return begin + "void *GetPjrtApi(void) { " + body + " }\n" }
	for name, c := range map[string]struct{ source, want string }{
		"segfault in a constructor": {constructor("*(volatile int *)16 = 1;"), "kills the process that loads it (segmentation fault)"},
		"abort in a constructor":    {constructor(`puts("noise"); fflush(stdout); abort();`), "kills the process that loads it (aborted)"},
		"exit in a constructor":     {constructor("exit(3);"), "ends the process that loads it (exit status 3)"},
		"a clean exit":              {constructor("exit(0);"), "ends the process that loads it (exit status 0)"},
		"endless constructor":       {constructor("for (;;) pause();"), "did not finish loading within 2s"},
		"segfault in GetPjrtApi":    {interfaceOf("*(volatile int *)16 = 1; return 0;"), "kills the process that loads it (segmentation fault)"},
		"bus error in GetPjrtApi":   {interfaceOf("kill(getpid(), 7); return 0;"), "kills the process that loads it (bus error)"},
		"exit in GetPjrtApi":        {interfaceOf("exit(3);"), "ends the process that loads it (exit status 3)"},
		"NULL":                      {interfaceOf("return 0;"), "its GetPjrtApi returns nothing"},
		"another interface":         {interfaceOf("static long zeros[64]; return zeros;"), "not the PJRT interface"},
		"a missing symbol":          {begin + "int missing(void);\nint (*taken)(void) = missing;\n" + null, "undefined symbol: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			plugin := filepath.Join(home, "engine", "pjrt_c_api_cpu_plugin.so")
			compile(t, cc, c.source, plugin)
			// As if it had been installed.
			mark(t, plugin)

			out, errOut, code := ballast(t, home, "engine")
			if code != 0 || errOut != "" || !strings.HasPrefix(out, "engine   go\n") {
				t.Errorf("exit code %d, want 0 and the Go engine\n%s%s", code, out, errOut)
			}
			if why := line(out, "why"); !strings.Contains(why, c.want) || !strings.Contains(why, plugin) {
				t.Errorf("want %q and the path in the line why of\n%s", c.want, out)
			}

			out, errOut, code = ballast(t, home, "--engine", "xla:"+plugin, "engine")
			if code == 0 || out != "" || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, c.want) {
				t.Errorf("--engine: exit code %d\n%s%s", code, out, errOut)
			}

			other := filepath.Join(t.TempDir(), "cpu_plugin.so")
			if err := os.Rename(plugin, other); err != nil {
				t.Fatal(err)
			}
			out, errOut, code = ballast(t, home, "engine", "install", "--from", other)
			if code == 0 || out != "" || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, c.want) {
				t.Errorf("install: exit code %d\n%s%s", code, out, errOut)
			}
		})
	}
}

// ballast runs the command in a process of its own.
func ballast(t *testing.T, home string, args ...string) (out, errOut string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ballast", args...)
	cmd.Env = append(os.Environ(), engine.EnvHome+"="+home, engine.EnvChoice+"=", engine.EnvPatience+"=2s", "HOME="+home)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	start := time.Now()
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("%v took %v", args, took)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func compile(t *testing.T, cc, source, into string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(into), 0o755); err != nil {
		t.Fatal(err)
	}
	c := filepath.Join(t.TempDir(), "plugin.c")
	if err := os.WriteFile(c, []byte("#include <signal.h>\n"+source), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), cc, "-shared", "-fPIC", "-o", into, c).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

func mark(t *testing.T, plugin string) {
	t.Helper()
	content, err := os.ReadFile(plugin)
	if err != nil {
		t.Fatal(err)
	}
	marker, err := json.Marshal(map[string]any{"version": "test", "sha256": fmt.Sprintf("%x", sha256.Sum256(content)), "size": len(content), "modified": 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin+".json", marker, 0o644); err != nil {
		t.Fatal(err)
	}
}

// line is the line of the command's output that begins with a word.
func line(out, word string) string {
	for l := range strings.Lines(out) {
		if strings.HasPrefix(l, word) {
			return l
		}
	}
	return ""
}
