package objective

import (
	"errors"

	"github.com/ballast-ml/ballast/internal/strict"
)

// UnmarshalJSON reads a loss, which must be given, with its weight, 1 where none is.
func (e *Extra) UnmarshalJSON(data []byte) error {
	type plain Extra
	filled := plain{Weight: 1}
	if err := strict.Decode(data, &filled); err != nil {
		return err
	}
	if filled.Loss.Set == nil {
		return errors.New("loss is missing; name one, for example {loss: tcm}")
	}
	*e = Extra(filled)
	return nil
}
