//go:build !unix

package durable

const lockFlags = 0

func isDescriptor(string) bool { return false }
