package subject_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/data/preprocess"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/subject"
)

// serveMode is the variable that makes the test's program a server of one kind.
const serveMode = "BALLAST_TEST_SERVE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(serveMode); mode != "" {
		os.Exit(serve(mode))
	}
	os.Exit(m.Run())
}

// serve is a program that answers: two logits, the sums of the upper and of the lower half of an image, or what its mode says.
func serve(mode string) int {
	fmt.Fprintln(os.Stderr, "loading")
	for batch := 0; ; batch++ {
		a, err := npy.Read(os.Stdin, 1<<30)
		if err == io.EOF { //nolint:errorlint // as it is documented
			return 0
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		x, err := a.Float32s()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		n, size := a.Shape[0], len(x)/a.Shape[0]
		y := make([]float32, 2*n)
		for i := range n {
			for k, v := range x[i*size : (i+1)*size] {
				y[2*i+k*2/size] += v
			}
		}
		switch mode {
		case "shapes":
			fmt.Fprintln(os.Stderr, "shape", a.Shape)
		case "probabilities":
			for i := range n {
				p := 1 / (1 + math.Exp(float64(y[2*i+1]-y[2*i])))
				y[2*i], y[2*i+1] = float32(p), float32(1-p)
			}
		case "crash":
			if batch == 1 {
				fmt.Fprintln(os.Stderr, "RuntimeError: out of memory")
				return 3
			}
		case "silent end":
			if batch == 1 {
				return 0
			}
		case "truncated":
			if batch == 1 {
				var whole bytes.Buffer
				_ = npy.Write(&whole, []int{n, 2}, y)
				_, _ = os.Stdout.Write(whole.Bytes()[:whole.Len()-3])
				return 0
			}
		case "chatty":
			fmt.Println("Answering batch", batch)
		case "rows":
			y, n = y[:2*n-2], n-1
		case "not a number":
			y[0] = float32(math.NaN())
		case "whole numbers":
			_ = npy.Write(os.Stdout, []int{n, 2}, make([]int64, 2*n))
			continue
		case "slow":
			if batch == 1 {
				time.Sleep(time.Minute)
			}
		case "one":
			one := make([]float64, n)
			for i := range n {
				one[i] = float64(y[2*i+1] - y[2*i])
			}
			_ = npy.Write(os.Stdout, []int{n}, one)
			continue
		}
		if err := npy.Write(os.Stdout, []int{n, 2}, y); err != nil {
			return 1
		}
	}
}

// transcript collects what a process says.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command is a model that this program answers for in one of its modes.
func command(t *testing.T, mode string, o subject.Options) (*subject.Model, *transcript) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	said := &transcript{}
	m, err := subject.OfCommand(fmt.Sprintf("%s=%q exec %q", serveMode, mode, program), said, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, said
}

// needsShell skips nothing but systems without sh.
func needsShell(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh here, which runs the command")
	}
}

// TestCommand: a process answers one batch after the other, of any size, in any of the forms.
func TestCommand(t *testing.T) {
	needsShell(t)
	set := testSet(t)
	for _, mode := range []string{"logits", "probabilities", "one"} {
		t.Run(mode, func(t *testing.T) {
			m, said := command(t, mode, subject.Options{})
			a, err := m.On(t.Context(), nil, set, 16)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			x := make([]float32, 5*64)
			for _, n := range []int{5, 1, 3} {
				for i := range n {
					if err := set.Read(i, x[64*i:64*i+64]); err != nil {
						t.Fatal(err)
					}
				}
				got, err := a.Answer(t.Context(), x[:64*n], n)
				if err != nil || len(got) != 2*n {
					t.Fatalf("%d numbers (%v)", len(got), err)
				}
				for i := range n {
					want := []float64{0, 0}
					for k, v := range x[64*i : 64*i+64] {
						want[k/32] += float64(v)
					}
					if !alike(got[2*i:2*i+2], want, 1e-4) {
						t.Errorf("example %d of %d: %v, want %v", i, n, got[2*i:2*i+2], want)
					}
				}
			}
			if a.Engine() != "command" || len(a.Labels()) != 2 || !strings.Contains(said.String(), "loading") {
				t.Errorf("engine %s, labels %v, it said %q", a.Engine(), a.Labels(), said)
			}
		})
	}
}

// TestCommandFails: what a process does wrong is said, with how it ended and its last words.
func TestCommandFails(t *testing.T) {
	needsShell(t)
	set := testSet(t)
	for mode, want := range map[string]string{
		"crash":         "it ended without an answer (exit status 3); its last words: RuntimeError: out of memory",
		"silent end":    "it ended without an answer, and without an error; it must go on until its standard input ends",
		"truncated":     "it ended in the middle of an answer, without an error",
		"chatty":        "it wrote what is no array to standard output",
		"rows":          "it answered 16 examples with an array of shape [15 2]; want [16, classes]",
		"not a number":  "score 0 of example 0 of a batch is not a number",
		"whole numbers": "it answered with int64; want float16, float32 or float64",
	} {
		t.Run(mode, func(t *testing.T) {
			m, _ := command(t, mode, subject.Options{})
			a, err := m.On(t.Context(), nil, set, 16)
			if err == nil {
				defer a.Close()
				_, err = a.Answer(t.Context(), make([]float32, 2*64), 2)
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v; want %q", err, want)
			}
		})
	}
	for mode, o := range map[string]subject.Options{"probabilities": {Outputs: subject.Logits}, "logits": {Outputs: subject.Probabilities}} {
		m, _ := command(t, mode, o)
		if _, err := m.On(t.Context(), nil, set, 16); err == nil || !strings.Contains(err.Error(), "rows are numbers in [0,1]") && !strings.Contains(err.Error(), "not rows of numbers in [0,1]") {
			t.Errorf("%s said to be %s: got %v", mode, o.Outputs, err)
		}
	}
	m, err := subject.OfCommand("no-such-program-here --port 1", nil, subject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.On(t.Context(), nil, set, 4); err == nil || !strings.Contains(err.Error(), "exit status 127") || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v", err)
	}
}

// TestCommandIsStopped: a process that does not answer ends with the run, and what it started ends too.
func TestCommandIsStopped(t *testing.T) {
	needsShell(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	alive := filepath.Join(t.TempDir(), "alive")
	// A child that notes each fifth of a second that it is alive.
	m, err := subject.OfCommand(fmt.Sprintf("(while :; do echo . >> %q; sleep 0.1; done) & %s=slow %q", alive, serveMode, program), nil, subject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, fmt.Errorf("enough"))
	defer stop()
	a, err := m.On(ctx, nil, testSet(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err = a.Answer(ctx, make([]float32, 64), 1); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("got %v", err)
	}
	a.Close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	before, err := os.ReadFile(alive)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond)
	if after, err := os.ReadFile(alive); err != nil || len(after) > len(before)+2 {
		t.Errorf("what it started lives on: %d notes, then %d (%v)", len(before), len(after), err)
	}
}

// TestCommandPreprocessed: with a preprocessing the process gets images on its scale and in its layout.
func TestCommandPreprocessed(t *testing.T) {
	needsShell(t)
	p, err := preprocess.Parse("{preset: imagenet, layout: nchw, size: 12, channels: 3}")
	if err != nil {
		t.Fatal(err)
	}
	m, said := command(t, "shapes", subject.Options{Preprocess: &p})
	ds, err := m.Images(testSet(t))
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.On(t.Context(), nil, ds, 4)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if !strings.Contains(said.String(), "shape [4 3 12 12]") {
		t.Errorf("it said %q", said)
	}
}
