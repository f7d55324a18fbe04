package safetensors

import (
	"errors"
	"io"
	"slices"
)

// Header returns what comes before the data of a file that Write would write: the bytes up to them, and the tensors in the order of the
// file, of which each one's data follow those of the one before. Writers that fill a file in their own time use it; tensors need no data.
func Header(tensors []Tensor, metadata map[string]string) (header []byte, order []Tensor, err error) {
	tensors = slices.Clone(tensors)
	for i := range tensors {
		tensors[i].Data, tensors[i].Open = nil, func() (io.Reader, error) { return nil, errors.New("the tensor has no data") }
	}
	if order, err = arrange(tensors); err != nil {
		return nil, nil, err
	}
	header, err = encodeHeader(order, metadata)
	return header, order, err
}
