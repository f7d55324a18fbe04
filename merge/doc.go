// Package merge makes one model of several: by weighted means and their kin on whole checkpoints ([Plan]), by soups and signatures on models
// in memory ([Weights]).
//
// A [Method] is a plain struct; [Values] applies one to a tensor in memory. A [Recipe] names models, a method and its parameters;
// [NewPlan] checks it against the models and [Plan.Execute] carries it out tensor by tensor within a memory cap, on all cores, to the
// same bytes whatever the memory, the cores or the size of shards. A merge that was stopped goes on at its last finished tensor. [Verify]
// compares the output with the manifest beside it.
//
// Sums are in float32, whole-tensor statistics in float64; the result is rounded once, to the nearest. docs/merge.md lists the methods.
package merge
