package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/lock"
)

// asHolder is the variable that has the test binary hold a lock until it is killed.
const asHolder = "BALLAST_TEST_HOLD"

func TestMain(m *testing.M) {
	if path := os.Getenv(asHolder); path != "" {
		if _, err := lock.Take(context.Background(), path, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

// TestAnotherProcess has another process hold the lock: it is named, waiting can be stopped, and its end frees the lock.
func TestAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "lock")
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), asHolder+"="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "held" {
		t.Fatal(word, err)
	}
	want := fmt.Sprintf("process %d", holder.Process.Pid)
	if l, owner, err := lock.Try(path); l != nil || owner != want || err != nil {
		t.Errorf("got %v, %q, %v, want %q", l, owner, err, want)
	}

	if got := lock.Holder(path); got != want {
		t.Errorf("it is held by %q, want %q", got, want)
	}
	if got := lock.Holder(path + "-none"); got != "" {
		t.Errorf("a lock that is not there is held by %q", got)
	}

	stopped := errors.New("stopped by hand")
	ctx, cancel := context.WithCancelCause(t.Context())
	told := 0
	_, err = lock.Take(ctx, path, func(owner string) {
		if told++; owner != want {
			t.Errorf("waits for %q", owner)
		}
		time.AfterFunc(300*time.Millisecond, func() { cancel(stopped) })
	})
	if !errors.Is(err, stopped) || told != 1 {
		t.Errorf("got %v, told %d times", err, told)
	}

	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	l, err := lock.Take(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), holder.Wait()); err != nil && !strings.Contains(err.Error(), "killed") {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no links here:", err)
	}
	for path, want := range map[string]string{link: "it is a link", dir: "it is a folder"} {
		if _, _, err := lock.Try(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("the link was followed")
	}
}
