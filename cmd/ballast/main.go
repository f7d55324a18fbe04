// Command ballast finds out how a neural network breaks and mends it: train, evaluate, calibrate, compare, reproduce.
//
// Exit codes: 0 ok; 1 failed; 2 wrong usage; 3 a bad input file; 4 a claim or threshold not met; 5 out of disk or memory, or
// beyond a limit; 129, 130 and 143 stopped by SIGHUP, SIGINT and SIGTERM; 141 the reader of its output went away.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/printable"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: a script test calls it as the command itself.
func run(args []string, out, errOut *os.File) int {
	if os.Getenv(envDebug) == "" {
		debug.SetTraceback("none") // what no code here can catch ends with one line, not with the stacks of Go
	}
	memory.ReleaseProgram() // before anything is read: the bounds of readers hold for the program as a whole
	ctx, stop := newStopper(context.Background(), errOut)
	defer stop.close()
	// Everything goes to the terminal through these two; what draws on it on purpose asks for the files.
	a := &app{
		out: printable.NewWriter(pipe{out, stop.closedPipe}), err: printable.NewWriter(stop.screen),
		outFile: out, errFile: errOut, screen: stop.screen, stop: stop,
	}
	root := newRoot(a)
	a.paint()
	root.SetArgs(args)
	err := execute(ctx, root)
	a.screen.Close()
	return exitCode(ctx, a, err)
}

// execute runs the command. A panic that reaches it is an error.
func execute(ctx context.Context, root *cobra.Command) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &internalError{p, debug.Stack()}
		}
	}()
	return root.ExecuteContext(ctx)
}
