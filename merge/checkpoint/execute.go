package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Progress is how far a merge is, in bytes of the output.
type Progress struct {
	Done, Total int64
	Resumed     int64 // of Done, what an earlier run had written
	Tensor      string
}

// Result is what a merge did.
type Result struct {
	Manifest
	Resumed   int      `json:"resumed_tensors"` // that an earlier run had finished
	Saturated int      `json:"saturated"`       // values beyond the output type that became its largest
	Notes     []string `json:"notes"`
}

// workDir is where a merge collects its output: beside it, so that the last step is a rename.
func (p *Plan) workDir() string { return durable.Beside(p.Out, durable.WorkSuffix) }

// Execute merges. What is written is collected beside the output and moved there when it is whole; a merge that was stopped, by whatever,
// goes on at the last finished tensor when the same plan is executed again, and writes the same bytes. One process at a time writes an
// output; a second one is told which does. What is there is replaced with Options.Overwrite alone, and only if a merge wrote it.
func (p *Plan) Execute(ctx context.Context, progress func(Progress)) (result *Result, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e := &execution{p: p, ctx: ctx, cancel: cancel, work: p.workDir(), progress: progress, journal: journal{path: durable.Beside(p.Out, durable.JournalSuffix)}}
	claim, err := durable.Lock(p.Out, p.permit())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, claim.Release()) }()
	for _, path := range []string{e.work, e.journal.path, manifestOf(p.Out)} { // they go with the output
		defer durable.Cover(path)()
	}
	if m, placed := e.placed(); placed {
		return &Result{Manifest: m, Resumed: len(p.tensors), Notes: slices.Clone(p.Notes)}, e.clean()
	}
	if err := p.free(); err != nil {
		return nil, err
	}

	if err := os.MkdirAll(e.work, 0o755); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	err = e.run()
	if err == nil {
		if result, err = e.finish(); err == nil {
			return result, nil
		}
	}
	if bad := new(fault.Input); errors.As(err, &bad) { // running it again would end the same way
		return nil, errors.Join(err, e.clean())
	}
	return nil, p.explain(err, e)
}

// permit is what the output may take the place of: a folder that a merge wrote.
func (p *Plan) permit() durable.Permit {
	return durable.Permit{Overwrite: p.options.Overwrite, Owns: Owns}
}

// free refuses an output whose place is taken.
func (p *Plan) free() error {
	if !p.single() {
		return p.permit().CheckDir(p.Out)
	}
	stream, err := p.permit().CheckFile(p.Out)
	if err == nil && stream {
		err = &fault.Usage{Err: fmt.Errorf("merge: %s is a pipe or a device, and a merge seeks back in its output; name a file", p.Out)}
	}
	if err == nil {
		err = CheckManifest(p.Out)
	}
	return err
}

// CheckManifest refuses an output file if something else stands where its manifest belongs.
func CheckManifest(out string) error {
	manifest := manifestOf(out)
	if _, err := os.Lstat(manifest); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := readManifest(manifest); err != nil {
		return &fault.Usage{Err: fmt.Errorf("merge: %s, the place of the manifest, holds something else; move it away, or name another output", manifest)}
	}
	return nil
}

// placed reports whether an earlier run of this plan had put its output into place when it was killed, and returns its manifest.
func (e *execution) placed() (m Manifest, placed bool) {
	sum := e.journal.placing(e.p.fingerprint())
	file := filepath.Join(e.p.Out, ManifestFile)
	if e.p.single() {
		file = manifestOf(e.p.Out)
		stat, err := os.Stat(e.p.Out)
		if err != nil || stat.Size() != e.p.Files[0].Bytes || exists(filepath.Join(e.work, e.p.Files[0].Name)) {
			return m, false
		}
	}
	text, err := untrusted.ReadFile(file, maxManifest)
	if sum == "" || err != nil || sumOf(text) != sum {
		return m, false
	}
	m, err = readManifest(file)
	return m, err == nil
}

// clean removes what a merge keeps beside its output.
func (e *execution) clean() error {
	if err := os.Remove(e.journal.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("merge: %w", err)
	}
	if err := os.RemoveAll(e.work); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

// explain says how much room a full disk lacks.
func (p *Plan) explain(err error, e *execution) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("merge: %w; %d bytes more are needed in %s: make room and run the same merge again, it resumes after %d of %d tensors",
			err, e.total-e.written.Load(), filepath.Dir(e.work), e.safe, len(p.tensors))
	}
	return err
}

// execution is one run of a plan.
type execution struct {
	p        *Plan
	ctx      context.Context
	cancel   context.CancelCauseFunc
	work     string
	progress func(Progress)
	journal  journal

	done      int // tensors of earlier runs
	safe      int // tensors that are on the disk, the writer's alone until it ends
	resumed   int
	resumedAt int64
	total     int64 // bytes of tensors
	written   atomic.Int64
	saturated atomic.Int64
	sums      []string // of finished files
	inputs    []InputFile

	cache   []byte
	paces   map[*Input]*pace
	results chan result
	slots   chan []byte

	mu    sync.Mutex
	notes []string
	err   error
}

// fail stops everything; the first error counts.
func (e *execution) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil && err != nil {
		e.err = err
		e.cancel(err)
	}
}

// result is a block of the output.
type result struct {
	number int // of the block
	tensor int
	last   bool // of its tensor
	data   []byte
}

func (e *execution) run() error {
	if err := e.open(); err != nil {
		return err
	}
	defer e.journal.close()
	e.makeBuffers()

	var background, workers sync.WaitGroup
	background.Go(e.hashInputs)
	background.Go(func() { e.fail(e.write()) })
	jobs := make(chan func(w *worker))
	for range e.p.budget.workers {
		workers.Go(func() {
			w := e.newWorker()
			for job := range jobs {
				job(w)
			}
		})
	}
	e.fail(e.dispatch(jobs))

	for _, p := range e.paces {
		p.end()
	}
	close(jobs)
	workers.Wait()
	close(e.results)
	background.Wait()
	if e.err != nil {
		return e.err
	}
	return context.Cause(e.ctx)
}

// open takes up the journal, and what an earlier run of the same plan has finished.
func (e *execution) open() error {
	done, err := e.journal.open(e.p.fingerprint(), e.there)
	if err != nil {
		return err
	}
	if done == 0 { // nothing of what another plan left counts
		err = errors.Join(os.RemoveAll(e.work), os.MkdirAll(e.work, 0o755))
		if err != nil {
			err = fmt.Errorf("merge: %w", err)
		}
	}
	if err == nil {
		err = durable.RemoveTemporaries(e.work)
	}
	if err != nil {
		e.journal.close()
		return err
	}

	e.done, e.safe, e.resumed = done, done, done
	for _, f := range e.p.Files {
		e.total += f.Bytes - int64(len(f.header))
	}
	for _, t := range e.p.tensors[:done] {
		e.resumedAt += t.bytes
	}
	return nil
}

// makeBuffers makes what the budget has dealt out to all workers together, and the paces of the models.
func (e *execution) makeBuffers() {
	b := e.p.budget
	e.results = make(chan result, b.slots)
	e.slots = make(chan []byte, b.slots)
	for range b.slots {
		e.slots <- make([]byte, b.block*b.widest)
	}
	e.cache = make([]byte, b.cache)

	e.paces = map[*Input]*pace{}
	for _, in := range e.p.Inputs {
		e.paces[in] = newPace()
	}
	for _, t := range e.p.tensors[:e.done] {
		for _, r := range t.all() {
			e.paces[r.in].merged += r.info.Bytes
		}
	}
}

// there tells whether the files hold the first tensors.
func (e *execution) there(tensors int) bool {
	for _, t := range e.p.tensors[:min(tensors, len(e.p.tensors))] {
		if stat, err := os.Stat(filepath.Join(e.work, e.p.Files[t.file].Name)); err != nil || stat.Size() < t.at+t.bytes {
			return false
		}
	}
	return tensors <= len(e.p.tensors)
}
