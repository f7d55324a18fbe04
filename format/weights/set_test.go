package weights_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
)

func small() weights.Set {
	return weights.Set{
		{Name: "layer/kernel", Shape: []int{2, 2}, Values: []float32{1, -2, 3, 0.5}},
		{Name: "layer/bias", Shape: []int{2}, Values: []float32{4, 0}},
	}
}

func TestSet(t *testing.T) {
	s := small()
	if got := s.Size(); got != 6 {
		t.Errorf("size %d, want 6", got)
	}
	if got, want := s.Norm(), math.Sqrt(1+4+9+0.25+16); math.Abs(got-want) > 1e-12 {
		t.Errorf("norm %v, want %v", got, want)
	}
	if got := weights.Dot([]float32{1, 2, 3, 4, 5, 6}, []float32{1, -1, 1, -1, 1}); got != 3 {
		t.Errorf("inner product %v, want 3: the longer slice is cut", got)
	}

	c := s.Clone()
	c[0].Values[0], c[1].Shape[0] = 9, 7
	if s[0].Values[0] != 1 || s[1].Shape[0] != 2 {
		t.Error("a clone shares memory with its set")
	}
	if z := s.ZerosLike(); z.Norm() != 0 || s.SameLayout("s", z, "z") != nil {
		t.Errorf("zeros like the set are %v", z)
	}
}

// A checksum depends on names, shapes and the bits of values.
func TestSetChecksum(t *testing.T) {
	want := small().Checksum()
	for name, change := range map[string]func(s weights.Set){
		"name":  func(s weights.Set) { s[0].Name = "layer/kernal" },
		"shape": func(s weights.Set) { s[0].Shape = []int{4, 1} },
		"bits":  func(s weights.Set) { s[1].Values[1] = float32(math.Copysign(0, -1)) },
	} {
		s := small()
		change(s)
		if s.Checksum() == want {
			t.Errorf("another %s has the same checksum", name)
		}
	}
	if small().Checksum() != want {
		t.Error("equal sets have different checksums")
	}
}

func TestCheckSets(t *testing.T) {
	for _, c := range []struct {
		change func(s weights.Set) weights.Set
		want   []string
	}{
		{func(s weights.Set) weights.Set { s[1].Name = "layer/bais"; return s }, []string{"b", "layer/bais", "a has no such tensor", `did you mean "layer/bias"?`}},
		{func(s weights.Set) weights.Set { return s[:1] }, []string{"b", "layer/bias", "the tensor is missing; a has it with shape [2]"}},
		{func(s weights.Set) weights.Set { s[0].Shape = []int{4}; return s }, []string{"layer/kernel", "the shape is [4], that of a is [2 2]"}},
		{func(s weights.Set) weights.Set { s[0], s[1] = s[1], s[0]; return s }, []string{"tensor 0 is layer/bias, in a it is layer/kernel"}},
		{func(s weights.Set) weights.Set { s[1].Values[1] = float32(math.NaN()); return s }, []string{"b", "layer/bias", "value 1 is NaN"}},
		{func(s weights.Set) weights.Set { s[1].Values = s[1].Values[:1]; return s }, []string{"b", "layer/bias", "1 values for shape [2]"}},
	} {
		err := weights.CheckSets("who", []weights.Set{small(), c.change(small())}, []string{"a", "b"})
		bad := new(fault.Input)
		if !errors.As(err, &bad) {
			t.Errorf("got %v, want %q", err, c.want)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("got %v, want %q", err, part)
			}
		}
	}
	if err := weights.CheckSets("who", nil, nil); err == nil || err.Error() != "who: there is no model; give at least one" {
		t.Errorf("got %v", err)
	}
	if err := weights.CheckSets("who", []weights.Set{small(), small()}, nil); err != nil {
		t.Error(err)
	}
}

func TestNormNames(t *testing.T) {
	for name, want := range map[string][2]bool{ // norm, statistic
		"layer1.bn2.weight":               {true, false},
		"model/norm_1/scale":              {true, false},
		"layer1.bn2.running_mean":         {true, true},
		"model/norm_1/variance":           {true, true},
		"layer2.0.downsample.1.weight":    {true, false},
		"layer2.0.downsample.0.weight":    {false, false},
		"mean":                            {false, false},
		"conv1.weight":                    {false, false},
		"bn1.num_batches_tracked":         {true, true},
		"batch_normalization/moving_mean": {true, true},
	} {
		if got := [2]bool{weights.IsNorm(name), weights.IsStatistic(name)}; got != want {
			t.Errorf("%s: norm, statistic = %v, want %v", name, got, want)
		}
	}
}
