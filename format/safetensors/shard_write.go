package safetensors

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/durable"
)

// MaxShard is the usual size of a shard: 5 GB, in bytes of tensor data.
const MaxShard = 5_000_000_000

// WriteSharded writes a model into a folder: shards model-00001-of-00003.safetensors and so on, filled in the given order of the
// tensors until the next one would take a shard above maxShard bytes, then the index, which is written last. A single
// tensor above maxShard has a shard for itself.
func WriteSharded(dir string, tensors []Tensor, metadata map[string]string, maxShard int64) error {
	if maxShard <= 0 {
		return &Error{File: dir, Field: "shard size", Offset: -1, Kind: ErrTensor, Text: fmt.Sprintf("%d bytes", maxShard), Fix: "use MaxShard"}
	}
	if _, err := arrange(tensors); err != nil { // a name may not occur twice, whichever the shards
		return err
	}
	shards, total, err := fill(tensors, maxShard)
	if err != nil {
		return err
	}
	index := fmt.Appendf(nil, "{\n  \"metadata\": {\n    \"total_size\": %d\n  },\n  \"weight_map\": {", total)
	separator := "\n    "
	for i, shard := range shards {
		base := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := WriteFile(filepath.Join(dir, base), shard, metadata); err != nil {
			return err
		}
		for _, t := range shard {
			index = append(appendString(append(index, separator...), t.Name), ": "...)
			index = appendString(index, base)
			separator = ",\n    "
		}
	}
	index = append(index, "\n  }\n}\n"...)
	return durable.WriteFile(filepath.Join(dir, indexName), func(w io.Writer) error {
		_, err := w.Write(index)
		return err
	})
}

// fill deals the tensors into shards, greedily.
func fill(tensors []Tensor, maxShard int64) (shards [][]Tensor, total int64, err error) {
	inShard := int64(0)
	for _, t := range tensors {
		size, err := t.size()
		if err != nil {
			return nil, 0, err
		}
		if len(shards) == 0 || inShard+size > maxShard {
			shards, inShard = append(shards, nil), 0
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], t)
		inShard, total = inShard+size, total+size
	}
	return shards, total, nil
}
