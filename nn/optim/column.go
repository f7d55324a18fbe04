// Package optim has the parts that update variables: optimisers, schedules, rules applied between gradient and update, and watchers.
package optim

import "math/rand/v2"

// Column is one number of each update, made on the host in float64 from what it is asked with: a learning rate, the share of a
// mixing, the corner of a box, a ramp. A run computes the columns of a whole epoch at once, as one table [updates, columns] on the
// device, so that a number which changes costs no new program.
type Column struct {
	Name string // unique in a run: "mix.weight", "semi.ramp"

	// At is the value for an update, 0 being the first of updates. r is drawn from seed, Name and update only, so a run that resumes
	// at update k draws what a run from the beginning would have drawn. updates is 0 where a run has no end that is known.
	At func(update, updates int, r *rand.Rand) float64
}
