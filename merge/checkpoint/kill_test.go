package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// envChild makes this test binary merge: the folder with recipe.yaml, into out.
const envChild = "BALLAST_MERGE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envChild); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "recipe.yaml"))
	if err != nil {
		return err
	}
	r, err := checkpoint.ParseRecipe("recipe.yaml", text)
	if err != nil {
		return err
	}
	p, err := checkpoint.NewPlan(r, checkpoint.Options{Out: filepath.Join(dir, "out"), SyncBytes: 100_000, ShardSize: 1_500_000})
	if err != nil {
		return err
	}
	defer p.Close()
	result, err := p.Execute(context.Background(), nil)
	if err == nil && result.Resumed > 0 {
		fmt.Fprintln(os.Stdout, "resumed", result.Resumed)
	}
	return err
}

// TestKilledAtAnyMoment merges in a process that is killed at 50 moments spread over its life, goes on each time, and wants the bytes of a merge
// that was left alone.
func TestKilledAtAnyMoment(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	l := llama{layers: 6, hidden: 192, inner: 256, vocabulary: 2000, dtype: tiny.dtype, shard: 1_000_000}
	three(t, dir, l)
	put(t, dir, "recipe.yaml", fmt.Sprintf("merge_method: dare_ties\nbase_model: %s/base\nmodels:\n- {model: %s/a, parameters: {weight: 1, density: 0.5}}\n- {model: %s/b, parameters: {weight: 0.5, density: 0.7}}\n", dir, dir, dir))
	spawn := func() (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envChild+"="+dir)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &stdout, &stderr
	}
	out := filepath.Join(dir, "out")
	began := time.Now()
	if cmd, _, stderr := spawn(); cmd.Wait() != nil {
		t.Fatal(stderr)
	}
	life := time.Since(began)
	want := contents(t, out)
	random := rand.New(rand.NewPCG(1, 1))
	killed, runs, resumed := 0, 0, 0
	for killed < kills {
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		runs++
		for ended := false; !ended; {
			moment := time.Duration(random.Float64() * float64(life) * 1.1)
			if killed >= kills {
				moment = time.Minute
			}
			cmd, stdout, stderr := spawn()
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			select {
			case err := <-done:
				if err != nil {
					t.Fatalf("after %d kills: %v\n%s", killed, err, stderr)
				}
				ended = true
			case <-time.After(moment):
				if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if err := <-done; err == nil {
					ended = true
					break
				}
				killed++
				if _, err := os.Stat(out); err == nil {
					ended = true // killed behind the last rename
				}
			}
			if bytes.Contains(stdout.Bytes(), []byte("resumed")) {
				resumed++
			}
		}
		if diff := cmp.Diff(keys(want), keys(contents(t, out))); diff != "" {
			t.Fatalf("run %d: other files: %s", runs, diff)
		}
		for name, text := range contents(t, out) {
			if text != want[name] {
				t.Errorf("run %d: %s differs from that of the merge left alone", runs, name)
			}
		}
		if err := os.Remove(filepath.Join(dir, ".out.merging-journal")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if resumed == 0 && kills == 50 {
		t.Error("no merge went on at a finished tensor")
	}
	t.Logf("%d kills over %d merges, %d of which ended by going on at a finished tensor; a life takes %v", killed, runs, resumed, life.Round(time.Millisecond))
}

func keys(m map[string]string) map[string]bool {
	out := map[string]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}
