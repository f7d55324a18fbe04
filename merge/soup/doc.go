// Package soup averages the weights of models that were fine-tuned from one start: all of them ([Uniform]), those that do not lower a
// held-out score ([Greedy]), or all with learned weights ([Learned]).
//
// Each model is a weights.Set, or one of [Models], which are loaded one at a time. The score or loss is a function, so this package needs
// neither a network nor an engine; merge/tuned makes such functions from trained models. [Line] and [Barrier] evaluate the points between
// two models, [VersusEnsemble] compares their soup with their ensemble. docs/soups.md has examples.
package soup
