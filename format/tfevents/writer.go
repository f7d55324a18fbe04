package tfevents

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Writer writes events in the order of the calls, each through a queue of QueueEvents events that goes to the file when it is
// full, FlushAfter after the last time, and on Flush and Close. It may be used from several goroutines at once. After a
// failed write every later call returns that error. wall is seconds since 1970, see Seconds.
type Writer struct {
	QueueEvents int           // events held back; 10
	FlushAfter  time.Duration // longest time between two writes, as long as events come; 120 s

	mu      sync.Mutex
	w       io.Writer
	close   func() error
	path    string
	enc     encoder
	queue   []byte
	queued  int
	flushed time.Time
	known   map[string]bool // tags whose metadata ScalarTensor has written
	err     error
}

// counter tells apart the files that one process makes within a second.
var counter atomic.Int64

// Create makes a new event file in a folder and begins it: events.out.tfevents.<seconds>.<host>.<pid>.<number>. A run that is
// resumed creates a new file beside the old ones and calls SessionStart.
func Create(dir string) (*Writer, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	host = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:`, r) {
			return '-'
		}
		return r
	}, host)
	now := time.Now()
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", now.Unix(), host, os.Getpid(), counter.Add(1)-1)
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("tfevents: %w", err)
	}
	w := NewWriter(f)
	w.path, w.close = f.Name(), func() error { return errors.Join(f.Sync(), f.Close()) }
	if err := w.Version(Seconds(now)); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// NewWriter writes to w, beginning with nothing: call Version first, TensorBoard passes over a file without it.
func NewWriter(w io.Writer) *Writer {
	return &Writer{QueueEvents: 10, FlushAfter: 120 * time.Second, w: w, flushed: time.Now(), known: map[string]bool{}}
}

// Path returns the file that Create made, "" for NewWriter.
func (w *Writer) Path() string { return w.path }

// Version writes the record that every file begins with, and flushes.
func (w *Writer) Version(wall float64) error {
	err := w.put(func(e *encoder) {
		e.event(wall, 0)
		e.text(eventVersion, FileVersion)
	})
	return errors.Join(err, w.Flush())
}

// SessionStart tells readers that a run resumes at a step: what earlier events say about this step and later ones no longer
// counts. It flushes.
func (w *Writer) SessionStart(wall float64, step int64) error {
	err := w.put(func(e *encoder) {
		e.event(wall, step)
		e.message(eventSession, func() { e.varint(sessionStatus, uint64(SessionStart)) })
	})
	return errors.Join(err, w.Flush())
}

// Scalar writes a number the classic way, which every TensorBoard reads. It is stored as float32.
func (w *Writer) Scalar(wall float64, step int64, tag string, v float64) error {
	return w.value(wall, step, tag, func(e *encoder) { e.simple(float32(v)) })
}

// ScalarTensor writes a number the way of TensorBoard 2, as a tensor of rank 0. The first one of a tag carries the metadata.
func (w *Writer) ScalarTensor(wall float64, step int64, tag string, v float64) error {
	return w.value(wall, step, tag, func(e *encoder) {
		e.scalarTensor(float32(v))
		if !w.known[tag] {
			w.known[tag] = true
			e.metadata("scalars", classScalar)
		}
	})
}

// Image writes a picture that is already a PNG.
func (w *Writer) Image(wall float64, step int64, tag string, m Image) error {
	return w.value(wall, step, tag, func(e *encoder) { e.image(m) })
}

// EncodeImage makes a PNG of a picture, for Image.
func EncodeImage(m image.Image) (Image, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		return Image{}, fmt.Errorf("tfevents: image: %w", err)
	}
	out := Image{Height: m.Bounds().Dy(), Width: m.Bounds().Dx(), Colorspace: 4, Encoded: b.Bytes()}
	switch m := m.(type) {
	case *image.Gray, *image.Gray16:
		out.Colorspace = 1
	case interface{ Opaque() bool }:
		if m.Opaque() {
			out.Colorspace = 3
		}
	}
	return out, nil
}

// Histogram writes counts, see NewHistogram.
func (w *Writer) Histogram(wall float64, step int64, tag string, h Histogram) error {
	return w.value(wall, step, tag, func(e *encoder) { e.histogram(h) })
}

// Text writes Markdown. TensorBoard wants the tag to end in /text_summary; that is added.
func (w *Writer) Text(wall float64, step int64, tag, markdown string) error {
	if !utf8.ValidString(markdown) {
		return fmt.Errorf("tfevents: text %q is not UTF-8; encode it first", tag)
	}
	return w.value(wall, step, tag+"/text_summary", func(e *encoder) {
		e.textTensor(markdown)
		e.metadata("text", 0)
	})
}

func (w *Writer) value(wall float64, step int64, tag string, content func(e *encoder)) error {
	if tag == "" || !utf8.ValidString(tag) {
		return fmt.Errorf("tfevents: tag %q must be UTF-8 and not empty; name the value", tag)
	}
	return w.put(func(e *encoder) {
		e.event(wall, step)
		e.value(tag, func() { content(e) })
	})
}

// put queues one record.
func (w *Writer) put(build func(e *encoder)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	build(&w.enc)
	w.queue = appendRecord(w.queue, w.enc.b)
	if w.queued++; w.queued >= w.QueueEvents || time.Since(w.flushed) >= w.FlushAfter {
		return w.flush()
	}
	return nil
}

// Flush writes the queue.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

func (w *Writer) flush() error {
	if w.err != nil {
		return w.err
	}
	w.flushed = time.Now()
	if len(w.queue) == 0 {
		return nil
	}
	if _, err := w.w.Write(w.queue); err != nil {
		w.err = fmt.Errorf("tfevents: %w", err)
	}
	w.queue, w.queued = w.queue[:0], 0
	return w.err
}

// Close flushes, and syncs and closes the file that Create made. A second call does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, os.ErrClosed) {
		return nil
	}
	err := w.flush()
	if w.close != nil {
		err = errors.Join(err, w.close())
	}
	w.err = fmt.Errorf("tfevents: %w", os.ErrClosed)
	return err
}
