//go:build !(cgo && !noxla && ((linux && (amd64 || arm64)) || (darwin && arm64) || (windows && amd64)))

package engine

import "errors"

const (
	xlaBuilt   = false
	xlaMissing = "this build has no XLA (built without cgo, with the tag noxla, or for a platform XLA has no plugin for)"
)

func loadPlugin(string) (*Engine, error) { return nil, errors.New(xlaMissing) }

func tryPlugin(string) error { return nil }
