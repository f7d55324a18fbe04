// Command ballast finds out how a neural network breaks and mends it: train, evaluate, calibrate, compare, reproduce.
//
// Exit codes: 0 ok; 1 failed; 2 wrong usage; 3 a bad input file; 4 a claim or threshold not met; 5 out of disk or
// memory; 130 and 143 stopped by SIGINT and SIGTERM.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: a script test calls it as the command itself.
func run(args []string, out, errOut *os.File) int {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			stop(stoppedBy{s})
		case <-ctx.Done():
		}
	}()
	a := &app{out: out, err: errOut}
	root := newRoot(a)
	root.SetArgs(args)
	return exitCode(ctx, a, root.ExecuteContext(ctx))
}
