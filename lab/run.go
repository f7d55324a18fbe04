package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/tfevents"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/lock"
	"github.com/ballast-ml/ballast/internal/untrusted"
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
	Anew      bool // what the folder holds is removed before Begin; until then nothing is looked at
}

// Bounds of what a run folder may hold: meta.json, whose longest part is the command with its overrides, and a line of metrics.jsonl,
// of some thousand values at most.
const (
	mostMeta = 16 << 20
	mostLine = 1 << 20
)

// Meta is meta.json: what ran, on what, and how it ended.
type Meta struct {
	Command  []string          `json:"command"`
	Commit   string            `json:"commit,omitempty"` // checked out where the run was started; files may have been changed since
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

	options StartOptions
	begun   bool
	made    []string // folders that were missing

	meta    Meta
	lock    *lock.Lock
	metrics *os.File
	lines   *bufio.Writer
	events  *tfevents.Writer
	last    int
}

var _ train.Sink = (*Run)(nil)

// Start takes a new folder for a run, or with Resume takes one up. A folder with a run in it is never used again without Resume, and
// never by two processes at a time. The folder may be another's: a link in the place of one of its files is an error, and what it
// leads to is not touched. Nothing is written before Begin, the first Log or Rewind, or a Finish without an error: a run that
// is refused before leaves the folder as it was.
func Start(o StartOptions) (*Run, error) {
	r := &Run{Dir: o.Dir, options: o, last: -1}
	if o.Anew {
		return r, nil
	}
	if err := r.take(); err != nil {
		return nil, err
	}
	return r, nil
}

// take locks the folder and looks at what it holds.
func (r *Run) take() error {
	var err error
	if r.made, err = durable.MakeDir(r.Dir); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	held, owner, err := lock.Try(filepath.Join(r.Dir, "run.lock"))
	if err != nil {
		durable.RemoveEmpty(r.made)
		return fmt.Errorf("lab: %w", err)
	}
	if held == nil {
		return fmt.Errorf("lab: %s is in use by %s; wait for it, or choose another folder", r.Dir, owner)
	}
	r.lock = held
	if err := r.look(); err != nil {
		return errors.Join(err, r.undo())
	}
	return nil
}

// look reads the record of an earlier run, and refuses what none of ours leaves.
func (r *Run) look() error {
	o := r.options
	for _, name := range []string{"artifacts", "metrics.jsonl"} {
		if err := untrusted.NoLink(filepath.Join(o.Dir, name)); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	}
	for _, name := range []string{"config.yaml", "overrides.txt"} {
		if _, err := (durable.Permit{Overwrite: true}).CheckFile(filepath.Join(o.Dir, name)); err != nil {
			return err
		}
	}
	metaFile := filepath.Join(o.Dir, "meta.json")
	old, err := untrusted.ReadFileNoLink(metaFile, mostMeta)
	switch {
	case err == nil && !o.Resume:
		return &fault.Usage{Err: fmt.Errorf("lab: %s has a run in it; resume it with --resume, begin anew with --overwrite, or name another folder", o.Dir)}
	case err == nil:
		if err := json.Unmarshal(old, &r.meta); err != nil {
			return &fault.Input{File: metaFile, Err: err, Fix: "remove the file or choose another folder"}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}

// undo leaves a folder in which nothing was begun as it was.
func (r *Run) undo() error {
	if r.lock == nil {
		return nil
	}
	err := r.lock.Undo()
	durable.RemoveEmpty(r.made)
	return err
}

// Begin writes what runs, and on what. It is called once the run was accepted.
func (r *Run) Begin() error {
	if r.begun {
		return nil
	}
	if r.lock == nil {
		if err := r.take(); err != nil {
			return err
		}
	}
	r.begun = true
	return r.open(r.options)
}

func (r *Run) open(o StartOptions) error {
	if err := untrusted.FolderNoLink(filepath.Join(o.Dir, "artifacts")); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	started := append(r.meta.Started, time.Now().UTC())
	r.meta = newMeta(o)
	r.meta.Started = started
	text, err := yaml.Marshal(map[string]any(o.Config))
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
	if r.metrics, err = untrusted.AppendNoLink(filepath.Join(o.Dir, "metrics.jsonl")); err != nil {
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
	if err := r.Begin(); err != nil {
		return err
	}
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
	if err := r.Begin(); err != nil {
		return err
	}
	if err := r.lines.Flush(); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	return errors.Join(r.metrics.Sync(), r.events.Flush())
}

// Rewind drops what was logged after step, and a last line that was cut.
func (r *Run) Rewind(step int) error {
	if err := r.Begin(); err != nil {
		return err
	}
	if err := r.lines.Flush(); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	keep, err := r.linesUpTo(step)
	if err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	if err := r.metrics.Truncate(keep); err != nil {
		return fmt.Errorf("lab: metrics.jsonl: %w", err)
	}
	r.last = step
	return r.events.SessionStart(tfevents.Seconds(time.Now()), int64(step)+1)
}

// linesUpTo is the length of the lines of metrics.jsonl up to a step, whole ones alone.
func (r *Run) linesUpTo(step int) (keep int64, err error) {
	if _, err := r.metrics.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	lines := bufio.NewReaderSize(r.metrics, mostLine)
	for {
		text, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull): // cut, or not a line of ours
			return keep, nil
		case err != nil:
			return 0, err
		}
		var line struct {
			Step *int `json:"step"`
		}
		if json.Unmarshal(text, &line) != nil || line.Step == nil || *line.Step > step {
			return keep, nil
		}
		keep += int64(len(text))
	}
}

// Logged is what a run logged of a step at once; what was not a finite number is left out.
type Logged struct {
	Step   int
	Values map[string]float64
}

// ReadLog returns what the run in a folder logged, in the order of steps.
func ReadLog(dir string) ([]Logged, error) {
	f, err := untrusted.OpenNoLink(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read

	var all []Logged
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, mostLine)
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			where := fmt.Sprintf("line %d", len(all)+1)
			return nil, &fault.Input{File: f.Name(), Field: where, Err: err, Fix: "measure the run again"}
		}
		step, _ := line["step"].(float64)
		logged := Logged{Step: int(step), Values: map[string]float64{}}
		for name, value := range line {
			if v, ok := value.(float64); ok && name != "step" && name != "wall_time" {
				logged.Values[name] = v
			}
		}
		all = append(all, logged)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("lab: %s: %w", f.Name(), err)
	}
	return all, nil
}

// Finish ends the run and gives the folder free. err is what it ended with, nil if it is done. A run that ended with an error before it
// began leaves no trace.
func (r *Run) Finish(err error) error {
	switch {
	case err == nil:
	case !r.begun:
		return r.undo()
	case r.events == nil: // it could not begin
		return r.close()
	}
	if err := r.Begin(); err != nil {
		return errors.Join(err, r.close())
	}
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
	if r.lock != nil {
		errs = append(errs, r.lock.Release())
	}
	return errors.Join(errs...)
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
	m.Commit = commitOf(".")
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
