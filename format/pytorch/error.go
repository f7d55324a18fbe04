package pytorch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/zipread"
)

// Kinds of errors, for errors.Is.
var (
	ErrLayout    = errors.New("not a PyTorch checkpoint")
	ErrCall      = errors.New("the pickle calls something that is neither a tensor nor a container")
	ErrPickle    = errors.New("pickle is not of the right form")
	ErrTruncated = errors.New("file ends before its data")
	ErrLimit     = errors.New("limit exceeded")
	ErrStorage   = errors.New("storage cannot be read")
	ErrShape     = errors.New("tensor reaches outside its storage")
	ErrDuplicate = errors.New("name occurs twice")
	ErrNoTensor  = errors.New("no such tensor")
	ErrDType     = errors.New("type cannot be converted")
	ErrRange     = errors.New("outside the tensor")
	ErrChecksum  = errors.New("data are damaged")
	ErrRoot      = errors.New("no such dictionary in the file")
)

// Error says what is wrong with a file, where, and what mends it.
type Error struct {
	File   string // path, "" for bytes in memory
	Part   string // entry of the archive or pickle of the file, "" where there is none
	Tensor string // "" where no single tensor is at fault
	Offset int64  // byte in the part, -1 where there is none
	Kind   error  // one of the Err values above
	Call   string // for ErrCall: the name that the pickle wanted to call, such as "os.system"
	Text   string // what was found, with its values
	Fix    string // what to do
	Err    error  // what lies below, such as an error of the operating system; nil if nothing
}

// Error puts the parts into one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("pytorch: ")
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Part != "" {
		b.WriteString(zipread.Show(e.Part) + ": ")
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %s: ", cut(e.Tensor))
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
	}
	b.WriteString(e.Kind.Error())
	if e.Text != "" {
		b.WriteString(": " + e.Text)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Fix != "" {
		b.WriteString("; " + e.Fix)
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As see the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// BadInput tells whether the file is at fault, not the caller.
func (e *Error) BadInput() bool {
	for _, caller := range []error{ErrNoTensor, ErrDType, ErrRange, ErrRoot} {
		if errors.Is(e.Kind, caller) {
			return false
		}
	}
	return true
}

// Advice that several errors give.
const (
	mendDownload = "the file is damaged or cut short: get it again"
	mendSave     = "save it again with torch.save(model.state_dict(), PATH)"
	mendCall     = "nothing was run; weights need no such call: have the file's maker save the state dict alone, torch.save(model.state_dict(), PATH)"
	mendLimit    = "no checkpoint of weights needs this: do not trust the file"
)

// cut shows text from a file, shortened to a length that fits a message.
func cut(text string) string { return zipread.Cut(text) }
