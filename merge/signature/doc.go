// Package signature moves robustness between models. A [Signature] is the change that training on one corruption makes to a clean model,
// orthogonal to the change that fine-tuning alone made.
//
// [Robust] extracts one from three models, [Apply] adds several to a model, each times a scale, and [Remove] subtracts one. Signatures
// are small files ([Signature.Save], [Load]), smaller still if quantised ([Quantize]). docs/soups.md has examples.
package signature
