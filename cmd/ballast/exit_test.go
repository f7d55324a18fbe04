package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// someError is an error that says of itself what it is.
type someError struct{ bad, out bool }

func (someError) Error() string     { return "some error" }
func (e someError) BadInput() bool  { return e.bad }
func (e someError) Exhausted() bool { return e.out }

// TestCodeOf: the kind of an error is found wherever it is in the tree, and what ran out comes first.
func TestCodeOf(t *testing.T) {
	bad := &fault.Input{File: "f", Err: errors.New("x")}
	full := &fs.PathError{Op: "write", Path: "f", Err: syscall.ENOSPC}
	unmet := &fault.Unmet{What: []string{"x"}}
	usage := &fault.Usage{Err: errors.New("x")}
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitFailed},
		{usage, exitUsage}, {fmt.Errorf("a: %w", usage), exitUsage}, {&fault.Usage{Err: bad}, exitUsage}, {errors.New(`unknown command "x" for "ballast"`), exitUsage},
		{bad, exitBadInput}, {fmt.Errorf("a: %w", bad), exitBadInput}, {errors.Join(errors.New("x"), bad), exitBadInput}, {&untrusted.Error{}, exitBadInput},
		{&fs.PathError{Op: "open", Path: "f", Err: syscall.ENOENT}, exitBadInput}, {&fs.PathError{Op: "open", Path: "f", Err: syscall.EACCES}, exitFailed},
		{errors.Join(someError{}, fmt.Errorf("a: %w", errors.Join(someError{}, someError{bad: true}))), exitBadInput}, // the first that has the method says no
		{unmet, exitUnmet}, {errors.Join(errors.New("x"), unmet), exitUnmet},
		{full, exitExhausted}, {errors.Join(bad, full), exitExhausted}, {errors.Join(unmet, fmt.Errorf("a: %w", full)), exitExhausted},
		{&fault.Input{File: "f", Err: full}, exitExhausted}, {&fault.Exhausted{Err: errors.New("x")}, exitExhausted}, {&memory.Error{}, exitExhausted},
		{errors.Join(someError{bad: true}, someError{out: true}), exitExhausted}, {fmt.Errorf("engine: PJRT error (code=8): Out of memory"), exitExhausted},
		{syscall.EFBIG, exitExhausted}, {syscall.EDQUOT, exitExhausted}, {syscall.ENOMEM, exitExhausted}, {syscall.EMFILE, exitExhausted}, {syscall.ENFILE, exitExhausted},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%T %v: exit code %d, want %d", c.err, c.err, got, c.want)
		}
	}
}

// TestStoppedExitCode: the signal's code, but where the state could not be saved.
func TestStoppedExitCode(t *testing.T) {
	for _, c := range []struct {
		cause, err error
		want       int
		text       string
	}{
		{stoppedBy{syscall.SIGTERM}, context.Canceled, 143, "ballast: stopped by terminated\n"},
		{stoppedBy{os.Interrupt}, errors.Join(context.Canceled, &fault.Input{}), 130, "ballast: stopped by interrupt\n"},
		{stoppedBy{os.Interrupt}, errors.Join(context.Canceled, syscall.ENOSPC), exitExhausted, "no space left on device"},
		{stoppedBy{os.Interrupt}, nil, exitOK, ""},
		{closedPipe{}, context.Canceled, exitClosedPipe, ""},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.cause)
		var out, errOut bytes.Buffer
		if got := exitCode(ctx, &app{out: &out, err: &errOut}, c.err); got != c.want || !strings.Contains(errOut.String(), c.text) || c.text == "" && errOut.Len() > 0 {
			t.Errorf("%v, %v: exit code %d, want %d\n%s", c.cause, c.err, got, c.want, &errOut)
		}
		if !errors.Is(c.cause, context.Canceled) {
			t.Errorf("%v is not the error of a cancelled context", c.cause)
		}
	}
}

// TestPanicIsOneLine: a fault of the command's own is a line that says so.
func TestPanicIsOneLine(t *testing.T) {
	t.Setenv(envDebug, "")
	root := newRoot(&app{out: &bytes.Buffer{}, err: &bytes.Buffer{}})
	for _, c := range root.Commands() {
		if c.Name() == "version" {
			c.RunE = nil
			c.Run = func(*cobra.Command, []string) { panic("no\x1b[2J such\nthing") }
		}
	}
	root.SetArgs([]string{"version"})
	err := execute(t.Context(), root)
	if err == nil || codeOf(err) != exitFailed || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), `internal error: no\u001b[2J such\nthing; please report it`) {
		t.Errorf("got %v", err)
	}
	t.Setenv(envDebug, "1")
	if !strings.Contains(err.Error(), "TestPanicIsOneLine") {
		t.Errorf("no stack where one is asked for: %v", err)
	}
}

// exitFiles makes what the table of exit codes works on: good and bad files of every kind.
func exitFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const recipe = "name: small\ndata: optdigits\nnetwork: {name: mlp, hidden: [4]}\nsteps: 20\n"
	text := func(name, content string) error {
		return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
	}
	if err := errors.Join(
		badFiles(dir), mergeFiles(dir), imageFiles(dir),
		text("recipe.yaml", recipe), text("bad.yaml", "network: {name: mlp\n"), text("empty", ""), text("bad.safetensors", "nothing"),
		text("merge.yaml", "merge_method: linear\nmodels: [{model: a.safetensors, parameters: {weight: 1}}, {model: b.safetensors, parameters: {weight: 1}}]\n"),
		text("bench.json", `{"schema_version": 1, "machine": {"cpu": "x", "cores": 2, "memory_bytes": 1, "system": "linux"}, "lines": []}`),
	); err != nil {
		t.Fatal(err)
	}
	if r := runExit(t, dir, "", "train", "recipe.yaml", "--out", "run", "-q"); r.code != 0 {
		t.Fatal(r.text)
	}
	if r := runExit(t, dir, "", "merge", "merge.yaml", "--out", "merged", "-q"); r.code != 0 {
		t.Fatal(r.text)
	}
	return dir
}

// moreArrays writes examples of optdigits' shape, and labels for logits.npy.
func moreArrays(dir string) error {
	return errors.Join(
		npy.WriteFile(filepath.Join(dir, "digits.npy"), []int{2, 8, 8, 1}, make([]float32, 128)),
		npy.WriteFile(filepath.Join(dir, "good.npy"), []int{2}, []int64{0, 1}),
	)
}

// runExit runs the command under a shell's limits ("" = none), in a child.
func runExit(t *testing.T, dir, limits string, args ...string) childResult {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...) //nolint:gosec // the test itself
	if limits != "" {
		cmd = exec.Command("sh", append([]string{"-c", limits + `; exec "$0" "$@"`, os.Args[0]}, args...)...) //nolint:gosec // the same
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go", "BALLAST_HOME="+filepath.Join(dir, "home"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return childResult{text: out.String() + errOut.String(), code: cmd.ProcessState.ExitCode()}
}

// exitTable is the exit codes of every verb. Those of signals are TestSignals'; a full and a closed output are TestOutputThatEnds'.
var exitTable = []struct {
	code int
	args string
	want string // regular expression
}{
	{0, "--help", "129  stopped by SIGHUP"}, {0, "version", "gomlx"}, {0, "papers", "ARXIV"}, {0, "data list", "optdigits"}, {0, "engine", "go"}, {0, "bench --list", "limits"},
	{0, "completion bash", "ballast"}, {0, "help merge", "merge"}, {0, "inspect a.safetensors", "tensors"}, {0, "verify merged", ""}, {0, "merge diff a.safetensors b.safetensors", "cosine"},

	{2, "nothing", "unknown command"}, {2, "--nothing", "unknown flag"}, {2, "version x", "unknown command|accepts"}, {2, "papers none", "no paper"}, {2, "reproduce none", "no paper"},
	{2, "reproduce", "arg"}, {2, "data get none", "nothing is called"}, {2, "data show none", "no data set"}, {2, "data show", "arg"}, {2, "engine --engine xlaa", "no engine"},
	{2, "bench none", "no suite"}, {2, "bench --only (", "only"}, {2, "bench --compare bench.json", "two files"}, {2, "train no-such-key=1", "unknown key"}, {2, "train --data none", "no data set"},
	{2, "compare", "name at least one"}, {2, "compare no-such-key=1,2", "unknown key"}, {2, "inpaint", "give --data"}, {2, "inpaint sid=1", "unknown key"}, {2, "evaluate", "give MODEL"},
	{2, "evaluate run/model --data optdigits --suite clen", "no suite"}, {2, "calibrate", ""}, {2, "convert", "arg"}, {2, "merge a.safetensors b.safetensors --method lineer --out x", "did you mean"},
	{2, "merge merge.yaml", "give --out"}, {2, "merge diff a.safetensors", "arg"}, {2, "verify", "arg"}, {2, "soup", ""}, {2, "signature nothing", ""}, {2, "inspect", "arg"}, {2, "run run/model", "give --input"},
	{2, "inspect a.safetensors --memory lots", "lots"}, {2, "demo x", ""},

	{3, "train bad.yaml", "bad.yaml"}, {3, "train none.yaml", "none.yaml"}, {3, "compare --recipe bad.yaml norm=batch", "bad.yaml"}, {3, "evaluate --logits empty --labels labels.npy", "empty"},
	{3, "evaluate --logits logits.npy --labels labels.npy", "label is 7"}, {3, "evaluate empty --data optdigits", "empty"}, {3, "calibrate empty --data optdigits --out x", "empty"},
	{3, "inspect empty", "empty"}, {3, "inspect bad.safetensors", "bad.safetensors"}, {3, "convert bad.safetensors --to gguf --out x.gguf", "bad.safetensors"}, {3, "merge bad.yaml --out x", "bad.yaml"},
	{3, "merge a.safetensors bad.safetensors --method linear --out x", "bad.safetensors"}, {3, "merge diff a.safetensors bad.safetensors", "bad.safetensors"}, {3, "verify empty", "empty"},
	{3, "run empty --input logits.npy --output x.npz", "empty"}, {3, "data get digit-nets --from empty", "empty"}, {3, "data show npy:empty,labels.npy", "empty"},
	{3, "bench --compare empty bench.json", "empty"}, {3, "reproduce grokking --ledger bad.yaml", "bad.yaml"}, {3, "inpaint --data npy:empty,labels.npy --out x", "empty"},

	{4, "evaluate run/model --data optdigits --suite clean --require acc>=1.5", "not met"},
}

// TestExitCodes runs every verb well, wrongly, and with bad input.
func TestExitCodes(t *testing.T) {
	dir := exitFiles(t)
	for _, c := range exitTable {
		r := runExit(t, dir, "", strings.Fields(c.args)...)
		if r.code != c.code || !regexp.MustCompile(c.want).MatchString(r.text) {
			t.Errorf("ballast %s: exit code %d, want %d and %q\n%s", c.args, r.code, c.code, c.want, cut(r.text))
		}
	}
}

// TestLimitsAreFive: a limit of the system, met while results are written, is no crash.
func TestLimitsAreFive(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such limits here")
	}
	dir := exitFiles(t)
	for _, args := range []string{
		"train recipe.yaml network.hidden=[200] --out large", "merge merge.yaml --out limited", "calibrate run/model --data optdigits --out calibrated", "papers --figures figures",
		"evaluate run/model --data optdigits --suite clean --html page.html", "data show optdigits --count 9 --png sheet.png",
	} {
		r := runExit(t, dir, "ulimit -f 1", strings.Fields(args)...)
		if r.code != exitExhausted || !strings.Contains(r.text, "file too large") {
			t.Errorf("ballast %s: exit code %d, want 5\n%s", args, r.code, cut(r.text))
		}
	}
	if r := runExit(t, dir, "ulimit -S -t 1", append([]string{"train", "--out", "long"}, "epochs=1000000", "network={name: mlp, hidden: [4]}")...); r.code != exitExhausted {
		t.Errorf("a limit of processor time: exit code %d, want 5\n%s", r.code, cut(r.text))
	}
}

// printing are verbs that print, one way each.
var printing = []string{
	"--help", "version", "version --json", "papers", "papers --json", "papers --markdown", "papers ghost-batch-norm", "papers ghost-batch-norm --recipe", "data list", "data list --json", "data show optdigits",
	"data show optdigits --json", "engine", "engine --json", "bench --list", "bench --list --json", "bench --compare bench.json bench.json", "inspect a.safetensors", "inspect a.safetensors --json",
	"evaluate run/model --data optdigits --suite clean", "evaluate run/model --data optdigits --suite clean --json", "merge diff a.safetensors b.safetensors", "merge merge.yaml --out other --dry-run",
	"verify merged", "train --print-recipe", "compare --print-recipe", "inpaint --print-config", "completion bash", "help merge", "data", "convert a.safetensors --to npz --out a.npz --overwrite",
	"run run/model --input digits.npy --output o.npz --overwrite", "evaluate --logits logits.npy --labels good.npy", "train recipe.yaml --out twice --resume",
}

// TestOutputThatEnds: a full standard output is exit code 5 with a message, one whose reader has gone a silent 141.
func TestOutputThatEnds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /dev/full here")
	}
	dir := exitFiles(t)
	if err := moreArrays(dir); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("/dev/full cannot be opened here:", err)
	}
	defer full.Close()
	read, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer closed.Close()
	for _, args := range printing {
		for _, c := range []struct {
			out  *os.File
			code int
			want string
		}{
			{full, exitExhausted, `ballast: standard output: write /dev/stdout: no space left on device\n`},
			{closed, exitClosedPipe, ""},
		} {
			cmd := exec.Command(os.Args[0], append([]string{"-q"}, strings.Fields(args)...)...) //nolint:gosec // the test itself
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), asCommand+"=1", "BALLAST_ENGINE=go", "BALLAST_HOME="+filepath.Join(dir, "home"))
			var errOut bytes.Buffer
			cmd.Stdout, cmd.Stderr = c.out, &errOut
			_ = cmd.Run() // the exit code says it
			if code := cmd.ProcessState.ExitCode(); code != c.code || !regexp.MustCompile(`^`+c.want+`$`).MatchString(errOut.String()) {
				t.Errorf("ballast %s: exit code %d, want %d and %q\n%s", args, code, c.code, c.want, cut(errOut.String()))
			}
		}
	}
}
