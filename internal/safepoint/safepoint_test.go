package safepoint_test

import (
	"context"
	"testing"

	"github.com/ballast-ml/ballast/internal/safepoint"
)

func TestHold(t *testing.T) {
	var h safepoint.Holds
	ctx := h.With(t.Context())
	first := safepoint.Hold(ctx)
	second := safepoint.Hold(context.WithoutCancel(ctx))
	first()
	first()
	if !h.Any() {
		t.Error("the second hold ended with the first")
	}
	second()
	if h.Any() {
		t.Error("a hold is left")
	}
	safepoint.Hold(t.Context())() // nobody watches
}
