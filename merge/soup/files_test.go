package soup_test

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
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/soup"
)

func TestUniformFiles(t *testing.T) {
	models := weightstest.Family(3, 3, 0.2)
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
		paths := []string{weightstest.Written(t, models[0], "BF16", 7), weightstest.Written(t, models[1], "F32", 8), weightstest.Written(t, models[2], "F16", 9)}
		var last, total int64
		r, err := soup.Uniform{WideAbove: wide}.Files(context.Background(), paths, out, func(done, of int64) {
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
	models := weightstest.Family(3, 2, 0.2)
	nan, other := models[1].Clone(), models[1].Clone()
	nan[2].Values[5] = float32(math.NaN())
	other[2].Shape = []int{2, 4}
	first := weightstest.Written(t, models[0], "F32", 1)
	for want, second := range map[string]string{
		"b/kernel: value 5 is NaN":         weightstest.Written(t, nan, "F32", 1),
		"b/kernel: the shape is [2 4]":     weightstest.Written(t, other, "F32", 1),
		"b/kernel: the tensor is missing;": weightstest.Written(t, models[1][:2], "F32", 1),
	} {
		out := filepath.Join(t.TempDir(), "soup")
		_, err := soup.NewUniform().Files(context.Background(), []string{first, second}, out, nil)
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
	if _, err := soup.NewUniform().Files(stopped, []string{first, first}, t.TempDir(), nil); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := soup.NewUniform().Files(context.Background(), nil, t.TempDir(), nil); err == nil {
		t.Error("a soup of nothing")
	}
	stranger := weightstest.Written(t, weightstest.Family(77, 1, 0.1)[0], "F32", 1)
	r, err := soup.NewUniform().Files(context.Background(), []string{first, stranger}, t.TempDir(), nil)
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], stranger+" points another way") {
		t.Errorf("%v, %v", r.Warnings, err)
	}
}
