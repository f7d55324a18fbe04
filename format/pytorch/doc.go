// Package pytorch reads the tensors of PyTorch checkpoints (.pt, .pth, .bin) without running any code from the checkpoint.
// It knows both layouts that torch.save has written:
//
//	zip (1.6 on)   NAME/data.pkl, a pickle whose tensors name storages; NAME/data/KEY, one stored entry per storage;
//	               NAME/byteorder, "little" or "big"
//	old            consecutive pickles (a magic number, 1001, facts of the machine, the object, the storages' keys),
//	               then for each key the number of elements, 64-bit little endian, and the elements
//
// A pickle is a program, but the interpreter here cannot call anything. It builds numbers, text, lists, tuples and dictionaries, and
// knows by name the few constructors of tensors (tensors and parameters, storages, OrderedDict, torch.Size, element types, NumPy numbers
// and arrays). Objects of other classes are not built: those without tensors are skipped, and [File.Classes] lists them, as it lists names
// that are not called. A file is refused with an [*Error] of kind [ErrCall], which says what the file wanted to call, if all its tensors
// lie in such objects, or if it names a function whose call would act on the machine (os.system). Whole models and TorchScript archives
// are such files: ask their author to save the state dict.
//
// [Open] finds the state dict: the top of the file, the value under "state_dict", "model" and the like, or the path given by
// [Options] Root. Nested dictionaries are flattened with dots, the way PyTorch names parameters. The whole file is read if tensors lie
// elsewhere too, unless those are training state beside a network or a second copy of it. [File.Outside] lists the tensors that are not
// read.
//
// The flags of views (negated, conjugate) are applied, and quantised tensors are restored by their scales. Sparse, nested and meta tensors
// and those of unknown classes are listed; [Info] says why their values cannot be read.
//
// Tensors may be views with any strides and share storages; they are read in row-major order, in ranges.
//
// In the zip layout the CRC-32 of an entry is checked before its first byte is used, and [File.Verify] checks every entry; files
// written without checksums (torch.serialization.set_crc32_options(False)) are not checked. All tensors together may have 64 MB plus 64
// times the file's size, see [Options] MaxBytes. Names must be text of at most 4096 bytes; tensors with other names are not read, and
// [File.Nameless] lists their shortened names.
//
// Memory is never allocated only because a file states a large number; opening takes at most 64 MB plus four times the file's size.
//
// Source: torch.serialization, torch/_utils.py, and Python's pickletools.
package pytorch
