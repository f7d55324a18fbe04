// Package merge makes one tensor of several: weighted means and their kin, a file for each method.
//
// A [Method] is a plain struct; [Values] applies one to a tensor in memory, [Methods] lists them by the names that recipes use. A method
// starts a [Merger] for each tensor, which sees the values block by block, so that tensors need not fit into memory.
//
// Two models in files are merged by merge/checkpoint, which "ballast merge" calls; in memory, a tensor at a time:
//
//	ties := merge.NewTIES()
//	ties.Weight, ties.Density = []float64{1, 1}, []float64{0.5, 0.5}
//	values, err := merge.Values(ties, merge.Target{Name: "kernel", Shape: []int{4}}, base, models)
//
// What is done with methods, and what else is done to several models, has packages of its own:
//
//   - merge/checkpoint merges model files and folders, of any size, by a recipe
//   - merge/soup averages models that were fine-tuned from one start, all of them or those that help
//   - merge/signature moves robustness from one model to another
//   - merge/position searches for the best place between models of several tasks
//   - merge/tuned gives these what they ask of trained models: scores, losses, statistics of norms
//
// Sums are in float32, whole-tensor statistics in float64; the result is rounded once, to the nearest. docs/merge.md lists the methods.
package merge
