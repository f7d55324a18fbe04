package tuned

import (
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/data"
)

// Dataset is the examples as a data set, for a train.Loop: the way back from Read. shape is that of an example, which has as many values;
// labels are from 0 to classes-1. It errors where they do not fit.
func (x Examples) Dataset(name string, shape []int, classes int) (data.Dataset, error) {
	s := set{examples: x, info: data.Info{Name: name, Examples: x.Len(), Shape: slices.Clone(shape)}}
	if s.info.Size() != x.Size || len(x.X) != x.Len()*x.Size {
		return nil, fmt.Errorf("tuned: %d values for %d examples of shape %v; want %d each", len(x.X), x.Len(), shape, s.info.Size())
	}
	for i, label := range x.Labels {
		if label < 0 || int(label) >= classes {
			return nil, fmt.Errorf("tuned: the label of example %d is %d, there are %d classes", i, label, classes)
		}
	}
	for c := range classes {
		s.info.Classes = append(s.info.Classes, fmt.Sprint(c))
	}

	var err error
	s.info.Checksum, err = data.Checksum(s)
	return s, err
}

// set is examples as a data set.
type set struct {
	examples Examples
	info     data.Info
}

func (s set) Info() data.Info   { return s.info }
func (s set) Len() int          { return s.examples.Len() }
func (s set) Label(i int) int32 { return s.examples.Labels[i] }

func (s set) Read(i int, dst []float32) error {
	copy(dst, s.examples.X[i*s.examples.Size:(i+1)*s.examples.Size])
	return nil
}
