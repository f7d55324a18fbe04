// Package tfjs reads the weights of TensorFlow.js models: a manifest, model.json, and the shards it names.
//
//	{"format": "layers-model", "modelTopology": {...}, "weightsManifest": [
//	  {"paths": ["group1-shard1of2.bin", "group1-shard2of2.bin"], "weights": [
//	    {"name": "conv/kernel", "shape": [3, 3, 1, 8], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.1, "min": -1}}]}]}
//
// The shards of a group are one sequence of bytes that holds the weights without gaps, row-major and little endian.
// A weight may be quantised: to uint8 or uint16, value = scale q + min (rounded for int32), or to float16. Values are read as
// float32 in ranges, on request.
//
// Shards must lie in the manifest's folder or below it: paths that leave it, by "..", as absolute paths, as addresses
// of a server or through a link, are refused. A group must have exactly the bytes of its weights. Opening allocates at most
// 64 MB plus four times the manifest's size. Errors are of type [*Error]; errors.Is reports the kind.
//
// Source: the TensorFlow.js converter's weight format, tfjs-core/src/io/types.ts.
package tfjs
