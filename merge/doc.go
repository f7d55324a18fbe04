// Package merge combines several tensors into one, by weighted means and related methods, one file per method.
//
// A [Method] is a plain struct; [Values] applies one to a tensor in memory, [Methods] lists them by the names that recipes use. A method
// starts a [Merger] for each tensor; it receives the values block by block, so tensors do not have to fit into memory.
//
// To merge models in files, use merge/checkpoint, as "ballast merge" does; to merge in memory, one tensor at a time:
//
//	ties := merge.NewTIES()
//	ties.Weight, ties.Density = []float64{1, 1}, []float64{0.5, 0.5}
//	values, err := merge.Values(ties, merge.Target{Name: "kernel", Shape: []int{4}}, base, models)
//
// Packages below this one apply the methods to whole models, or combine models in other ways:
//
//   - merge/checkpoint merges model files and folders, of any size, by a recipe
//   - merge/soup averages models that were fine-tuned from one start, all of them or only those that improve the soup
//   - merge/signature moves robustness from one model to another
//   - merge/position searches for the best position between models of several tasks
//   - merge/tuned computes what these need from trained models: scores, losses, statistics of norms
//
// Sums are in float32, whole-tensor statistics in float64; the result is rounded once, to the nearest. docs/merge.md lists the methods.
package merge
