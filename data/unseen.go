package data

import (
	"fmt"

	"github.com/ballast-ml/ballast/fault"
)

// Unseen is the source "unseen": the classes of another source in two halves, one to train on and the other to test on. Examples are
// those of all its parts, and labels stay what they were. It is for models that compare examples, whose classes need not be known.
type Unseen struct {
	Of    Choice `json:"of"`    // what to open, a source with a part all; optdigits
	Train string `json:"train"` // the half of the classes that is trained on, first or second; first
}

var _ Source = Unseen{}

// NewUnseen returns the digits 0 to 4 to train on, and 5 to 9 to test on.
func NewUnseen() Unseen {
	return Unseen{Of: Choice{Named("optdigits")}, Train: "first"}
}

// Open opens all parts and keeps the examples of the part's classes. Errors if there are fewer than two classes.
func (u Unseen) Open(part string) (Dataset, error) {
	if u.Train != "first" && u.Train != "second" {
		return nil, &fault.Usage{Err: fmt.Errorf("data: unseen: train is %q; use first or second", u.Train)}
	}
	all, err := u.Of.open("unseen", "all")
	if err != nil || part == "all" {
		return all, err
	}
	classes := len(all.Info().Classes)
	if classes < 2 {
		return nil, &fault.Usage{Err: fmt.Errorf("data: unseen: %s has %d classes; take a set with two or more",
			all.Info().Name, classes)}
	}

	var index []int32
	for i := range all.Len() {
		second := int(all.Label(i)) >= classes/2
		if second == (u.Train == "second") == (part == "train") {
			index = append(index, int32(i))
		}
	}
	return parted(Subset(all, index), part), nil
}

// parted is ds as a part of its set.
func parted(ds Dataset, part string) Dataset {
	info := ds.Info()
	info.Part = part
	r := renamed{Dataset: ds, info: info}
	if b, ok := ds.(Byted); ok {
		return bytedParted{r, b}
	}
	return r
}

type bytedParted struct {
	renamed
	byted Byted
}

func (p bytedParted) Bytes() []byte { return p.byted.Bytes() }
