package tfevents

import (
	"fmt"
	"time"
)

// Event is one record: the file version, the start of a session, or values at a step.
type Event struct {
	WallTime    float64 // seconds since 1970
	Step        int64
	FileVersion string // only in the first record of a file
	Session     Session
	Values      []Value
}

// Session is the state of a run that an event tells of.
type Session int

// The states of a session; SessionNone is an event that tells of none.
const (
	SessionNone       Session = 0
	SessionStart      Session = 1 // what was logged before, at this step and later, no longer counts
	SessionStop       Session = 2
	SessionCheckpoint Session = 3
)

// Value is one tagged value of an event. Kind says which field holds it.
type Value struct {
	Tag       string
	Kind      Kind
	Scalar    float64 // KindScalar
	Text      string  // KindText
	Image     Image   // KindImage
	Histogram Histogram
	Plugin    string // "scalars", "text" ... where the value carries its metadata, "" elsewhere
	Tensor    bool   // the value was stored as a tensor, the way of TensorBoard 2
}

// Kind is what a value is.
type Kind int

// The kinds of values. KindOther is one that this package does not read, such as audio.
const (
	KindOther Kind = iota
	KindScalar
	KindText
	KindImage
	KindHistogram
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{"other", "scalar", "text", "image", "histogram"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Image is an encoded picture.
type Image struct {
	Height     int
	Width      int
	Colorspace int    // 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA
	Encoded    []byte // PNG
}

// Seconds returns a time as events hold it.
func Seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
