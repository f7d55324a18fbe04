// Package safepoint lets work that must not be interrupted halfway, such as a training update and the save after it, tell the
// command that it will end by itself when its context is cancelled. Work that does not hold a safepoint may be ended at any moment.
package safepoint

import (
	"context"
	"sync"
	"sync/atomic"
)

// Holds counts the pieces of work that end by themselves. The zero value is ready.
type Holds struct{ n atomic.Int64 }

type key struct{}

// With returns a context whose work holds h.
func (h *Holds) With(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, h) }

// Any reports whether anything is held now.
func (h *Holds) Any() bool { return h.n.Load() > 0 }

// Hold says that what goes on now looks at ctx itself and ends soon after it is cancelled, once its state is saved. release ends the
// hold; calling it again does nothing. A context that nobody watches holds nothing.
func Hold(ctx context.Context) (release func()) {
	h, ok := ctx.Value(key{}).(*Holds)
	if !ok {
		return func() {}
	}
	h.n.Add(1)
	return sync.OnceFunc(func() { h.n.Add(-1) })
}
