package papers

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/safetensors"
	"github.com/ballast-ml/ballast/format/tfevents"
	"github.com/ballast-ml/ballast/internal/golden"
)

// formatCases tests the readers and writers of safetensors and TensorBoard event files.
func formatCases() []golden.Kind {
	tensorFiles, events := []string{"safetensors"}, []string{"tfevents"}
	return []golden.Kind{
		{Name: "one file", Slugs: tensorFiles, Match: func(c *golden.Case) bool { return c.Has("inputs.file_base64") }, Run: goldenTensorFile},
		{Name: "shards", Slugs: tensorFiles, Match: func(c *golden.Case) bool { return c.Has("inputs.index_json") }, Run: goldenShards},
		{Name: "writer", Slugs: tensorFiles, Match: func(c *golden.Case) bool { return c.Has("inputs.tensors") }, Run: goldenTensorWriter},
		{Name: "checksums", Slugs: events, Match: func(c *golden.Case) bool { return c.Has("inputs.inputs_hex") }, Run: goldenChecksums},
		{Name: "damaged file", Slugs: events, Match: func(c *golden.Case) bool { return c.Has("inputs.file_base64") }, Run: goldenDamaged},
		{Name: "events", Slugs: events, Match: func(c *golden.Case) bool { return c.Has("inputs.events") }, Run: goldenEvents},
	}
}

type formatParams struct {
	Format string `json:"format"`
}

func goldenTensorFile(t golden.T, c *golden.Case) {
	p := formatParams{}
	c.Params(&p)
	if p.Format != "safetensors" {
		t.Fatalf("format is %q", p.Format)
	}
	var content []byte
	c.Decode("inputs.file_base64", &content)
	f, err := safetensors.Parse(content)
	verdict, reference := "ok", "ok"
	if err != nil {
		verdict = "error"
		var typed *safetensors.Error
		if !errors.As(err, &typed) {
			t.Errorf("the error has no type: %v", err)
		} else {
			reference = typed.Reference()
		}
	}
	c.GotJSON("expect", verdict)
	c.GotJSON("reference_verdict", reference)
	c.Compared("reason") // words for people
	c.Compared("policy")
	if err != nil {
		return
	}
	got := map[string]any{}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		values, err := f.Float64s(name)
		if err != nil {
			t.Fatalf("%v", err)
		}
		got[name] = map[string]any{"dtype": info.DType, "shape": append([]int{}, info.Shape...), "values": values}
	}
	compareTensors(t, c, got)
	c.GotJSON("metadata", f.Metadata())
}

// compareTensors compares tensors whose values may be NaN or infinite, which JSON cannot hold.
func compareTensors(t golden.T, c *golden.Case, got map[string]any) {
	var want map[string]struct {
		DType  string            `json:"dtype"`
		Shape  []int             `json:"shape"`
		Values []json.RawMessage `json:"values"`
	}
	c.Decode("outputs.tensors", &want)
	c.Compared("tensors")
	if len(want) != len(got) {
		t.Errorf("%d tensors, want %d", len(got), len(want))
	}
	for name, w := range want {
		g, ok := got[name].(map[string]any)
		if !ok {
			t.Errorf("tensor %s is missing", name)
			continue
		}
		values := g["values"].([]float64)
		head, err := json.Marshal([]any{g["dtype"], g["shape"]})
		wantHead, err2 := json.Marshal([]any{w.DType, w.Shape})
		if err != nil || err2 != nil || string(head) != string(wantHead) || len(values) != len(w.Values) {
			t.Errorf("tensor %s is %s with %d values, want %s with %d", name, head, len(values), wantHead, len(w.Values))
			continue
		}
		for i, raw := range w.Values {
			v, err := golden.Number(raw)
			if err != nil || !c.Near(values[i], v) {
				t.Errorf("tensor %s[%d] is %v, want %s", name, i, values[i], raw)
			}
		}
	}
}

func goldenShards(t golden.T, c *golden.Case) {
	p := formatParams{}
	c.Params(&p)
	if p.Format != "safetensors-sharded" {
		t.Fatalf("format is %q", p.Format)
	}
	dir, err := os.MkdirTemp("", "ballast-golden-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder for temporary files
	var index string
	files := map[string][]byte{}
	c.Decode("inputs.index_json", &index)
	c.Decode("inputs.files_base64", &files)
	files["model.safetensors.index.json"] = []byte(index)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), content, 0o644); err != nil {
			t.Fatalf("%v", err)
		}
	}
	got := map[string]any{"verdict": "ok"}
	m, err := safetensors.OpenSharded(dir)
	if err != nil {
		got["verdict"] = "error"
	} else {
		tensors := map[string][]float64{}
		for _, name := range m.Names() {
			if tensors[name], err = m.Float64s(name); err != nil {
				t.Fatalf("%v", err)
			}
		}
		got["tensors"] = tensors
		for _, w := range m.Warnings {
			got["warning"] = w.Field
		}
		if err := m.Close(); err != nil {
			t.Errorf("%v", err)
		}
	}
	c.GotJSON("expect", got)
	c.Compared("reason")
}

func goldenTensorWriter(t golden.T, c *golden.Case) {
	c.Params(&formatParams{})
	var in map[string]struct {
		DType safetensors.DType `json:"dtype"`
		Shape []int             `json:"shape"`
		Hex   string            `json:"hex"`
	}
	var metadata map[string]string
	c.Decode("inputs.tensors", &in)
	c.Decode("inputs.metadata", &metadata)
	var list []safetensors.Tensor
	for name, tensor := range in { // in any order: the writer orders them
		data, err := hex.DecodeString(tensor.Hex)
		if err != nil {
			t.Fatalf("%v", err)
		}
		list = append(list, safetensors.Tensor{Name: name, DType: tensor.DType, Shape: tensor.Shape, Data: data})
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, list, metadata); err != nil {
		t.Fatalf("%v", err)
	}
	c.GotJSON("file_base64", base64.StdEncoding.EncodeToString(file.Bytes()))
}

func goldenChecksums(t golden.T, c *golden.Case) {
	var texts []string
	c.Decode("inputs.inputs_hex", &texts)
	var crc, masked []uint32
	for _, text := range texts {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatalf("%v", err)
		}
		crc, masked = append(crc, tfevents.CRC(data)), append(masked, tfevents.MaskedCRC(data))
	}
	// Checksums are exact: the tolerance of the file does not apply.
	for name, values := range map[string][]uint32{"crc32c": crc, "masked": masked} {
		var want []uint32
		c.Decode("outputs."+name, &want)
		for i := range want {
			if i >= len(values) || values[i] != want[i] {
				t.Errorf("%s[%d] differs", name, i)
			}
		}
		c.Compared(name)
	}
}

func goldenDamaged(t golden.T, c *golden.Case) {
	var content []byte
	c.Decode("inputs.file_base64", &content)
	r := tfevents.NewReader(bytes.NewReader(content))
	n := 0
	var err error
	for ; ; n++ {
		if _, err = r.Next(); err != nil {
			break
		}
	}
	c.GotJSON("readable_records", n)
	c.GotJSON("reason", string(r.End()))
	// A file that simply ends, as one still being written does, is no error; damage is one that says so.
	var damage *tfevents.Error
	if !errors.Is(err, io.EOF) && !errors.As(err, &damage) {
		t.Errorf("stopped with %v", err)
	}
}

// event is an event of the files.
type event struct {
	WallTime    float64  `json:"wall_time"`
	FileVersion string   `json:"file_version"`
	Step        int64    `json:"step"`
	Tag         string   `json:"tag"`
	Simple      *float64 `json:"simple_value"`
	Tensor      *float64 `json:"tensor_float"`
	Text        *string  `json:"text"`
	Image       *struct {
		Height, Width, Colorspace int
		PNG                       []byte `json:"png_base64"`
	} `json:"image"`
	Histogram *struct{ Values []float64 } `json:"histogram"`
}

func (e event) write(w *tfevents.Writer) error {
	switch {
	case e.FileVersion != "":
		return w.Version(e.WallTime)
	case e.Simple != nil:
		return w.Scalar(e.WallTime, e.Step, e.Tag, *e.Simple)
	case e.Tensor != nil:
		return w.ScalarTensor(e.WallTime, e.Step, e.Tag, *e.Tensor)
	case e.Text != nil:
		return w.Text(e.WallTime, e.Step, e.Tag, *e.Text)
	case e.Image != nil:
		return w.Image(e.WallTime, e.Step, e.Tag, tfevents.Image{Height: e.Image.Height, Width: e.Image.Width, Colorspace: e.Image.Colorspace, Encoded: e.Image.PNG})
	case e.Histogram != nil:
		h, err := tfevents.NewHistogram(e.Histogram.Values)
		if err != nil {
			return err
		}
		return w.Histogram(e.WallTime, e.Step, e.Tag, h)
	}
	return errors.New("the event holds no value that is known")
}

func goldenEvents(t golden.T, c *golden.Case) {
	p := struct {
		FileVersion string `json:"file_version"`
	}{}
	c.Params(&p)
	if p.FileVersion != tfevents.FileVersion {
		t.Errorf("file version is %q, want %q", tfevents.FileVersion, p.FileVersion)
	}
	var events []event
	c.Decode("inputs.events", &events)
	var file bytes.Buffer
	w := tfevents.NewWriter(&file)
	for _, e := range events {
		if err := e.write(w); err != nil {
			t.Fatalf("%v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("%v", err)
	}
	c.GotJSON("file_base64", base64.StdEncoding.EncodeToString(file.Bytes()))
	var records []any
	for r := tfevents.NewReader(bytes.NewReader(file.Bytes())); ; {
		record, err := r.NextRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
		records = append(records, map[string]any{
			"length": record.Length, "length_masked_crc32c": record.LengthCRC, "data_masked_crc32c": record.PayloadCRC, "payload_hex": hex.EncodeToString(record.Payload),
		})
	}
	c.GotJSON("records", records)
}
