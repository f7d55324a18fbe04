// Package memory limits how much memory the process may allocate on behalf of files, recipes and graphs. Memory belongs to the
// process as a whole, so there is one limit: every large request is compared with it before it is made.
package memory

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/ballast-ml/ballast/fault"
)

var (
	limit   atomic.Int64 // 0 until it is set or first asked for
	machine = sync.OnceValue(machineLimit)
)

// Limit returns the bytes that one array, graph or buffer may take: what SetLimit said, else three quarters of the memory that the
// machine, the control group and the process's own limits leave.
func Limit() int64 {
	if n := limit.Load(); n > 0 {
		return n
	}
	return machine()
}

// SetLimit sets the limit in bytes; 0 brings the default back.
func SetLimit(bytes int64) { limit.Store(max(0, bytes)) }

// Error reports a request above the limit.
type Error struct {
	What  string // what would take the memory
	Need  int64  // bytes
	Limit int64  // bytes
}

// Error names what is needed, the limit and the flag that moves it.
func (e *Error) Error() string {
	return fmt.Sprintf("%s needs %s of memory, the limit is %s; raise it with --memory on a machine that has more", e.What, Size(e.Need), Size(e.Limit))
}

// Exhausted reports that a resource, not the input's form, is what is missing. The command exits with code 5.
func (e *Error) Exhausted() bool { return true }

// Need returns a *fault.Exhausted, with an *Error as its cause, if what would take more bytes than the limit. Call it before allocating.
func Need(what string, bytes int64) error {
	if most := Limit(); bytes > most {
		return &fault.Exhausted{Err: &Error{What: what, Need: bytes, Limit: most}}
	}
	return nil
}

// Size writes a number of bytes for people: 512 bytes, 1.5 kB, 16.0 GB.
func Size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	if bytes == math.MaxInt64 {
		return "more than 9 EB"
	}
	value, unit := float64(bytes), 0
	for value >= 999.95 && unit < 6 {
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", value, "?kMGTPE"[unit])
}
