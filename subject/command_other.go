//go:build !unix

package subject

import (
	"os/exec"
	"strings"
)

// shell is a command line as the shell runs it.
func shell(line string) *exec.Cmd { return exec.Command("cmd", "/C", line) }

// killGroup ends a process.
func killGroup(cmd *exec.Cmd, _ bool) { _ = cmd.Process.Kill() } // it may be gone

// isBrokenPipe reports whether the reader went away.
func isBrokenPipe(err error) bool { return strings.Contains(err.Error(), "pipe") }
