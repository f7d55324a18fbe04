package merge_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/merge"
)

// written writes a model with a counter, its kernel in a type.
func written(t *testing.T, w weights.Set, kernel string, counter int64) string {
	t.Helper()
	list := []safetensors.Tensor{safetensors.FromInt64s("counter", nil, []int64{counter})}
	for _, tensor := range w {
		to := "F32"
		if strings.HasSuffix(tensor.Name, "kernel") {
			to = kernel
		}
		data := make([]byte, len(tensor.Values)*weights.Width(to))
		if _, err := weights.Round(data, to, tensor.Values); err != nil {
			t.Fatal(err)
		}
		list = append(list, safetensors.Tensor{Name: tensor.Name, DType: safetensors.DType(to), Shape: tensor.Shape, Data: data})
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := safetensors.WriteFile(path, list, map[string]string{"format": "pt", "made": "here"}); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUniformFiles(t *testing.T) {
	models := family(3, 3, 0.2)
	large := weights.Tensor{Name: "large/kernel", Shape: []int{700, 400}, Values: make([]float32, 280_000)} // more than a stretch
	for m := range models {
		l := large
		l.Values = slices.Clone(large.Values)
		for j := range l.Values {
			l.Values[j] = float32(j%13) + float32(m)
		}
		models[m] = append(models[m], l)
	}
	for _, wide := range []int{100, 0} {
		out := filepath.Join(t.TempDir(), "soup")
		paths := []string{written(t, models[0], "BF16", 7), written(t, models[1], "F32", 8), written(t, models[2], "F16", 9)}
		var last, total int64
		r, err := merge.UniformSoup{WideAbove: wide}.Files(context.Background(), paths, out, func(done, of int64) {
			if done < last {
				t.Errorf("%d after %d", done, last)
			}
			last, total = done, of
		})
		if err != nil {
			t.Fatal(err)
		}
		if last != total || total != int64(models[0].Size()+1) || r.Tensors != 5 || !slices.Equal(r.Copied, []string{"counter"}) || r.Warnings != nil {
			t.Errorf("%d of %d, %+v", last, total, r)
		}
		f, err := safetensors.Open(filepath.Join(out, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		counter, err := f.Int64s("counter")
		if err != nil || counter[0] != 7 || f.Metadata()["made"] != "here" {
			t.Errorf("counter %v, metadata %v, %v", counter, f.Metadata(), err)
		}
		for k, tensor := range models[0] {
			info, _ := f.Info(tensor.Name)
			got, err := f.Float64s(tensor.Name)
			if err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-6
			if strings.HasSuffix(tensor.Name, "kernel") {
				tolerance = 0.02 // bfloat16 on the way in and out
				if info.DType != safetensors.BF16 {
					t.Errorf("%s is %s, the first model's is BF16", tensor.Name, info.DType)
				}
			}
			for j, v := range got {
				mean := (float64(models[0][k].Values[j]) + float64(models[1][k].Values[j]) + float64(models[2][k].Values[j])) / 3
				if math.Abs(v-mean) > tolerance*math.Max(1, math.Abs(mean)) {
					t.Fatalf("%s[%d] is %v, want %v", tensor.Name, j, v, mean)
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUniformFilesRefuse(t *testing.T) {
	models := family(3, 2, 0.2)
	nan, other := models[1].Clone(), models[1].Clone()
	nan[2].Values[5] = float32(math.NaN())
	other[2].Shape = []int{2, 4}
	first := written(t, models[0], "F32", 1)
	for want, second := range map[string]string{
		"b/kernel: value 5 is NaN":         written(t, nan, "F32", 1),
		"b/kernel: the shape is [2 4]":     written(t, other, "F32", 1),
		"b/kernel: the tensor is missing;": written(t, models[1][:2], "F32", 1),
	} {
		out := filepath.Join(t.TempDir(), "soup")
		_, err := merge.NewUniformSoup().Files(context.Background(), []string{first, second}, out, nil)
		var bad *fault.Input
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || bad.File != second {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := os.Stat(filepath.Join(out, "model.safetensors")); err == nil {
			t.Error("there is a soup")
		}
	}
	stopped, stop := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	stop(cause)
	if _, err := merge.NewUniformSoup().Files(stopped, []string{first, first}, t.TempDir(), nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := merge.NewUniformSoup().Files(context.Background(), nil, t.TempDir(), nil); err == nil {
		t.Error("a soup of nothing")
	}
	stranger := written(t, family(77, 1, 0.1)[0], "F32", 1)
	r, err := merge.NewUniformSoup().Files(context.Background(), []string{first, stranger}, t.TempDir(), nil)
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], stranger+" points another way") {
		t.Errorf("%v, %v", r.Warnings, err)
	}
}

// TestPositionFiles: what is streamed from files is what the search found in memory.
func TestPositionFiles(t *testing.T) {
	models := family(12, 3, 0.4)
	for _, perTensor := range []bool{false, true} {
		method := merge.NewPosition()
		method.PerTensor, method.Keep, method.Steps = perTensor, []string{"a/bias"}, 7
		search, err := method.NewSearch(models[0], models[1:], nil)
		if err != nil {
			t.Fatal(err)
		}
		fit, found, err := search.Fit(bowl(models[2]))
		if err != nil {
			t.Fatal(err)
		}
		out := t.TempDir()
		if _, err := fit.Files(context.Background(), written(t, models[0], "F32", 4), []string{written(t, models[1], "F32", 5), written(t, models[2], "F32", 6)}, out, nil); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(filepath.Join(out, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range found {
			got, err := f.Float32s(tensor.Name)
			if err != nil {
				t.Fatal(err)
			}
			for j, v := range got {
				if math.Abs(float64(v)-float64(tensor.Values[j])) > 1e-6 {
					t.Fatalf("%s[%d] is %v, want %v", tensor.Name, j, v, tensor.Values[j])
				}
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := fit.Files(context.Background(), "a", []string{"b"}, out, nil); err == nil || !strings.Contains(err.Error(), "1 models for a fit of 2") {
			t.Errorf("got %v", err)
		}
	}
}
