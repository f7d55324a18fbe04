package corrupt

// border says which pixel of n stands at a place outside: it maps any whole number into 0 to n-1.
type border func(i, n int) int

// nearest repeats the edge: a a | a b c d | d d.
func nearest(i, n int) int { return min(max(i, 0), n-1) }

// mirror repeats the image backwards with its edge: b a | a b c d | d c.
func mirror(i, n int) int {
	if uint(i) < uint(n) {
		return i
	}
	i %= 2 * n
	if i < 0 {
		i += 2 * n
	}
	return min(i, 2*n-1-i)
}

// mirror101 repeats the image backwards without its edge: c b | a b c d | c b.
func mirror101(i, n int) int {
	if uint(i) < uint(n) {
		return i
	}
	if n == 1 {
		return 0
	}
	i %= 2*n - 2
	if i < 0 {
		i += 2*n - 2
	}
	return min(i, 2*n-2-i)
}
