package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/train"
)

// The child process of the kill test is this test binary, told by these what to do.
const (
	envChild  = "BALLAST_TRAIN_CHILD"  // run folder
	envEngine = "BALLAST_TRAIN_ENGINE" // as in engine.Open
	envRecipe = "BALLAST_TRAIN_RECIPE" // of killRecipes
	envWait   = "BALLAST_TRAIN_WAIT"   // moment at which the child says so and waits to be killed
)

const killSteps = 200

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

// child trains to the end, going on from what is in the folder.
func child(dir string) error {
	e, err := engine.Open(os.Getenv(envEngine))
	if err != nil {
		return err
	}
	remark := func(s string) { fmt.Fprintln(os.Stderr, "REMARK:", s) }
	name := os.Getenv(envRecipe)
	if name == "procedure" {
		reached = wait
	}
	result, err := train.Run(context.Background(), killRecipes[name](), train.Options{
		Engine: e, Dir: dir, Resume: true, Sink: lines(filepath.Join(dir, "metrics.jsonl")), Remark: remark,
	})
	if err != nil {
		return err
	}
	return result.Bundle.Replace(filepath.Join(dir, "model"))
}

// killRecipes are what is killed.
var killRecipes = map[string]func() train.Recipe{
	"supervised": func() train.Recipe {
		r := often(small(killSteps))
		r.Average.Decay = 0.9
		r.Weigh.GradientNoise = 0.5
		return r
	},
	"semi":         func() train.Recipe { return often(twoStreams(killSteps)) },
	"procedure":    killProcedure,
	"two networks": func() train.Recipe { return often(noisyRecipe(killSteps, twoNetworks())) },
}

// often writes down often where the run stands.
func often(r train.Recipe) train.Recipe {
	r.Checkpoint.EverySteps = 4
	r.Checkpoint.KeepLast = 3
	r.LogEvery = 5
	return r
}

// lines is a sink that appends one line of JSON a step to a file.
type lines string

func (l lines) Log(step int, values map[string]float64) error {
	reached(fmt.Sprintf("log %d", step))
	line, err := json.Marshal(map[string]any{"step": step, "values": values})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(string(l), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Rewind drops later steps, and a line that was cut when the process was killed.
func (l lines) Rewind(step int) error {
	raw, err := os.ReadFile(string(l))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept []byte
	for line := range bytes.Lines(raw) {
		var entry struct{ Step int }
		if json.Unmarshal(line, &entry) == nil && entry.Step <= step && bytes.HasSuffix(line, []byte("\n")) {
			kept = append(kept, line...)
		}
	}
	return durable.WriteFile(string(l), func(w io.Writer) error { // killed here, the old file must still be whole
		_, err := w.Write(kept)
		return err
	})
}

// TestKilledAtAnyMoment trains in a process that is killed again and again, at moments spread over its life, and wants the
// bytes of a run that was left alone.
func TestKilledAtAnyMoment(t *testing.T) {
	for name, kills := range map[string]int{"supervised": 100, "semi": 6, "two networks": 6} {
		if testing.Short() {
			kills /= 10
		}
		engines := enginetest.Go // a process on XLA compiles longer than it trains
		if name == "supervised" {
			engines = enginetest.Each
		}
		t.Run(name, func(t *testing.T) { killAgainAndAgain(t, engines, name, kills) })
	}
}

// killAgainAndAgain kills a recipe at so many moments.
func killAgainAndAgain(t *testing.T, engines func(*testing.T, func(*testing.T, *engine.Engine)), recipe string, kills int) {
	engines(t, func(t *testing.T, e *engine.Engine) {
		kills := kills
		if e.Kind != engine.KindGo { // a life is mostly compilation there, and the files are written by the same code
			kills = (kills + 1) / 2
		}
		choice := e.Kind
		if e.Plugin != "" {
			choice = "xla:" + e.Plugin
		}
		spawn := func(dir string) (*exec.Cmd, *bytes.Buffer) {
			var stderr bytes.Buffer
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envChild+"="+dir, envEngine+"="+choice, envRecipe+"="+recipe)
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd, &stderr
		}
		whole := t.TempDir()
		began := time.Now()
		if cmd, stderr := spawn(whole); cmd.Wait() != nil {
			t.Fatal(stderr)
		}
		life := time.Since(began)

		// A new run is begun whenever one ends, until all kills are used up.
		random := rand.New(rand.NewPCG(1, 1))
		killed, runs, beforeFirst := 0, 0, 0
		for killed < kills {
			dir := t.TempDir()
			runs++
			for ended := false; !ended; {
				cmd, stderr := spawn(dir)
				// Moments are spread over a whole life and a little more (start, training, writing, end), the early ones
				// oftener, so that one run is killed many times.
				moment := time.Duration(random.Float64() * float64(life) * []float64{0.3, 1.1}[random.IntN(2)])
				if killed >= kills {
					moment = time.Minute
				}
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
					if latest(t, dir) == 0 {
						beforeFirst++
					}
				}
				if strings.Contains(stderr.String(), "REMARK") {
					t.Fatalf("after %d kills a checkpoint was unreadable: %s", killed, stderr)
				}
			}
			for _, name := range []string{
				"model/model.safetensors", "metrics.jsonl",
				fmt.Sprintf("checkpoints/step-%08d/model.safetensors", killSteps), fmt.Sprintf("checkpoints/step-%08d/state.json", killSteps),
			} {
				want, err := os.ReadFile(filepath.Join(whole, name))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("run %d: %s differs from that of the run left alone (%v)", runs, name, err)
				}
			}
		}
		t.Logf("%d kills over %d runs, %d before the first checkpoint; a life takes %v", killed, runs, beforeFirst, life.Round(time.Millisecond))
	})
}

// latest is the step of the newest checkpoint in a run folder.
func latest(t *testing.T, dir string) int {
	t.Helper()
	entries, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*"))
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, e := range entries {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(e), "step-"))
		if err != nil {
			t.Fatal(err)
		}
		newest = max(newest, n)
	}
	return newest
}
