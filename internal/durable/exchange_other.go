//go:build !linux

package durable

import "errors"

var exchange = func(string, string) error { return errors.ErrUnsupported }
