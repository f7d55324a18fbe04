package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/ballast-ml/ballast/internal/fault"
)

// The exit codes of the command; scripts rely on them.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitBadInput  = 3
	exitUnmet     = 4
	exitExhausted = 5
)

// stoppedBy is the cause of a context cancelled by a signal.
type stoppedBy struct{ signal os.Signal }

func (s stoppedBy) Error() string { return "stopped by " + s.signal.String() }

// exitCode prints the error, if there is one, and turns it into the command's exit code.
func exitCode(ctx context.Context, a *app, err error) int {
	if err == nil {
		return exitOK
	}
	var stopped stoppedBy
	if errors.As(context.Cause(ctx), &stopped) {
		fmt.Fprintln(a.err, "ballast:", stopped)
		if s, ok := stopped.signal.(syscall.Signal); ok {
			return 128 + int(s)
		}
		return exitFailed
	}
	fmt.Fprintln(a.err, "ballast:", err)
	var (
		bad   interface{ BadInput() bool }
		usage *fault.Usage
		unmet *fault.Unmet
	)
	switch {
	case errors.As(err, &unmet):
		return exitUnmet
	case errors.As(err, &usage), isCobraUsage(err):
		return exitUsage
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.ENOMEM):
		return exitExhausted
	case errors.As(err, &bad) && bad.BadInput():
		return exitBadInput
	}
	return exitFailed
}

// isCobraUsage reports the one kind of usage error that cobra builds itself and does not type.
func isCobraUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command ") || strings.HasPrefix(err.Error(), "required flag")
}
