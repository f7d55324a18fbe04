// Package checkpoint merges whole models, however large, from files to files.
//
// A [Recipe] names models, a method of package merge and its parameters. [NewPlan] checks it against the models, and [Plan.Execute] merges
// tensor by tensor within a memory limit, on all cores; the output bytes do not depend on the memory, the cores or the size of shards. A
// merge that was stopped resumes after its last finished tensor. [Verify] compares the output with the manifest beside it, [Diff] compares
// two models.
package checkpoint
