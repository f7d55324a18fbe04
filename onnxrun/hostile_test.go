package onnxrun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/onnxtest"
)

// hostileInputs are what an operator is given in each of its places: none, numbers, shapes and lists that ask for too much.
func hostileInputs() []onnxtest.Tensor {
	const far = 1 << 40
	image := make([]float32, 16)
	return []onnxtest.Tensor{
		onnxtest.Floats("f1", []int{1}, 1), onnxtest.Floats("image", []int{1, 1, 4, 4}, image...), onnxtest.Floats("none", []int{0, 3}),
		onnxtest.Floats("many", []int{4}, 1e30, -1, float32(math.NaN()), float32(math.Inf(1))),
		onnxtest.Ints("far", []int{1}, far), onnxtest.Ints("back", []int{1}, -far), onnxtest.Ints("pair", []int{2}, far, far),
		onnxtest.Ints("lows", []int{2}, math.MinInt64, -1), onnxtest.Ints("four", []int{4}, far, 1, -far, 0), onnxtest.Ints("empty", []int{0}),
		onnxtest.Ints("zero", nil, 0), onnxtest.Ints("deep", []int{1, 2}, 3, far),
	}
}

// hostileAttributes are values for attributes by their names, those that operators read.
func hostileAttributes() []map[string]any {
	const far = 1 << 40
	body := onnxtest.Model{Outputs: []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{2}}}}
	list := []map[string]any{{}}
	for _, name := range []string{
		"axis", "blocksize", "group", "k", "size", "to", "batch_dims", "hidden_size", "num_scan_inputs", "num_outputs", "dtype", "start", "end", "keepdims", "transA", "p",
	} {
		for _, v := range []int{far, -far, math.MinInt64, 0, 7} {
			list = append(list, map[string]any{name: v})
		}
	}
	for _, name := range []string{
		"axes", "perm", "kernel_shape", "strides", "dilations", "pads", "split", "starts", "shape", "paddings", "output_shape", "output_padding", "value_ints", "repeats",
	} {
		for _, v := range [][]int{{far, far}, {-1, -1}, {0, 0}, {3, 3, 3, 3, 3}, {math.MaxInt64}, {math.MinInt64, 1}} {
			attributes := map[string]any{name: v}
			if name != "kernel_shape" {
				attributes["kernel_shape"] = []int{2, 2}
			}
			list = append(list, attributes)
		}
	}
	for _, name := range []string{"mode", "auto_pad", "reduction", "equation", "direction", "coordinate_transformation_mode"} {
		list = append(list, map[string]any{name: "\x1b[2J", "kernel_shape": []int{2, 2}})
	}
	return append(list, map[string]any{"scales": []float32{1e30, float32(math.NaN())}}, map[string]any{"body": body, "then_branch": body, "else_branch": body})
}

// ownAttributes are hostile values, of each type, for the attributes that an operator has: one at a time, and some at once.
func ownAttributes(names []string) []map[string]any {
	const far = 1 << 40
	values := []any{
		far, -far, math.MinInt64, 0, 1, 3, []int{far, far}, []int{-1, -1}, []int{0, 0, 0, 0}, []int{2, 2}, []int{math.MinInt64, 1}, []int{1},
		[]float32{1e30, float32(math.NaN())}, []float32{1}, float32(math.Inf(1)), float32(0.5), "\x1b[2J", []string{"LEAF", "BRANCH_LEQ"},
		onnxtest.Floats("", []int{2}, 1, float32(math.NaN())), onnxtest.Ints("", []int{1}, far),
	}
	list := []map[string]any{{}}
	for i, name := range names {
		for j, v := range values {
			attributes := map[string]any{name: v}
			for k, other := range names {
				if j%3 != 0 && k != i {
					attributes[other] = values[(i+5*j+7*k)%len(values)]
				}
			}
			list = append(list, attributes)
		}
	}
	return list
}

var crashed = regexp.MustCompile(`runtime error|nil pointer|goroutine|makeslice|stack trace|\n|\x1b`)

// while is a loop that counts: v = x, then v += 1 while v < limit; rows are the values of v after each round.
func while(limit int64) onnxtest.Model {
	scalar := func(name string, t int) onnxtest.Value { return onnxtest.Value{Name: name, Type: t, Shape: []any{}} }
	body := onnxtest.Model{
		Inputs:  []onnxtest.Value{scalar("i", onnxtest.Int64), scalar("on", onnxtest.Bool), scalar("v_in", onnxtest.Int64)},
		Outputs: []onnxtest.Value{scalar("on_out", onnxtest.Bool), scalar("v_out", onnxtest.Int64), scalar("row", onnxtest.Int64)},
		Nodes: []onnxtest.Node{
			{Op: "Add", Inputs: []string{"v_in", "one"}, Outputs: []string{"v_out"}}, {Op: "Less", Inputs: []string{"v_out", "limit"}, Outputs: []string{"on_out"}},
			{Op: "Identity", Inputs: []string{"v_out"}, Outputs: []string{"row"}},
		},
	}
	return onnxtest.Model{
		Opset: 18, Tensors: []onnxtest.Tensor{onnxtest.Ints("one", nil, 1), onnxtest.Ints("limit", nil, limit)},
		Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Int64, Shape: []any{}}},
		Outputs: []onnxtest.Value{{Name: "v", Type: onnxtest.Int64}, {Name: "rows", Type: onnxtest.Int64}},
		Nodes: []onnxtest.Node{
			{Op: "Less", Inputs: []string{"x", "limit"}, Outputs: []string{"on"}},
			{Op: "Loop", Inputs: []string{"", "on", "x"}, Outputs: []string{"v", "rows"}, Attributes: map[string]any{"body": body}},
		},
	}
}

// A loop ends where its condition says, however far: the answer was 4096 once. What it starts from may come with the run.
func TestWhile(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for _, c := range []struct{ limit, start, want, rounds int64 }{{5000, 0, 5000, 5000}, {3, 0, 3, 3}, {3, 7, 7, 0}} {
			o, err := graphOf(t, while(c.limit))
			if err != nil {
				t.Fatal(err)
			}
			out, err := o.Run(e, map[string]*tensors.Tensor{"x": tensors.FromScalar(c.start)})
			if err != nil {
				t.Fatal(err)
			}
			if v := tensors.ToScalar[int64](out["v"]); v != c.want || int64(out["rows"].Shape().Size()) != c.rounds {
				t.Errorf("from %d while below %d: %d after %v rounds, want %d", c.start, c.limit, v, out["rows"].Shape(), c.want)
			}
			if c.rounds > 0 {
				if rows := tensors.MustCopyFlatData[int64](out["rows"]); rows[0] != 1 || rows[c.rounds-1] != c.want {
					t.Errorf("the rows are %d ... %d", rows[0], rows[c.rounds-1])
				}
			}
		}
	})
}

// Indices that only a run knows are checked by it, on every engine; the program stays for the next run.
func TestIndicesOfRuns(t *testing.T) {
	table := onnxtest.Floats("table", []int{3, 2}, 0, 1, 10, 11, 20, 21)
	model := func(n onnxtest.Node) onnxtest.Model {
		n.Outputs = []string{"y"}
		return onnxtest.Model{
			Opset: 18, Tensors: []onnxtest.Tensor{table, onnxtest.Floats("u", []int{1, 2}, 7, 8), onnxtest.Ints("hundred", []int{1}, 100)},
			Inputs:  []onnxtest.Value{{Name: "i", Type: onnxtest.Int64, Shape: []any{1, 1}}},
			Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}}, Nodes: []onnxtest.Node{n},
		}
	}
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		for name, c := range map[string]struct {
			node onnxtest.Node
			good int64
			want []float32
			bad  []int64
		}{
			"Gather":         {onnxtest.Node{Op: "Gather", Inputs: []string{"table", "i"}}, -1, []float32{20, 21}, []int64{3, -4, 1 << 32, 1<<40 + 1, math.MinInt64}},
			"GatherElements": {onnxtest.Node{Op: "GatherElements", Inputs: []string{"table", "i"}}, 2, []float32{20}, []int64{3, -4, 1 << 32}},
			"GatherND":       {onnxtest.Node{Op: "GatherND", Inputs: []string{"table", "i"}}, -2, []float32{10, 11}, []int64{3, -4, 1 << 32}},
			"ScatterND":      {onnxtest.Node{Op: "ScatterND", Inputs: []string{"table", "i", "u"}}, 1, []float32{0, 1, 7, 8, 20, 21}, []int64{3, -4, 1 << 32}},
			"Div":            {onnxtest.Node{Op: "Div", Inputs: []string{"hundred", "i"}}, -7, nil, []int64{0}},
			"Mod":            {onnxtest.Node{Op: "Mod", Inputs: []string{"hundred", "i"}}, 7, nil, []int64{0}},
		} {
			o, err := graphOf(t, model(c.node))
			if err != nil {
				t.Fatal(err)
			}
			run := func(i int64) (map[string]*tensors.Tensor, error) {
				return o.Run(e, map[string]*tensors.Tensor{"i": tensors.FromValue([][]int64{{i}})})
			}
			for _, i := range c.bad {
				_, err := run(i)
				var bad interface{ BadInput() bool }
				if err == nil || !errors.As(err, &bad) || !strings.Contains(err.Error(), "m.onnx: node of \"y\" ("+name+"): ") {
					t.Errorf("%s of %d: %v", name, i, err)
				} else if i != 0 && !strings.Contains(err.Error(), fmt.Sprintf("index %d of 3", i)) {
					t.Errorf("%s of %d does not say so: %v", name, i, err)
				}
			}
			out, err := run(c.good)
			if err != nil {
				t.Errorf("%s of %d: %v", name, c.good, err)
			} else if c.want != nil && !slices.Equal(tensors.MustCopyFlatData[float32](out["y"]), c.want) {
				t.Errorf("%s of %d: %v, want %v", name, c.good, out["y"], c.want)
			}
		}
	})
}

// Integers are counted as such: float32, through which they went once, ends at 2^24.
func TestRangeIsExact(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		o, err := graphOf(t, onnxtest.Model{
			Opset: 18, Tensors: []onnxtest.Tensor{onnxtest.Ints("a", nil, 1<<60+1), onnxtest.Ints("b", nil, 1<<60+8), onnxtest.Ints("c", nil, 3)},
			Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Int64}}, Nodes: []onnxtest.Node{{Op: "Range", Inputs: []string{"a", "b", "c"}, Outputs: []string{"y"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := o.Run(e, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.MustCopyFlatData[int64](out["y"]); !slices.Equal(got, []int64{1<<60 + 1, 1<<60 + 4, 1<<60 + 7}) {
			t.Errorf("got %v", got)
		}
	})
}

// A build ends when its context does, in the middle of a loop.
func TestStops(t *testing.T) {
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	o, err := graphOf(t, while(1<<30))
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("stopped by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	begun := time.Now()
	if _, err := o.RunContext(ctx, e, map[string]*tensors.Tensor{"x": tensors.FromScalar(int64(0))}); !errors.Is(err, why) || time.Since(begun) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}

// Constants are arguments of the program and not part of it, in subgraphs as well.
func TestLargeConstants(t *testing.T) {
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		large := onnxtest.Floats("", []int{2 * smallWeight}, arange(2*smallWeight)...)
		branch := onnxtest.Model{
			Outputs: []onnxtest.Value{{Name: "s", Type: onnxtest.Float}},
			Nodes: []onnxtest.Node{
				{Op: "Constant", Outputs: []string{"c"}, Attributes: map[string]any{"value": large}}, {Op: "Add", Inputs: []string{"c", "x"}, Outputs: []string{"s"}},
			},
		}
		o, err := graphOf(t, onnxtest.Model{
			Opset: 18, Tensors: []onnxtest.Tensor{{Name: "yes", Type: onnxtest.Bool, Raw: []byte{1}}},
			Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{1}}},
			Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}},
			Nodes:   []onnxtest.Node{{Op: "If", Inputs: []string{"yes"}, Outputs: []string{"y"}, Attributes: map[string]any{"then_branch": branch, "else_branch": branch}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := o.Run(e, map[string]*tensors.Tensor{"x": tensors.FromValue([]float32{1})})
		if err != nil {
			t.Fatal(err)
		}
		if y := tensors.MustCopyFlatData[float32](out["y"]); y[2*smallWeight-1] != 2*smallWeight || len(o.large) != 2 {
			t.Errorf("the last is %v; %d constants are arguments", y[2*smallWeight-1], len(o.large))
		}
	})
}

// Every operator is given what it does not expect, as constants of the model and as what a run brings. Whatever it makes of it, there
// is an answer or an error that names the node, no array beyond the limit, and no crash.
func TestHostile(t *testing.T) {
	memory.SetLimit(256 << 20)
	defer memory.SetLimit(0)
	e, err := engine.Open(engine.KindGo)
	if err != nil {
		t.Fatal(err)
	}
	pool := hostileInputs()
	var before, after runtime.MemStats
	ran, refused, tries := 0, 0, 3
	if testing.Short() {
		tries = 2
	}
	for _, op := range slices.Sorted(maps.Keys(operators())) {
		domain := ""
		if at := strings.LastIndexByte(op, '.'); at > 0 {
			domain, op = op[:at], op[at+1:]
		}
		runtime.ReadMemStats(&before)
		list := hostileAttributes()
		if own := operators()[strings.TrimPrefix(domain+"."+op, ".")].reads; own != nil { // others are refused before they are read
			list = ownAttributes(own)
		}
		for i, attributes := range list {
			for j := range tries {
				// Which inputs: none to four, each from another place of the pool.
				var names []string
				for k := range (i + j) % 5 {
					names = append(names, pool[(i*5+j*(k+3)+k*k)%len(pool)].Name)
				}
				if j > 0 && len(names) > 0 {
					names[0] = []string{"x", "ids", "image"}[(i+j)%3]
				}
				m := onnxtest.Model{
					Opset: []int{13, 8, 18}[i%3], Tensors: pool,
					Inputs:  []onnxtest.Value{{Name: "x", Type: onnxtest.Float, Shape: []any{1, 1, 4, 4}}, {Name: "ids", Type: onnxtest.Int64, Shape: []any{2}}},
					Outputs: []onnxtest.Value{{Name: "y", Type: onnxtest.Float}},
					Nodes:   []onnxtest.Node{{Op: op, Domain: domain, Inputs: names, Outputs: []string{"y", "z"}, Attributes: attributes}},
				}
				o, err := prepare(read(t, m)) // operators stand what a check of their attributes would refuse
				if err == nil {
					_, err = o.Run(e, map[string]*tensors.Tensor{
						"x": tensors.FromFlatDataAndDimensions(arange(16), 1, 1, 4, 4), "ids": tensors.FromValue([]int64{1 << 33, -5}),
					})
				}
				ran++
				if err == nil {
					continue
				}
				refused++
				var bad interface{ BadInput() bool }
				var short *memory.Error
				what := fmt.Sprintf("%s %v %q", op, names, attributes)
				switch text := err.Error(); {
				case crashed.MatchString(text):
					t.Errorf("%s: %q", what, text)
				case !errors.As(err, &bad) && !errors.As(err, &short):
					t.Errorf("%s: %T is neither bad input nor memory: %v", what, err, err)
				case !strings.Contains(text, "("+op+")"):
					t.Errorf("%s: it does not name the node: %v", what, err)
				}
			}
		}
		runtime.ReadMemStats(&after)
		if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 1500 {
			t.Errorf("%s allocates %d MB", op, grown)
		}
	}
	t.Logf("%d of %d refused", refused, ran)
}
