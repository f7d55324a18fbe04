// Package strided reads arrays whose elements do not stand in row-major order in the file.
package strided

import "slices"

// Window is how much of a file is held at once.
const Window = 16 << 20

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
