package npy_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format/npy"
)

// TestRead: arrays behind each other come out one by one; what is torn, too large or no array is refused.
func TestRead(t *testing.T) {
	var stream bytes.Buffer
	for _, values := range [][]float32{{1, 2, 3, 4}, {}, {5}} {
		if err := npy.Write(&stream, []int{len(values), 1}, values); err != nil {
			t.Fatal(err)
		}
	}
	whole := slices.Clone(stream.Bytes())
	for _, want := range [][]float32{{1, 2, 3, 4}, {}, {5}} {
		a, err := npy.Read(&stream, 16)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Float32s(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v (%v), want %v", got, err, want)
		}
	}
	if _, err := npy.Read(&stream, 16); !errors.Is(err, io.EOF) || errors.Is(err, npy.ErrTruncated) {
		t.Errorf("at the end: %v", err)
	}

	for n := 1; n < 128+16; n++ { // of the first array
		if _, err := npy.Read(bytes.NewReader(whole[:n]), 16); !errors.Is(err, npy.ErrTruncated) && !errors.Is(err, npy.ErrMagic) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := npy.Read(bytes.NewReader(whole), 15); !errors.Is(err, npy.ErrTooLarge) {
		t.Errorf("more than allowed: %v", err)
	}
	if _, err := npy.Read(strings.NewReader("Loading model...\n"), 16); !errors.Is(err, npy.ErrMagic) {
		t.Errorf("a line of text: %v", err)
	}
}
