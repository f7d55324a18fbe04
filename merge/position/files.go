package position

import (
	"context"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/merge/soup"
)

// Files writes the merged model of a fit, base + sum over i of c_i (theta_i - base), from files: the base and the models in the order of
// the search, tensors under the names that they had there. Files are read in stretches, as by soup.Uniform.Files.
func (f Fit) Files(ctx context.Context, base string, models []string, out string, progress func(done, total int64)) (soup.FileResult, error) {
	if len(models) != len(f.A) {
		return soup.FileResult{}, &fault.Usage{Err: fmt.Errorf("merge: position: %d models for a fit of %d", len(models), len(f.A))}
	}
	shares := func(tensor string) []float64 {
		row := make([]float64, len(models)+1)
		row[0] = 1
		group := 0
		if f.Tensors != nil {
			group = slices.Index(f.Tensors, tensor)
		}
		if group < 0 || slices.Contains(f.Kept, tensor) {
			return row
		}
		for i, c := range f.Coefficients[group] {
			row[i+1], row[0] = c, row[0]-c
		}
		return row
	}
	return soup.CombineFiles(ctx, append([]string{base}, models...), out, shares, progress)
}
