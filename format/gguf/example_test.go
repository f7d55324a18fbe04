package gguf_test

import (
	"bytes"
	"fmt"

	"github.com/ballast-ml/ballast/format/gguf"
)

// A model is written in blocks of 4 bits and read again.
func Example() {
	weights := make([]float32, 64)
	for i := range weights {
		weights[i] = float32(i%16-8) / 8
	}
	kernel, err := gguf.FromFloat32s("blk.0.attn_q.weight", gguf.Q4_0, []int{2, 32}, weights)
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	err = gguf.Write(&file, []gguf.KeyValue{
		{Key: "general.architecture", Value: "toy"},
		{Key: "general.quantization_version", Value: uint32(2)},
		{Key: "toy.block_count", Value: uint32(1)},
	}, []gguf.Tensor{kernel})
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := gguf.Parse(file.Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	layers, err := f.Int("toy.block_count") // of whatever type of whole numbers
	if err != nil {
		fmt.Println(err)
		return
	}
	info, _ := f.Info("blk.0.attn_q.weight")
	some := make([]float32, 4)
	if err := f.ReadFloat32s(info.Name, 30, some); err != nil { // across two blocks
		fmt.Println(err)
		return
	}
	fmt.Println(layers, info.Type, info.Shape, info.End-info.Begin, "bytes")
	fmt.Println(some)
	// Output:
	// 1 Q4_0 [2 32] 36 bytes
	// [0.75 0.875 -1 -0.875]
}

func ExampleEncode() {
	values := make([]float32, 32)
	values[0], values[1] = -2, 1
	elements, size := gguf.Q8_0.Block()
	block := make([]byte, len(values)/elements*size)
	if err := gguf.Encode(gguf.Q8_0, block, values); err != nil {
		fmt.Println(err)
		return
	}
	back := make([]float32, len(values))
	if err := gguf.Decode(gguf.Q8_0, back, block); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(block), "bytes", back[:3])
	// Output:
	// 34 bytes [-1.9998779 1.0078125 0]
}

func ExampleParseType() {
	t, err := gguf.ParseType("q4_k")
	fmt.Println(t, err)
	_, err = gguf.ParseType("Q4K")
	fmt.Println(err)
	// Output:
	// Q4_K <nil>
	// gguf: type: tensor has an unknown type: "Q4K"; did you mean Q4_K?
}
