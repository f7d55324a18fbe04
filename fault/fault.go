// Package fault defines the kinds of failure: bad input, wrong usage, a claim that is not met, an exhausted resource. The command
// turns the kinds into exit codes; a Go program matches them with errors.As, or calls IsInput and IsExhausted.
//
//	kind       type                           contents                     exit code
//	usage      *Usage                         the text                     2
//	input      *Input, *format.Error, others  file, place in it, fix       3
//	claim      *Unmet                         the claim that was not met   4
//	resource   *Exhausted, others             the text                     5
//
// An error of another package counts as bad input if its method BadInput() bool returns true, as that of format.Error does;
// methods report bad input mostly as *Input. It counts as an exhausted resource if its method Exhausted() bool returns true.
// Errors of the operating system, such as fs.ErrNotExist, remain in the error's tree, so errors.Is finds them.
//
// An error with several causes may have several kinds. Check for the resource first: it may have caused the others.
package fault

import (
	"slices"
	"strings"
	"syscall"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Input is a bad input file. The command exits with code 3.
type Input struct {
	File  string // path or name of the file; may be empty
	Field string // key, tensor or place in it; may be empty
	Err   error  // what is wrong
	Fix   string // what to do about it; may be empty
}

// Error returns "FILE: FIELD: what is wrong; fix", without the parts that are empty. File and field are untrusted, so what
// would act on a terminal is escaped in them.
func (e *Input) Error() string {
	var parts []string
	for _, part := range []string{e.File, e.Field} {
		if part != "" {
			parts = append(parts, printable.Line(part))
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	text := strings.Join(parts, ": ")
	if e.Fix != "" {
		text += "; " + e.Fix
	}
	return text
}

// Unwrap returns what is wrong.
func (e *Input) Unwrap() error { return e.Err }

// BadInput reports that this is one.
func (e *Input) BadInput() bool { return true }

// Usage is a command used wrongly: a flag, an argument, a name that does not exist. The command exits with code 2.
type Usage struct{ Err error }

func (e *Usage) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Usage) Unwrap() error { return e.Err }

// Unmet lists claims or thresholds that were measured and not met. The command exits with code 4.
type Unmet struct{ What []string }

func (e *Unmet) Error() string { return "not met: " + strings.Join(e.What, "; ") }

// Exhausted is a resource that ran out, or would: memory, disk, a limit on file sizes. The command exits with code 5.
type Exhausted struct{ Err error }

func (e *Exhausted) Error() string { return e.Err.Error() }

// Unwrap returns what ran out.
func (e *Exhausted) Unwrap() error { return e.Err }

// Exhausted reports that this is one.
func (e *Exhausted) Exhausted() bool { return true }

// IsInput reports whether a file or another input is at fault: whether some error of err's tree has a method BadInput that returns true.
// errors.As would end at the first error with the method, which may say false where one beside it says true.
func IsInput(err error) bool {
	return some(err, func(e error) bool {
		bad, ok := e.(interface{ BadInput() bool })
		return ok && bad.BadInput()
	})
}

// ranOut is what the system says when a resource ran out.
var ranOut = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE}

// IsExhausted reports whether a resource ran out: whether some error of err's tree says so itself, by its method Exhausted, or is the
// system's for a disk, quota, file size, memory or number of open files.
func IsExhausted(err error) bool {
	return some(err, func(e error) bool {
		if out, ok := e.(interface{ Exhausted() bool }); ok && out.Exhausted() {
			return true
		}
		number, ok := e.(syscall.Errno) //nolint:errorlint // some has unwrapped it
		return ok && slices.Contains(ranOut, number)
	})
}

// some reports whether an error of the whole tree, those joined and those wrapped, is of a kind.
func some(err error, is func(error) bool) bool {
	if err == nil {
		return false
	}
	if is(err) {
		return true
	}

	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case interface{ Unwrap() error }:
		return some(e.Unwrap(), is)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(inner error) bool { return some(inner, is) })
	}
	return false
}
