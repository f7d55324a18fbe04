package onnxrun

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/engine/enginetest"
	"github.com/ballast-ml/ballast/format/onnx"
)

// schemaCase is one operator on one set of inputs, with what onnxruntime or ONNX's own evaluator makes of it. bench/peers/onnx_schemas.py
// writes them.
type schemaCase struct {
	Op        string    `json:"op"`
	Opsets    []int64   `json:"opsets"`
	From      string    `json:"from"`
	Inputs    int       `json:"inputs"`
	Attribute string    `json:"attribute"` // the one that is set to something else than its default
	Effect    bool      `json:"effect"`    // of that attribute on the outputs
	Type      [2]string `json:"type"`      // the constraint, and the type that is not the usual one
	Case      string    `json:"case"`

	model    []byte
	parsed   *onnx.Model // in place of model, where a test changed it
	in, want []*tensors.Tensor
}

func (c *schemaCase) String() string {
	text := fmt.Sprintf("%s of opset %d", c.Op, c.Opsets)
	if c.Attribute != "" {
		text += ", attribute " + c.Attribute
	}
	if c.Type[0] != "" {
		text += fmt.Sprintf(", %s = %s", c.Type[0], c.Type[1])
	}
	if c.Case != "" {
		text += ", " + c.Case
	}
	return text
}

// schemaCases reads all cases: of each the number of its parts, and these with their lengths.
func schemaCases(t *testing.T) []*schemaCase {
	t.Helper()
	file := "testdata/walk.bin.gz"
	if other := os.Getenv("BALLAST_TEST_WALK_FILE"); other != "" {
		file = other
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}

	var all []*schemaCase
	for {
		var n uint32
		if err := binary.Read(unpacked, binary.LittleEndian, &n); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		var parts [][]byte
		for range n {
			var size uint32
			if err := binary.Read(unpacked, binary.LittleEndian, &size); err != nil {
				t.Fatal(err)
			}
			part := make([]byte, size)
			if _, err := io.ReadFull(unpacked, part); err != nil {
				t.Fatal(err)
			}
			parts = append(parts, part)
		}
		all = append(all, parseCase(t, parts))
	}
}

func parseCase(t *testing.T, parts [][]byte) *schemaCase {
	t.Helper()
	c := &schemaCase{model: parts[1]}
	if err := json.Unmarshal(parts[0], c); err != nil {
		t.Fatal(err)
	}
	for i, part := range parts[2:] {
		raw, err := onnx.ParseTensor(part)
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		x, err := Tensor(raw)
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		if i < c.Inputs {
			c.in = append(c.in, x)
		} else {
			c.want = append(c.want, x)
		}
	}
	return c
}

// graph prepares a case for a version of its operator. With fixed inputs these are part of the model.
func (c *schemaCase) graph(t *testing.T, opset int64, fixed bool) (*Graph, error) {
	t.Helper()
	m := c.parsed
	if m == nil {
		var err error
		if m, err = onnx.Parse(c.model); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
	}
	domain, _, outside := cutLast(c.Op, ".")
	if !outside {
		domain = ""
	}
	m.Opsets[domain] = opset
	if outside {
		m.Opsets[""] = 18
	}
	if !fixed {
		return New(m)
	}

	inputs := m.Graph.Inputs
	m.Graph.Inputs = nil
	for i, v := range inputs {
		raw := &onnx.Tensor{Name: v.Name, Type: typeOf(c.in[i].DType()), Dims: c.in[i].Shape().Dimensions, Elements: c.in[i].Shape().Size()}
		if raw.Elements > 0 {
			err := c.in[i].ConstBytes(func(b []byte) { raw.Raw = bytes.Clone(b) })
			if err != nil {
				t.Fatal(err)
			}
		}
		m.Graph.Initializers = append(m.Graph.Initializers, raw)
	}
	return New(m)
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}

// forget lets go of a graph's programs at once: a thousand of XLA's take gigabytes until the collector comes.
func (g *Graph) forget() {
	for _, s := range g.stages {
		s.forget()
	}
}

// run computes a case and compares.
func (c *schemaCase) run(t *testing.T, e *engine.Engine, opset int64, fixed bool) error {
	t.Helper()
	o, err := c.graph(t, opset, fixed)
	if err != nil {
		return err
	}
	got, err := c.outputsOf(o, e)
	if err != nil {
		return err
	}
	for i := range got {
		if err := alike(got[i], c.want[i]); err != nil {
			return fmt.Errorf("output %d, by %s: %w", i, c.From, err)
		}
	}
	return nil
}

// outputs computes a case in a version of its operator.
func (c *schemaCase) outputs(t *testing.T, e *engine.Engine, opset int64) ([]*tensors.Tensor, error) {
	t.Helper()
	o, err := c.graph(t, opset, false)
	if err != nil {
		return nil, err
	}
	return c.outputsOf(o, e)
}

func (c *schemaCase) outputsOf(o *Graph, e *engine.Engine) (out []*tensors.Tensor, err error) {
	inputs := map[string]*tensors.Tensor{}
	for i, v := range o.Inputs() {
		inputs[v.Name] = c.in[i]
	}
	defer o.forget()
	got, err := o.Run(e, inputs)
	if err != nil {
		return nil, fmt.Errorf("it fails when it runs: %w", err)
	}
	for _, v := range o.Outputs() {
		out = append(out, got[v.Name])
	}
	return out, nil
}

// alike compares to what a type can tell: integers must be the same, floats agree to a few of their last bits in sums of a few
// products.
func alike(got, want *tensors.Tensor) error {
	if !got.Shape().Equal(want.Shape()) {
		return fmt.Errorf("shape %s, want %s", got.Shape(), want.Shape())
	}
	if want.Shape().Size() == 0 {
		return nil
	}
	if !want.DType().IsFloat() {
		var a, b []byte
		err := errors.Join(got.ConstBytes(func(x []byte) { a = bytes.Clone(x) }), want.ConstBytes(func(x []byte) { b = bytes.Clone(x) }))
		if err == nil && !bytes.Equal(a, b) {
			err = fmt.Errorf("%v, want %v", got, want)
		}
		return err
	}

	part := map[dtypes.DType]float64{dtypes.Float16: 2e-3, dtypes.BFloat16: 1.6e-2, dtypes.Float32: 2e-5, dtypes.Float64: 2e-5}[want.DType()]
	floats := func(x *tensors.Tensor) []float64 { return (&call{in: []*value{{known: x}}}).floats(0) }
	a, b := floats(got), floats(want)
	for i := range a {
		if math.IsNaN(a[i]) && math.IsNaN(b[i]) || a[i] == b[i] {
			continue
		}
		if math.IsInf(b[i], 0) || !(math.Abs(a[i]-b[i]) <= part*(math.Abs(b[i])+0.05)) {
			return fmt.Errorf("element %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// refusedByName reports whether an error of New says which operator, attribute or type of a case is why.
func (c *schemaCase) refusedByName(err error) bool {
	var u *UnsupportedError
	if errors.As(err, &u) {
		_, have := operators()[c.Op]
		return !have && slices.Equal(u.Ops, []string{c.Op})
	}
	return strings.Contains(err.Error(), "have no type") || c.Attribute != "" && strings.Contains(err.Error(), "attribute "+c.Attribute)
}

// walkShare is how many cases pass by for each that XLA compiles, a tenth of a second each.
const walkShare = 40

// TestWalk runs every operator with every type and every attribute that ONNX's own schemas have, in each version: it gives what
// onnxruntime or ONNX's evaluator gives, or is refused by name before anything runs. All of it on every engine with
// BALLAST_TEST_WALK=all; else all on the Go engine, and a part on the other.
func TestWalk(t *testing.T) {
	all := os.Getenv("BALLAST_TEST_WALK") == "all"
	enginetest.Each(t, func(t *testing.T, e *engine.Engine) {
		cases := schemaCases(t) // a tensor belongs to the first engine that it is given to
		host := strings.HasSuffix(t.Name(), "/go")
		ran, refused := 0, 0
		for i, c := range cases {
			if !host && !all && i%walkShare != 0 {
				continue
			}
			opsets := c.Opsets
			if !host {
				opsets = opsets[len(opsets)-1:] // what a version changes is decided before there is an engine
			}
			for _, opset := range opsets {
				err := c.run(t, e, opset, false)
				if err == nil && host {
					err = c.run(t, e, opset, true)
				}
				switch {
				case err == nil:
					ran++
				case c.refusedByName(err):
					refused++
				default:
					t.Errorf("%s: %.400v", c, err)
				}
			}
		}
		t.Logf("%d cases ran, %d were refused", ran, refused)
		if ran < len(cases)/(2*walkShare) {
			t.Errorf("%d of %d cases ran", ran, len(cases))
		}
	})
}
