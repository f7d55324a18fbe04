package gguf

// allWithinPlain tells whether all values are between -most and most; NaN is not.
func allWithinPlain(x []float32, most float32) bool {
	for _, v := range x {
		if !(v <= most && v >= -most) {
			return false
		}
	}
	return true
}
