// Package fault says what kind of failure an error is, so that the command can turn it into an exit code.
//
// An error of another package counts as bad input when it has a method BadInput() bool that returns true; format packages
// define their own. It counts as a resource that ran out when it has a method Exhausted() bool that returns true, as those of
// internal/memory have.
package fault

import (
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Input is a bad input file. The command exits with code 3.
type Input struct {
	File  string // path or name of the file; may be empty
	Field string // key, tensor or place in it; may be empty
	Err   error  // what is wrong
	Fix   string // what to do about it; may be empty
}

// Error returns "FILE: FIELD: what is wrong; fix", without the parts that are empty. File and field come from strangers, so what
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

// Exhausted is a resource that ran out: memory, disk, a limit on file sizes. The command exits with code 5.
type Exhausted struct{ Err error }

func (e *Exhausted) Error() string { return e.Err.Error() }

// Unwrap returns what ran out.
func (e *Exhausted) Unwrap() error { return e.Err }

// Exhausted reports that this is one.
func (e *Exhausted) Exhausted() bool { return true }
