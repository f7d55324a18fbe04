// Package train turns a recipe into a trained model: the loop, and checkpoints from which a run goes on bit for bit.
//
//	recipe := train.NewRecipe()                                            // a small CNN on digits; or train.DecodeYAML(text)
//	recipe.Norm = &norm.Choice{Layer: norm.NewGhost(32)}
//	e, err := engine.Open("")                                              // the fastest that is installed
//	result, err := train.Run(ctx, recipe, train.Options{Engine: e})
//	err = result.Bundle.Save("digits")                                     // bundle.Open reads it
//
//	what                                          where
//	the recipe, its keys and defaults             Recipe, NewRecipe, DecodeYAML
//	the run, what it needs, what comes of it      Run, Options, Result
//	one program for many runs                     Open, Loop
//	optimizers, schedules, rules, large batches   package nn/optim
//	what an update makes smaller                  packages train/objective and train/update
//	norms, losses, networks of one's own          package own, Options.Registry
//
// One compiled program does an update. The data set, the epoch's order, the learning rates of the epoch and all state live
// on the device, so a step costs the host one call and moves no data.
package train
