package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/data/corrupt"
	"github.com/ballast-ml/ballast/format/safetensors"
)

// dataLines are reading, shifting and storing.
func dataLines() []Line {
	lines := []Line{{Suite: "data", Name: "reading optdigits in batches of 64", What: "examples", Work: 1797, open: func(*Env) (Case, error) {
		ds, err := data.Open("optdigits", "all")
		if err != nil {
			return Case{}, err
		}
		return passCase(ds)
	}}}
	for _, shift := range corrupt.All() {
		lines = append(lines, Line{Suite: "data", Name: "optdigits with " + shift.Name(), What: "examples", Work: 1797, open: func(*Env) (Case, error) {
			ds, err := data.Open("optdigits", "all")
			if err != nil {
				return Case{}, err
			}
			if ds, err = corrupt.Wrap(ds, shift, 3, 1); err != nil {
				return Case{}, err
			}
			return passCase(ds)
		}})
	}
	const size = 64 << 20
	return append(lines,
		Line{Suite: "data", Name: "safetensors, writing 64 MB", What: "bytes", Work: size, Limit: "durable write of 64 MB", Least: size, open: func(env *Env) (Case, error) {
			path, tensor := filepath.Join(env.Dir, "bench.safetensors"), bigTensor(size/4)
			write := func() error { return safetensors.WriteFile(path, []safetensors.Tensor{tensor}, nil) }
			return Case{Run: write, Check: func() error {
				if err := write(); err != nil {
					return err
				}
				return readBack(path, size/4)
			}}, nil
		}},
		Line{Suite: "data", Name: "safetensors, reading 64 MB", What: "bytes", Work: size, Limit: limitCopy, Least: 2 * size, open: func(env *Env) (Case, error) {
			path := filepath.Join(env.Dir, "bench.safetensors")
			if err := safetensors.WriteFile(path, []safetensors.Tensor{bigTensor(size / 4)}, nil); err != nil {
				return Case{}, err
			}
			read := func() error { return readBack(path, size/4) }
			return Case{Check: read, Run: read}, nil
		}},
	)
}

// passCase reads a set once, in order.
func passCase(ds data.Dataset) (Case, error) {
	order := make([]int32, ds.Len())
	for i := range order {
		order[i] = int32(i)
	}
	pass := func() (n int, sum float64, err error) {
		r := data.NewReader(ds, order, 64, runtime.GOMAXPROCS(0), false)
		defer r.Close()
		for {
			b, err := r.Next(context.Background())
			if errors.Is(err, io.EOF) {
				return n, sum, nil
			}
			if err != nil {
				return n, sum, err
			}
			n += b.N
			sum += float64(b.X[0])
			r.Recycle(b)
		}
	}
	return Case{
		Run: func() error { _, _, err := pass(); return err },
		Check: func() error {
			n, sum, err := pass()
			if err == nil && (n != ds.Len() || math.IsNaN(sum)) {
				err = fmt.Errorf("%d examples were read, want %d", n, ds.Len())
			}
			return err
		},
	}, nil
}

func bigTensor(n int) safetensors.Tensor {
	values := make([]float32, n)
	fillNormal(values, 1)
	return safetensors.FromFloat32s("x", []int{n}, values)
}

// readBack reads the tensor x of n numbers into memory of its own.
func readBack(path string, n int) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	bytes, err := f.Bytes("x")
	if err != nil {
		return err
	}
	if kept := slices.Clone(bytes); len(kept) != 4*n {
		return fmt.Errorf("%d bytes, want %d", len(kept), 4*n)
	}
	return nil
}
