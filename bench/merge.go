package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/merge/checkpoint"
)

// mergeFloor is what every merge stands beside: reading the models and writing one as durably, without looking at a value.
const mergeFloor = "read 3 models, write 1 durably"

// mergeLines measures merges of three checkpoints of 500 MB (16 MB when quick), the first of which is the base, in 256 MB of memory.
func mergeLines() []Line {
	lines := []Line{{Suite: "merge", Name: mergeFloor, once: true, open: func(env *Env) (Case, error) {
		paths, _, err := mergeModels(env)
		if err != nil {
			return Case{}, err
		}
		return Case{Run: func() error { return readAndWrite(paths, filepath.Join(env.Dir, "floor")) }}, nil
	}}}
	for _, l := range []struct {
		method string
		most   float64
	}{{"linear", 1.3}, {"slerp", 0}, {"ties", 2}, {"dare_ties", 0}} {
		lines = append(lines, Line{Suite: "merge", Name: l.method, Base: mergeFloor, Most: Most{OfBase: l.most}, once: true, open: func(env *Env) (Case, error) {
			return mergeCase(env, l.method)
		}})
	}
	return lines
}

func mergeCase(env *Env, method string) (Case, error) {
	paths, elements, err := mergeModels(env)
	if err != nil {
		return Case{}, err
	}
	r := checkpoint.Recipe{Method: method, BaseModel: checkpoint.Ref(paths[0]), Parameters: checkpoint.Parameters{"weight": checkpoint.Number(0.5), "density": checkpoint.Number(0.5), "t": checkpoint.Number(0.5)}}
	for _, p := range paths {
		r.Models = append(r.Models, checkpoint.Source{Model: checkpoint.Ref(p)})
	}
	if method == "slerp" {
		r.Models = r.Models[:2]
	}
	out := filepath.Join(env.Dir, "merged-"+method)
	run := func() error {
		p, err := checkpoint.NewPlan(r, checkpoint.Options{Out: out, Overwrite: true, Memory: 256 << 20, Seed: 1})
		if err != nil {
			return err
		}
		_, err = p.Execute(context.Background(), nil)
		return errors.Join(err, p.Close())
	}
	return Case{Run: run, Close: func() { _ = os.RemoveAll(out) }, Check: func() error {
		if err := run(); err != nil {
			return err
		}
		f, err := safetensors.Open(filepath.Join(out, "model.safetensors"))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		got := 0
		for info := range f.All() {
			got += info.Elements
		}
		if got != elements {
			return fmt.Errorf("the merged model has %d values, want %d", got, elements)
		}
		return nil
	}}, nil
}

// mergeModels writes the checkpoints once: square matrices of bfloat16, the second and third near the first.
func mergeModels(env *Env) (paths []string, elements int, err error) {
	matrices, side := 62, 2048
	if env.Quick {
		matrices, side = 8, 1024
	}
	for seed := range uint64(3) {
		path := filepath.Join(env.Dir, fmt.Sprintf("model-%d.safetensors", seed))
		paths = append(paths, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		var list []safetensors.Tensor
		for m := range matrices {
			list = append(list, safetensors.Tensor{
				Name: fmt.Sprintf("model.layers.%d.mlp.up_proj.weight", m), DType: safetensors.BF16, Shape: []int{side, side},
				Open: func() (io.Reader, error) { return newBF16(side*side, seed, uint64(m)), nil },
			})
		}
		if err := safetensors.WriteFile(path, list, nil); err != nil {
			return nil, 0, err
		}
	}
	return paths, matrices * side * side, nil
}

// bf16 gives numbers between -0.03 and 0.03 in bfloat16; seeds above 0 change their last three bits.
type bf16 struct {
	left        int // bytes
	base, other *rand.Rand
}

func newBF16(n int, seed, tensor uint64) *bf16 {
	b := &bf16{left: 2 * n, base: rand.New(rand.NewPCG(0, tensor))}
	if seed > 0 {
		b.other = rand.New(rand.NewPCG(seed, tensor))
	}
	return b
}

// Read gives whole groups of four numbers, of which each tensor has a whole number.
func (b *bf16) Read(p []byte) (int, error) {
	n := min(len(p)&^7, b.left)
	if n == 0 && b.left == 0 {
		return 0, io.EOF
	}
	for i := 0; i < n; i += 8 {
		v := b.base.Uint64()&0x83ff83ff83ff83ff | 0x3800380038003800
		if b.other != nil {
			v ^= b.other.Uint64() & 0x0007000700070007
		}
		binary.LittleEndian.PutUint64(p[i:], v)
	}
	b.left -= n
	return n, nil
}

// readAndWrite reads files to their ends and writes as much as the first has.
func readAndWrite(paths []string, out string) error {
	buffer := make([]byte, 1<<20)
	for _, path := range paths[1:] {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buffer)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	f, err := os.Open(paths[0])
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(out) //nolint:errcheck // a file of a benchmark that stays does no harm
	return durable.WriteFile(out, func(w io.Writer) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, buffer)
		return err
	})
}
