//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/lock"
)

// TestDownloadsEndAtOnce interrupts the command while a server keeps it waiting, and while another process holds the lock: it is gone
// within 2 seconds, with the exit code of the signal and nothing left.
func TestDownloadsEndAtOnce(t *testing.T) {
	asked := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := filepath.Base(strings.TrimSuffix(r.URL.Path, "/")); name == "ccexam" { // the page of an index
			fmt.Fprint(w, `<a href="ccexam-1.0.0-py3-none-any.whl">it</a>`)
			return
		}
		_, _ = w.Write(make([]byte, 4096))
		_ = http.NewResponseController(w).Flush()
		asked <- r.URL.Path
		<-r.Context().Done()
	}))
	defer server.Close()
	get := func(name string) []string { return []string{"data", "get", name, "--mirror", server.URL} }
	for name, c := range map[string]struct {
		run    []string
		lock   string
		signal syscall.Signal
	}{
		"a set":             {get("mnist"), "", syscall.SIGINT},
		"a Debian package":  {get("fashion-mnist"), "", syscall.SIGTERM},
		"a wheel":           {get("digit-nets"), "", syscall.SIGINT},
		"a jar":             {get("minilm-l6-onnx"), "", syscall.SIGTERM},
		"a lock":            {get("mnist"), "locks/get-mnist.lock", syscall.SIGINT},
		"a lock of engines": {[]string{"engine", "install", "--from", "x.whl"}, "engine/lock", syscall.SIGTERM},
		"a lock of a model": {get("digit-nets"), "locks/get-digit-nets.lock", syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			if c.lock != "" {
				held, err := lock.Take(t.Context(), filepath.Join(home, filepath.FromSlash(c.lock)), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer held.Release() //nolint:errcheck // the test ends
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], c.run...)
			cmd.Env = append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go", "BALLAST_HOME="+home)
			out, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said := make(chan string, 1)
			first := make(chan struct{}, 1)
			go func() {
				var b bytes.Buffer
				piece := make([]byte, 1024)
				for {
					n, err := out.Read(piece)
					b.Write(piece[:n])
					if n > 0 && len(first) == 0 {
						first <- struct{}{}
					}
					if err != nil {
						said <- b.String()
						return
					}
				}
			}()
			select {
			case <-asked:
			case <-first:
			case <-time.After(20 * time.Second):
				t.Error("it neither asks nor waits")
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			text := <-said
			_ = cmd.Wait() // the exit code says it
			if took := time.Since(start); took > 2*time.Second || cmd.ProcessState.ExitCode() != 128+int(c.signal) {
				t.Errorf("gone after %v with exit code %d\n%s", took, cmd.ProcessState.ExitCode(), text)
			}
			if want := fmt.Sprintf("process %d is", os.Getpid()); c.lock != "" && !strings.Contains(text, want) {
				t.Errorf("want %q in\n%s", want, text)
			}
			left, err := filepath.Glob(filepath.Join(home, "*", "*", ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("%q was left, %v", left, err)
			}
		})
	}
}
