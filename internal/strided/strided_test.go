package strided_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/internal/strided"
)

func TestGather(t *testing.T) {
	// Into a third window of bytes, read by columns.
	const rows, columns = 3, strided.Window - 5
	file := make([]byte, rows*columns)
	for i := range file {
		file[i] = byte(i % 251)
	}
	reads := 0
	fetch := func(raw []byte, at int64) error {
		reads++
		copy(raw, file[at:])
		return nil
	}
	const first = 30
	got := make([]byte, 3*1000)
	if err := strided.Gather(fetch, 1, []int{columns, rows}, []int64{1, columns}, first, got); err != nil {
		t.Fatal(err)
	}
	for k, v := range got {
		row, column := (first+k)%rows, (first+k)/rows
		if want := file[row*columns+column]; v != want {
			t.Fatalf("element %d is %d, want %d", k, v, want)
		}
	}
	if reads != 3 {
		t.Errorf("%d reads, want 3", reads)
	}
	wide := make([]byte, 4)
	if err := strided.Gather(func(raw []byte, at int64) error { copy(raw, []byte{1, 2, 3, 4, 5, 6, 7, 8}[at:]); return nil }, 2, []int{2}, []int64{2}, 0, wide); err != nil || !slices.Equal(wide, []byte{1, 2, 5, 6}) {
		t.Errorf("got %v (%v)", wide, err)
	}
	broken := errors.New("broken")
	if err := strided.Gather(func([]byte, int64) error { return broken }, 2, []int{2}, []int64{2}, 0, wide); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := strided.Gather(nil, 2, []int{0}, []int64{1}, 0, nil); err != nil {
		t.Error(err)
	}
}

// Copy gives what Gather gives, for every size, order and stretch.
func TestCopyEqualsGather(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{1, 2, 4, 8, 16}).Draw(t, "size")
		shape := rapid.SliceOfN(rapid.IntRange(1, 5), 0, 4).Draw(t, "shape")
		strides, elements, reach := make([]int64, len(shape)), 1, int64(1)
		for i, dim := range shape {
			strides[i] = rapid.Int64Range(0, 7).Draw(t, "stride")
			elements *= dim
			reach += int64(dim-1) * strides[i]
		}
		data := make([]byte, reach*int64(size))
		for i := range data {
			data[i] = byte(i * 37)
		}
		first := rapid.IntRange(0, elements-1).Draw(t, "first")
		n := rapid.IntRange(0, elements-first).Draw(t, "n") * size
		want, got := make([]byte, n), make([]byte, n)
		fetch := func(raw []byte, at int64) error {
			copy(raw, data[at:])
			return nil
		}
		if err := strided.Gather(fetch, size, shape, strides, int64(first), want); err != nil {
			t.Fatal(err)
		}
		strided.Copy(data, size, shape, strides, int64(first), got)
		if !slices.Equal(got, want) {
			t.Fatalf("%v by %v from %d on: %v, want %v", shape, strides, first, got, want)
		}
	})
}
