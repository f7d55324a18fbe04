// Package safetensors reads and writes safetensors files, the plain container of named tensors that most weights are
// published in. It trusts nothing in a file and copies nothing it need not.
//
//	bytes 0..7      N, unsigned 64-bit little endian
//	bytes 8..8+N    JSON: {"__metadata__": {"k": "v"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//	bytes 8+N..     the tensors' bytes, row-major, little endian, without gap or overlap; offsets count from 8+N
//
// [Open] maps one file, [OpenSharded] a model cut into several files by an index, [Parse] reads bytes already in memory.
// [Write] and [WriteFile] write byte for byte what the reference implementation writes; [WriteSharded] cuts a large model.
//
// Reading is strict where the format's text is stricter than the reference reader: a header must begin with '{'
// (Options.Lenient accepts white space before it), and no name may occur twice. Everything the reference reader refuses is
// refused. Opening a file allocates in proportion to its header and never because of a number written in it.
// Errors are of type [*Error] and name the file, the tensor, the field, the byte and the fix; errors.Is tells the kind.
//
// Source: the format's description and reference implementation, github.com/safetensors/safetensors.
package safetensors
