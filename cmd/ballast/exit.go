package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/console"
	"github.com/ballast-ml/ballast/internal/printable"
)

// The exit codes of the command; scripts rely on them. A signal's is 128 and its number.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitBadInput   = 3
	exitUnmet      = 4
	exitExhausted  = 5
	exitClosedPipe = 141 // 128 + SIGPIPE
)

// exitCodes is the table as every help text of the root has it.
const exitCodes = `Exit codes:
    0  ok
    1  failed in another way
    2  wrong usage: a flag, an argument, a setting or a name that does not exist, an output that exists already
    3  a bad input: a file, folder, recipe or archive that is missing, damaged, of the wrong kind, or not understood
    4  a claim, threshold or check was measured and not met
    5  out of disk or memory, or beyond a limit: --memory, quota, file size, open files, processor time; also if
       standard output cannot take the result
  129  stopped by SIGHUP, 130 by SIGINT (Ctrl-C), 143 by SIGTERM: at the next safe point, or at once by a second signal
  141  the reader of its output went away (| head); nothing is printed`

// envDebug is the environment variable that shows Go's stacks where the command itself is at fault.
const envDebug = "BALLAST_DEBUG"

// internalError is a panic that reached the command: a fault of its own.
type internalError struct {
	value any
	stack []byte
}

// Error is one line, and the stack where somebody asks for it.
func (e *internalError) Error() string {
	text := fmt.Sprintf("internal error: %s; please report it with the command and its input (%s=1 shows where)", printable.Line(fmt.Sprint(e.value)), envDebug)
	if os.Getenv(envDebug) != "" {
		text += "\n" + string(e.stack)
	}
	return text
}

// exitCode prints the error, if there is one, and turns it into the command's exit code.
func exitCode(ctx context.Context, a *app, err error) int {
	var outErr error // of standard output; verbs need not look at each line that they print
	if door, ok := a.out.(interface{ Err() error }); ok {
		outErr = door.Err()
	}
	if errors.Is(outErr, syscall.EPIPE) {
		return exitClosedPipe
	}
	if outErr != nil {
		if outErr = fmt.Errorf("standard output: %w", outErr); err == nil || sameFault(err, outErr) {
			err = outErr
		} else {
			err = errors.Join(err, outErr)
		}
	}
	if err == nil {
		return exitOK
	}
	cause := context.Cause(ctx)
	var stopped stoppedBy
	switch {
	case errors.Is(cause, closedPipe{}):
		return exitClosedPipe
	case errors.As(cause, &stopped):
		if a.stop != nil {
			a.stop.tell(stopped.Error())
		} else {
			fmt.Fprintln(a.err, "ballast:", stopped)
		}
		if !exhausted(err) { // where the state could not be saved, that is what counts
			return stopped.code()
		}
	}
	a.tell(console.PaletteOf(a.err).Bad("ballast:") + " " + err.Error())
	return codeOf(err)
}

// codeOf is the exit code of an error. A resource that ran out comes first: what else is wrong may be its doing.
func codeOf(err error) int {
	var (
		usage *fault.Usage
		unmet *fault.Unmet
	)
	switch {
	case exhausted(err):
		return exitExhausted
	case errors.As(err, &usage), isCobraUsage(err):
		return exitUsage
	case errors.As(err, &unmet):
		return exitUnmet
	case fault.IsInput(err):
		return exitBadInput
	case errors.Is(err, fs.ErrNotExist): // what was named is not there
		return exitBadInput
	}
	return exitFailed
}

// sameFault reports whether a verb returned the error that standard output has kept.
func sameFault(err, outErr error) bool { return errors.Is(err, errors.Unwrap(outErr)) }

// exhausted reports whether a resource ran out, also where XLA says so, in words alone: RESOURCE_EXHAUSTED.
func exhausted(err error) bool {
	return fault.IsExhausted(err) || strings.Contains(err.Error(), "PJRT error (code=8)")
}

// isCobraUsage reports the one kind of usage error that cobra builds itself and does not type.
func isCobraUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag")
}

// continued indents all lines but the first, so that a line break within a name cannot pass for a line of the command.
func continued(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
