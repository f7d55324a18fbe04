package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gofrs/flock"

	"github.com/ballast-ml/ballast/format/tfevents"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
	"github.com/ballast-ml/ballast/train"
)

// StartOptions say what a run is.
type StartOptions struct {
	Dir       string   // the run's folder
	Config    Config   // what runs, fully resolved
	Overrides []string // as they were given
	Engine    string
	Seed      uint64
	Resume    bool // take up a folder that has a run in it
}

// Meta is meta.json: what ran, on what, and how it ended.
type Meta struct {
	Command  []string          `json:"command"`
	Commit   string            `json:"commit,omitempty"` // of the source tree the run was started in
	Dirty    bool              `json:"dirty,omitempty"`
	Host     string            `json:"host"`
	Platform string            `json:"platform"`
	Cores    int               `json:"cores"`
	Go       string            `json:"go"`
	Modules  map[string]string `json:"modules"`
	Engine   string            `json:"engine"`
	Seed     uint64            `json:"seed"`
	Started  []time.Time       `json:"started"` // once, and again each time the run was taken up
	Ended    time.Time         `json:"ended,omitzero"`
	Status   string            `json:"status"` // running, finished, failed or stopped
	Error    string            `json:"error,omitempty"`
}

// Run is a run's folder while the run goes on:
//
//	config.yaml, overrides.txt   what runs
//	meta.json                    on what, since when, how it ended
//	metrics.jsonl                one line a step: step, wall_time, values
//	events.out.tfevents.*        the same for TensorBoard
//	checkpoints/                 written by train
//	artifacts/                   what else is worth keeping
//
// It is a train.Sink. One process at a time holds a folder.
type Run struct {
	Dir string

	meta    Meta
	lock    *flock.Flock
	metrics *os.File
	lines   *bufio.Writer
	events  *tfevents.Writer
	last    int
}

var _ train.Sink = (*Run)(nil)

// Start makes a run's folder, or with Resume takes one up. A folder with a run in it is never used again without Resume, and
// never by two processes at a time.
func Start(o StartOptions) (*Run, error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, "artifacts"), 0o755); err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	r := &Run{Dir: o.Dir, lock: flock.New(filepath.Join(o.Dir, "run.lock")), last: -1}
	if err := r.take(); err != nil {
		return nil, err
	}
	if err := r.open(o); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// take locks the folder and leaves the process's number in the lock file for others to read.
func (r *Run) take() error {
	ok, err := r.lock.TryLock()
	if err != nil {
		return fmt.Errorf("lab: lock %s: %w", r.lock.Path(), err)
	}
	if !ok {
		owner := "another process"
		if pid, err := os.ReadFile(r.lock.Path()); err == nil && len(pid) > 0 {
			owner = "process " + strings.TrimSpace(string(pid))
		}
		return fmt.Errorf("lab: %s is in use by %s; wait for it, or choose another folder", r.Dir, owner)
	}
	if err := os.WriteFile(r.lock.Path(), []byte(fmt.Sprintln(os.Getpid())), 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

func (r *Run) open(o StartOptions) error {
	metaFile := filepath.Join(o.Dir, "meta.json")
	old, err := os.ReadFile(metaFile)
	switch {
	case err == nil && !o.Resume:
		return fmt.Errorf("lab: %s has a run in it; use --resume to go on with it, or choose another folder", o.Dir)
	case err == nil:
		if err := json.Unmarshal(old, &r.meta); err != nil {
			return &fault.Input{File: metaFile, Err: err, Mend: "remove the file or choose another folder"}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("lab: %w", err)
	}
	started := append(r.meta.Started, time.Now().UTC())
	r.meta = newMeta(o)
	r.meta.Started = started
	text, err := yaml.Marshal(o.Config)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for name, content := range map[string][]byte{"config.yaml": text, "overrides.txt": []byte(strings.Join(append(slices.Clone(o.Overrides), ""), "\n"))} {
		if err := durable.WriteFile(filepath.Join(o.Dir, name), func(w io.Writer) error { _, err := w.Write(content); return err }); err != nil {
			return err
		}
	}
	if err := r.writeMeta(); err != nil {
		return err
	}
	if r.metrics, err = os.OpenFile(filepath.Join(o.Dir, "metrics.jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	r.lines = bufio.NewWriter(r.metrics)
	if r.events, err = tfevents.Create(o.Dir); err != nil {
		return err
	}
	return nil
}

// Log writes the values of a step. Steps must not go back, but after Rewind.
func (r *Run) Log(step int, values map[string]float64) error {
	if step < r.last {
		return fmt.Errorf("lab: step %d comes after step %d; steps must not go back", step, r.last)
	}
	r.last = step
	wall := time.Now()
	line := map[string]any{"step": step, "wall_time": tfevents.Seconds(wall)}
	for name, v := range values {
		if name == "" || name == "step" || name == "wall_time" || len(name) > 250 {
			return fmt.Errorf("lab: a metric may not be called %q", name)
		}
		line[name] = number(v)
	}
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if _, err := r.lines.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := r.events.Scalar(tfevents.Seconds(wall), int64(step), name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

// Sync puts what was logged on the disk, so that no checkpoint is ahead of it.
func (r *Run) Sync() error {
	if err := r.lines.Flush(); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	return errors.Join(r.metrics.Sync(), r.events.Flush())
}

// Rewind drops what was logged after step, and a last line that was cut.
func (r *Run) Rewind(step int) error {
	if err := r.lines.Flush(); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	content, err := os.ReadFile(r.metrics.Name())
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	keep := 0
	for rest := content; ; {
		end := bytes.IndexByte(rest, '\n')
		var line struct {
			Step *int `json:"step"`
		}
		if end < 0 || json.Unmarshal(rest[:end], &line) != nil || line.Step == nil || *line.Step > step {
			break
		}
		keep += end + 1
		rest = rest[end+1:]
	}
	if err := r.metrics.Truncate(int64(keep)); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	r.last = step
	return r.events.SessionStart(tfevents.Seconds(time.Now()), int64(step)+1)
}

// Finish ends the run and gives the folder free. err is what it ended with, nil if it is done.
func (r *Run) Finish(err error) error {
	r.meta.Ended = time.Now().UTC()
	switch {
	case err == nil:
		r.meta.Status = "finished"
	case errors.Is(err, context.Canceled):
		r.meta.Status = "stopped"
	default:
		r.meta.Status = "failed"
	}
	if err != nil {
		r.meta.Error = err.Error()
	}
	return errors.Join(r.Sync(), r.writeMeta(), r.close())
}

func (r *Run) close() error {
	var errs []error
	if r.metrics != nil {
		errs = append(errs, r.metrics.Close())
	}
	if r.events != nil {
		errs = append(errs, r.events.Close())
	}
	return errors.Join(append(errs, r.lock.Unlock())...)
}

func (r *Run) writeMeta() error {
	return durable.WriteFile(filepath.Join(r.Dir, "meta.json"), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r.meta)
	})
}

func newMeta(o StartOptions) Meta {
	m := Meta{
		Command: os.Args, Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(),
		Modules: map[string]string{}, Engine: o.Engine, Seed: o.Seed, Status: "running",
	}
	m.Host, _ = os.Hostname() // a machine without a name stays without
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			m.Modules[d.Path] = d.Version
		}
	}
	if head, err := exec.Command("git", "rev-parse", "HEAD").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(head))
		status, err := exec.Command("git", "status", "--porcelain").Output()
		m.Dirty = err == nil && len(status) > 0
	}
	return m
}

// number is a float as JSON can hold it.
func number(v float64) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return v
}
