package objective

import (
	"bytes"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/train/update"
)

// suspects lists the examples of the stream train whose label is not the class that the averages at some paths say together. Its numbers
// are suspects (how many) and, where wrong labels were put in on purpose, suspect_precision and suspect_recall.
func suspects(h update.Host, paths ...string) (update.Yield, error) {
	var averages []float32
	classes := 0
	for _, path := range paths {
		v := h.Store().GetVariable(path)
		if v == nil {
			return update.Yield{}, fmt.Errorf("objective: there are no averages at %s", path)
		}
		value, err := v.Value()
		if err != nil {
			return update.Yield{}, err
		}
		flat, err := tensors.CopyFlatData[float32](value)
		if err != nil {
			return update.Yield{}, err
		}
		if averages == nil {
			averages, classes = flat, v.Shape().Dimensions[1]
			continue
		}
		for i, q := range flat {
			averages[i] += q
		}
	}

	set, labels := h.Data(update.Train)
	found, err := loss.Suspects(averages, classes, labels)
	if err != nil {
		return update.Yield{}, err
	}
	detected, err := loss.Detect(found, labels, h.Truth(update.Train))
	if err != nil {
		return update.Yield{}, err
	}
	numbers := map[string]float64{"suspects": float64(detected.Suspects)}
	if recall, wrong := detected.Recall(); wrong {
		numbers["suspect_recall"] = recall
		if precision, some := detected.Precision(); some {
			numbers["suspect_precision"] = precision
		}
	}

	var text bytes.Buffer
	if err := loss.WriteSuspects(&text, found, set.Info().Classes, stable(set)); err != nil {
		return update.Yield{}, err
	}
	return update.Yield{Numbers: numbers, Files: []update.File{{Name: update.SuspectsFile, Content: text.Bytes()}}}, nil
}

// stable is the place of an example in the data set that a set was taken from.
func stable(set data.Dataset) func(row int) int {
	indexed, ok := set.(data.Indexed)
	return func(row int) int {
		if ok {
			return int(indexed.StableIndex(row))
		}
		return row
	}
}
