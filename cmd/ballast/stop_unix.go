//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// processorTime is the signal of a process that has used the processor time it may use.
const processorTime = syscall.SIGXCPU

// catch passes on the signals that end the command. SIGPIPE and SIGXFSZ become errors of the write that they come from.
func catch(into chan<- os.Signal) {
	signal.Notify(into, syscall.SIGINT, syscall.SIGTERM, processorTime)
	if !signal.Ignored(syscall.SIGHUP) { // nohup's wish
		signal.Notify(into, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGXFSZ)
}
