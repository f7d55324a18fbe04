// Package adapter adds low-rank adapters (LoRA) to the weights of the model on which they were trained.
//
// An adapter changes a weight W, seen as a matrix with one row for each output, by a product of two thin matrices:
//
//	W' = W + s B A                                 A [r, inputs], B [outputs, r], s = alpha / r
//	W' = m (W + s B A) / ||W + s B A||             DoRA: m [outputs], the norm of each row
//
// s is alpha / sqrt(r) if the adapter sets use_rslora; rank_pattern and alpha_pattern give r and alpha of single modules. Modules and
// biases that were trained in full replace those of the base. Every tensor of an adapter is applied, or refused by name; none is
// ignored silently.
//
//	Open    reads an adapter in the form of the peft library: adapter_config.json beside adapter_model.safetensors or .bin
//	On      returns a base with the adapter applied: a weights.File that computes the changed tensors as they are read
//
// Modules are found by the adapter's own names for them. If the transformers library has renamed the model's classes since, they are
// found by one such renaming, the same for all modules of an adapter.
//
// The products are summed in float64 and each changed value is rounded once, to float32.
//
// Sources: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685; Kalajdzievski, "A Rank Stabilization Scaling
// Factor for Fine-Tuning with LoRA", arXiv 2312.03732; Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv 2402.09353.
package adapter
