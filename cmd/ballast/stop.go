package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/safepoint"
)

const (
	// grace is how long a verb may take to end once it was told to, so that all are gone within two seconds.
	grace = 1200 * time.Millisecond
	// patience is how long a verb may take that ends by itself: the present update of a training, and its save on a slow disk.
	patience = 10 * time.Minute
	// lastWords is how long a line may take on a standard error that nobody reads.
	lastWords = 100 * time.Millisecond
)

// stoppedBy is the cause of a context cancelled by a signal.
type stoppedBy struct{ signal os.Signal }

func (s stoppedBy) Error() string { return "stopped by " + s.signal.String() }

// Is makes it the error of a cancelled context to whoever asks, such as a run that notes how it ended.
func (s stoppedBy) Is(target error) bool { return target == context.Canceled }

// code is what a shell reports for a process that the signal ended.
func (s stoppedBy) code() int {
	if s.signal == processorTime {
		return exitExhausted
	}
	if n, ok := s.signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return exitFailed
}

// closedPipe is the cause of a context cancelled because the reader of standard output or error went away.
type closedPipe struct{}

func (closedPipe) Error() string { return "the reader of its output went away" }

// Is makes it the error of a cancelled context, as stoppedBy is one.
func (closedPipe) Is(target error) bool { return target == context.Canceled }

// stopper ends the command when it is told to. The first signal cancels the context: verbs end at their next safe point. One that
// does not within grace is ended, unless it holds a safepoint. The second signal ends the process at once.
type stopper struct {
	cancel  context.CancelCauseFunc
	holds   safepoint.Holds
	signals chan os.Signal
	done    chan struct{}
	once    sync.Once
	told    sync.Once
	screen  *console.Screen // standard error

	mu       sync.Mutex
	cleanups []func() // of what a verb that is ended from outside cannot remove itself
}

func newStopper(parent context.Context, errOut *os.File) (context.Context, *stopper) {
	s := &stopper{signals: make(chan os.Signal, 2), done: make(chan struct{})}
	s.screen = console.NewScreen(pipe{errOut, s.closedPipe})
	ctx, cancel := context.WithCancelCause(parent)
	s.cancel = cancel
	catch(s.signals)
	go s.watch()
	return s.holds.With(ctx), s
}

func (s *stopper) close() {
	signal.Stop(s.signals)
	close(s.done)
	s.cancel(nil)
}

func (s *stopper) watch() {
	for {
		select {
		case <-s.done:
			return
		case received := <-s.signals:
			// That of processor time comes again each second.
			if by := (stoppedBy{received}); !s.begin(by, by.code()) && received != processorTime {
				s.end(by.Error(), by.code())
			}
		}
	}
}

// closedPipe stops the command when nobody reads what it writes.
func (s *stopper) closedPipe() { s.begin(closedPipe{}, exitClosedPipe) }

// begin asks the verb to end, and sees to it that it does. It reports whether it is the first to ask.
func (s *stopper) begin(cause error, code int) (first bool) {
	s.once.Do(func() {
		first = true
		s.cancel(cause)
		go s.insist(cause, code)
	})
	return first
}

// insist ends the process when the verb has not ended in time. Holds are looked at again and again: one may end while another begins.
func (s *stopper) insist(cause error, code int) {
	const glance = 20 * time.Millisecond
	began, free, said := time.Now(), time.Now(), false
	for {
		select {
		case <-s.done:
			return
		case now := <-time.After(glance):
			held := s.holds.Any()
			if held && now.Sub(began) < patience {
				free = now
				if !said && now.Sub(began) > grace && code != exitClosedPipe {
					said = true
					s.say("present update and save, then the end; another signal ends at once")
				}
				continue
			}
			if now.Sub(free) < grace {
				continue
			}
			why := cause.Error()
			if code == exitClosedPipe {
				why = ""
			}
			s.end(why, code)
		}
	}
}

// end ends the process from outside the verb.
func (s *stopper) end(why string, code int) {
	s.tell(why)
	s.mu.Lock()
	for _, cleanup := range s.cleanups {
		cleanup()
	}
	os.Exit(code) //nolint:forbidigo // the verb does not come to an end
}

// tell says why the process ends, once: the verb may be at its end when a second signal comes.
func (s *stopper) tell(why string) {
	s.told.Do(func() {
		if why != "" {
			s.say(why)
		}
	})
}

// say writes a line to standard error, which may be a pipe that is full.
func (s *stopper) say(line string) {
	written := make(chan struct{})
	go func() {
		_, _ = fmt.Fprintln(s.screen, "ballast:", line) // there is nobody else to tell
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(lastWords):
	}
}

// cleanup has f called when the process is ended from outside the verb. f must be quick. A nil stopper is that of a test.
func (s *stopper) cleanup(f func()) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

// pipe is a standard stream that says when its reader has gone.
type pipe struct {
	file   *os.File
	closed func()
}

// Unwrap returns the file.
func (p pipe) Unwrap() io.Writer { return p.file }

// Write writes text.
func (p pipe) Write(text []byte) (int, error) {
	n, err := p.file.Write(text)
	if errors.Is(err, syscall.EPIPE) {
		p.closed()
	}
	return n, err
}
