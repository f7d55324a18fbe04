package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// dataPipe makes a pipe that nobody writes to.
func dataPipe(path string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), syscall.Mkfifo(path, 0o644))
}
