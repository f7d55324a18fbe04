package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
)

// single tells whether the output is one file.
func (p *Plan) single() bool { return strings.HasSuffix(p.Out, ".safetensors") }

// arrange deals the tensors into files and gives each its place.
func (p *Plan) arrange() error {
	if _, err := outputType(p.options.DType); err != nil {
		return &fault.Input{Field: "dtype", Err: err}
	}
	var shards [][]*planned
	inShard := int64(0)
	for _, t := range p.tensors {
		bits := safetensors.DType(t.typ).Bits()
		if bits == 0 {
			return &fault.Input{Field: t.name, Err: fmt.Errorf("tensors of type %s can be neither merged nor copied", t.typ), Fix: "leave it out with allow missing: intersection"}
		}
		n := 1
		for _, d := range t.shape {
			n *= d
		}
		t.bytes = int64(n) * int64(bits) / 8
		if len(shards) == 0 || !p.single() && inShard+t.bytes > p.options.ShardSize {
			shards, inShard = append(shards, nil), 0
		}
		shards[len(shards)-1] = append(shards[len(shards)-1], t)
		inShard += t.bytes
	}

	byName := map[string]*planned{}
	for _, t := range p.tensors {
		byName[t.name] = t
	}

	p.tensors = p.tensors[:0]
	for i, shard := range shards {
		var list []safetensors.Tensor
		for _, t := range shard {
			list = append(list, safetensors.Tensor{Name: t.name, DType: safetensors.DType(t.typ), Shape: t.shape})
		}
		meta := map[string]string{"format": "pt"}
		if i == 0 {
			p.carry(meta)
		}
		header, order, err := safetensors.Header(list, meta)
		if err != nil {
			return err
		}
		at := int64(len(header))
		for _, o := range order {
			t := byName[o.Name]
			t.file, t.at = i, at
			at += t.bytes
			p.tensors = append(p.tensors, t)
		}
		name := "model.safetensors"
		if p.single() {
			name = filepath.Base(p.Out)
		} else if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		p.Files = append(p.Files, Output{Name: name, Bytes: at, header: header})
		p.Write += at
	}

	p.Tensors = len(p.tensors)
	for _, t := range p.tensors {
		for _, r := range t.all() {
			p.Read += r.info.Bytes
		}
	}
	return nil
}

// fingerprint is the same for merges that write the same bytes: what a resumed merge must share with the one that was stopped.
func (p *Plan) fingerprint() string {
	h := sha256.New()
	e := json.NewEncoder(h)
	_ = e.Encode(p.Recipe)
	_ = e.Encode([]any{p.Seed, p.Files, p.options.AllowMissing, p.options.Saturate, p.options.Versions})
	for _, in := range p.Inputs {
		_, _ = io.WriteString(h, in.stamp)
	}
	for _, f := range p.Files {
		h.Write(f.header)
	}
	return hex.EncodeToString(h.Sum(nil))
}
