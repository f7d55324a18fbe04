// Package checkpoint merges whole models, however large, from files to files.
//
// A [Recipe] names models, a method of package merge and its parameters; [NewPlan] checks it against the models and [Plan.Execute] carries
// it out tensor by tensor within a memory cap, on all cores, to the same bytes whatever the memory, the cores or the size of shards. A merge
// that was stopped resumes at its last finished tensor. [Verify] compares the output with the manifest beside it, [Diff] two models with each
// other.
package checkpoint
