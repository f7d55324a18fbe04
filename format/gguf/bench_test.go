package gguf

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// normal are values as the weights of a network have them.
func normal(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 0.03)
	}
	return x
}

// BenchmarkEncode first checks that what is timed gives the bytes of the plain code.
func BenchmarkEncode(b *testing.B) {
	const n = 4 << 20
	x := normal(n)
	for _, t := range []Type{F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, IQ4_NL} {
		b.Run(t.String(), func(b *testing.B) {
			elements, size := t.Block()
			dst := make([]byte, n/elements*size)
			checkKernels(b, t, x[:256*64])
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := EncodeParallel(t, dst, x); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}

// BenchmarkEncodeF16 encodes a model of 87 million halves, 174 MB, from memory to memory on all processors.
func BenchmarkEncodeF16(b *testing.B) {
	const n = 87_000_064 &^ 255
	halves := make([]byte, 2*n)
	small := normal(1 << 20)
	for at := 0; at < n; at += len(small) {
		part := small[:min(len(small), n-at)]
		if err := EncodeParallel(F16, halves[2*at:2*(at+len(part))], part); err != nil {
			b.Fatal(err)
		}
	}
	for _, t := range []Type{Q4_0, Q8_0, Q4_K, Q5_K, Q6_K} {
		b.Run(t.String(), func(b *testing.B) {
			elements, size := t.Block()
			dst := make([]byte, n/elements*size)
			checkKernels(b, t, small[:256*64])
			b.SetBytes(2 * n)
			for b.Loop() {
				err := inParallel(n, func(begin, end int) error {
					var x [share]float32
					if err := Decode(F16, x[:end-begin], halves[2*begin:2*end]); err != nil {
						return err
					}
					return Encode(t, dst[begin/elements*size:end/elements*size], x[:end-begin])
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/model")
		})
	}
}

// BenchmarkDecode is of one processor.
func BenchmarkDecode(b *testing.B) {
	const n = 1 << 20
	x := normal(n)
	for _, t := range Types() {
		if !t.CanEncode() {
			continue
		}
		b.Run(fmt.Sprint(t), func(b *testing.B) {
			elements, size := t.Block()
			src := make([]byte, n/elements*size)
			if err := EncodeParallel(t, src, x); err != nil {
				b.Fatal(err)
			}
			checkKernels(b, t, x[:256*64])
			dst := make([]float32, n)
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := Decode(t, dst, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
