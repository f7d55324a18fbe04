package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

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
	o.e.safe = o.finished
	return nil
}

func (o *outputWriter) end() error {
	if err := o.finishFile(); err != nil {
		return err
	}
	o.e.safe = o.finished
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
