// Package npy reads and writes .npy files, one numeric array each, the way arrays are passed between programs.
//
//	bytes 0..5   "\x93NUMPY"
//	bytes 6, 7   version, 1.0, 2.0 or 3.0
//	then         header length H, 16-bit (1.0) or 32-bit (2.0, 3.0), little endian
//	then         H bytes: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, ASCII (3.0: UTF-8), spaces, newline
//	then         the elements
//
// [Open] maps a file; [Parse] reads bytes in memory. float32 values in C order are seen in place, without a copy, and
// [Array.ReadFloat64s] and its kin convert any stretch of a huge array. Big endian and Fortran order are read too, by
// copying. Two bytes without a type ("V2") are bfloat16, which is how JAX's arrays are saved; complex numbers are read as bytes. Arrays of
// Python objects are refused: reading them would run code from the file. [Write] writes version 1.0.
//
// [OpenArchive] reads .npz files (one array that cannot be read, of texts say, keeps no other from being read: [Archive.Unread]), zip archives of such arrays with names, and [WriteArchive] writes them. The CRC-32 of an entry is
// compared when its values are read, and that of every entry by [Archive.Verify]; entries that share bytes are refused.
//
// Methods that return a whole array (Float32s and its kin) and arrays in Fortran order in a compressed entry take memory for all of it,
// and are a *fault.Exhausted above the limit of the process; ReadFloat32s and its kin take little.
//
// Nothing is allocated because of a number in a file. Errors are of type [*Error] and name the file, the field, the byte and
// the fix; errors.Is tells the kind.
//
// Source: NumPy Enhancement Proposal 1 and numpy.lib.format.
package npy
