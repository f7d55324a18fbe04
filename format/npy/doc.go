// Package npy reads and writes .npy files, which pass one numeric array each between programs, and .npz archives of them.
//
//	bytes 0..5   "\x93NUMPY"
//	bytes 6, 7   version, 1.0, 2.0 or 3.0
//	then         header length H, 16-bit (1.0) or 32-bit (2.0, 3.0), little endian
//	then         H bytes: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, ASCII (3.0: UTF-8), spaces, newline
//	then         the elements
//
// [Open] maps a file; [Parse] reads bytes in memory. float32 values in C order are used in place, without a copy;
// [Array.ReadFloat64s] and the other Read methods convert any range of a huge array. Big-endian arrays and arrays in Fortran order are
// copied. Two bytes without a type ("V2") are bfloat16, as JAX saves it; complex numbers are read as bytes. Arrays of
// Python objects are refused: reading them would run code from the file. [Write] writes version 1.0.
//
// [OpenArchive] reads .npz files, zip archives of named arrays, and [WriteArchive] writes them. An array that cannot be read, such as one
// of texts, does not stop the others from being read; [Archive.Unread] lists it. The CRC-32 of an entry is checked when its values are
// read, and [Archive.Verify] checks that of every entry; entries that share bytes are refused.
//
// Methods that return a whole array, such as Float32s, allocate memory for all of it, and so does reading an array in Fortran order from a
// compressed entry; above the memory limit of the process they return a *fault.Exhausted. ReadFloat32s and the like need little memory.
//
// Memory is never allocated only because a file states a large number. Errors are of type [*Error] and name the file, the field, the byte
// and the fix; errors.Is reports the kind.
//
// Source: NumPy Enhancement Proposal 1 and numpy.lib.format.
package npy
