//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	ot "github.com/ballast-ml/ballast/internal/onnxtest"

	"github.com/ballast-ml/ballast/format/npy"
)

// held is a state in which the command stays until somebody ends it.
type held struct {
	name  string
	args  []string
	setup func(t *testing.T, dir string) (env []string) // nil = nothing
	ready func(dir string) bool                         // nil = the process runs for half a second, or for wait
	wait  time.Duration
	full  bool                           // standard output is a pipe that nobody reads
	saves bool                           // it ends by itself after the present update and its save
	after func(t *testing.T, dir string) // what must be there once it has ended by the first signal
}

// endless are settings of a training that no test waits for.
var endless = []string{"network={name: mlp, hidden: [4]}", "epochs=1000000", "batch_size=32", "log_every=1"}

func exists(name string) func(string) bool {
	return func(dir string) bool {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(name)))
		return err == nil && len(found) > 0
	}
}

// heldStates are the verbs at work, and waiting: for a reader, a lock, a server.
func heldStates() []held {
	stalled := func(t *testing.T, dir string) []string {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = os.WriteFile(filepath.Join(dir, "asked"), nil, 0o644) // the test waits for it
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write([]byte("PK"))
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			<-r.Context().Done()
		}))
		t.Cleanup(server.Close)
		return []string{"BALLAST_HOME=" + filepath.Join(dir, "home"), "PIP_INDEX_URL=" + server.URL + "/simple", "GOPROXY=" + server.URL}
	}
	locked := func(t *testing.T, dir string) []string {
		t.Helper()
		path := filepath.Join(dir, "home", "engine", "lock")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		lock := flock.New(path)
		if ok, err := lock.TryLock(); !ok || err != nil {
			t.Fatal(ok, err)
		}
		t.Cleanup(func() { _ = lock.Unlock() })
		return []string{"BALLAST_HOME=" + filepath.Join(dir, "home")}
	}
	images := func(t *testing.T, dir string) []string {
		t.Helper()
		if err := imageFiles(dir); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	resumable := func(t *testing.T, dir string) {
		t.Helper()
		if !exists("r/checkpoints/step-*/SHA256SUMS")(dir) {
			t.Error("no checkpoint was saved")
		}
		if meta, err := os.ReadFile(filepath.Join(dir, "r", "meta.json")); err != nil || !strings.Contains(string(meta), `"status": "stopped"`) {
			t.Errorf("meta.json: %v\n%s", err, meta)
		}
	}
	// Models of 12 GB that take no room: whatever reads or merges them is at it for a while.
	large := func(t *testing.T, dir string) []string {
		t.Helper()
		const bytes = 12 << 30
		header := fmt.Sprintf(`{"w":{"dtype":"F32","shape":[%d,1024],"data_offsets":[0,%d]}}`, bytes/4096, bytes)
		for _, name := range []string{"a", "b", "c"} {
			path := filepath.Join(dir, name+".safetensors")
			content := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
			if err := errors.Join(os.WriteFile(path, content, 0o644), os.Truncate(path, int64(len(content))+bytes)); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	}
	// A graph that XLA compiles for a minute.
	compiled := func(t *testing.T, dir string) []string {
		t.Helper()
		if !galleryXLA() {
			t.Skip("XLA's plugin is not installed here")
		}
		m := ot.Model{
			Opset: 18, Inputs: []ot.Value{{Name: "x", Type: ot.Float, Shape: []any{8, 8}}}, Outputs: []ot.Value{{Name: "y", Type: ot.Float, Shape: []any{8, 8}}},
		}
		last := "x"
		for i := range 20_000 {
			name := fmt.Sprint("v", i)
			m.Nodes = append(m.Nodes, ot.Node{Op: []string{"MatMul", "Softmax", "Sin"}[i%3], Inputs: []string{last}, Outputs: []string{name}})
			if i%3 == 0 {
				m.Nodes[i].Inputs = append(m.Nodes[i].Inputs, last)
			}
			last = name
		}
		m.Nodes = append(m.Nodes, ot.Node{Op: "Identity", Inputs: []string{last}, Outputs: []string{"y"}})
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "m.onnx"), m.Bytes(), 0o644), npy.WriteFile(filepath.Join(dir, "x.npy"), []int{8, 8}, make([]float32, 64))); err != nil {
			t.Fatal(err)
		}
		return []string{"BALLAST_ENGINE=xla:cpu"}
	}
	holes := strings.Fields("inpaint --data npy:slopes.npy,slope_labels.npy --out holes side=12 patches=16 held=4 batch=4 steps=10000000 " +
		"generator.base=2 generator.blocks=1 discriminator.base=2 discriminator.halves=1 holes.least=2 holes.most=4")
	return []held{
		{name: "train", args: append([]string{"train", "--out", "r", "evaluate_every=0"}, endless...), ready: logged("r/metrics.jsonl"), saves: true, after: resumable},
		{name: "inpaint", args: append(holes, "evaluate_every=5000000"), setup: images, saves: true},
		{name: "inpaint that measures", args: append(holes, "evaluate_every=1"), setup: images, ready: exists("holes/checkpoints/step-*/SHA256SUMS"), saves: true},
		{name: "lock of engine install", args: []string{"engine", "install", "--from", "x.so"}, setup: locked},
		{name: "download of a model", args: []string{"data", "get", "digit-nets"}, setup: stalled, ready: exists("asked")},
		{name: "download of data", args: []string{"data", "get", "mnist"}, setup: stalled, ready: exists("asked")},
		{name: "a reader that does not read", args: []string{"papers", "--json"}, full: true},
		{name: "compare", args: append([]string{"compare", "norm=batch,identity", "seed=1", "--out", "c"}, endless...), ready: logged("c/*/seed-1/metrics.jsonl"), saves: true},
		{name: "bench", args: []string{"bench", "limits", "train"}},
		{name: "reproduce", args: []string{"reproduce", "grokking", "--ledger", "ledger.json"}, ready: exists("runs/reproduce/*")},
		{name: "demo", args: []string{"demo", "--quick"}, ready: exists("runs/demo-quick/training/checkpoints/lock"), saves: true},
		{name: "inspect", args: strings.Fields("inspect a.safetensors"), setup: large},
		{name: "merge", args: strings.Fields("merge a.safetensors b.safetensors --method linear --out m"), setup: large, ready: exists(".m.ballast-work/*")},
		{name: "merge to gguf", args: strings.Fields("merge a.safetensors b.safetensors --method linear --out m.gguf"), setup: large, ready: exists(".m.gguf.ballast-stage/.merged.ballast-work/*")},
		{name: "merge diff", args: strings.Fields("merge diff a.safetensors b.safetensors"), setup: large},
		{name: "convert", args: strings.Fields("convert a.safetensors --to gguf --type Q8_0 --out a.gguf"), setup: large, ready: exists(".a.gguf.ballast-tmp")},
		{name: "soup", args: strings.Fields("soup a.safetensors b.safetensors --method uniform --out m"), setup: large, ready: exists(".m.ballast-tmp/.*")},
		{name: "a graph that compiles", args: strings.Fields("run m.onnx --input x=x.npy --output y.npz"), setup: compiled, wait: 4 * time.Second},
		{name: "a pipe for a model", args: []string{"inspect", "d"}, setup: func(t *testing.T, dir string) []string {
			t.Helper()
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o755), syscall.Mkfifo(filepath.Join(dir, "d", "model.safetensors"), 0o644)); err != nil {
				t.Fatal(err)
			}
			return nil
		}},
	}
}

// logged is ready once updates were logged.
func logged(metrics string) func(string) bool {
	return func(dir string) bool {
		found, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(metrics)))
		if err != nil || len(found) == 0 {
			return false
		}
		stat, err := os.Stat(found[0])
		return err == nil && stat.Size() > 0
	}
}

// TestSignals holds the command in each state and ends it by each signal, and by a second one. Without BALLAST_SIGNALS=all it is a
// sample: each state by one way.
func TestSignals(t *testing.T) {
	all := os.Getenv("BALLAST_SIGNALS") == "all"
	if testing.Short() && !all {
		t.Skip("it holds processes for seconds")
	}
	// A process that was started with a signal ignored passes that on to its children, unless it asks for the signal.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	defer signal.Stop(asked)
	ways := [][]syscall.Signal{
		{syscall.SIGINT}, {syscall.SIGTERM}, {syscall.SIGHUP},
		{syscall.SIGINT, syscall.SIGINT}, {syscall.SIGTERM, syscall.SIGINT}, {syscall.SIGHUP, syscall.SIGTERM},
	}
	for i, h := range heldStates() {
		for k, way := range ways {
			if !all && k != i%len(ways) {
				continue
			}
			names := make([]string, len(way))
			for n, s := range way {
				names[n] = s.String()
			}
			t.Run(h.name+"/"+strings.Join(names, " then "), func(t *testing.T) { h.end(t, way) })
		}
	}
}

func (h held) end(t *testing.T, signals []syscall.Signal) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], h.args...) //nolint:gosec // the test itself
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go")
	if h.setup != nil {
		cmd.Env = append(cmd.Env, h.setup(t, dir)...)
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if h.full {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		defer write.Close()
		cmd.Stdout = write
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if h.ready == nil {
		time.Sleep(max(h.wait, 500*time.Millisecond))
	}
	for began := time.Now(); h.ready != nil && !h.ready(dir); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			_ = cmd.Process.Kill()
			t.Fatalf("it never came so far\n%s%s", &out, &errOut)
		}
	}
	select {
	case <-ended: // a pipe that is refused is not waited for
		if code := cmd.ProcessState.ExitCode(); code != exitBadInput {
			t.Errorf("it ended by itself with exit code %d\n%s%s", code, &out, &errOut)
		}
		return
	default:
	}
	began := time.Now()
	for n, s := range signals {
		if n > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	within := 2 * time.Second
	switch {
	case len(signals) > 1:
		within = time.Second // less than what the first one leaves it
	case h.saves:
		within = 10 * time.Second
	}
	select {
	case <-ended:
	case <-time.After(within):
		_ = cmd.Process.Kill()
		<-ended
		t.Fatalf("it still ran %v after %v\n%s%s", within, signals, &out, &errOut)
	}
	took := time.Since(began)
	// One that ended by the first signal before the second came is right too.
	codes := map[int]bool{}
	for _, s := range signals {
		codes[128+int(s)] = true
	}
	if code := cmd.ProcessState.ExitCode(); !codes[code] {
		t.Errorf("exit code %d after %v\n%s", code, signals, &errOut)
	}
	said := strings.Count(errOut.String(), "ballast: stopped by ")
	if said != 1 || strings.Contains(errOut.String(), "goroutine") {
		t.Errorf("standard error says %d times what stopped it:\n%s", said, &errOut)
	}
	if h.after != nil && len(signals) == 1 {
		h.after(t, dir)
	}
	t.Logf("gone after %v", took.Round(time.Millisecond))
}
