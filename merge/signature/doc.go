// Package signature moves robustness between models: a [Signature] is what training on one corruption has added to a clean model, orthogonal
// to what fine-tuning alone had changed.
//
// [Robust] extracts one from three models, [Apply] adds several to a model, each times a scale, and [Remove] takes one off again. Signatures
// are small files ([Signature.Save], [Load]), smaller still when quantised ([Quantize]). docs/soups.md shows them at work.
package signature
