// Package train turns a recipe into a trained model: the training loop, and checkpoints from which a run resumes bit for bit.
//
//	recipe := train.NewRecipe()                                            // a small CNN on digits; or train.DecodeYAML(text)
//	recipe.Norm = &norm.Choice{Layer: norm.NewGhost(32)}
//	e, err := engine.Open("")                                              // the fastest engine installed
//	result, err := train.Run(ctx, recipe, train.Options{Engine: e})
//	err = result.Bundle.Save("digits")                                     // bundle.Open reads it
//
//	what                                          where
//	the recipe, its keys and defaults             Recipe, NewRecipe, DecodeYAML
//	a run, its options and its result             Run, Options, Result
//	one program for many runs                     Open, Loop
//	optimizers, schedules, rules, large batches   package nn/optim
//	the objective that an update minimises        packages train/objective and train/update
//	your own norms, losses and networks           package own, Options.Registry
//
// One compiled program does an update. The data set, the order and the learning rates of the epoch and all state are
// on the device, so a step costs the host one call and moves no data.
package train
