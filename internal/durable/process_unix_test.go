//go:build unix

package durable_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/durable"
)

// envWriter makes the test binary write a folder of two files that must agree, again and again, or once and wait.
const envWriter = "BALLAST_TEST_WRITER"

func TestMain(m *testing.M) {
	switch path, mode, _ := strings.Cut(os.Getenv(envWriter), "|"); {
	case mode == "hold":
		claim, err := durable.ClaimDir(path, durable.Permit{})
		fmt.Println(claim != nil, err)
		time.Sleep(time.Minute)
	case path != "":
		for n := 0; ; n++ {
			if err := writePair(path, fmt.Sprint(os.Getpid(), " ", n)); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
	os.Exit(m.Run())
}

func writePair(path, text string) error {
	return durable.WriteDir(path, durable.Permit{Overwrite: true, Owns: durable.Only("a", "b")}, func(tmp string) error {
		return errors.Join(os.WriteFile(filepath.Join(tmp, "a"), []byte(text), 0o644), os.WriteFile(filepath.Join(tmp, "b"), []byte(text), 0o644))
	})
}

func start(t *testing.T, value string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envWriter+"="+value)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, out
}

func TestAnotherProcessIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	cmd, out := start(t, path+"|hold")
	if _, err := io.ReadFull(out, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	_, err := durable.ClaimDir(path, durable.Permit{})
	var busy *durable.Busy
	if !errors.As(err, &busy) || busy.Process != cmd.Process.Pid || !strings.Contains(err.Error(), "is being written by process "+strconv.Itoa(busy.Process)) {
		t.Errorf("got %v, want process %d", err, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	claim, err := durable.ClaimDir(path, durable.Permit{})
	if err != nil {
		t.Fatalf("after it was killed: %v", err)
	}
	if err := claim.Release(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// Two processes write one folder as fast as they can and are killed at any moment: a reader always finds a whole one, and the last
// writer leaves nothing beside it.
func TestTwoWritersKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	for round := range 20 {
		one, said1 := start(t, path)
		two, said2 := start(t, path)
		time.Sleep(time.Duration(20+round*5) * time.Millisecond)
		for i, cmd := range []*exec.Cmd{one, two} {
			said := []io.Reader{said1, said2}[i]
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatalf("it ended by itself: %v", err)
			}
			last, _ := io.ReadAll(said)
			_ = cmd.Wait()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("it ended by itself: %v: %s", cmd.ProcessState, last)
			}
		}
		current := durable.Current(path)
		a, err1 := os.ReadFile(filepath.Join(current, "a"))
		b, err2 := os.ReadFile(filepath.Join(current, "b"))
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			continue // killed before the first was whole
		}
		if err1 != nil || err2 != nil || string(a) != string(b) || len(a) == 0 {
			t.Fatalf("round %d: torn: %q %q %v %v", round, a, b, err1, err2)
		}
	}
	if err := writePair(path, "last"); err != nil {
		t.Fatal(err)
	}
	only(t, filepath.Dir(path), "out")
}

func TestStreamsAreWrittenThrough(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Skip("no pipes here:", err)
	}
	got := make(chan string)
	go func() {
		text, err := os.ReadFile(pipe)
		got <- fmt.Sprint(string(text), err)
	}()
	text := func(w io.Writer) error { _, err := io.WriteString(w, "text"); return err }
	if err := durable.WriteFile(pipe, text); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "text<nil>" {
		t.Errorf("got %q", text)
	}
	if err := durable.WriteFile(os.DevNull, text); err != nil {
		t.Error(err)
	}
	if stat, err := os.Lstat(os.DevNull); err != nil || stat.Mode()&os.ModeCharDevice == 0 {
		t.Fatalf("%s is %v, %v", os.DevNull, stat, err)
	}
	if err := durable.WriteFile("/dev/full", text); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full device: %v", err)
	}
	only(t, dir, "pipe")
}
