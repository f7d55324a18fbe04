package tfevents

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/ballast-ml/ballast/format/tfevents"
	"github.com/ballast-ml/ballast/internal/golden"
)

func TestGolden(t *testing.T) { golden.Run(t, "tfevents", kinds()...) }

// kinds tests the reader and the writer of TensorBoard event files.
func kinds() []golden.Kind {
	return []golden.Kind{
		{Name: "checksums", Match: func(c *golden.Case) bool { return c.Has("inputs.inputs_hex") }, Run: goldenChecksums},
		{Name: "damaged file", Match: func(c *golden.Case) bool { return c.Has("inputs.file_base64") }, Run: goldenDamaged},
		{Name: "events", Match: func(c *golden.Case) bool { return c.Has("inputs.events") }, Run: goldenEvents},
	}
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
