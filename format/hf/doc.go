// Package hf reads what stands beside the weights in a folder of the Hugging Face libraries: config.json, which says what
// network the weights belong to, the model card, and the tokenizer and other files that must go along when the weights are
// rewritten. The weights themselves are format/safetensors or format/pytorch.
//
// [ParseConfig] knows four families with every default that their classes have, [BERT], [Llama], [ViT] and [ResNet]; files
// leave out what equals the default. Unknown keys are kept, not refused: every release of the libraries adds some. A
// model_type that is not known here still opens, with its keys. [Guess] tells the family from the tensors' names where there
// is no config.json.
//
// Source: the configuration classes of the transformers library, and the model card guide of the Hugging Face hub.
package hf
