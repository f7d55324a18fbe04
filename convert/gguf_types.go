package convert

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
)

// smallest is how many elements a tensor needs to be packed into blocks: below it nothing is saved.
const smallest = 1024

// wholeTypes gives whole numbers the type of GGUF that holds them; it has no unsigned ones.
var wholeTypes = map[string]string{"BOOL": "I8", "U8": "I16", "U16": "I32", "U32": "I64", "U64": "I64", "I8": "I8", "I16": "I16", "I32": "I32", "I64": "I64"}

// narrower gives the type for rows that are a multiple of 32 and not of 256, as llama.cpp has it.
var narrower = map[string]string{"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}

// forGGUF decides about the type of a tensor in GGUF.
func (p *plan) forGGUF(t *planned, from string) error {
	info := t.from
	fail := func(text, fix string) error {
		return &fault.Input{File: p.file.Path(), Field: info.Name, Err: fmt.Errorf("%s", text), Fix: fix}
	}
	switch {
	case len(info.Shape) > 4:
		return fail(fmt.Sprintf("shape %v, GGUF takes at most 4 dimensions", info.Shape), "convert to safetensors, or reshape it first")
	case len(t.name) > 63:
		return fail(fmt.Sprintf("its name has %d bytes, GGUF takes at most 63", len(t.name)), "rename it first, or convert to safetensors")
	}
	if whole, ok := wholeTypes[from]; ok {
		t.raw = whole == from && t.raw
		if t.to = whole; whole != from {
			t.remark = fmt.Sprintf("GGUF has no %s, its values are %s", from, whole)
		}
		return nil
	}
	if !isFloat(from) {
		return fail(fmt.Sprintf("type %s, GGUF has none like it", info.Type), "take it out of the model first, or convert to safetensors")
	}
	if p.options.Type == "" {
		switch {
		case wide(t) && from != "F64" || p.decoder != nil && from == "F64": // programs for GGUF have no F64
			t.to = "F32"
			if t.raw = t.raw && from == "F32"; from == "F64" {
				t.remark = "programs that run GGUF models have no F64, its values are F32"
			}
		case blockOf(info.Type).elements > 0: // from GGUF to GGUF
			t.to, t.raw, t.remark = info.Type, true, ""
		case strings.HasPrefix(from, "F8"):
			t.to, t.raw, t.remark = "F32", false, fmt.Sprintf("GGUF has no %s, its values are F32", from)
		}
		return nil
	}
	t.to, t.remark = p.narrowed(t)
	t.raw = t.raw && t.to == from
	if t.to == from {
		_, t.raw = typeOf(info)
	}
	return nil
}

// wideNames end the names of matrices that programs for GGUF take as F32 alone: norms, learnt positions, and what chooses experts.
var wideNames = []string{"_norm.weight", "position_embd.weight", "token_types.weight", "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight"}

// wide tells the tensors that are F32 whatever the type of the others: vectors, and those of wideNames.
func wide(t *planned) bool {
	return len(t.from.Shape) < 2 || slices.ContainsFunc(wideNames, func(ending string) bool { return strings.HasSuffix(t.name, ending) })
}

// narrowed is the type a tensor takes with --type.
func (p *plan) narrowed(t *planned) (to, remark string) {
	shape, want := t.from.Shape, p.options.Type
	if want == "F32" || want == "F64" {
		return want, ""
	}
	if wide(t) {
		return "F32", ""
	}
	b := blockOf(want)
	if b.elements == 0 {
		return want, ""
	}
	if t.from.Elements < smallest || strings.Contains(t.name, "norm") {
		return "F32", ""
	}
	row := shape[len(shape)-1]
	if row%b.elements == 0 {
		return want, ""
	}
	if other, ok := narrower[want]; ok && row%blockOf(other).elements == 0 {
		return other, fmt.Sprintf("rows of %d values are not a multiple of %d, so their type is %s, not %s", row, b.elements, other, want)
	}
	return "F16", fmt.Sprintf("rows of %d values are not a multiple of %d, so their type is F16, not %s", row, b.elements, want)
}

// fileTypes are the numbers of general.file_type for a file most of whose weights are of one type.
var fileTypes = map[string]uint32{"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q4_K": 14, "Q5_K": 16, "Q6_K": 18, "BF16": 32}

// mostly is the type of most elements of the output.
func (p *plan) mostly() string {
	count := map[string]int{}
	for i := range p.tensors {
		count[p.tensors[i].to] += p.tensors[i].from.Elements
	}
	best := ""
	for _, t := range slices.Sorted(maps.Keys(count)) {
		if best == "" || count[t] > count[best] {
			best = t
		}
	}
	return best
}
