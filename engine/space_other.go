//go:build !linux

package engine

import "errors"

var freeBytes = func(string) (int64, error) { return 0, errors.ErrUnsupported }
