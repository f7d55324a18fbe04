package fault_test

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/format/npy"
)

// What a program does about an error depends on its kind.
func Example() {
	_, unknown := corrupt.Find("contrest")
	_, damaged := npy.Parse([]byte("\x93NUMPY\x01\x00"))
	full := fmt.Errorf("save: %w", syscall.ENOSPC)

	for _, err := range []error{unknown, damaged, full} {
		var usage *fault.Usage
		var file *format.Error
		switch {
		case fault.IsExhausted(err):
			fmt.Println("free some room and try again")
		case errors.As(err, &usage):
			fmt.Println("ask for something else:", usage)
		case errors.As(err, &file) && file.BadInput():
			fmt.Printf("skip the file: %v at byte %d; %s\n", file.Kind, file.Offset, file.Fix)
		case fault.IsInput(err): // of any type: *fault.Input, for one
			fmt.Println("skip the input:", err)
		default:
			fmt.Println("stop:", err)
		}
	}
	// Output:
	// ask for something else: corrupt: no shift "contrest"; did you mean "contrast"?
	// skip the file: file ends before its data at byte 8; the file is damaged or cut short: get or save it again
	// free some room and try again
}
