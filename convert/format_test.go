package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/npy"
	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// model writes a folder as Hugging Face does, with tensors of many types, and returns the path of the weights.
func modelFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	half := make([]byte, 2*64*32)
	if _, err := weights.Round(half, "BF16", normal(64*32)); err != nil {
		t.Fatal(err)
	}
	tensors := []safetensors.Tensor{
		safetensors.FromFloat32s("encoder.weight", []int{300, 512}, normal(300*512)),
		safetensors.FromFloat32s("encoder.bias", []int{300}, normal(300)),
		safetensors.FromFloat64s("wide", []int{3}, []float64{math.Pi, 1e300, -1}),
		safetensors.FromInt64s("steps", nil, []int64{1 << 40}),
		{Name: "bf", DType: safetensors.BF16, Shape: []int{64, 32}, Data: half},
		{Name: "mask", DType: safetensors.Bool, Shape: []int{3}, Data: []byte{1, 0, 1}},
		{Name: "eight", DType: safetensors.F8E4M3, Shape: []int{2}, Data: []byte{0x38, 0x40}},
		safetensors.FromFloat32s("empty", []int{0, 4}, nil),
	}
	path := filepath.Join(dir, "model.safetensors")
	err := errors.Join(
		safetensors.WriteFile(path, tensors, map[string]string{"format": "pt", "note": "kept"}),
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type": "bert"}`), 0o644),
		os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(`{"t": 1}`), 0o644),
		os.WriteFile(filepath.Join(dir, "README.md"), []byte("---\nlicense: mit\n---\n"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// contents are a model's tensors as bytes, with their types and shapes.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	out := map[string]string{}
	for _, info := range f.Tensors() {
		raw := make([]byte, info.Bytes)
		if err := f.ReadBytes(info.Name, 0, raw); err != nil {
			t.Fatal(err)
		}
		out[info.Name] = fmt.Sprintf("%s %v %x", info.Type, info.Shape, raw)
	}
	return out
}

// A model goes to shards, to one file and back without a bit changed, and its other files go along.
func TestFormatKeepsEverything(t *testing.T) {
	in, out := modelFolder(t), t.TempDir()
	shards, again := filepath.Join(out, "shards"), filepath.Join(out, "again")
	seen := int64(0)
	r, err := Format(t.Context(), filepath.Dir(in), shards, Options{To: ToSharded, MaxShard: 100_000, Progress: func(done, total int64) {
		if done < seen || done > total {
			t.Errorf("progress went from %d to %d of %d", seen, done, total)
		}
		seen = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"config.json", "README.md", "tokenizer.json"}; !slices.Equal(r.Files, want) || r.From != weights.Safetensors || len(r.Tensors) != 8 {
		t.Errorf("result is %+v", r)
	}
	if _, err := Format(t.Context(), shards, again, Options{To: ToSafetensors}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(contents(t, in), contents(t, again)) {
		t.Error("tensors changed")
	}
	first, err1 := os.ReadFile(in)
	second, err2 := os.ReadFile(filepath.Join(again, "model.safetensors"))
	if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
		t.Errorf("the file changed on the way to shards and back (%v, %v)", err1, err2)
	}
	for _, name := range []string{"config.json", "tokenizer.json", "README.md"} {
		a, err1 := os.ReadFile(filepath.Join(filepath.Dir(in), name))
		b, err2 := os.ReadFile(filepath.Join(again, name))
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s changed (%v, %v)", name, err1, err2)
		}
	}
	check, err := Check(t.Context(), in, again, Options{To: ToSafetensors})
	if err != nil || !check.Agrees || check.Largest != 0 || check.Exact != 8 {
		t.Errorf("check is %+v (%v)", check, err)
	}
}

// Whatever tensors a file holds, shards and NumPy arrays of it hold the same values, and shards the same bytes.
func TestFormatAnyTensors(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,4}(\.[a-z]{1,4})?`), 1, 6, rapid.ID[string]).Draw(r, "names")
		var list []safetensors.Tensor
		for _, name := range names {
			d := rapid.SampledFrom([]safetensors.DType{"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "U16", "U32", "U64", "BOOL", "F8_E5M2"}).Draw(r, "dtype")
			shape, n := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 3).Draw(r, "shape"), d.Bits()/8
			for _, dim := range shape {
				n *= dim
			}
			list = append(list, safetensors.Tensor{Name: name, DType: d, Shape: shape, Data: rapid.SliceOfN(rapid.Byte(), n, n).Draw(r, "data")})
		}
		in := filepath.Join(dir, "in.safetensors")
		if err := safetensors.WriteFile(in, list, nil); err != nil {
			r.Fatal(err)
		}
		for _, o := range []Options{{To: ToSharded, MaxShard: rapid.Int64Range(1, 100).Draw(r, "shard")}, {To: ToNPZ, Compress: rapid.Bool().Draw(r, "compress")}} {
			out := filepath.Join(dir, "out."+o.To)
			if err := os.RemoveAll(out); err != nil {
				r.Fatal(err)
			}
			if _, err := Format(t.Context(), in, out, o); err != nil {
				r.Fatal(err)
			}
			check, err := Check(t.Context(), in, out, o)
			if err != nil || !check.Agrees || check.Exact != len(list) {
				r.Fatalf("%+v: %+v (%v)", o, check, err)
			}
			if o.To == ToSharded && !maps.Equal(contents(t, in), contents(t, out)) {
				r.Fatal("bytes differ")
			}
		}
	})
}

// Narrower types are the nearest, and the check holds every tensor against its bound.
func TestFormatTypes(t *testing.T) {
	in := modelFolder(t)
	for _, c := range []struct{ to, kind string }{{"F16", ToSafetensors}, {"BF16", ToSafetensors}, {"F32", ToNPZ}, {"F16", ToNPZ}, {"F64", ToSharded}, {"", ToNPZ}} {
		out := filepath.Join(t.TempDir(), "x."+c.kind)
		o := Options{To: c.kind, Type: c.to, Compress: true}
		r, err := Format(t.Context(), in, out, o)
		if err != nil {
			t.Fatal(err)
		}
		check, err := Check(t.Context(), in, out, o)
		if err != nil {
			t.Fatal(err)
		}
		overflows := 1 // 1e300 fits in F64 alone
		if c.to == "" || c.to == "F64" {
			overflows = 0
		}
		if r.Overflowed != overflows || !check.Agrees || len(check.Missing)+len(check.Extra) > 0 {
			t.Errorf("%+v: %d overflowed, check %+v", c, r.Overflowed, check)
		}
		if (c.to == "F16" || c.to == "BF16") && (check.Largest == 0 || check.Tensors[0].OfBound < 0.9) {
			t.Errorf("%+v: the bound is not what is reached: %+v", c, check.Tensors[0])
		}
		f, err := weights.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		if steps, _ := f.Info("steps"); steps.Type != "I64" && steps.Type != "int64" {
			t.Errorf("%+v: steps are %s", c, steps.Type)
		}
		if got := f.Metadata()["note"]; got != "kept" {
			t.Errorf("%+v: metadata are %v", c, f.Metadata())
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy that was changed by more than its type allows is found, and so are tensors that are missing.
func TestCheckFindsDifferences(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	values := []float32{1, 2, 3, 70000}
	err := safetensors.WriteFile(in, []safetensors.Tensor{safetensors.FromFloat32s("a", []int{4}, values), safetensors.FromFloat32s("b", []int{1}, values[:1]),
		{Name: "f4", DType: safetensors.F4, Shape: []int{4}, Data: []byte{1, 2}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Format(t.Context(), in, out, Options{To: ToSafetensors})
	if err != nil {
		t.Fatal(err)
	}
	if check, err := Check(t.Context(), in, out, Options{To: ToSafetensors}); err != nil || !check.Agrees || check.Exact != 3 {
		t.Errorf("check is %+v (%v), result %+v", check, err, r)
	}
	values[1] = 2.5
	err = safetensors.WriteFile(out, []safetensors.Tensor{safetensors.FromFloat32s("a", []int{4}, values), safetensors.FromFloat32s("c", []int{1}, values[:1]),
		{Name: "f4", DType: safetensors.F4, Shape: []int{4}, Data: []byte{1, 3}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	check, err := Check(t.Context(), in, out, Options{To: ToSafetensors})
	if err != nil || check.Agrees || !slices.Equal(check.Missing, []string{"b"}) || !slices.Equal(check.Extra, []string{"c"}) || check.Tensors[0].OfBound <= 1 || check.Tensors[1].OfBound <= 1 {
		t.Errorf("check is %+v (%v)", check, err)
	}
	err = safetensors.WriteFile(in, []safetensors.Tensor{safetensors.FromFloat32s("a", []int{4}, values)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err = Format(t.Context(), in, out, Options{To: ToSafetensors, Type: "F16"})
	if err != nil || r.Overflowed != 1 || !slices.ContainsFunc(r.Remarks, func(s string) bool { return strings.HasPrefix(s, "1 finite values are too large for F16") }) {
		t.Errorf("result is %+v (%v)", r, err)
	}
	if check, err := Check(t.Context(), in, out, Options{To: ToSafetensors, Type: "F16"}); err != nil || check.Agrees || !math.IsInf(float64(check.Largest), 1) {
		t.Errorf("check is %+v (%v)", check, err)
	}
}

func TestFormatFromOthers(t *testing.T) {
	dir := t.TempDir()
	for in, names := range map[string][]string{
		"../format/pytorch/testdata/protocol2.pt": {"fc.bias", "fc.transposed", "fc.weight", "half", "tracked"},
		"../format/pytorch/testdata/old.pth":      {"fc.bias", "fc.transposed", "fc.weight", "half", "tracked"},
	} {
		out := filepath.Join(dir, filepath.Base(in)+".safetensors")
		if _, err := Format(t.Context(), in, out, Options{To: ToSafetensors}); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		got := f.Names()
		slices.Sort(got)
		turned, err := f.Float32s("fc.transposed")
		if err != nil || !slices.Equal(got, names) || !slices.Equal(turned, []float32{1, 4, 2, 5, 3, 6}) || f.Metadata()["pytorch.epoch"] != "90" {
			t.Errorf("%s: %v %v %v (%v)", in, got, turned, f.Metadata(), err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		check, err := Check(t.Context(), in, out, Options{To: ToSafetensors})
		if err != nil || !check.Agrees || check.Exact != 5 {
			t.Errorf("%s: %+v (%v)", in, check, err)
		}
	}
	web := filepath.Join(dir, "web")
	err := errors.Join(os.Mkdir(web, 0o755), os.WriteFile(filepath.Join(web, "s.bin"), []byte{0, 255, 7}, 0o644), os.WriteFile(filepath.Join(web, "model.json"), []byte(
		`{"weightsManifest":[{"paths":["s.bin"],"weights":[{"name":"q","shape":[2],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.5,"min":-1}},{"name":"u","shape":[1],"dtype":"uint8"}]}]}`), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "web.npz")
	if _, err := Format(t.Context(), web, out, Options{To: ToNPZ}); err != nil {
		t.Fatal(err)
	}
	a, err := npy.OpenArchive(out)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // it was only read
	if v, err := a.Array("q").Float32s(); err != nil || !slices.Equal(v, []float32{-1, 126.5}) || a.Array("u").DType != npy.Uint8 {
		t.Errorf("%v %s (%v)", v, a.Array("u").DType, err)
	}
}

// What a killed conversion left goes with the next one; other files stay.
func TestFormatAfterAKill(t *testing.T) {
	in, dir := modelFolder(t), t.TempDir()
	err := errors.Join(os.WriteFile(filepath.Join(dir, ".x.npz.ballast-tmp"), []byte("half"), 0o644), os.Mkdir(filepath.Join(dir, ".shards.ballast-tmp"), 0o755),
		os.WriteFile(filepath.Join(dir, ".shards.ballast-tmp", "half"), nil, 0o644), os.WriteFile(filepath.Join(dir, ".other.ballast-tmp"), nil, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := Format(t.Context(), in, filepath.Join(dir, "x.npz"), Options{To: ToNPZ})
	_, err2 := Format(t.Context(), in, filepath.Join(dir, "shards"), Options{To: ToSharded})
	entries, err3 := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err := errors.Join(err1, err2, err3); err != nil || !slices.Equal(names, []string{".other.ballast-tmp", "shards", "x.npz"}) {
		t.Errorf("%v is left (%v)", names, err)
	}
}

func TestFormatRefuses(t *testing.T) {
	in, dir := modelFolder(t), t.TempDir()
	full := filepath.Join(dir, "full")
	if err := errors.Join(os.Mkdir(full, 0o755), os.WriteFile(filepath.Join(full, "mine"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		out  string
		o    Options
		want string
	}{
		{"x", Options{To: "saftensors"}, `format "saftensors" cannot be written; use safetensors, sharded, gguf or npz (did you mean safetensors?)`},
		{"x", Options{To: ToNPZ, Type: "Q8_0"}, "npz has no type Q8_0; use --to gguf, or one of F64, F32, F16"},
		{"x", Options{To: ToSafetensors, Type: "bf16"}, "use one of F64, F32, F16, BF16 (did you mean BF16?)"},
		{full, Options{To: ToSharded}, "is there already and holds mine; only what Ballast wrote is replaced"},
		{in, Options{To: ToSafetensors}, "is the input; name another output"},
	} {
		if c.o.Type == "Q8_0" && len(blockTypes) == 0 {
			c.want = "cannot be written to npz"
		}
		_, err := Format(t.Context(), in, c.out, c.o)
		var usage *fault.Usage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: want %q, got %v", c, c.want, err)
		}
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("something was written")
	}
	stopped, stop := context.WithCancelCause(t.Context())
	stop(io.ErrClosedPipe)
	out := filepath.Join(dir, "stopped.safetensors")
	if _, err := Format(stopped, in, out, Options{To: ToSafetensors}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is left (%v)", left, err)
	}
	complexFile := filepath.Join(dir, "complex.safetensors")
	if err := safetensors.WriteFile(complexFile, []safetensors.Tensor{{Name: "z", DType: safetensors.C64, Shape: []int{1}, Data: make([]byte, 8)}}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := Format(t.Context(), complexFile, filepath.Join(dir, "z.gguf"), Options{To: ToGGUF})
	if err == nil || !strings.Contains(err.Error(), "z: type C64 cannot be written to gguf; take it out of the model first") {
		t.Errorf("got %v", err)
	}
}

// Companions that lead out of the model's folder are refused before anything is written.
func TestFormatRefusesLinksOut(t *testing.T) {
	for _, name := range []string{"LICENSE", "tokenizer.json", "vocab.txt"} {
		in, dir := filepath.Dir(modelFolder(t)), t.TempDir()
		secret := filepath.Join(dir, "secret")
		path := filepath.Join(in, name)
		if err := errors.Join(os.WriteFile(secret, []byte("secret"), 0o644), os.RemoveAll(path)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(secret, path); err != nil {
			t.Skip("no links here:", err)
		}
		for _, o := range []Options{{To: ToSafetensors}, {To: ToSharded}, {To: ToGGUF}} {
			out := filepath.Join(dir, "out")
			_, err := Format(t.Context(), in, out, o)
			var refused *untrusted.Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "outside its folder") {
				t.Errorf("%s to %s: got %v", name, o.To, err)
			}
			if _, err := os.Stat(out); err == nil {
				t.Errorf("%s to %s: something was written", name, o.To)
			}
		}
	}
}

// A tokenizer that numbers its tokens without end, or holds more than its bytes can mean, stays beside the weights.
func TestTokenizersLeftOut(t *testing.T) {
	for name, text := range map[string]string{
		"last":   `{"model":{"type":"BPE","vocab":{"a":9223372036854775807},"merges":[]}}`,
		"added":  `{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[{"id":9223372036854775807,"content":"b"}]}`,
		"merges": `{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","b","c"]]}}`,
		"values": `{"model":{"type":"BPE","vocab":{"a":0},"merges":[` + strings.Repeat(`"",`, 300_000) + `""]}}`,
	} {
		in := filepath.Dir(modelFolder(t))
		if err := os.WriteFile(filepath.Join(in, "tokenizer.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Format(t.Context(), in, filepath.Join(t.TempDir(), "m.gguf"), Options{To: ToGGUF})
		if err != nil || !strings.Contains(strings.Join(r.Remarks, "; "), "so it is not in the GGUF file") {
			t.Errorf("%s: %v, %v", name, r.Remarks, err)
		}
	}
}
