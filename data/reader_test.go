package data_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/data"
)

// broken is a data set with one example that cannot be read.
type broken struct {
	data.Dataset
	at int
}

var errBroken = errors.New("cannot be read")

func (b broken) Read(i int, dst []float32) error {
	if i == b.at {
		return errBroken
	}
	return b.Dataset.Read(i, dst)
}

func TestReaderFailsInTurnAndStays(t *testing.T) {
	ds, err := data.Open("optdigits", "all")
	if err != nil {
		t.Fatal(err)
	}
	order := make([]int32, 100)
	for i := range order {
		order[i] = int32(i)
	}
	r := data.NewReader(broken{ds, 25}, order, 10, 4, false)
	defer r.Close()
	for k := range 2 {
		if b, err := r.Next(t.Context()); err != nil || b.Index[0] != int32(10*k) {
			t.Fatalf("batch %d: %v, %v", k, b.Index, err)
		}
	}
	for range 2 {
		if _, err := r.Next(t.Context()); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "example 25") {
			t.Errorf("got %v", err)
		}
	}
	for want, bad := range map[string]*data.Reader{
		"use at least 1": data.NewReader(ds, order, 0, 1, false),
		"the order names example 1797, the set has": data.NewReader(ds, []int32{1797}, 1, 1, false),
	} {
		if _, err := bad.Next(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		bad.Close()
	}
}

// slow is a data set that is read when it is let.
type slow struct {
	data.Dataset
	let chan struct{}
}

func (s slow) Read(i int, dst []float32) error {
	<-s.let
	return s.Dataset.Read(i, dst)
}

// TestReaderKeepsItsPlaceWhenCancelled cancels the wait for a batch: the batch must come at the next call, not be lost.
func TestReaderKeepsItsPlaceWhenCancelled(t *testing.T) {
	ds, err := data.Open("optdigits", "all")
	if err != nil {
		t.Fatal(err)
	}
	let := make(chan struct{})
	r := data.NewReader(slow{ds, let}, []int32{3, 1, 2}, 1, 2, false)
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	close(let)
	var index []int32
	for {
		b, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		index = append(index, b.Index...)
	}
	if !slices.Equal(index, []int32{3, 1, 2}) {
		t.Errorf("got %v", index)
	}
}

func TestReaderLeavesNoGoroutine(t *testing.T) {
	ds, err := data.Open("optdigits", "all")
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for k := range 20 {
		r := data.NewReader(ds, data.Order(ds.Len(), 1, 0), 32, 8, false)
		for range k % 4 {
			if _, err := r.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
		if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after Close: %v", err)
		}
	}
	// Close waits for the workers; a goroutine that has said it is done may still take a moment to go.
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// BenchmarkReader reads an epoch of 8x8 digits in batches of 64, from memory: what the reader itself costs.
func BenchmarkReader(b *testing.B) {
	ds, err := data.Open("optdigits", "train")
	if err != nil {
		b.Fatal(err)
	}
	order := data.Order(ds.Len(), 1, 0)
	batches := 0
	for b.Loop() {
		r := data.NewReader(ds, order, 64, runtime.GOMAXPROCS(0), false)
		for {
			batch, err := r.Next(b.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			r.Recycle(batch)
			batches++
		}
		r.Close()
	}
	b.ReportMetric(float64(batches)/b.Elapsed().Seconds(), "batches/s")
}
