//go:build unix

package subject

import (
	"errors"
	"os/exec"
	"syscall"
)

// shell is a command line as the shell runs it, in a process group of its own: a Ctrl-C at the terminal does not reach it, and all of it can be
// ended at once.
func shell(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// killGroup ends a process and all that it started, by SIGTERM where it is asked kindly.
func killGroup(cmd *exec.Cmd, kindly bool) {
	signal := syscall.SIGKILL
	if kindly {
		signal = syscall.SIGTERM
	}
	_ = syscall.Kill(-cmd.Process.Pid, signal) // the group may be gone
}

// isBrokenPipe reports whether the reader went away.
func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
