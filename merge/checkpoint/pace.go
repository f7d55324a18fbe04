package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ballast-ml/ballast/internal/untrusted"
)

// paceWindow is how far ahead of its merging a model may be hashed, in bytes.
const paceWindow = 32 << 20

// pace keeps the two that read a model near each other: hashing goes first, in one stream of large pieces as disks like it, and merging finds
// in the page cache what it reads here and there. Models larger than the memory come from the disk once. Each counts its bytes and waits
// where it would be too far ahead.
type pace struct {
	mu             sync.Mutex
	moved          *sync.Cond
	merged, hashed int64
	over           bool // one of the two has ended: the other waits no longer
}

func newPace() *pace {
	p := &pace{}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// merge counts bytes that are going to be merged.
func (p *pace) merge(bytes int64) { p.advance(&p.merged, &p.hashed, bytes, 0) }

// hash counts bytes that are hashed.
func (p *pace) hash(bytes int64) { p.advance(&p.hashed, &p.merged, bytes, paceWindow) }

func (p *pace) advance(own, other *int64, bytes, ahead int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*own += bytes
	p.moved.Broadcast()
	for !p.over && *own > *other+ahead {
		p.moved.Wait()
	}
}

func (p *pace) end() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.moved.Broadcast()
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
	f, err := untrusted.Open(path)
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
