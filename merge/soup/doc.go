// Package soup averages the weights of models that were fine-tuned from one start: all of them ([Uniform]), those that do a held-out score no
// harm ([Greedy]), or with learned shares ([Learned]).
//
// Models are a weights.Set each, or [Models] that are loaded one after the other; the score or loss is a function, so no network and no
// engine are known here. Package merge/tuned makes such functions of trained models. [Line] and [Barrier] look at what lies between two
// models, [VersusEnsemble] compares their soup with their ensemble. docs/soups.md shows them at work.
package soup
