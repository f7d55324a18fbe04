package format_test

import (
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/format"
	"github.com/ballast-ml/ballast/format/npy"
)

// What is wrong with a file can be asked for by its kind, and read part by part.
func ExampleError() {
	_, err := npy.Parse([]byte("\x93NUMPY\x01\x00"))
	var file *format.Error
	if errors.As(err, &file) {
		fmt.Println("format:", file.Kind.Format().Name)
		fmt.Println("byte:  ", file.Offset)
		fmt.Println("wrong: ", file.Kind)
		fmt.Println("do:    ", file.Fix)
	}
	fmt.Println(errors.Is(err, npy.ErrMagic), file.BadInput())
	// Output:
	// format: npy
	// byte:   8
	// wrong:  file ends before its data
	// do:     the file is damaged or cut short: get or save it again
	// false true
}
