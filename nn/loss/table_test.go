package loss_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/gradcheck"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/nn/param"
)

// TestTable: rows are what was last written, to the bit, and padding writes nothing.
func TestTable(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		store := model.NewStore()
		exec := model.MustNewExec(e.Backend, store, func(scope *model.Scope, index, values *Node) []*Node {
			rows := loss.Table(scope, "rows", dtypes.Float32, 4, param.Constant(0.25), 2)
			before := rows.At(index)
			rows.Set(index, values)
			return []*Node{before, rows.At(index), Gradient(ReduceAllSum(rows.At(index)), values)[0]}
		})
		const third = float32(1) / 3
		call := func(index []int32, values [][]float32) [][]float32 {
			out := exec.MustCall(index, values)
			all := make([][]float32, len(out))
			for i, o := range out {
				all[i] = tensors.MustCopyFlatData[float32](o)
			}
			return all
		}
		same := func(what string, got, want []float32) {
			t.Helper()
			for i := range want {
				if len(got) != len(want) || got[i] != want[i] {
					t.Fatalf("%s: got %v, want %v", what, got, want)
				}
			}
		}
		out := call([]int32{3, -1, 0, -1}, [][]float32{{third, 1e-30}, {5, 5}, {1e20, -third}, {6, 6}})
		same("first values", out[0], []float32{0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25})
		same("written", out[1], []float32{third, 1e-30, 0.25, 0.25, 1e20, -third, 0.25, 0.25})
		same("gradient", out[2], make([]float32, 8))
		call([]int32{0, 1, -1, -1}, [][]float32{{third, 2}, {7, 8}, {9, 9}, {9, 9}})
		table := tensors.MustCopyFlatData[float32](store.GetVariable("/rows").MustValue())
		same("table", table, []float32{third, 2, 7, 8, 0.25, 0.25, third, 1e-30, 0.25, 0.25})
		if store.GetVariable("/rows").Trainable {
			t.Error("the table is trained")
		}

		twice := call([]int32{2, 1, 2, -1}, [][]float32{{1, 1}, {2, 2}, {3, 3}, {4, 4}})
		for i, v := range twice[1] {
			if math.IsNaN(float64(v)) != (i/2 == 0 || i/2 == 2) {
				t.Errorf("rows of 2, 1, 2 and padding are %v; want NaN where an example is twice", twice[1])
				break
			}
		}

		for want, index := range map[string]any{
			"want the place of each example": []float32{1},
			"loss.Rows.At":                   [][]int32{{1}},
		} {
			f := func(in []*Node) *Node {
				g := in[0].Graph()
				return loss.Table(model.NewStore().RootScope(), "rows", dtypes.Float64, 2, param.Constant(0)).At(Const(g, index))
			}
			if got := gradcheck.Panics(e, f, gradcheck.Normal(1, 1)); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

// TestMemory: what the rows take is known before a run, and refused with its size.
func TestMemory(t *testing.T) {
	if got := loss.TableBytes(loss.NewELR(), 999, 10); got != 40000 {
		t.Errorf("the table of 999 examples and 10 classes takes %d bytes, want 40000", got)
	}
	if got := loss.TableBytes(loss.CrossEntropy{}, 999, 10); got != 0 || loss.NeedsIndex(loss.CrossEntropy{}) ||
		!loss.NeedsIndex(loss.NewELR()) {
		t.Errorf("cross-entropy takes %d bytes; it keeps nothing", got)
	}
	memory.SetLimit(100000)
	defer memory.SetLimit(0)
	err := loss.Fits("elr", loss.NewELR(), 999, 10)
	want := "the memory of loss elr, a row for each of 999 examples, needs 120.0 kB of memory, the limit is 100.0 kB; " +
		"raise it with --memory on a machine that has more"
	var short *memory.Error
	if err == nil || err.Error() != want || !errors.As(err, &short) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := loss.Fits("elr", loss.NewELR(), 700, 10); err != nil {
		t.Error(err)
	}
	if err := loss.Fits("elr", loss.NewELR(), math.MaxInt, math.MaxInt); !errors.As(err, &short) {
		t.Errorf("got %v", err)
	}
}

func TestDistinct(t *testing.T) {
	if err := loss.Distinct("elr", []int32{-1, 4, -1, 0}); err != nil {
		t.Error(err)
	}
	err := loss.Distinct("elr", []int32{4, 2, 4})
	want := "loss elr keeps a row for each example, and example 4 is twice in one batch; " +
		"use a sampler that draws no example twice"
	var usage *fault.Usage
	if err == nil || err.Error() != want || !errors.As(err, &usage) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAccepts(t *testing.T) {
	const fix = "; choose another loss or other data"
	for _, c := range []struct {
		l    loss.Loss
		have loss.Targets
		want string
	}{
		{loss.MSE{}, loss.Values, ""},
		{loss.BCE{}, loss.Values, ""},
		{loss.NewDice(), loss.Labels, "loss dice compares with masks, the data has labels" + fix},
		{loss.BCE{}, loss.Labels, "loss bce compares with masks or values, the data has labels" + fix},
		{loss.CrossEntropy{}, loss.Values, "loss cross-entropy compares with labels, the data has values" + fix},
	} {
		err := loss.Accepts(loss.Name(c.l), c.l.Wants(), c.have)
		var usage *fault.Usage
		if (err == nil) != (c.want == "") || err != nil && (err.Error() != c.want || !errors.As(err, &usage)) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if err := loss.Accepts("ntxent", loss.NewNTXent().Wants(), loss.Masks); err != nil {
		t.Error(err)
	}
}

// TestChoice: names, options and what is near an unknown one; what is written is read back.
func TestChoice(t *testing.T) {
	for text, want := range map[string]string{
		`"cross-entropi"`:             `no loss "cross-entropi" (did you mean cross-entropy?)`,
		`{"name": "elr", "bta": 0.9}`: `unknown key bta (did you mean beta?)`,
		`"tcm"`:                       `no loss "tcm"; it is a loss of a whole batch, and is used only where those are`,
	} {
		var c loss.Choice
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`"tcn"`: `no batch loss "tcn" (did you mean tcm?)`,
		`"elr"`: `no batch loss "elr"; it gives a value for each example, and is used only where such losses are`,
	} {
		var c loss.SetChoice
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	for _, k := range loss.All() {
		text, err := json.Marshal(loss.Choice{Loss: k.New()})
		var c loss.Choice
		if err != nil || json.Unmarshal(text, &c) != nil || c.Loss != k.New() || loss.Name(c.Loss) != k.Name {
			t.Errorf("%s is written as %s and read as %v (%v)", k.Name, text, c.Loss, err)
		}
	}
	for _, k := range loss.AllSets() {
		text, err := json.Marshal(loss.SetChoice{Set: k.New()})
		var c loss.SetChoice
		if err != nil || json.Unmarshal(text, &c) != nil || c.Set != k.New() || loss.SetName(c.Set) != k.Name {
			t.Errorf("%s is written as %s and read as %v (%v)", k.Name, text, c.Set, err)
		}
	}
}
