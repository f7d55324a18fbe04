package untrusted

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// JSONError shortens an error of encoding/json, which may hold a number of a million digits, to a length that fits a message.
func JSONError(err error) error {
	const most = 200
	if err == nil || len(err.Error()) <= most {
		return err
	}
	return errors.New(printable.Line(strings.ToValidUTF8(err.Error()[:most], "")) + "...")
}

// CheckJSON counts the values of a JSON text at all depths, in one pass and before anything is allocated for them, and refuses a
// text of more than most: "{}," takes three bytes in a file and may take a hundred times that once decoded. path names the text.
func CheckJSON(path string, text []byte, most int) error {
	values := 1
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if quoted {
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
			continue
		}
		switch c {
		case '"':
			quoted = true
		case ',', '{', '[':
			if values++; values > most {
				return &Error{path, fmt.Sprintf("it holds more than %d values", most), "files of this kind hold fewer: get it again"}
			}
		}
	}
	return nil
}
