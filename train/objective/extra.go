package objective

import (
	"errors"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/own"
)

// UnmarshalJSON reads a loss, which must be given, with its weight, 1 where none is.
func (e *Extra) UnmarshalJSON(data []byte) error { return e.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (e *Extra) UnmarshalOwn(data []byte, r own.Registry) error {
	type plain Extra
	filled := plain{Weight: 1}
	if err := strict.DecodeOwn(data, &filled, r); err != nil {
		return err
	}
	if filled.Loss.Set == nil {
		return errors.New("loss is missing; name one, for example {loss: tcm}")
	}
	*e = Extra(filled)
	return nil
}
