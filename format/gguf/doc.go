// Package gguf reads and writes GGUF, the files of llama.cpp and ggml: typed metadata and tensors, most of them in blocks of elements of
// 2 to 8 bits with common scales.
//
// Open checks everything before the tensor data against the format and against limits before it allocates memory, and reads ranges of
// tensors on request. Versions 2 and 3 are read, version 3 is written.
//
//	types                                          elements, bytes per block                        read  written
//	F32 F16 BF16 F64                               1; 4, 2, 2, 8                                     yes   yes
//	I8 I16 I32 I64                                 1; 1, 2, 4, 8                                     yes   as bytes
//	Q4_0 Q4_1 Q5_0 Q5_1 Q8_0                       32; 18, 20, 22, 24, 34                            yes   yes
//	Q4_K Q5_K Q6_K                                 256; 144, 176, 210                                yes   yes
//	IQ4_NL                                         32; 18                                            yes   yes
//	Q2_K Q3_K Q8_K IQ4_XS TQ1_0 TQ2_0              256; 84, 110, 292, 136, 54, 66                    yes   as bytes
//	Q8_1 MXFP4                                     32; 36, 17                                        yes   as bytes
//	IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S 256; 50, 56, 66, 74, 82, 98, 110                  yes   as bytes
//
// Shapes are row-major, slowest dimension first, as everywhere in this module; the file stores them in reverse order. Blocks lie along
// rows, so the last dimension must be a multiple of the block's elements.
//
// Sources: the format's specification and reference reader, ggml-org/ggml docs/gguf.md and src/gguf.cpp; the reference quantisers,
// ggml-org/ggml src/ggml-quants.c. The grids of IQ1 to IQ3 in grids.go are those of package gguf, under LICENSE.gguf-py.
package gguf
