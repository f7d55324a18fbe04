//go:build !linux

package main

// dataPipe writes a file where pipes are not made: what is refused is refused as one.
func dataPipe(path string) error { return put(path, []byte("no pipe")) }
