package onnxrun

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// grams are the sequences of numbers that a TfIdfVectorizer counts.
type grams struct {
	place   map[string]int // of a sequence's counts in the output
	longest int
	width   int
}

func gramKey(v []int) string { return strings.Trim(fmt.Sprint(v), "[]") }

// grams reads the pool: all sequences of one number, then those of two, and so on.
func (c *call) grams() grams {
	pool, starts, at := c.list("pool_int64s"), c.list("ngram_counts"), c.list("ngram_indexes")
	low, high := c.int("min_gram_length", 1), c.int("max_gram_length", 1)
	need(low >= 1 && high >= low && high <= len(starts), "grams of %d to %d numbers in a pool of %d kinds", low, high,
		len(starts))
	g := grams{place: map[string]int{}, longest: high}
	for _, p := range at {
		need(p >= 0 && p <= 1<<24, "ngram_indexes has a place %d", p)
		g.width = max(g.width, p+1)
	}
	k := 0
	for i, start := range starts {
		end := len(pool)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		need(start >= 0 && start <= end && end <= len(pool) && (end-start)%(i+1) == 0,
			"ngram_counts %s of a pool of %d", dimsText(starts), len(pool))
		for p := start; p < end; p += i + 1 {
			need(k < len(at), "%d places for more sequences", len(at))
			if i+1 >= low && i+1 <= high {
				g.place[gramKey(pool[p:p+i+1])] = k
			}
			k++
		}
	}
	need(k == len(at), "%d places for %d sequences", len(at), k)
	return g
}

// termCounts is TfIdfVectorizer: how often each sequence of the pool is in each row, with up to max_skip_count numbers between two.
func termCounts(c *call) []*tensors.Tensor {
	d := c.dims(0)
	need(len(d) == 1 || len(d) == 2, "its input has shape %v, want words or rows of them", d)
	n, words := 1, d[0]
	if len(d) == 2 {
		n, words = d[0], d[1]
	}
	g := c.grams()
	mode, weights, at, skips := c.text("mode", ""), c.numbers("weights"), c.list("ngram_indexes"),
		c.int("max_skip_count", 0)
	need(slices.Contains([]string{"TF", "IDF", "TFIDF"}, mode), "mode %q is not known", mode)
	need(len(weights) == 0 || len(weights) == len(at), "%d weights for %d sequences", len(weights), len(at))
	need(skips >= 0 && skips <= 1<<20, "max_skip_count %d", skips)
	out := room(dtypes.Float32, n, g.width)
	y := make([]float64, out.Size())
	x := c.ints(0)
	low := c.int("min_gram_length", 1)
	for row := range n {
		line := x[row*words : (row+1)*words]
		for size := low; size <= g.longest; size++ {
			for step := 1; step <= skips+1 && (size > 1 || step == 1); step++ {
				for from := 0; from+(size-1)*step < words; from++ {
					c.gone(size)
					gram := make([]int, size)
					for i := range gram {
						gram[i] = line[from+i*step]
					}
					if k, ok := g.place[gramKey(gram)]; ok {
						y[row*g.width+at[k]]++
					}
				}
			}
		}
	}
	scale := make([]float64, g.width)
	for k, p := range at {
		scale[p] = 1
		if len(weights) > 0 {
			scale[p] = weights[k]
		}
	}
	for i, v := range y {
		switch {
		case mode == "IDF" && v > 0:
			y[i] = scale[i%g.width]
		case mode == "TFIDF":
			y[i] = v * scale[i%g.width]
		}
	}
	if len(d) == 1 {
		return []*tensors.Tensor{made(dtypes.Float32, y, g.width)}
	}
	return []*tensors.Tensor{made(dtypes.Float32, y, n, g.width)}
}

func textOps() map[string]operator {
	return map[string]operator{
		"TfIdfVectorizer": hosted(termCounts).unless(numbersOnly("pool_strings")).takes("max_gram_length",
			"max_skip_count", "min_gram_length", "mode",
			"ngram_counts", "ngram_indexes", "pool_int64s", "pool_strings", "weights"),
	}
}
