package update_test

import (
	"fmt"

	"github.com/ballast-ml/ballast/train/update"
)

// A run of 100 updates in two phases: 30 to warm up, and the rest.
func ExamplePhaseAt() {
	turn := []update.Turn{{Build: func(*update.Step) []update.Goal { return nil }}}
	phases := []update.Phase{{Name: "warm-up", Updates: 30, Turns: turn}, {Name: "train", Turns: turn}}
	fmt.Println(update.CheckPhases(phases, 100))
	for _, step := range []int{0, 29, 30, 99} {
		phase, began := update.PhaseAt(phases, step)
		fmt.Println(step, phases[phase].Name, "since", began)
	}
	// Output:
	// <nil>
	// 0 warm-up since 0
	// 29 warm-up since 0
	// 30 train since 30
	// 99 train since 30
}
