package merge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/fault"
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
func (p *Plan) workDir() string {
	clean := filepath.Clean(p.Out)
	return filepath.Join(filepath.Dir(clean), "."+filepath.Base(clean)+".merging")
}

// Execute merges. What is written is collected beside the output and moved there when it is whole; a merge that was stopped, by whatever,
// goes on at the last finished tensor when the same plan is executed again, and writes the same bytes.
func (p *Plan) Execute(ctx context.Context, progress func(Progress)) (*Result, error) {
	if exists(p.Out) && !p.options.Overwrite {
		return nil, &fault.Input{File: p.Out, Err: errors.New("it is already there"), Mend: "choose another output, or allow it to be overwritten"}
	}
	work := p.workDir()
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e := &execution{p: p, ctx: ctx, cancel: cancel, work: work, progress: progress, journal: journal{path: work + "-journal"}}
	err := e.run()
	if err == nil {
		var result *Result
		if result, err = e.finish(); err == nil {
			return result, nil
		}
	}
	if bad := new(fault.Input); errors.As(err, &bad) { // running it again would end the same way
		return nil, errors.Join(err, os.RemoveAll(work), os.Remove(e.journal.path))
	}
	return nil, p.explain(err, e)
}

// explain says how much room a full disk lacks.
func (p *Plan) explain(err error, e *execution) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("merge: %w; %d bytes more are needed in %s: make room and run the same merge again, it goes on after %d of %d tensors",
			err, e.total-e.written.Load(), filepath.Dir(e.work), e.done, len(p.tensors))
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

	done      int // tensors of earlier runs, then of the journal
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
	done, err := e.journal.open(e.p.fingerprint(), e.there)
	if err != nil {
		return err
	}
	defer e.journal.close()
	if done == 0 { // nothing of what another plan left counts
		if err := errors.Join(os.RemoveAll(e.work), os.MkdirAll(e.work, 0o755)); err != nil {
			return fmt.Errorf("merge: %w", err)
		}
	}
	if err := durable.RemoveTemporaries(e.work); err != nil {
		return err
	}
	e.done, e.resumed = done, done
	for _, f := range e.p.Files {
		e.total += f.Bytes - int64(len(f.header))
	}
	for _, t := range e.p.tensors[:done] {
		e.resumedAt += t.bytes
	}
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
	for _, t := range e.p.tensors[:done] {
		for _, r := range t.all() {
			e.paces[r.in].merged += r.info.Bytes
		}
	}
	var background, workers sync.WaitGroup
	background.Go(e.hashInputs)
	background.Go(func() { e.fail(e.write()) })
	jobs := make(chan func(w *worker))
	for range b.workers {
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

// there tells whether the files hold the first tensors.
func (e *execution) there(tensors int) bool {
	for _, t := range e.p.tensors[:min(tensors, len(e.p.tensors))] {
		if stat, err := os.Stat(filepath.Join(e.work, e.p.Files[t.file].Name)); err != nil || stat.Size() < t.at+t.bytes {
			return false
		}
	}
	return tensors <= len(e.p.tensors)
}

// dispatch hands out the work in the order of the output.
func (e *execution) dispatch(jobs chan<- func(*worker)) error {
	number := 0
	send := func(job func(*worker)) error {
		select {
		case jobs <- job:
			return nil
		case <-e.ctx.Done():
			return context.Cause(e.ctx)
		}
	}
	emit := func(i, length int, last bool, wait *sync.WaitGroup, work func(w *worker, dst []byte) error) error {
		var slot []byte
		select {
		case slot = <-e.slots:
		case <-e.ctx.Done():
			return context.Cause(e.ctx)
		}
		r := result{number: number, tensor: i, last: last, data: slot[:length]}
		number++
		wait.Add(1)
		err := send(func(w *worker) {
			defer wait.Done()
			if err := work(w, r.data); err != nil {
				e.fail(err)
				return
			}
			e.results <- r // has room for all slots
		})
		if err != nil {
			wait.Done()
		}
		return err
	}
	for i := e.done; i < len(e.p.tensors); i++ {
		t := e.p.tensors[i]
		var merging sync.WaitGroup
		if t.whole || t.bytes == 0 {
			step := int64(BlockElements * 4)
			for at := int64(0); at < max(1, t.bytes); at += step {
				n := min(step, t.bytes-at)
				for _, r := range t.all() {
					e.paces[r.in].merge(n)
				}
				if err := emit(i, int(n), at+n == t.bytes, &merging, func(_ *worker, dst []byte) error { return t.copyBytes(dst, at) }); err != nil {
					return err
				}
			}
			continue
		}
		merger, err := t.method.Start(t.target)
		if err != nil {
			return err
		}
		n := t.target.Elements()
		length := blockLength(t.target, merger.WholeRows())
		blocks := (n + length - 1) / length
		src := e.source(t, merger, n, length)
		for pass := range merger.Passes() {
			var scanning sync.WaitGroup
			for k := range blocks {
				if pass == 0 {
					e.keepPace(src, k)
				}
				scanning.Add(1)
				err := send(func(w *worker) {
					defer scanning.Done()
					b, err := w.load(src, k, pass == 0)
					if err != nil {
						e.fail(err)
						b = w.empty(src, k) // others wait for this block's turn
					}
					merger.Scan(pass, b)
				})
				if err != nil {
					scanning.Done()
					scanning.Wait()
					return err
				}
			}
			scanning.Wait()
			if err := e.ctx.Err(); err != nil {
				return context.Cause(e.ctx)
			}
			if err := merger.Scanned(pass); err != nil {
				return err
			}
		}
		for _, note := range merger.Notes() {
			e.mu.Lock()
			e.notes = append(e.notes, fmt.Sprintf("tensor %s: %s", t.name, note))
			e.mu.Unlock()
		}
		width := t.width()
		for k := range blocks {
			if merger.Passes() == 0 {
				e.keepPace(src, k)
			}
			from, to := k*length, min((k+1)*length, n)
			err := emit(i, (to-from)*width, k == blocks-1, &merging, func(w *worker, dst []byte) error {
				b, err := w.load(src, k, merger.Passes() == 0)
				if err != nil {
					return err
				}
				out := w.out[:to-from]
				merger.Merge(out, b)
				return e.round(t, dst, out)
			})
			if err != nil {
				merging.Wait()
				return err
			}
		}
		if src.cached {
			merging.Wait() // the next tensor takes the cache
		}
	}
	return nil
}

// round checks merged values and writes them in the type of the output.
func (e *execution) round(t *planned, dst []byte, out []float32) error {
	if !weights.AllFinite(out) {
		n := 0
		for _, v := range out {
			if v-v != 0 {
				n++
			}
		}
		return &fault.Input{Field: t.name, Err: fmt.Errorf("%d merged values of a block are infinite or NaN in float32", n), Mend: "make weights, lambda or the parameters that scale smaller"}
	}
	overflowed, err := weights.Round(dst, t.typ, out)
	if err != nil || overflowed == 0 {
		return err
	}
	if !e.p.options.Saturate {
		return &fault.Input{Field: t.name, Err: fmt.Errorf("%d merged values of a block are too large for %s", overflowed, t.typ), Mend: "use bfloat16 or float32, or let them saturate"}
	}
	e.saturated.Add(int64(overflowed))
	largest := float32(65504)
	if t.typ == "BF16" {
		largest = math.Float32frombits(0x7f7f0000)
	}
	for i, v := range out {
		out[i] = min(largest, max(-largest, v))
	}
	_, err = weights.Round(dst, t.typ, out)
	return err
}

// copyBytes copies a tensor that cannot be merged; it must be the same in all models.
func (t *planned) copyBytes(dst []byte, at int64) error {
	other := make([]byte, len(dst))
	for i, r := range t.all() {
		into := dst
		if i > 0 {
			into = other
		}
		if err := r.in.file.ReadBytes(r.info.Name, at, into); err != nil {
			return err
		}
		if i > 0 && string(other) != string(dst) {
			return &fault.Input{
				File: r.in.Path, Field: t.name, Err: fmt.Errorf("it differs from that of %s, and tensors of type %s are not merged", t.all()[0].in.Path, r.info.Type),
				Mend: "merge models that have it in common, or convert it to floats",
			}
		}
	}
	return nil
}

// source is where blocks of a tensor come from.
type source struct {
	t       *planned
	readers []*reader // each once: the base may be one of the models
	base    int       // -1 = none
	models  []int
	length  int
	n       int
	cached  bool // raw bytes stay in memory between passes
	cache   []byte
	at      []int64 // of each reader in the cache
}

func (e *execution) source(t *planned, merger Merger, n, length int) *source {
	s := &source{t: t, base: -1, length: length, n: n}
	add := func(r *reader) int {
		s.readers = append(s.readers, r)
		return len(s.readers) - 1
	}
	if t.base != nil {
		s.base = add(t.base)
	}
	for _, r := range t.models {
		s.models = append(s.models, add(r))
	}
	if merger.Passes() == 0 {
		return s
	}
	total := int64(0)
	s.cached = true
	for _, r := range s.readers {
		s.at = append(s.at, total)
		s.cached = s.cached && r.plain != "" && r.rows == nil
		total += int64(n) * int64(r.width)
	}
	s.cached = s.cached && total <= int64(len(e.cache))
	s.cache = e.cache
	return s
}

// keepPace tells the hashing of the models that a block is going to be read.
func (e *execution) keepPace(s *source, k int) {
	share := float64(min(s.length, s.n-k*s.length)) / float64(s.n)
	for _, r := range s.readers {
		e.paces[r.in].merge(int64(share * float64(r.info.Bytes)))
	}
}

// worker is the buffers of a goroutine.
type worker struct {
	e      *execution
	values [][]float32
	raw    []byte
	out    []float32
	block  Block
}

func (e *execution) newWorker() *worker {
	b := e.p.budget
	w := &worker{e: e, raw: make([]byte, b.block*4), out: make([]float32, b.block)}
	for range b.readers {
		w.values = append(w.values, make([]float32, b.block))
	}
	return w
}

// load reads a block of all models. The first time its values are checked.
func (w *worker) load(s *source, k int, first bool) (Block, error) {
	from, to := k*s.length, min((k+1)*s.length, s.n)
	for i, r := range s.readers {
		dst := w.values[i][:to-from]
		if s.cached {
			raw := s.cache[s.at[i]+int64(from*r.width) : s.at[i]+int64(to*r.width)]
			if first {
				if err := r.in.file.ReadBytes(r.info.Name, int64(from)*int64(r.width), raw); err != nil {
					return Block{}, err
				}
			}
			weights.Decode(dst, r.plain, raw)
		} else if err := r.read(dst, from, w.raw); err != nil {
			return Block{}, err
		}
		if first && !weights.AllFinite(dst) {
			return Block{}, w.notFinite(r, s)
		}
	}
	return w.arrange(s, k), nil
}

func (w *worker) arrange(s *source, k int) Block {
	from, to := k*s.length, min((k+1)*s.length, s.n)
	w.block.Index, w.block.At, w.block.Base, w.block.Models = k, from, nil, w.block.Models[:0]
	if s.base >= 0 {
		w.block.Base = w.values[s.base][:to-from]
	}
	for _, m := range s.models {
		w.block.Models = append(w.block.Models, w.values[m][:to-from])
	}
	return w.block
}

// empty is a block of zeros, in place of one that could not be read.
func (w *worker) empty(s *source, k int) Block {
	for i := range s.readers {
		clear(w.values[i])
	}
	return w.arrange(s, k)
}

// notFinite counts what is not finite in a tensor of a model.
func (w *worker) notFinite(r *reader, s *source) error {
	n, first := 0, -1
	for from := 0; from < s.n; from += s.length {
		dst := w.values[0][:min(s.length, s.n-from)]
		if err := r.read(dst, from, w.raw); err != nil {
			return err
		}
		for i, v := range dst {
			if v-v != 0 {
				if n++; first < 0 {
					first = from + i
				}
			}
		}
	}
	return &fault.Input{
		File: r.in.Path, Field: r.info.Name, Err: fmt.Errorf("%d of %d values are infinite or NaN, the first is element %d", n, s.n, first),
		Mend: "leave this model out, or get it again",
	}
}

// write puts blocks into the files in their order, hashes them, and keeps the journal.
func (e *execution) write() error {
	pending := map[int]result{}
	next := 0
	out := outputWriter{e: e}
	defer out.close()
	if err := out.resume(); err != nil {
		return err
	}
	for r := range e.results {
		pending[r.number] = r
		for {
			r, ok := pending[next]
			if !ok {
				break
			}
			delete(pending, next)
			next++
			if err := out.block(r); err != nil {
				return err
			}
			e.slots <- r.data[:cap(r.data)]
		}
	}
	if e.ctx.Err() != nil {
		return errors.Join(out.sync(), context.Cause(e.ctx))
	}
	return out.end()
}

// outputWriter fills one file after the other.
type outputWriter struct {
	e        *execution
	file     *os.File
	index    int // of the file; -1 before the first
	hash     hash.Hash
	unsynced int64
	finished int // tensors
	syncing  chan error
}

// resume reads what an earlier run has written, to go on hashing, and opens the file in which work goes on.
func (o *outputWriter) resume() error {
	o.finished = o.e.done
	o.index = -1
	for i, t := range o.e.p.tensors[:o.e.done] {
		if t.file != o.index {
			if err := o.open(t.file); err != nil {
				return err
			}
		}
		if i+1 == o.e.done || o.e.p.tensors[i+1].file != t.file {
			head := int64(len(o.e.p.Files[t.file].header))
			if _, err := io.Copy(o.hash, io.NewSectionReader(o.file, head, t.at+t.bytes-head)); err != nil {
				return fmt.Errorf("merge: %w", err)
			}
			if _, err := o.file.Seek(t.at+t.bytes, io.SeekStart); err != nil {
				return fmt.Errorf("merge: %w", err)
			}
			if err := o.file.Truncate(t.at + t.bytes); err != nil {
				return fmt.Errorf("merge: %w", err)
			}
		}
	}
	o.e.written.Store(o.e.resumedAt)
	if o.index < 0 {
		return o.open(0)
	}
	return nil
}

// open begins a file with its header; the one before is finished.
func (o *outputWriter) open(index int) error {
	if err := o.finishFile(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(o.e.work, o.e.p.Files[index].Name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	o.file, o.index, o.hash = f, index, sha256.New()
	header := o.e.p.Files[index].header
	o.hash.Write(header)
	if _, err := f.Write(header); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

func (o *outputWriter) finishFile() error {
	if o.file == nil {
		return nil
	}
	err := o.sync()
	if err == nil {
		err = o.file.Truncate(o.e.p.Files[o.index].Bytes) // a stopped run may have written more, of another plan
	}
	if err = errors.Join(err, o.file.Close()); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	o.file = nil
	o.e.sums = append(o.e.sums, hex.EncodeToString(o.hash.Sum(nil)))
	return nil
}

func (o *outputWriter) block(r result) error {
	t := o.e.p.tensors[r.tensor]
	if t.file != o.index {
		if err := o.open(t.file); err != nil {
			return err
		}
	}
	if _, err := o.file.Write(r.data); err != nil {
		return errors.Join(fmt.Errorf("merge: %w", err), ignoreFull(o.sync()))
	}
	o.hash.Write(r.data)
	o.e.written.Add(int64(len(r.data)))
	o.unsynced += int64(len(r.data))
	if r.last {
		o.finished = r.tensor + 1
		if o.unsynced >= o.e.p.options.SyncBytes {
			if err := o.syncBehind(); err != nil {
				return err
			}
		}
	}
	if o.e.progress != nil {
		o.e.progress(Progress{Done: o.e.written.Load(), Total: o.e.total, Resumed: o.e.resumedAt, Tensor: t.name})
	}
	return nil
}

// ignoreFull drops the error of a sync on a disk that is full: it was told already.
func ignoreFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}

// syncBehind lets the disk catch up while work goes on, then notes what is safe.
func (o *outputWriter) syncBehind() error {
	if err := o.wait(); err != nil {
		return err
	}
	o.unsynced = 0
	o.syncing = make(chan error, 1)
	f, finished, done := o.file, o.finished, o.syncing
	go func() {
		err := f.Sync()
		if err == nil {
			err = o.e.journal.finished(finished)
		}
		done <- err
	}()
	return nil
}

// wait ends a sync that runs.
func (o *outputWriter) wait() error {
	if o.syncing == nil {
		return nil
	}
	err := <-o.syncing
	o.syncing = nil
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

// sync makes all that is written safe.
func (o *outputWriter) sync() error {
	if err := o.wait(); err != nil || o.file == nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	o.unsynced = 0
	if err := o.e.journal.finished(o.finished); err != nil {
		return err
	}
	o.e.done = o.finished
	return nil
}

func (o *outputWriter) end() error {
	if err := o.finishFile(); err != nil {
		return err
	}
	o.e.done = o.finished
	return nil
}

func (o *outputWriter) close() {
	if o.syncing != nil {
		<-o.syncing
	}
	if o.file != nil {
		o.file.Close()
	}
}

// hashInputs hashes the files of the models while they are merged, each model beside its merging.
func (e *execution) hashInputs() {
	var wait sync.WaitGroup
	for _, in := range e.p.Inputs {
		for _, path := range in.files {
			e.inputs = append(e.inputs, InputFile{Model: in.Model, File: path})
		}
	}
	rest := e.inputs
	for _, in := range e.p.Inputs {
		files, pace := rest[:len(in.files)], e.paces[in]
		rest = rest[len(in.files):]
		wait.Go(func() {
			defer pace.end()
			buffer := make([]byte, copyBuffer)
			for i := range files {
				var err error
				if files[i].SHA256, files[i].Bytes, err = hashFile(e.ctx, files[i].File, buffer, pace.hash); err != nil {
					if e.ctx.Err() == nil {
						e.fail(err)
					}
					return
				}
			}
		})
	}
	wait.Wait()
}

// hashFile returns the SHA-256 of a file, and its size. It calls read, if there is one, with the bytes of each piece.
func hashFile(ctx context.Context, path string, buffer []byte, read func(bytes int64)) (sum string, bytes int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("merge: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	for {
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		bytes += int64(n)
		if read != nil {
			read(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), bytes, nil
		}
		if err != nil {
			return "", 0, fmt.Errorf("merge: %s: %w", path, err)
		}
		if ctx.Err() != nil {
			return "", 0, context.Cause(ctx)
		}
	}
}

// journal says how many tensors are safe on the disk: a line with the fingerprint of the plan, then a line with a number each time.
type journal struct {
	path string
	file *os.File
}

// open reads the journal of an earlier run of the same plan and goes on in it; any other is begun anew.
func (j *journal) open(fingerprint string, there func(tensors int) bool) (done int, err error) {
	text, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("merge: %w", err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	ours := lines[0] == fingerprint+"\n"
	kept := fingerprint + "\n"
	if ours {
		for _, line := range lines[1:] {
			n := 0
			if _, err := fmt.Sscanf(line, "%d\n", &n); err != nil || !strings.HasSuffix(line, "\n") {
				break // cut when the run was killed
			}
			done, kept = n, kept+line
		}
	}
	if !there(done) {
		done, kept = 0, fingerprint+"\n"
	}
	if string(text) != kept {
		if err := durable.WriteFile(j.path, func(w io.Writer) error { _, err := io.WriteString(w, kept); return err }); err != nil {
			return 0, err
		}
	}
	if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return 0, fmt.Errorf("merge: %w", err)
	}
	return done, nil
}

func (j *journal) finished(tensors int) error {
	if _, err := fmt.Fprintf(j.file, "%d\n", tensors); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

func (j *journal) close() { j.file.Close() }
