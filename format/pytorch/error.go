package pytorch

import "github.com/ballast-ml/ballast/format"

// pytorch is the format as errors name it.
var pytorch = format.Format{Name: "pytorch", Tensor: "tensor", Bytes: true}

// Kinds of errors, for errors.Is.
var (
	ErrLayout    = pytorch.Kind("not a PyTorch checkpoint")
	ErrCall      = pytorch.Kind("the pickle calls something that is neither a tensor nor a container")
	ErrPickle    = pytorch.Kind("pickle is not of the right form")
	ErrTruncated = pytorch.Kind("file ends before its data")
	ErrLimit     = pytorch.Kind("limit exceeded")
	ErrStorage   = pytorch.Kind("storage cannot be read")
	ErrShape     = pytorch.Kind("tensor reaches outside its storage")
	ErrDuplicate = pytorch.Kind("name occurs twice")
	ErrUnread    = pytorch.Kind("tensor has no values that can be read")
	ErrNoTensor  = pytorch.Misuse("no such tensor")
	ErrDType     = pytorch.Misuse("type cannot be converted")
	ErrRange     = pytorch.Misuse("outside the tensor")
	ErrChecksum  = pytorch.Kind("data are damaged")
	ErrRoot      = pytorch.Misuse("no such dictionary in the file")
)

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

// Advice that several errors give.
const (
	fixDownload = "the file is damaged or cut short: get it again"
	fixSave     = "save it again with torch.save(model.state_dict(), PATH)"
	fixCall     = "nothing was run; weights need no such call: have the file's maker save the state dict alone, torch.save(model.state_dict(), PATH)"
	fixPlain    = "make it a plain tensor where it was saved (dense, dequantised, on the CPU) and save the state dict again"
	fixLimit    = "no checkpoint of weights needs this: do not trust the file"
)
