// Package pytorch reads the tensors of PyTorch checkpoints (.pt, .pth, .bin) without running anything that a checkpoint
// says. It knows both layouts that torch.save has written:
//
//	zip (1.6 on)   NAME/data.pkl, a pickle whose tensors name storages; NAME/data/KEY, one stored entry a storage;
//	               NAME/byteorder, "little" or "big"
//	old            pickles one behind the other (a magic number, 1001, facts of the machine, the object, the storages'
//	               keys), then for each key the number of elements, 64-bit little endian, and the elements
//
// A pickle is a program. The machine that reads it here has no way to call anything: it builds numbers, text, lists, tuples
// and dictionaries, and knows by name the few constructors that tensors are written with (tensors and parameters, storages,
// OrderedDict, torch.Size, element types, NumPy numbers and arrays). An object of any other class is not made: it is passed over where it
// holds no tensor, and named by [File.Classes], as is a name that is not called. Where all tensors lie in such objects, and where a name is one whose call would act on the
// machine (os.system), the file is refused with an [*Error] of kind [ErrCall] that says what it wanted to call. Whole models and
// TorchScript archives are such files: have their maker save the state dict.
//
// [Open] finds the state dict: the top of the file, or what stands under "state_dict", "model" and the like, or, with
// [Options] Root, what the caller names. Nested dictionaries are flattened with dots, the way PyTorch names parameters. Where tensors stand
// elsewhere too, which are neither what is kept beside a network nor a second copy of it, the whole file is read; those that are not read
// are named by [File.Outside].
//
// Marks of views (negated, conjugate) are applied, quantised tensors restored by their scales. Sparse, nested and meta tensors and those of
// classes that are not known are listed; [Info] says why their values cannot be read.
//
// Tensors may be views with any strides and share storages; they are read in row-major order, in stretches.
//
// The CRC-32 of an entry of the zip layout is compared before the first of its bytes is used, and that of every entry by [File.Verify];
// files written without any (torch.serialization.set_crc32_options(False)) have none to compare. All tensors together may show 64 MB and 64
// times the file's size, see [Options] MaxBytes. Names have at most 4096 bytes and are text; tensors of others are not read, and named, cut, by
// [File.Nameless].
//
// Nothing is allocated because of a number in a file; opening takes at most 64 MB and four times the file's size.
//
// Source: torch.serialization, torch/_utils.py, and Python's pickletools.
package pytorch
