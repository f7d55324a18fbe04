package train_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/train"
)

// envKills set to "all" has TestProcedureKilled kill at every boundary and at 20 random moments, on every engine, in the place of a few.
const envKills = "BALLAST_TEST_KILLS"

const procedureSteps = 24

// killProcedure is the procedure with checkpoints within phases and turns.
func killProcedure() train.Recipe {
	r := procedureRecipe(procedureSteps)
	r.Average.Decay = 0
	r.LogEvery = 1
	r.Checkpoint.EverySteps, r.Checkpoint.KeepLast = 3, 2
	return r
}

// wait says that the moment has come at which the parent kills, and waits for it.
func wait(moment string) {
	if moment == os.Getenv(envWait) {
		fmt.Println(moment)
		select {}
	}
}

// The moments at a boundary: behind the last update of a phase, in the host work between, behind the first update of the next, in the work
// behind a pass of it and behind the update that is left out, and at the end.
var boundaries = []string{"log 7", "before", "log 8", "after 0", "after 2", "log 14", "log 24"}

// TestProcedureKilled kills a run with everything that an objective can have, and wants the bytes of a run that was left alone.
func TestProcedureKilled(t *testing.T) {
	moments, random := []string{"before", "after 0"}, 2
	all := os.Getenv(envKills) == "all"
	if all {
		moments, random = boundaries, 20
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		if e.Kind != engine.KindGo && !all {
			t.Logf("with %s=all", envKills)
			return
		}
		k := killer{engine: e}
		whole := t.TempDir()
		began := time.Now()
		k.finish(t, whole)
		life := time.Since(began)

		for _, moment := range moments {
			dir := t.TempDir()
			k.killAt(t, dir, moment)
			k.finish(t, dir)
			k.same(t, whole, dir, moment)
		}
		r := rand.New(rand.NewPCG(1, 1))
		for range random {
			dir := t.TempDir()
			after := time.Duration(r.Float64() * float64(life))
			k.killAfter(t, dir, after)
			step := latest(t, dir)
			k.finish(t, dir)
			k.same(t, whole, dir, fmt.Sprintf("killed after %v of %v, at checkpoint %d", after, life, step))
		}
	})
}

// killer runs the procedure in processes.
type killer struct{ engine *engine.Engine }

func (k killer) command(dir string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	choice := k.engine.Kind
	if k.engine.Plugin != "" {
		choice = "xla:" + k.engine.Plugin
	}
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), envChild+"="+dir, envEngine+"="+choice, envRecipe+"=procedure"), env...)
	cmd.Stderr = &stderr
	return cmd, &stderr
}

// finish goes on to the end.
func (k killer) finish(t *testing.T, dir string) {
	t.Helper()
	cmd, stderr := k.command(dir)
	if err := cmd.Run(); err != nil || strings.Contains(stderr.String(), "REMARK") {
		t.Fatalf("%v\n%s", err, stderr)
	}
}

// killAt kills the process at a moment that it says.
func (k killer) killAt(t *testing.T, dir, moment string) {
	t.Helper()
	cmd, stderr := k.command(dir, envWait+"="+moment)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len(moment))
	if _, err := io.ReadFull(out, said); err != nil || string(said) != moment {
		t.Fatalf("waiting for %q: %v %q\n%s", moment, err, said, stderr)
	}
	k.kill(t, cmd)
}

// killAfter kills the process after a while, unless it has come to its end.
func (k killer) killAfter(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	cmd, _ := k.command(dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	k.kill(t, cmd)
}

func (k killer) kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Log(err) // it is at its end
	}
	_ = cmd.Wait() // killed, or at its end
}

// same compares all that a run leaves.
func (k killer) same(t *testing.T, whole, dir, moment string) {
	t.Helper()
	checkpoint := fmt.Sprintf("checkpoints/step-%08d/", procedureSteps)
	for _, name := range []string{"model/model.safetensors", "metrics.jsonl", checkpoint + "model.safetensors", checkpoint + "state.json"} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s differs from that of the run left alone (%v)", moment, name, err)
		}
	}
}
