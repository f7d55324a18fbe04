package objective

import (
	"bytes"
	"errors"
	"math"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/own"
)

// UnmarshalJSON reads a loss, which must be given, with its weight, that which the loss suggests or 1 where none is. A name alone, such as
// mndcg, is the loss of that name.
func (e *Extra) UnmarshalJSON(data []byte) error { return e.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (e *Extra) UnmarshalOwn(data []byte, r own.Registry) error {
	type plain Extra
	filled := plain{Weight: math.NaN()}
	if text := bytes.TrimSpace(data); len(text) > 0 && text[0] == '"' {
		if err := filled.Loss.UnmarshalOwn(text, r); err != nil {
			return err
		}
	} else if err := strict.DecodeOwn(data, &filled, r); err != nil {
		return err
	}
	if filled.Loss.Set == nil {
		return errors.New("loss is missing; name one, for example {loss: tcm}")
	}
	if math.IsNaN(filled.Weight) { // no number of JSON
		filled.Weight = 1
		if l, ok := filled.Loss.Set.(loss.Suggested); ok {
			filled.Weight = l.SuggestedWeight()
		}
	}
	*e = Extra(filled)
	return nil
}
