// Package train turns a recipe into a trained model: the loop, its optimizers and schedules, checkpoints from which a run
// goes on bit for bit, and the procedures of papers that own the loop.
//
//	what                     where
//	the recipe               Recipe, NewRecipe, DecodeYAML
//	the run                  Run, Options, Result
//	optimizers, schedules    Optimizer (sgd, adamw), Schedule (constant, step, cosine, warm-up)
//	large batches            ScaleLR, AdaptRegime, GradNoiseWeights, FitDistance (arXiv 1705.08741)
//
// One compiled program does an update. The data set, the epoch's order, the learning rates of the epoch and all state live
// on the device, so a step costs the host one call and moves no data.
package train
