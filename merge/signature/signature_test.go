package signature_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/format/weights/weightstest"
	"github.com/ballast-ml/ballast/merge/signature"
)

// threeModels are a pretrained model, a clean and a robust one.
func threeModels(seed uint64) (pretrained, clean, robust weights.Set) {
	r := rand.New(rand.NewPCG(seed, 2))
	pretrained = weightstest.Drawn(r, weightstest.Blank(), 1)
	clean = weightstest.Drawn(r, pretrained, 0.3)
	return pretrained, clean, weightstest.Drawn(r, clean, 0.2)
}

func extract(t testing.TB, layers string, seed uint64) (s signature.Signature, clean weights.Set) {
	t.Helper()
	pretrained, clean, robust := threeModels(seed)
	s, err := signature.Robust{Layers: layers, Norms: signature.NormsPatch}.Extract(pretrained, clean, robust)
	if err != nil {
		t.Fatal(err)
	}
	return s, clean
}

// TestSignatureIsOrthogonal: each tensor by itself is orthogonal to the clean direction, and signature and projection make the whole.
func TestSignatureIsOrthogonal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pretrained, clean, robust := threeModels(rapid.Uint64().Draw(rt, "seed"))
		s, err := signature.Robust{Layers: "all", Norms: signature.NormsPatch}.Extract(pretrained, clean, robust)
		if err != nil {
			rt.Fatal(err)
		}
		for i, tensor := range s.Tensors {
			var along, bb, vv, ss float64
			for j, v := range tensor.Values {
				b := float64(clean[i].Values[j]) - float64(pretrained[i].Values[j])
				d := float64(robust[i].Values[j]) - float64(pretrained[i].Values[j])
				along, bb, vv, ss = along+float64(v)*b, bb+b*b, vv+d*d, ss+float64(v)*float64(v)
			}
			if math.Abs(along) > 1e-5*math.Sqrt(bb*vv) {
				rt.Fatalf("%s: %v along the clean direction", tensor.Name, along)
			}
			if whole := ss + s.Removed[i]*s.Removed[i]*vv; math.Abs(whole-vv) > 1e-4*vv {
				rt.Fatalf("%s: %v, want %v", tensor.Name, whole, vv)
			}
		}
	})
}

func TestCleanEqualsPretrained(t *testing.T) {
	pretrained, _, robust := threeModels(1)
	s, err := signature.Robust{Layers: "a/*", Norms: signature.NormsPatch}.Extract(pretrained, pretrained, robust)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) != 2 || !strings.Contains(s.Warnings[0], "a/kernel: the clean model equals the pretrained one") || s.Removed[0] != 0 {
		t.Errorf("%v, removed %v", s.Warnings, s.Removed)
	}
	if want := robust[0].Values[5] - pretrained[0].Values[5]; math.Abs(float64(s.Tensors[0].Values[5]-want)) > 1e-6 {
		t.Errorf("%v, want the whole difference %v", s.Tensors[0].Values[5], want)
	}
}

func TestApplyAndRemove(t *testing.T) {
	one, clean := extract(t, "all", 3)
	two, _ := extract(t, "a/*", 4)
	p, err := signature.Apply(clean, []signature.Scaled{{Signature: one, Scale: 0.5}, {Signature: two, Scale: -2}}, signature.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, tensor := range p.Weights {
		second, _ := two.Tensors.Find(tensor.Name)
		for j, v := range tensor.Values {
			want := float64(clean[i].Values[j]) + 0.5*float64(one.Tensors[i].Values[j])
			if second.Values != nil {
				want -= 2 * float64(second.Values[j])
			}
			if math.Abs(float64(v)-want) > 1e-6 {
				t.Fatalf("%s[%d] is %v, want %v", tensor.Name, j, v, want)
			}
		}
	}
	_, err = signature.Apply(p.Weights, []signature.Scaled{{Signature: two, Scale: 1}}, signature.ApplyOptions{Applied: p.Applied})
	var usage *fault.Usage
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), two.ID+" is on the model already") {
		t.Errorf("got %v", err)
	}
	_, err = signature.Apply(clean, []signature.Scaled{{Signature: two, Scale: 1}, {Signature: two, Scale: 1}}, signature.ApplyOptions{})
	if !errors.As(err, &usage) {
		t.Errorf("twice in one list: got %v", err)
	}
	again, err := signature.Apply(p.Weights, []signature.Scaled{{Signature: two, Scale: 1}}, signature.ApplyOptions{Applied: p.Applied, Force: true})
	if err != nil || len(again.Applied) != 3 {
		t.Errorf("forced: %v, %v", again.Applied, err)
	}
	back, left, _, err := signature.Remove(p.Weights, two, p.Applied)
	if err != nil {
		t.Fatal(err)
	}
	if back, left, _, err = signature.Remove(back, one, left); err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 || weightstest.Largest(back, clean) >= 1e-6 {
		t.Errorf("%v left, %v away", left, weightstest.Largest(back, clean))
	}
	if _, _, _, err = signature.Remove(back, one, left); err == nil || !strings.Contains(err.Error(), "is not on the model") {
		t.Errorf("got %v", err)
	}
}

// TestRemoveSaysWhetherItIsExact: with values whose sums are exact, the checksum agrees; changed in between, it does not.
func TestRemoveSaysWhetherItIsExact(t *testing.T) {
	tensor := func(v float32) weights.Set {
		return weights.Set{{Name: "k", Shape: []int{2}, Values: []float32{v, 0}}}
	}
	robust := tensor(0)
	robust[0].Values[1] = 0.5 // orthogonal to the clean direction
	s, err := signature.Robust{Layers: "all", Norms: signature.NormsPatch}.Extract(tensor(0), tensor(1), robust)
	if err != nil {
		t.Fatal(err)
	}
	p, err := signature.Apply(tensor(1), []signature.Scaled{{Signature: s, Scale: 1}}, signature.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, exact, err := signature.Remove(p.Weights, s, p.Applied); err != nil || !exact {
		t.Errorf("%v, %v", exact, err)
	}
	p.Weights[0].Values[0] = 1.25
	if _, _, exact, err := signature.Remove(p.Weights, s, p.Applied); err != nil || exact {
		t.Errorf("%v, %v", exact, err)
	}
}

func TestSquaredScalesAndShares(t *testing.T) {
	one, clean := extract(t, "all", 3)
	two, _ := extract(t, "all", 4)
	shares := signature.EqualShares(1, one, two)
	squared, err := signature.Apply(clean, shares, signature.ApplyOptions{SquareScales: true})
	if err != nil {
		t.Fatal(err)
	}
	quarter, err := signature.Apply(clean, []signature.Scaled{{Signature: one, Scale: 0.25}, {Signature: two, Scale: 0.25}}, signature.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if squared.Weights.Checksum() != quarter.Weights.Checksum() {
		t.Error("halves squared are not quarters")
	}
	single, err := signature.Apply(clean, []signature.Scaled{{Signature: one, Scale: 0.5}}, signature.ApplyOptions{SquareScales: true})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := signature.Apply(clean, []signature.Scaled{{Signature: one, Scale: 0.5}}, signature.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if single.Weights.Checksum() != plain.Weights.Checksum() {
		t.Error("a single scale is squared")
	}
}

// TestQuantizers: every value is at most half a level away, in the quantizer's space; zeros stay zeros in log; codes come back from
// a file bit for bit.
func TestQuantizers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom([]string{signature.QuantizeLinear, signature.QuantizeTanh, signature.QuantizeLog}).Draw(rt, "kind")
		levels := rapid.IntRange(4, 300).Draw(rt, "levels")
		s, _ := extract(t, "all", rapid.Uint64().Draw(rt, "seed"))
		if rapid.Bool().Draw(rt, "zero") {
			s.Tensors[0].Values[3] = 0
		}
		q, err := s.Quantize(kind, levels)
		if err != nil {
			rt.Fatal(err)
		}
		space := func(v float32) float64 {
			switch kind {
			case signature.QuantizeTanh:
				return math.Tanh(float64(v))
			case signature.QuantizeLog:
				return math.Log2(math.Abs(float64(v)))
			}
			return float64(v)
		}
		steps := levels
		if kind == signature.QuantizeLog {
			steps = levels / 2
		}
		for i, tensor := range q.Tensors {
			low, high := math.Inf(1), math.Inf(-1)
			for _, v := range s.Tensors[i].Values {
				if kind != signature.QuantizeLog || v != 0 {
					low, high = math.Min(low, space(v)), math.Max(high, space(v))
				}
			}
			distinct := map[float32]bool{}
			for j, v := range tensor.Values {
				old := s.Tensors[i].Values[j]
				distinct[v] = true
				if kind == signature.QuantizeLog && (old == 0 || v == 0) {
					if old != v {
						rt.Fatalf("%v became %v", old, v)
					}
					continue
				}
				if d := math.Abs(space(v) - space(old)); d > (high-low)/float64(steps-1)/2+1e-6*math.Max(1, math.Abs(high)+math.Abs(low)) {
					rt.Fatalf("%s: %v became %v, %v away of %v", kind, old, v, d, (high-low)/float64(steps-1))
				}
				if kind == signature.QuantizeLog && (old < 0) != (v < 0) {
					rt.Fatalf("%v became %v", old, v)
				}
			}
			if len(distinct) > levels+1 {
				rt.Fatalf("%d values, %d levels", len(distinct), levels)
			}
		}
		sameFromFile(rt, q)
	})
}

func sameFromFile(t interface{ Fatalf(string, ...any) }, s signature.Signature) {
	var file bytes.Buffer
	if _, err := s.WriteTo(&file); err != nil {
		t.Fatalf("%v", err)
	}
	got, err := signature.Parse("file", file.Bytes())
	if err != nil {
		t.Fatalf("%v", err)
	}
	if got.ID != s.ID || got.Tensors.Checksum() != s.Tensors.Checksum() || got.Replaced.Checksum() != s.Replaced.Checksum() || got.Name != s.Name || got.Levels != s.Levels || !slices.Equal(got.Removed, s.Removed) {
		t.Fatalf("another signature came back: %+v, want %+v", got, s)
	}
	var again bytes.Buffer
	if _, err := got.WriteTo(&again); err != nil || !bytes.Equal(again.Bytes(), file.Bytes()) {
		t.Fatalf("written again, the bytes differ (%v)", err)
	}
}

func TestSignatureFile(t *testing.T) {
	s, _ := extract(t, "a/*", 5)
	s.Name, s.Metadata = "noise", map[string]string{"severity": "5"}
	sameFromFile(t, s)
	path := filepath.Join(t.TempDir(), "noise.sig")
	small, err := s.Quantize(signature.QuantizeLinear, 16)
	if err != nil {
		t.Fatal(err)
	}
	if err := small.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := signature.Load(path)
	if err != nil || got.Metadata["severity"] != "5" || got.Name != "noise" {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.PackedSize() != 6+2 { // 12 and 4 values of 4 bits
		t.Errorf("%d bytes", got.PackedSize())
	}
}

// TestBadSignatureFiles: each fault is named, and no file makes a panic.
func TestBadSignatureFiles(t *testing.T) {
	s, _ := extract(t, "a/*", 5)
	small, err := s.Quantize(signature.QuantizeLinear, 5)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := small.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Parse(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	header := f.Metadata()["ballast.signature"]
	build := func(header string, edit func([]safetensors.Tensor) []safetensors.Tensor) []byte {
		var list []safetensors.Tensor
		for info := range f.All() {
			data, err := f.Bytes(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, safetensors.Tensor{Name: info.Name, DType: info.DType, Shape: info.Shape, Data: bytes.Clone(data)})
		}
		if edit != nil {
			list = edit(list)
		}
		var out bytes.Buffer
		metadata := map[string]string{"ballast.signature": header}
		if header == "" {
			metadata = nil
		}
		if err := safetensors.Write(&out, list, metadata); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	change := func(old, new string) string {
		if !strings.Contains(header, old) {
			t.Fatalf("no %s in %s", old, header)
		}
		return strings.Replace(header, old, new, 1)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"not one":       {build("", nil), "this safetensors file is not a signature"},
		"cut":           {file.Bytes()[:file.Len()-3], "bad: "},
		"unknown key":   {build(change(`"norms"`, `"nroms"`), nil), `norms`},
		"version":       {build(change(`"schema_version":1`, `"schema_version":7`), nil), "schema_version: it is 7"},
		"quantizer":     {build(change(`"linear"`, `"lienar"`), nil), `there is no "lienar"`},
		"levels":        {build(change(`"levels":5`, `"levels":1`), nil), "levels: they are 1"},
		"norms":         {build(change(`"patch"`, `"ptch"`), nil), `there is no "ptch"`},
		"other levels":  {build(change(`"levels":5`, `"levels":16`), nil), "codes of 4 bits"},
		"other shape":   {build(change(`[3,4]`, `[3,400]`), nil), "does not hold 1200 codes"},
		"huge shape":    {build(change(`[3,4]`, `[3000000000,3000000000]`), nil), "shape is"},
		"other name":    {build(change(`"a/kernel"`, `"b/kernel"`), nil), "no such tensor"},
		"span":          {build(change(`"low":-`, `"low":9`), nil), "its values run from"},
		"another id":    {build(change(`"id":"`, `"id":"0`), nil), "the content is that of"},
		"code too high": {build(header, func(l []safetensors.Tensor) []safetensors.Tensor { l[0].Data[0] = 0xff; return l }), "code 0 is 7, there are 5"},
		"spare bits": {build(header, func(l []safetensors.Tensor) []safetensors.Tensor {
			for i := range l {
				if strings.HasSuffix(l[i].Name, "a/kernel") { // 12 codes of 3 bits: 4 spare bits
					l[i].Data[4] |= 0x80
				}
			}
			return l
		}), "bits behind the last code are set"},
		"one more": {build(header, func(l []safetensors.Tensor) []safetensors.Tensor {
			return append(l, safetensors.FromFloat32s("x", []int{1}, []float32{1}))
		}), "the header names 2, the file holds 3"},
	} {
		_, err := signature.Parse("bad", c.data)
		var bad interface{ BadInput() bool }
		if err == nil || !errors.As(err, &bad) || !bad.BadInput() || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "bad: ") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := signature.Load(filepath.Join(t.TempDir(), "none.sig")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "ballast signature extract") {
		t.Errorf("got %v", err)
	}
}

func TestQuantizeErrors(t *testing.T) {
	s, _ := extract(t, "all", 5)
	for _, c := range []struct {
		kind   string
		levels int
		want   string
	}{
		{"linaer", 8, `did you mean "linear"?`},
		{signature.QuantizeLinear, 1, "1 levels; use 3 to"},
		{signature.QuantizeLinear, 2, "2 levels cannot hold a/kernel"},
		{signature.QuantizeLinear, 1 << 20, "use 3 to 65535"},
	} {
		if _, err := s.Quantize(c.kind, c.levels); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %d: got %v", c.kind, c.levels, err)
		}
	}
	even := signature.Signature{Tensors: weights.Set{{Name: "k", Shape: []int{4}, Values: []float32{-2, 2, 2, -2}}}, Norms: signature.NormsPatch}
	q, err := even.Quantize(signature.QuantizeLinear, 2)
	if err != nil || !slices.Equal(q.Tensors[0].Values, even.Tensors[0].Values) {
		t.Errorf("%v, %v: two levels hold -2 and 2", q.Tensors, err)
	}
	large := signature.Signature{Tensors: weights.Set{{Name: "k", Shape: []int{2}, Values: []float32{-60, 50}}}}
	if _, err := large.Quantize(signature.QuantizeTanh, 16); err == nil || !strings.Contains(err.Error(), "too large for the quantizer tanh; use linear") {
		t.Errorf("got %v: tanh of 60 is 1", err)
	}
	large.Tensors[0].Values[0] = float32(math.NaN())
	if _, err := large.Quantize(signature.QuantizeLinear, 16); err == nil || !strings.Contains(err.Error(), "value 0 is NaN") {
		t.Errorf("got %v", err)
	}
	constant := signature.Signature{Tensors: weights.Set{{Name: "k", Shape: []int{3}, Values: []float32{0.3, 0.3, 0.3}}}}
	for _, kind := range []string{signature.QuantizeLinear, signature.QuantizeLog} {
		if q, err := constant.Quantize(kind, 8); err != nil || math.Abs(float64(q.Tensors[0].Values[1])-0.3) > 1e-7 {
			t.Errorf("%s: %v, %v", kind, q.Tensors, err)
		}
	}
}

// names makes weights of names and ranks: "a.weight:4".
func named(specs ...string) weights.Set {
	var w weights.Set
	for _, s := range specs {
		name, rank, _ := strings.Cut(s, ":")
		shape := slices.Repeat([]int{1}, int(rank[0]-'0'))
		w = append(w, weights.Tensor{Name: name, Shape: shape, Values: []float32{1}})
	}
	return w
}

func TestSelectLayers(t *testing.T) {
	vgg := named("features.0.weight:4", "features.0.bias:1", "features.2.weight:4", "features.2.bias:1", "features.10.weight:4", "features.10.bias:1", "classifier.weight:2", "classifier.bias:1")
	resnet := named("conv1.weight:4", "bn1.weight:1", "bn1.bias:1", "bn1.running_mean:1",
		"layer1.0.conv1.weight:4", "layer1.0.bn1.weight:1", "layer1.0.conv2.weight:4", "layer1.0.bn2.bias:1", "layer1.0.downsample.0.weight:4", "layer1.0.downsample.1.weight:1",
		"layer1.1.conv1.weight:4", "fc.weight:2")
	ours := named("model/layer_1/kernel:4", "model/layer_1/norm/scale:1", "model/layer_2/kernel:4", "model/output/kernel:2")
	for _, c := range []struct {
		text string
		in   weights.Set
		want string
	}{
		{"first:2", vgg, "features.0.weight features.0.bias features.2.weight features.2.bias"},
		{"first:1", resnet, "conv1.weight"},
		{"blocks:1", resnet, "conv1.weight bn1.weight bn1.bias bn1.running_mean"},
		{"blocks:2", resnet, "conv1.weight bn1.weight bn1.bias bn1.running_mean layer1.0.conv1.weight layer1.0.bn1.weight layer1.0.conv2.weight layer1.0.bn2.bias layer1.0.downsample.0.weight layer1.0.downsample.1.weight"},
		{"blocks:2", vgg, "features.0.weight features.0.bias features.2.weight features.2.bias"},
		{"first:1", ours, "model/layer_1/kernel"},
		{"blocks:1", ours, "model/layer_1/kernel model/layer_1/norm/scale"},
		{"all", ours, "model/layer_1/kernel model/layer_1/norm/scale model/layer_2/kernel model/output/kernel"},
		{"model/layer_2/kernel, *norm*", ours, "model/layer_1/norm/scale model/layer_2/kernel"},
	} {
		got, err := signature.SelectLayers(c.text, c.in)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v; want %s", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"first:4": "asks for more than the 3 that the model has; use first:3", "first:0": "at least 1", "first:x": "at least 1",
		"features.0.wieght": `did you mean "features.0.weight"?`, "q*": `no tensor is called "q*"`,
	} {
		if _, err := signature.SelectLayers(text, vgg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestExtractErrors(t *testing.T) {
	pretrained, clean, robust := threeModels(1)
	nan := robust.Clone()
	nan[0].Values[0] = float32(math.NaN())
	statistics := named("bn1.running_mean:1")
	method := signature.Robust{Layers: "all", Norms: signature.NormsPatch}
	for want, run := range map[string]func() error{
		"the robust model: b/kernel: the tensor is missing": func() error { _, err := method.Extract(pretrained, clean, robust[:2]); return err },
		"the robust model: a/kernel: value 0 is NaN":        func() error { _, err := method.Extract(pretrained, clean, nan); return err },
		"selects no tensor that has a signature":            func() error { _, err := method.Extract(statistics, statistics, statistics); return err },
		`norms is "ptch"; did you mean "patch"?`: func() error {
			_, err := signature.Robust{Layers: "all", Norms: "ptch"}.Extract(pretrained, clean, robust)
			return err
		},
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	s, _ := extract(t, "all", 1)
	if _, err := signature.Apply(clean[:1], []signature.Scaled{{Signature: s, Scale: 1}}, signature.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "a/bias: signature") {
		t.Errorf("got %v", err)
	}
	other := clean.Clone()
	other[0].Shape = []int{4, 3}
	if _, err := signature.Apply(other, []signature.Scaled{{Signature: s, Scale: 1}}, signature.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "[4 3] in the target") {
		t.Errorf("got %v", err)
	}
}

// TestNorms: replaced by the mean of the robust models, or statistics estimated again and mixed by the scale.
func TestNorms(t *testing.T) {
	model := func(kernel, scale, mean float32) weights.Set {
		return weights.Set{
			{Name: "l/kernel", Shape: []int{1, 1, 1, 2}, Values: []float32{kernel, 1}},
			{Name: "l/norm/scale", Shape: []int{1}, Values: []float32{scale}},
			{Name: "l/norm/mean", Shape: []int{1}, Values: []float32{mean}},
		}
	}
	clean := model(2, 1.5, 0.1)
	sign := func(norms string, robust weights.Set) signature.Signature {
		s, err := signature.Robust{Layers: "blocks:1", Norms: norms}.Extract(model(1, 1, 0), clean, robust)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two := sign(signature.NormsReplace, model(3, 2, 0.5)), sign(signature.NormsReplace, model(4, 4, 0.7))
	sameFromFile(t, one)
	p, err := signature.Apply(clean, []signature.Scaled{{Signature: one, Scale: 0.1}, {Signature: two, Scale: 0.1}}, signature.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Weights[1].Values[0] != 3 || math.Abs(float64(p.Weights[2].Values[0])-0.6) > 1e-6 {
		t.Errorf("norms are %v and %v, want 3 and 0.6", p.Weights[1].Values, p.Weights[2].Values)
	}
	if _, _, _, err := signature.Remove(p.Weights, one, p.Applied); err == nil || !strings.Contains(err.Error(), "use the clean model") {
		t.Errorf("got %v", err)
	}
	again := sign(signature.NormsRecalibrate, model(3, 2, 0.5))
	calls := 0
	p, err = signature.Apply(clean, []signature.Scaled{{Signature: again, Scale: 0.25}}, signature.ApplyOptions{Recalibrate: func(w weights.Set) (weights.Set, error) {
		calls++
		w[2].Values[0], w[0].Values[0] = 0.9, 77 // only statistics count
		return w, nil
	}})
	if err != nil || calls != 1 || math.Abs(float64(p.Weights[2].Values[0])-(0.75*0.1+0.25*0.9)) > 1e-6 || p.Weights[0].Values[0] == 77 {
		t.Errorf("%v, %v, %d calls", p.Weights, err, calls)
	}
	p, err = signature.Apply(clean, []signature.Scaled{{Signature: again, Scale: 1}}, signature.ApplyOptions{})
	if err != nil || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "l/norm/mean") {
		t.Errorf("%v, %v", p.Warnings, err)
	}
	mixed := []signature.Scaled{{Signature: again, Scale: 1}, {Signature: one, Scale: 1}}
	if _, err := signature.Apply(clean, mixed, signature.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "extract them alike") {
		t.Errorf("got %v", err)
	}
}

func TestCosineAndDifferences(t *testing.T) {
	one, clean := extract(t, "a/*", 3)
	same, _ := extract(t, "all", 3)
	if c, err := signature.Cosine(one, same); err != nil || math.Abs(c-1) > 1e-9 {
		t.Errorf("%v, %v", c, err)
	}
	other, _ := extract(t, "b/*", 3)
	if _, err := signature.Cosine(one, other); err == nil || !strings.Contains(err.Error(), "no tensor in common") {
		t.Errorf("got %v", err)
	}
	far := clean.Clone()
	for j := range far[0].Values {
		far[0].Values[j] *= 1.5
	}
	d, err := signature.RelativeDifferences(clean, far)
	if err != nil || math.Abs(d[0].Relative-0.5) > 1e-6 || d[1].Relative != 0 {
		t.Errorf("%v, %v", d, err)
	}
}

func FuzzParse(f *testing.F) {
	for seed, kind := range []string{signature.QuantizeNone, signature.QuantizeLinear, signature.QuantizeTanh, signature.QuantizeLog} {
		s, _ := extract(f, "all", uint64(seed))
		q, err := s.Quantize(kind, 6)
		if err != nil {
			f.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := q.WriteTo(&file); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := signature.Parse("fuzz", data)
		if err != nil {
			var bad interface{ BadInput() bool }
			if !errors.As(err, &bad) || !bad.BadInput() {
				t.Fatalf("no bad input: %v", err)
			}
			return
		}
		var file bytes.Buffer
		if _, err := s.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		again, err := signature.Parse("again", file.Bytes())
		if err != nil || again.ID != s.ID {
			t.Fatalf("%v", err)
		}
	})
}

func ExampleRobust() {
	tensor := func(values ...float32) weights.Set {
		return weights.Set{{Name: "conv.weight", Shape: []int{1, 1, 1, 2}, Values: values}}
	}
	method := signature.NewRobust()
	method.Layers = "first:1"
	s, err := method.Extract(tensor(0, 0), tensor(1, 0), tensor(1, 0.5))
	if err != nil {
		fmt.Println(err)
		return
	}
	patched, err := signature.Apply(tensor(1, 0), []signature.Scaled{{Signature: s, Scale: 0.8}}, signature.ApplyOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Tensors[0].Values, patched.Weights[0].Values)
	// Output: [0 0.5] [1 0.4]
}
