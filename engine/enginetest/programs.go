package enginetest

import (
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"github.com/ballast-ml/ballast/engine"
)

// Programs returns an engine that computes as e does and counts what it compiles. When the test is over, it fails if there were more than
// most programs, and names them. Programs that an engine finds compiled on the disk count too.
func Programs(t *testing.T, e *engine.Engine, most int) *engine.Engine {
	t.Helper()
	c := &counter{Backend: e.Backend}
	t.Cleanup(func() {
		if len(c.names) > most {
			t.Errorf("%d programs were compiled, want at most %d: %s", len(c.names), most, strings.Join(c.names, ", "))
		}
	})
	counted := *e
	counted.Backend = c
	return &counted
}

// counter is a backend that keeps the names of what it compiles. A tensor belongs to the backend that its buffer names, so all that comes
// out of the engine is told to be the counter's.
type counter struct {
	compute.Backend
	mutex sync.Mutex
	names []string
}

// Builder counts when it compiles.
func (c *counter) Builder(name string) compute.Builder { return &builder{c.Backend.Builder(name), c} }

// BufferFromFlatData makes a buffer of the counter's.
func (c *counter) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (compute.Buffer, error) {
	b, err := c.Backend.BufferFromFlatData(device, flat, shape)
	return c.owned(b, err)
}

// NewSharedBuffer makes a buffer of the counter's.
func (c *counter) NewSharedBuffer(device compute.DeviceNum, shape shapes.Shape) (compute.Buffer, any, error) {
	b, flat, err := c.Backend.NewSharedBuffer(device, shape)
	own, err := c.owned(b, err)
	return own, flat, err
}

func (c *counter) owned(b compute.Buffer, err error) (compute.Buffer, error) {
	if err != nil {
		return nil, err
	}
	return &buffer{b, c}, nil
}

type buffer struct {
	compute.Buffer
	counter *counter
}

func (b *buffer) Backend() compute.Backend { return b.counter }

func (b *buffer) CopyToDevice(device compute.DeviceNum) (compute.Buffer, error) {
	there, err := b.Buffer.CopyToDevice(device)
	return b.counter.owned(there, err)
}

type builder struct {
	compute.Builder
	counter *counter
}

func (b *builder) Compile() (compute.Executable, error) {
	b.counter.mutex.Lock()
	b.counter.names = append(b.counter.names, b.Name())
	b.counter.mutex.Unlock()
	program, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	return &executable{program, b.counter}, nil
}

type executable struct {
	compute.Executable
	counter *counter
}

func (e *executable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	bare := make([]compute.Buffer, len(inputs))
	for i, b := range inputs {
		if bare[i] = b; b != nil {
			bare[i] = b.(*buffer).Buffer
		}
	}
	outputs, err := e.Executable.Execute(bare, donate, device)
	for i, b := range outputs {
		outputs[i] = &buffer{b, e.counter}
	}
	return outputs, err
}
