// Package strided reads arrays that the file does not store in row-major order.
package strided

import (
	"encoding/binary"
	"slices"
)

// Window is how much of a file is held at once.
const Window = 16 << 20

// Copy is Gather for data in memory: it takes time and memory for the elements asked for, whatever lies between them.
func Copy(data []byte, size int, shape []int, strides []int64, first int64, raw []byte) {
	n := len(raw) / size
	if n == 0 {
		return
	}
	index := make([]int, len(shape))
	at := int64(0) // of the next element in data, in elements
	for i, rest := len(shape)-1, first; i >= 0; i-- {
		index[i] = int(rest % int64(shape[i]))
		rest /= int64(shape[i])
		at += int64(index[i]) * strides[i]
	}
	last := len(shape) - 1
	if last < 0 {
		copy(raw[:size], data)
		return
	}
	for done := 0; done < n; {
		run := min(shape[last]-index[last], n-done)
		line(raw[done*size:], data, size, run, at, strides[last])
		done += run
		at += int64(run-1) * strides[last]
		index[last] += run - 1
		for i := last; i >= 0; i-- {
			if index[i]++; index[i] < shape[i] {
				at += strides[i]
				break
			}
			at -= int64(shape[i]-1) * strides[i]
			index[i] = 0
		}
	}
}

// line copies n elements that stand stride elements from each other.
func line(raw, data []byte, size, n int, at, stride int64) {
	if stride == 1 {
		copy(raw[:n*size], data[at*int64(size):])
		return
	}
	from, step := at*int64(size), stride*int64(size)
	switch size {
	case 1:
		for i := range n {
			raw[i] = data[from+int64(i)*step]
		}
	case 2:
		for i := range n {
			copy(raw[2*i:2*i+2], data[from+int64(i)*step:])
		}
	case 4:
		for i := range n {
			binary.NativeEndian.PutUint32(raw[4*i:], binary.NativeEndian.Uint32(data[from+int64(i)*step:]))
		}
	case 8:
		for i := range n {
			binary.NativeEndian.PutUint64(raw[8*i:], binary.NativeEndian.Uint64(data[from+int64(i)*step:]))
		}
	default:
		for i := range n {
			copy(raw[size*i:size*(i+1)], data[from+int64(i)*step:])
		}
	}
}

// Gather puts elements of an array into raw, in row-major order, from the first-th on: as many as fit. An element has size
// bytes and stands strides*index elements behind the array's first. fetch reads bytes from place at on, counted from the
// array's first byte. The part of the file that the elements lie in is read in windows, each once, in order.
func Gather(fetch func(raw []byte, at int64) error, size int, shape []int, strides []int64, first int64, raw []byte) error {
	n := len(raw) / size
	if n == 0 {
		return nil
	}
	places := make([]int64, n)
	index := make([]int64, len(shape))
	for i, rest := len(shape)-1, first; i >= 0; i-- {
		index[i] = rest % int64(shape[i])
		rest /= int64(shape[i])
	}
	for k := range places {
		for i, v := range index {
			places[k] += v * strides[i]
		}
		for i := len(index) - 1; i >= 0; i-- {
			if index[i]++; index[i] < int64(shape[i]) {
				break
			}
			index[i] = 0
		}
	}
	low, high, wide := slices.Min(places), slices.Max(places)+1, int64(size)
	step := min(high-low, Window/wide)
	held := make([]byte, step*wide)
	for from := low; from < high; from += step {
		to := min(from+step, high)
		if err := fetch(held[:(to-from)*wide], from*wide); err != nil {
			return err
		}
		for k, place := range places {
			if place >= from && place < to {
				copy(raw[k*size:(k+1)*size], held[(place-from)*wide:])
			}
		}
	}
	return nil
}
