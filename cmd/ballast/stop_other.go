//go:build !unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

const processorTime = syscall.Signal(-1) // there is no such signal here

func catch(into chan<- os.Signal) { signal.Notify(into, os.Interrupt, syscall.SIGTERM) }
