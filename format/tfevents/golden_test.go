package tfevents

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is one case file. Strict decoding makes a key that no test looks at a failure.
type golden struct {
	Method, Case, Notes string
	Tolerance           map[string]float64
	Params              struct {
		FileVersion string `json:"file_version"`
	}
	Inputs struct {
		File   []byte        `json:"file_base64"`
		Hex    []string      `json:"inputs_hex"`
		Events []goldenEvent `json:"events"`
	}
	Outputs struct {
		File     []byte         `json:"file_base64"`
		Records  []goldenRecord `json:"records"`
		CRC      []uint32       `json:"crc32c"`
		Masked   []uint32       `json:"masked"`
		Readable int            `json:"readable_records"`
		Reason   string         `json:"reason"`
	}
}

type goldenEvent struct {
	WallTime    float64  `json:"wall_time"`
	FileVersion string   `json:"file_version"`
	Step        int64    `json:"step"`
	Tag         string   `json:"tag"`
	Simple      *float64 `json:"simple_value"`
	Tensor      *float64 `json:"tensor_float"`
	First       bool     `json:"metadata_first"`
	Text        *string  `json:"text"`
	Image       *struct {
		Height, Width, Colorspace int
		PNG                       []byte `json:"png_base64"`
	} `json:"image"`
	Histogram *struct {
		Values        []float64
		Min, Max, Num float64
		Sum           float64
		SumSquares    float64   `json:"sum_squares"`
		Limits        []float64 `json:"bucket_limit"`
		Counts        []float64 `json:"bucket"`
	} `json:"histogram"`
}

type goldenRecord struct {
	Length     uint64 `json:"length"`
	LengthCRC  uint32 `json:"length_masked_crc32c"`
	PayloadCRC uint32 `json:"data_masked_crc32c"`
	Payload    string `json:"payload_hex"`
}

func goldens(t testing.TB) map[string]*golden {
	t.Helper()
	paths, err := filepath.Glob("../../papers/tfevents/testdata/golden/tfevents/*.json")
	if err != nil || len(paths) < 8 {
		t.Fatalf("want at least 8 golden cases, got %d (%v)", len(paths), err)
	}
	out := map[string]*golden{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		g := new(golden)
		d := json.NewDecoder(f)
		d.DisallowUnknownFields()
		if err := errors.Join(d.Decode(g), f.Close()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".json")] = g
	}
	return out
}

func TestGolden(t *testing.T) {
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			switch {
			case g.Inputs.Hex != nil:
				testCRC(t, g)
			case g.Inputs.Events != nil:
				testWriter(t, g)
			case g.Inputs.File != nil:
				testDamaged(t, g)
			default:
				t.Fatal("the case has no input this test knows")
			}
		})
	}
}

func testCRC(t *testing.T, g *golden) {
	var crc, masked []uint32
	for _, text := range g.Inputs.Hex {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		crc, masked = append(crc, CRC(data)), append(masked, MaskedCRC(data))
	}
	if diff := cmp.Diff(g.Outputs.CRC, crc) + cmp.Diff(g.Outputs.Masked, masked); diff != "" {
		t.Error(diff)
	}
}

// testWriter writes the events, compares the bytes, reads them again and compares records and values.
func testWriter(t *testing.T, g *golden) {
	var file bytes.Buffer
	w := NewWriter(&file)
	for i, e := range g.Inputs.Events {
		if err := e.write(t, w, g.Params.FileVersion); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file.Bytes(), g.Outputs.File) {
		t.Errorf("want %x,\n got %x", g.Outputs.File, file.Bytes())
	}
	var records []goldenRecord
	for r := NewReader(bytes.NewReader(file.Bytes())); ; {
		record, err := r.NextRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, goldenRecord{record.Length, record.LengthCRC, record.PayloadCRC, hex.EncodeToString(record.Payload)})
	}
	if diff := cmp.Diff(g.Outputs.Records, records); diff != "" {
		t.Error(diff)
	}
	r := NewReader(bytes.NewReader(g.Outputs.File))
	for _, want := range g.Inputs.Events {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		want.compare(t, got)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) || r.End() != EndOfFile {
		t.Errorf("want the end of the file, got %v, %s", err, r.End())
	}
}

func (e goldenEvent) write(t *testing.T, w *Writer, version string) error {
	switch {
	case e.FileVersion != "":
		if e.FileVersion != FileVersion || version != FileVersion {
			t.Errorf("want version %s, got %s", e.FileVersion, FileVersion)
		}
		return w.Version(e.WallTime)
	case e.Simple != nil:
		return w.Scalar(e.WallTime, e.Step, e.Tag, *e.Simple)
	case e.Tensor != nil:
		return w.ScalarTensor(e.WallTime, e.Step, e.Tag, *e.Tensor)
	case e.Text != nil:
		return w.Text(e.WallTime, e.Step, e.Tag, *e.Text)
	case e.Image != nil:
		return w.Image(e.WallTime, e.Step, e.Tag, Image{e.Image.Height, e.Image.Width, e.Image.Colorspace, e.Image.PNG})
	case e.Histogram != nil:
		h, err := NewHistogram(e.Histogram.Values)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(e.histogram(), h); diff != "" {
			t.Error(diff)
		}
		return w.Histogram(e.WallTime, e.Step, e.Tag, h)
	}
	return errors.New("the event has no value this test knows")
}

func (e goldenEvent) histogram() Histogram {
	h := e.Histogram
	return Histogram{h.Min, h.Max, h.Num, h.Sum, h.SumSquares, h.Limits, h.Counts}
}

func (e goldenEvent) compare(t *testing.T, got Event) {
	t.Helper()
	want := Event{WallTime: e.WallTime, Step: e.Step, FileVersion: e.FileVersion}
	switch {
	case e.Simple != nil:
		want.Values = []Value{{Tag: e.Tag, Kind: KindScalar, Scalar: float64(float32(*e.Simple))}}
	case e.Tensor != nil:
		v := Value{Tag: e.Tag, Kind: KindScalar, Scalar: float64(float32(*e.Tensor)), Tensor: true}
		if e.First {
			v.Plugin = "scalars"
		}
		want.Values = []Value{v}
	case e.Text != nil:
		want.Values = []Value{{Tag: e.Tag + "/text_summary", Kind: KindText, Text: *e.Text, Plugin: "text", Tensor: true}}
	case e.Image != nil:
		want.Values = []Value{{Tag: e.Tag, Kind: KindImage, Image: Image{e.Image.Height, e.Image.Width, e.Image.Colorspace, e.Image.PNG}}}
	case e.Histogram != nil:
		want.Values = []Value{{Tag: e.Tag, Kind: KindHistogram, Histogram: e.histogram()}}
	}
	if len(got.Values) == 0 {
		got.Values = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func testDamaged(t *testing.T, g *golden) {
	r := NewReader(bytes.NewReader(g.Inputs.File))
	n := 0
	for {
		_, err := r.Next()
		if err == nil {
			n++
			continue
		}
		if damaged := r.End() == EndPayloadChecksum; damaged == errors.Is(err, io.EOF) || damaged != errors.Is(err, ErrPayloadChecksum) {
			t.Errorf("%s: %v", r.End(), err)
		}
		break
	}
	if n != g.Outputs.Readable || string(r.End()) != g.Outputs.Reason {
		t.Errorf("want %d records and %q, got %d and %q", g.Outputs.Readable, g.Outputs.Reason, n, r.End())
	}
}

// Equal values fall into the buckets of the definition, whatever they are.
func TestHistogramBuckets(t *testing.T) {
	edge := edges()
	for _, v := range []float64{0, 1e-12, -1e-12, 1, -1, 1e19, 9.9e19, 1e30, -1e30, math.SmallestNonzeroFloat64} {
		h, err := NewHistogram([]float64{v})
		if err != nil {
			t.Fatal(err)
		}
		last := len(h.Counts) - 1
		if h.Counts[last] != 1 || last != 1 || h.Counts[0] != 0 || len(h.Limits) != 2 {
			t.Errorf("%v: got %+v", v, h)
		}
		if inside := math.Abs(v) < edge[len(edge)-1]; inside && (v >= h.Limits[1] || v < h.Limits[0]) {
			t.Errorf("%v lies outside its bucket [%v, %v)", v, h.Limits[0], h.Limits[1])
		}
	}
	for _, bad := range [][]float64{nil, {1, math.NaN()}, {math.Inf(-1)}} {
		if _, err := NewHistogram(bad); err == nil {
			t.Errorf("%v: want an error", bad)
		}
	}
}
