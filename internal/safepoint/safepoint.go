// Package safepoint lets work that must not be cut in two, an update of a training and the save that follows it, tell the
// command that it ends by itself when its context is cancelled. Whoever holds nothing may be ended at any moment.
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
