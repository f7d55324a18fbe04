package adapt

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Held is an example that a memory holds.
type Held struct {
	Slot        int     // where its values are, 0 to the capacity - 1
	Class       int     // that the model gave it
	Uncertainty float64 // of the model about it
	Age         int     // examples that were offered since
}

// PBRS is the memory of NOTE, prediction-balanced reservoir sampling: it keeps Capacity examples of a stream so that the classes which the
// model gives are as even as the stream allows, and within a class each example is as likely to be kept.
//
// While there is room every example is kept. Then, of a class that is not among the largest ones in the memory, an example takes the place of
// a random one of a random largest class; of a class that is, it takes the place of a random one of its own with probability m/n, m of n
// examples of the class so far being held, and is dropped otherwise.
//
// Source: Gong et al., "NOTE: Robust Continual Test-time Adaptation Against Temporal Correlation", arXiv 2208.05117.
type PBRS struct {
	Capacity int
	Classes  int

	held []Held
	seen []int // examples of each class so far
}

// Items are what it holds, in the order in which they came.
func (m *PBRS) Items() []Held { return m.held }

// Offer offers an example of a class, and returns the slot that it takes, -1 if it is dropped. It draws from r once the memory is full.
func (m *PBRS) Offer(class int, uncertainty float64, r *rand.Rand) (slot int) {
	checkClass("PBRS", class, m.Classes)
	if m.seen == nil {
		m.seen = make([]int, m.Classes)
	}
	m.seen[class]++
	slot = len(m.held)
	if slot >= m.Capacity {
		if slot = m.free(class, r); slot < 0 {
			return slot
		}
	}
	m.held = append(m.held, Held{Slot: slot, Class: class, Uncertainty: uncertainty})
	return slot
}

// free makes room for an example of a class, and returns the slot; -1 if the class has had its share.
func (m *PBRS) free(class int, r *rand.Rand) int {
	counts := countsOf(m.held, m.Classes)
	from := class
	if largest := majority(counts); !slices.Contains(largest, class) {
		from = largest[r.IntN(len(largest))]
	} else if r.Float64() > float64(counts[class])/float64(m.seen[class]) {
		return -1
	}
	return drop(&m.held, from, r.IntN(counts[from]))
}

// checkClass panics on a class that there is not.
func checkClass(who string, class, classes int) {
	if class < 0 || class >= classes {
		panic(fmt.Errorf("adapt.%s: class %d of %d; give one from 0", who, class, classes))
	}
}

// countsOf are how many are held of each class.
func countsOf(held []Held, classes int) []int {
	counts := make([]int, classes)
	for _, h := range held {
		counts[h.Class]++
	}
	return counts
}

// majority are the classes with the most.
func majority(counts []int) []int {
	var largest []int
	most := slices.Max(counts)
	for class, n := range counts {
		if n == most {
			largest = append(largest, class)
		}
	}
	return largest
}

// drop takes out the k-th item of a class, in the order in which they came, and returns its slot.
func drop(held *[]Held, class, k int) (slot int) {
	for i, h := range *held {
		if h.Class != class {
			continue
		}
		if k == 0 {
			*held = slices.Delete(*held, i, i+1)
			return h.Slot
		}
		k--
	}
	panic(fmt.Errorf("adapt: the memory has no such example of class %d", class))
}
