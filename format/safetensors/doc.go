// Package safetensors reads and writes safetensors files, the plain container of named tensors in which most weights are
// published. It does not trust the contents of a file, and it avoids copies.
//
//	bytes 0..7      N, unsigned 64-bit little endian
//	bytes 8..8+N    JSON: {"__metadata__": {"k": "v"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
//	bytes 8+N..     the tensors' bytes, row-major, little endian, without gap or overlap; offsets count from 8+N
//
// [Open] maps one file, [OpenSharded] a model that an index divides among several files, [Parse] reads bytes already in memory.
// [Write] and [WriteFile] write the same bytes as the reference implementation; [WriteSharded] divides a large model into shards.
//
// Where the format's specification is stricter than the reference reader, reading follows the specification: a header must begin with '{'
// (Options.Lenient accepts white space before it), and no name may occur twice. Everything the reference reader refuses is
// refused. Opening a file allocates memory in proportion to its header, never because of a number written in it.
// Errors are of type [*Error] and name the file, the tensor, the field, the byte and the fix; errors.Is reports the kind.
//
// Source: the format's description and reference implementation, github.com/safetensors/safetensors.
package safetensors
