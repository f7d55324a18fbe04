package zoo_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/nn/norm"
	"github.com/ballast-ml/ballast/zoo"
)

// foreign is a tensor of a file made for a test: its values are their places, divided by 100.
type foreign struct {
	name  string
	shape []int
}

func writeForeign(t *testing.T, list []foreign) weights.File {
	t.Helper()
	var all []safetensors.Tensor
	for _, f := range list {
		n := 1
		for _, d := range f.shape {
			n *= d
		}
		var raw []byte
		for i := range n {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(i)/100))
		}
		all = append(all, safetensors.Tensor{Name: f.name, DType: safetensors.F32, Shape: f.shape, Open: func() (io.Reader, error) { return bytes.NewReader(raw), nil }})
	}
	path := filepath.Join(t.TempDir(), "foreign.safetensors")
	if err := safetensors.WriteFile(path, all, nil); err != nil {
		t.Fatal(err)
	}
	file, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return file
}

// declared is a store with a network's variables for images of the given shape.
func declared(t *testing.T, e *engine.Engine, n zoo.Network, dims ...int) *model.Store {
	t.Helper()
	store := model.NewStore()
	g := graph.NewGraph(e.Backend, "declare")
	defer g.Finalize()
	model.SetStore(g, store)
	n.Apply(store.RootScope().In("model"), graph.Parameter(g, "x", shapes.Make(dtypes.Float32, append([]int{1}, dims...)...)))
	return store
}

// TestFill reads a small network with the names and the order of axes that PyTorch has, and looks up single weights by hand.
func TestFill(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	n := zoo.NewDigitNet()
	n.Filters, n.Depth, n.Dense, n.Norm.Layer = []int{2, 3}, 2, 4, norm.NewBatch()
	var list []foreign
	channels := 1
	for i, filters := range n.Filters {
		for j := range 2 {
			name := func(layer int, what string) string { return fmt.Sprintf("features.%d.%d.%s", i, 3*j+layer, what) }
			list = append(list, foreign{name(0, "weight"), []int{filters, channels, 3, 3}}, foreign{name(0, "bias"), []int{filters}})
			for _, what := range []string{"weight", "bias", "running_mean", "running_var"} {
				list = append(list, foreign{name(1, what), []int{filters}})
			}
			list = append(list, foreign{name(1, "num_batches_tracked"), nil})
			channels = filters
		}
	}
	// 8 x 12 pixels become 2 x 3.
	list = append(list, foreign{"classifier.1.weight", []int{4, 18}}, foreign{"classifier.1.bias", []int{4}}, foreign{"classifier.4.weight", []int{10, 4}}, foreign{"classifier.4.bias", []int{10}})
	store := declared(t, e, n, 8, 12, 1)
	if err := zoo.Fill(store, "/model", writeForeign(t, list), n.Imports()); err != nil {
		t.Fatal(err)
	}
	at := func(path string, index ...int) float32 {
		t.Helper()
		v := store.GetVariable("/model/" + path)
		value, err := v.Value()
		if err != nil {
			t.Fatal(err)
		}
		place := 0
		for axis, i := range index {
			place = place*v.Shape().Dimensions[axis] + i
		}
		return tensors.MustCopyFlatData[float32](value)[place]
	}
	for _, c := range []struct {
		got  float32
		want int // place in the file
	}{
		{at("block_2/conv_1/kernel", 2, 1, 0, 1), (1*2+0)*9 + 2*3 + 1},              // [row, column, in, out]
		{at("dense/kernel", (1*3+2)*3+1, 2), 2*18 + 1*6 + 1*3 + 2},                  // pixel (1, 2), channel 1, unit 2
		{at("output/kernel", 3, 7), 7*4 + 3},                                        //
		{at("block_1/conv_2/norm/variance", 1), 1},                                  //
		{at("block_2/conv_2/bias", 2), 2}, {at("block_1/conv_1/norm/offset", 1), 1}, //
	} {
		if want := float32(c.want) / 100; c.got != want {
			t.Errorf("got %v, want %v", c.got, want)
		}
	}

	for want, change := range map[string]func() []foreign{
		"features.0.0.weight: the tensor is F32 [2 1 3 2], variable kernel needs [3 3 1 2]": func() []foreign {
			return append([]foreign{{list[0].name, []int{2, 1, 3, 2}}}, list[1:]...)
		},
		"classifier.1.weight: the tensor is F32 [4 19], variable kernel needs [18 4]": func() []foreign {
			return append(append(append([]foreign{}, list[:len(list)-4]...), foreign{"classifier.1.weight", []int{4, 19}}), list[len(list)-3:]...)
		},
		`classifier.4.bias: the tensor is missing; the nearest name is "classifier.1.bias"`: func() []foreign { return list[:len(list)-1] },
		"extra: the network has no place for this tensor; the file belongs to another":      func() []foreign { return append([]foreign{{"extra", []int{1}}}, list...) },
	} {
		var bad *fault.Input
		err := zoo.Fill(store, "/model", writeForeign(t, change()), n.Imports())
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "foreign.safetensors") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := zoo.Fill(store, "/model", writeForeign(t, append(list, foreign{"extra.a", []int{1}})), n.Imports(), "extra."); err != nil {
		t.Errorf("what may be left over: %v", err)
	}
	if err := zoo.Fill(store, "/model", writeForeign(t, list[1:]), n.Imports()[1:]); err == nil || !strings.Contains(err.Error(), "nothing is said about where variable /model/block_1/conv_1/kernel comes from") {
		t.Errorf("got %v", err)
	}
}
