// Package position searches for the best position between models whose tasks interfere: [Position] interpolates between their task
// vectors along arcs, and finds the weights of the vectors and the length of their sum by gradient descent on a loss.
//
// The loss is a function of a weights.Set that also returns its gradient, so this package needs neither a network nor an engine.
// [Average], [FisherMerge] and [RegMean] are the methods with which it is compared.
package position
