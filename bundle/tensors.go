package bundle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
)

// WriteTensors writes variables to a file under their paths, exact to the bit.
func WriteTensors(path string, variables []*model.Variable) error {
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header := map[string]entry{}
	var body []byte
	for _, v := range variables {
		start := len(body)
		value, err := v.Value()
		if err != nil {
			return err
		}
		if err := value.ConstBytes(func(data []byte) { body = append(body, data...) }); err != nil {
			return err
		}
		header[strings.TrimPrefix(v.Path(), "/")] = entry{v.DType().String(), append([]int{}, v.Shape().Dimensions...), [2]int{start, len(body)}}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return os.WriteFile(path, append(append(out, text...), body...), 0o644)
}

// ReadTensors gives variables the values a file has under their paths.
func ReadTensors(path string, variables []*model.Variable) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(raw)
	header := map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}{}
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		return err
	}
	for _, v := range variables {
		e, ok := header[strings.TrimPrefix(v.Path(), "/")]
		if !ok {
			return fmt.Errorf("bundle: %s has no tensor %s", path, v.Path())
		}
		t := tensors.FromShape(v.Shape())
		if err := t.MutableBytes(func(data []byte) { copy(data, raw[8+n:][e.Offsets[0]:e.Offsets[1]]) }); err != nil {
			return err
		}
		if err := v.SetValue(t); err != nil {
			return err
		}
	}
	return nil
}
