// Package position searches for the best place between models of several tasks that are in each other's way: [Position] joins their task
// vectors along arcs, and finds the weights of the vectors and the length of their sum by gradient descent on a loss.
//
// The loss is a function of a weights.Set that returns its gradient too, so no network and no engine are known here. [Average],
// [FisherMerge] and [RegMean] are what it is compared with.
package position
