package adapt

import (
	"math"
	"math/rand/v2"
	"slices"
)

// CSTU is the memory of RoTTA, category-balanced sampling with timeliness and uncertainty: it keeps Capacity examples of a stream, about as
// many of each class that the model gives, and prefers young and sure ones. An example counts
//
//	score = TimeWeight / (1 + exp(-age/Capacity)) + DoubtWeight uncertainty / log(Classes)
//
// against itself. While a class has less than Capacity/Classes, its examples are kept, if need be in the place of the example of the highest
// score among the largest classes; else in the place of the one of the highest score of its own class. Only a higher score than the new
// example's gives way, else the new one is dropped. Of two as high the later one goes: by class, and in the order in which they came.
// After every offer the examples held are one older.
//
// Source: Yuan, Xie, Li, "Robust Test-Time Adaptation in Dynamic Scenarios", arXiv 2303.13899, by its official code.
type CSTU struct {
	Capacity    int
	Classes     int
	TimeWeight  float64 // 1
	DoubtWeight float64 // 1

	held []Held
}

// Items are what it holds, in the order in which they came.
func (m *CSTU) Items() []Held { return m.held }

// ByClass are what it holds class by class, in the order in which they came.
func (m *CSTU) ByClass() []Held {
	sorted := slices.Clone(m.held)
	slices.SortStableFunc(sorted, func(a, b Held) int { return a.Class - b.Class })
	return sorted
}

// Offer offers an example of a class, and returns the slot that it takes, -1 if it is dropped. Nothing is drawn.
func (m *CSTU) Offer(class int, uncertainty float64, _ *rand.Rand) (slot int) {
	checkClass("CSTU", class, m.Classes)
	slot = m.room(class, m.score(0, uncertainty))
	if slot >= 0 {
		m.held = append(m.held, Held{Slot: slot, Class: class, Uncertainty: uncertainty})
	}
	for i := range m.held {
		m.held[i].Age++
	}
	return slot
}

func (m *CSTU) score(age int, uncertainty float64) float64 {
	timely := m.TimeWeight / (1 + math.Exp(-float64(age)/float64(m.Capacity)))
	return timely + m.DoubtWeight*uncertainty/math.Log(float64(max(m.Classes, 2)))
}

// room is a slot for an example of a class and a score, -1 if there is none for it.
func (m *CSTU) room(class int, score float64) int {
	counts := countsOf(m.held, m.Classes)
	from := []int{class}
	if float64(counts[class]) < float64(m.Capacity)/float64(m.Classes) {
		if len(m.held) < m.Capacity {
			return m.unused()
		}
		from = majority(counts)
	}

	worst, highest := -1, math.Inf(-1)
	for _, of := range from { // the order in which equal scores count
		for i, h := range m.held {
			if h.Class != of {
				continue
			}
			if s := m.score(h.Age, h.Uncertainty); worst < 0 || s >= highest {
				worst, highest = i, s
			}
		}
	}
	if worst < 0 || highest <= score {
		return -1
	}
	slot := m.held[worst].Slot
	m.held = slices.Delete(m.held, worst, worst+1)
	return slot
}

// unused is the first slot without an example.
func (m *CSTU) unused() int {
	for slot := range m.Capacity {
		if !slices.ContainsFunc(m.held, func(h Held) bool { return h.Slot == slot }) {
			return slot
		}
	}
	return -1
}
