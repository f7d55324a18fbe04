//go:build !unix

package untrusted

const nonBlocking, noFollow = 0, 0
