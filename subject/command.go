package subject

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
	"github.com/ballast-ml/ballast/zoo"
)

// Command is a model that a process answers for, of any runtime. The process is started once, by the shell, and lives as long as it is
// needed:
//
//	it reads from standard input    an array in NumPy's format .npy, float32 in C order: examples [n, ...] as the data set has them, or
//	                                images on the scale and in the layout that a preprocessing names
//	it writes to standard output    an array in the same format, logits or probabilities [n, classes] or [n, 1], float16, 32 or 64
//	and so on                       until its standard input ends, when it should end too
//
// Every batch is answered before the next is written; n varies. Nothing else may go to standard output; standard error is passed on. The
// process and all that it has started are ended when the run ends, by SIGTERM and a second later by SIGKILL.
type Command struct {
	Line   string    // for the shell: "python serve.py"
	Stderr io.Writer // where its standard error goes; nil = nowhere

	outputs      string
	preprocessed bool
}

// serving is a process that answers.
type serving struct {
	m       *Model
	shape   []int
	batch   int
	labels  []string
	classes int
	binary  bool
	form    string

	mu     sync.Mutex // one batch after the other
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	last   *tail
	ended  chan struct{} // closed when the process has ended
	exit   error         // how, once it has
	once   sync.Once
	failed error // the first failure; there is no second try
}

var _ Answers = (*serving)(nil)

// start starts the process and asks it about the first examples.
func (m *Model) start(ctx context.Context, ds data.Dataset, batch int) (Answers, error) {
	c := m.Command
	s := &serving{m: m, shape: ds.Info().Shape, batch: batch, form: c.outputs, last: &tail{to: c.Stderr}, ended: make(chan struct{})}
	if c.preprocessed && len(s.shape) == 3 {
		if err := m.Preprocess.CheckChannels(s.shape[2]); err != nil {
			return nil, err
		}
	}
	s.cmd = shell(c.Line)
	s.cmd.Stderr = s.last
	s.cmd.WaitDelay = time.Second // for what it started and left behind with its standard error
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("subject: %s: %w", s.Name(), err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("subject: %s: %w", s.Name(), err)
	}
	s.out = bufio.NewReaderSize(out, 1<<16)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("subject: %s cannot be started: %w", s.Name(), err)
	}

	n := min(batch, ds.Len())
	size := ds.Info().Size()
	x := make([]float32, n*size)
	for i := range n {
		if err := ds.Read(i, x[i*size:(i+1)*size]); err != nil {
			s.Close()
			return nil, err
		}
	}
	scores, classes, err := s.ask(ctx, x, n)
	if err != nil {
		s.Close()
		return nil, err
	}
	if err := s.learn(scores, n, classes); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// learn sees from the first answers what they are.
func (s *serving) learn(scores []float32, n, classes int) error {
	s.classes, s.binary = classes, classes == 1
	if s.binary {
		s.classes = 2
	}
	probable := areProbabilities(scores, n, classes)
	switch {
	case s.form == Logits && probable && classes > 1:
		return fmt.Errorf("%s: %w; %s", s.Name(), errNoLogits, fixNoLogits)
	case s.form == Probabilities && !probable:
		return fmt.Errorf("%s: its values are not rows of numbers in [0,1] that sum to 1; leave --outputs out, or use --outputs logits", s.Name())
	case s.form != "":
		s.m.assume("outputs", "--outputs", false, "%s", s.form)
	case probable:
		s.form = Probabilities
		s.m.assume("outputs", "rows are in [0,1] and sum to 1", false, "%s: their logarithms are the logits", s.form)
	default:
		s.form = Logits
		s.m.assume("outputs", "rows are not in [0,1] with a sum of 1", false, "%s", s.form)
	}
	s.m.assumeLabels(nil, s.classes, "")
	s.labels = numbers(s.classes)
	return nil
}

func (s *serving) Name() string     { return printable.Line(s.m.Name) }
func (*serving) Task() zoo.Task     { return zoo.Classify }
func (s *serving) Labels() []string { return s.labels }
func (s *serving) Shape() []int     { return s.shape }
func (s *serving) Batch() int       { return s.batch }
func (*serving) Calls() int         { return 1 }
func (*serving) Engine() string     { return "command" }

// Answer returns logits [n, classes].
func (s *serving) Answer(ctx context.Context, x []float32, n int) ([]float32, error) {
	scores, classes, err := s.ask(ctx, x, n)
	if err != nil {
		return nil, err
	}
	if s.form == Probabilities {
		if err := probable(scores); err != nil {
			return nil, fmt.Errorf("%s: %w; use --outputs logits", s.Name(), err)
		}
	}
	if s.binary && classes == 1 {
		return ofOne(scores, s.form), nil
	}
	if classes != s.classes {
		return nil, fmt.Errorf("subject: %s gives %d scores an example, it gave %d before", s.Name(), classes, s.classes)
	}
	if s.form == Probabilities {
		logarithms(scores)
	}
	return scores, nil
}

// ask writes a batch and reads its answer. When the context ends, the process is ended, and with it the reading.
func (s *serving) ask(ctx context.Context, x []float32, n int) (scores []float32, classes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return nil, 0, s.failed
	}
	stop := context.AfterFunc(ctx, func() { s.end(0) })
	defer stop()

	shape := append([]int{n}, s.shape...)
	if p := s.m.Preprocess; s.m.Command.preprocessed && len(s.shape) == 3 {
		put := make([]float32, len(x))
		nchw := p.Layout == preprocess.NCHW
		p.Values(put, x, s.shape[0]*s.shape[1], s.shape[2], nchw)
		if x = put; nchw {
			shape = []int{n, s.shape[2], s.shape[0], s.shape[1]}
		}
	}
	wrote := make(chan error, 1)
	go func() { wrote <- npy.Write(s.in, shape, x) }() // beside the reading: it may answer before it has read all

	answer, err := npy.Read(s.out, max(int64(n)*mostClasses*8, 1<<20))
	if err == nil {
		err = <-wrote
	}
	if err == nil {
		scores, classes, err = s.read(answer, n)
	}
	if err != nil {
		s.failed = s.told(ctx, err)
		return nil, 0, s.failed
	}
	return scores, classes, nil
}

// mostClasses is the most scores that an example may get.
const mostClasses = 1 << 20

// read checks an answer and makes numbers of it.
func (s *serving) read(a *npy.Array, n int) (scores []float32, classes int, err error) {
	shape := a.Shape
	for len(shape) > 2 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	if len(shape) == 1 && shape[0] == n {
		shape = []int{n, 1}
	}
	if len(shape) != 2 || shape[0] != n || shape[1] < 1 {
		return nil, 0, fmt.Errorf("it answered %d examples with an array of shape %v; want [%d, classes]", n, a.Shape, n)
	}
	switch a.DType {
	case npy.Float16, npy.Float32, npy.Float64, npy.BFloat16:
	default:
		return nil, 0, fmt.Errorf("it answered with %s; want float16, float32 or float64", a.DType)
	}
	if err := memory.Need("the answers of "+s.Name(), 4*int64(a.Len())); err != nil {
		return nil, 0, err
	}
	if scores, err = a.Float32s(); err != nil {
		return nil, 0, err
	}
	for i, v := range scores {
		if v != v { //nolint:staticcheck // not a number
			return nil, 0, fmt.Errorf("score %d of example %d of a batch is not a number", i%shape[1], i/shape[1])
		}
	}
	return slices.Clone(scores), shape[1], nil // it may be a view of what was read
}

// told is a failure in words: how the process ended if it did, and what it said last.
func (s *serving) told(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var text string
	switch {
	case errors.Is(err, npy.ErrMagic):
		text = fmt.Sprintf("it wrote what is no array to standard output (%v); only answers may go there", err)
		s.end(0)
	case errors.Is(err, npy.ErrTruncated), errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), isBrokenPipe(err):
		s.end(2 * time.Second) // it may be about to say how it ended
		switch {
		case s.exit == nil && errors.Is(err, npy.ErrTruncated):
			text = "it ended in the middle of an answer, without an error"
		case s.exit == nil:
			text = "it ended without an answer, and without an error; it must go on until its standard input ends"
		case errors.Is(err, npy.ErrTruncated):
			text = fmt.Sprintf("it ended in the middle of an answer (%v)", s.exit)
		default:
			text = fmt.Sprintf("it ended without an answer (%v)", s.exit)
		}
	default:
		text = err.Error()
		s.end(0)
	}
	if line := s.last.line(); line != "" {
		text += "; its last words: " + line
	}
	return fmt.Errorf("%s: %s", s.Name(), text)
}

// Close ends the process.
func (s *serving) Close() { s.end(time.Second) }

// end closes standard input, waits for the process to end by itself, and ends it and all that it started if it does not.
func (s *serving) end(patience time.Duration) {
	s.once.Do(func() {
		go func() {
			_ = s.in.Close() // it may be closed already
			s.exit = s.cmd.Wait()
			close(s.ended)
		}()
		if patience > 0 && s.waited(patience) {
			killGroup(s.cmd, false) // what it left running
			return
		}
		killGroup(s.cmd, true)
		if !s.waited(time.Second) {
			killGroup(s.cmd, false)
		}
	})
	<-s.ended
}

// waited reports whether the process ended in time.
func (s *serving) waited(d time.Duration) bool {
	select {
	case <-s.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// tail passes standard error on, and keeps its last line.
type tail struct {
	to   io.Writer
	mu   sync.Mutex
	kept []byte
}

// Write passes text on.
func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > most {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-most:]...)
	}
	t.mu.Unlock()
	if t.to == nil {
		return len(p), nil
	}
	return t.to.Write(p)
}

// line is the last line that is not blank.
func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(t.kept, nil))), "\n")
	return printable.Line(strings.TrimSpace(lines[len(lines)-1]))
}
