package hf

import "github.com/ballast-ml/ballast/format"

// hf is the format as errors name it.
var hf = format.Format{Name: "hf"}

// Kinds of errors, for errors.Is.
var (
	ErrConfig = hf.Kind("config is not of the right form")
	ErrCard   = hf.Kind("model card is not of the right form")
	ErrLimit  = hf.Kind("limit exceeded")
)

// Error says what is wrong with a file, where, and what to do about it.
type Error = format.Error

// fixDownload is advice that several errors give.
const fixDownload = "get the file again from where the model comes from"
