// Package hf reads the files beside the weights in a folder of the Hugging Face libraries: config.json, which describes the
// network, the model card, and the tokenizer and other files that must be copied when the weights are
// rewritten. The weights themselves are read by format/safetensors or format/pytorch.
//
// [ParseConfig] knows four families with every default of their classes, [BERT], [Llama], [ViT] and [ResNet]; files
// leave out values that equal the default. Unknown keys are kept, not refused: every release of the libraries adds some. A
// config with an unknown model_type still opens, with its keys. [Guess] finds the family from the tensors' names if a folder
// does not have a config.json.
//
// Source: the configuration classes of the transformers library, and the model card guide of the Hugging Face hub.
package hf
