package tfevents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// scalars writes a file of n scalars.
func scalars(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	err := w.Version(1)
	for i := range n {
		err = errors.Join(err, w.Scalar(float64(i), int64(i), "loss", float64(i)/2))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A file cut at any byte gives its whole records and io.EOF; when the rest arrives, the same reader goes on.
func TestFollow(t *testing.T) {
	whole := scalars(t, 3)
	for cut := range whole {
		path := filepath.Join(t.TempDir(), "events.out.tfevents.1")
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		n := count(t, r)
		if offset := r.Offset(); offset > int64(cut) || (r.End() == EndOfFile) != (offset == int64(cut)) {
			t.Errorf("cut at %d: stopped at %d, %q", cut, offset, r.End())
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if n += count(t, r); n != 4 || r.End() != EndOfFile {
			t.Errorf("cut at %d: want 4 records in the end, got %d, %q", cut, n, r.End())
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// count reads to the end.
func count(t *testing.T, r *Reader) (n int) {
	t.Helper()
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

// Every flipped bit is noticed, and nothing after it is believed.
func TestDamage(t *testing.T) {
	whole := scalars(t, 2)
	for i := range 8 * len(whole) {
		damaged := slices.Clone(whole)
		damaged[i/8] ^= 1 << (i % 8)
		r := NewReader(bytes.NewReader(damaged))
		r.Name = "run/events"
		err := error(nil)
		for err == nil {
			_, err = r.Next()
		}
		var typed *Error
		if !errors.As(err, &typed) || !typed.BadInput() || typed.Offset > int64(i/8) {
			t.Fatalf("bit %d: got %v", i, err)
		}
		if _, again := r.Next(); !errors.Is(again, err) {
			t.Fatalf("bit %d: a second call gave %v", i, again)
		}
	}
	whole[1] ^= 1
	_, err := NewReader(bytes.NewReader(whole)).Next()
	want := "tfevents: record 0: byte 0: length checksum mismatch: want 224b7fa3, got "
	if !errors.Is(err, ErrLengthChecksum) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("want %s, got %v", want, err)
	}
}

// A length that is not true, though its checksum is, costs no memory.
func TestFalseLength(t *testing.T) {
	for _, length := range []uint64{1 << 29, MaxRecord, MaxRecord + 1, math.MaxUint64} {
		b := binary.LittleEndian.AppendUint64(nil, length)
		b = binary.LittleEndian.AppendUint32(b, MaskedCRC(b))
		b = append(b, make([]byte, 1000)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := NewReader(bytes.NewReader(b)).Next()
		runtime.ReadMemStats(&after)
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 {
			t.Errorf("length %d: %d bytes", length, spent)
		}
		if big := length > MaxRecord; big != errors.Is(err, ErrTooLarge) || big == errors.Is(err, io.EOF) {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

func TestBadMessage(t *testing.T) {
	for _, payload := range [][]byte{{0xff}, {0x2a, 5, 1}, {0x09, 1}, {0x2a, 4, 0x0a, 2, 0x0a, 9}} {
		r := NewReader(bytes.NewReader(appendRecord(nil, payload)))
		if _, err := r.Next(); !errors.Is(err, ErrMessage) || r.End() != EndDamaged || r.Offset() != 0 {
			t.Errorf("%x: %v, %s", payload, err, r.End())
		}
	}
	// Unknown fields and unknown kinds of values are passed over.
	r := NewReader(bytes.NewReader(appendRecord(nil, []byte{0x10, 7, 0x78, 1, 0x2a, 7, 0x0a, 5, 0x0a, 1, 'x', 0x32, 0})))
	got, err := r.Next()
	if err != nil || got.Step != 7 || !cmp.Equal(got.Values, []Value{{Tag: "x"}}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// counting counts the writes that reach the file.
type counting struct {
	bytes.Buffer
	writes int
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(p)
}

func TestQueue(t *testing.T) {
	c := new(counting)
	w := NewWriter(c)
	log := func(n int) {
		for range n {
			if err := w.Scalar(1, 1, "x", 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Version(1); err != nil || c.writes != 1 {
		t.Errorf("the version is not written at once: %d writes (%v)", c.writes, err)
	}
	if log(9); c.writes != 1 {
		t.Errorf("9 events: %d writes", c.writes)
	}
	if log(1); c.writes != 2 {
		t.Errorf("10 events: %d writes", c.writes)
	}
	w.FlushAfter = time.Nanosecond
	if log(1); c.writes != 3 {
		t.Errorf("after the time: %d writes", c.writes)
	}
	w.FlushAfter = time.Hour
	log(1)
	if err := errors.Join(w.Close(), w.Close()); err != nil || c.writes != 4 {
		t.Errorf("closed: %d writes (%v)", c.writes, err)
	}
	if err := w.Scalar(1, 1, "x", 1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed writer: %v", err)
	}
	if err := NewWriter(c).Scalar(1, 1, "", 1); err == nil {
		t.Error("an empty tag was taken")
	}
}

func TestConcurrentWriters(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 100 {
				if err := w.ScalarTensor(1, int64(i), fmt.Sprint("tag", g), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, NewReader(&readerAt{b.Bytes()})); n != 400 {
		t.Errorf("want 400 records, got %d", n)
	}
}

// readerAt is an io.ReaderAt that gives few bytes at a time and says io.EOF along with the last ones.
type readerAt struct{ b []byte }

func (r *readerAt) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(len(r.b)) {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 7)], r.b[at:])
	if at+int64(n) == int64(len(r.b)) {
		return n, io.EOF
	}
	return n, nil
}

func TestRunGoesOn(t *testing.T) {
	dir := t.TempDir()
	write := func(session int64, steps ...int64) {
		w, err := Create(dir)
		if err != nil {
			t.Fatal(err)
		}
		if session > 0 {
			err = w.SessionStart(2, session)
		}
		for _, step := range steps {
			err = errors.Join(err, w.Scalar(1, step, "loss", float64(session)))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(filepath.Base(w.Path()), "events.out.tfevents.") {
			t.Errorf("file name %s", w.Path())
		}
	}
	write(0, 0, 1, 2, 3)
	write(2, 2, 3, 4)
	got, err := ReadScalars(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]Point{"loss": {{1, 0, 0}, {1, 1, 0}, {1, 2, 2}, {1, 3, 2}, {1, 4, 2}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "events.out.tfevents.0"), []byte("not at all an event file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err = ReadScalars(dir); !errors.Is(err, ErrLengthChecksum) || len(got["loss"]) != 5 {
		t.Errorf("want the sound curves and an error, got %v, %v", got, err)
	}
}

func TestEncodeImage(t *testing.T) {
	opaque := image.NewRGBA(image.Rect(0, 0, 3, 2))
	for i := range opaque.Pix {
		opaque.Pix[i] = 255
	}
	clear := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	clear.Set(0, 0, color.NRGBA{1, 2, 3, 4})
	for want, m := range map[int]image.Image{1: image.NewGray(image.Rect(0, 0, 3, 2)), 3: opaque, 4: clear} {
		got, err := EncodeImage(m)
		if err != nil || got.Colorspace != want || got.Width != m.Bounds().Dx() || got.Height != m.Bounds().Dy() {
			t.Errorf("%d: got %+v (%v)", want, got, err)
		}
		if _, err := png.Decode(bytes.NewReader(got.Encoded)); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is written is read again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		w := NewWriter(&b)
		var want []Event
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			wall, step := rapid.Float64().Draw(t, "wall"), rapid.Int64().Draw(t, "step")
			tag, text := rapid.StringN(1, 300, -1).Draw(t, "tag"), rapid.String().Draw(t, "text")
			v := float64(rapid.Float32().Draw(t, "value"))
			limits := rapid.SliceOf(rapid.Float64()).Draw(t, "limits")
			value := Value{Tag: tag}
			var err error
			switch kind := Kind(rapid.IntRange(1, 4).Draw(t, "kind")); kind {
			case KindScalar:
				value.Kind, value.Scalar = kind, v
				err = w.Scalar(wall, step, tag, v)
			case KindText:
				value.Tag, value.Kind, value.Text, value.Plugin, value.Tensor = tag+"/text_summary", kind, text, "text", true
				err = w.Text(wall, step, tag, text)
			case KindImage:
				value.Kind, value.Image = kind, Image{int(int32(step)) & 0xffff, 3, 4, []byte(text)}
				err = w.Image(wall, step, tag, value.Image)
			case KindHistogram:
				value.Kind, value.Histogram = kind, Histogram{-v, v, 2, 3, 4, limits, limits}
				err = w.Histogram(wall, step, tag, value.Histogram)
			}
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, Event{WallTime: wall, Step: step, Values: []Value{value}})
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r := NewReader(bytes.NewReader(b.Bytes()))
		for _, e := range want {
			got, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprintf("%+v", e) != fmt.Sprintf("%+v", got) { // takes nil and empty for equal
				t.Fatalf("want %+v, got %+v", e, got)
			}
		}
	})
}

// FuzzReader reads anything, as a file and as the payload of a sound record.
func FuzzReader(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.Inputs.File)
		f.Add(g.Outputs.File)
		for r := NewReader(bytes.NewReader(g.Outputs.File)); ; {
			record, err := r.NextRecord()
			if err != nil {
				break
			}
			f.Add(slices.Clone(record.Payload))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, appendRecord(nil, data)} {
			r := NewReader(bytes.NewReader(file))
			last := int64(-1)
			for {
				_, err := r.Next()
				if typed := new(Error); err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &typed) {
					t.Fatalf("want *Error, got %T", err)
				}
				if err != nil {
					break
				}
				if r.Offset() <= last || r.Offset() > int64(len(file)) {
					t.Fatalf("offset %d after %d of %d", r.Offset(), last, len(file))
				}
				last = r.Offset()
			}
			if r.End() == NotYet {
				t.Fatal("the reader stopped without saying why")
			}
		}
	})
}

func BenchmarkReadScalars1M(b *testing.B) {
	file := scalars(b, 1_000_000)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(file))
		n, sum := 0, 0.0
		for {
			e, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n += len(e.Values)
			for i := range e.Values {
				sum += e.Values[i].Scalar
			}
		}
		if n != 1_000_000 || sum == 0 {
			b.Fatalf("%d values", n)
		}
	}
}

// BenchmarkLog10 logs ten scalars a step to a real file.
func BenchmarkLog10(b *testing.B) {
	w, err := Create(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	step := int64(0)
	for b.Loop() {
		for range 10 {
			if err := w.Scalar(1, step, "train/loss", 0.5); err != nil {
				b.Fatal(err)
			}
		}
		step++
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// What later sessions take back is the same as when each one goes through all points, as it once did.
func TestSessionsTakeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, want := curves{all: map[string]*curve{}}, map[string][]Point{}
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			step := rapid.Int64Range(0, 5).Draw(t, "step")
			if rapid.Bool().Draw(t, "start") {
				c.starts = append(c.starts, start{c.values, step})
				for tag, points := range want {
					want[tag] = slices.DeleteFunc(points, func(p Point) bool { return p.Step >= step })
				}
				continue
			}
			tag := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tag")
			c.add(tag, Point{Step: step})
			want[tag] = append(want[tag], Point{Step: step})
		}
		if diff := cmp.Diff(want, c.points(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// An event of more values than any writer puts into one is refused before they take a hundred times its bytes; tags beyond those that
// are kept are read all the same.
func TestManyValuesAndTags(t *testing.T) {
	value := []byte{0x0a, 0}
	for n, ok := range map[int]bool{maxValues: true, maxValues + 1: false} {
		summary := bytes.Repeat(value, n)
		payload := append(binary.AppendUvarint([]byte{0x2a}, uint64(len(summary))), summary...)
		_, err := NewReader(bytes.NewReader(appendRecord(nil, payload))).Next()
		if (err == nil) != ok || !ok && !errors.Is(err, ErrMessage) {
			t.Errorf("%d values: %v", n, err)
		}
	}

	var file []byte
	for i := range maxTags + 2 {
		tag := fmt.Sprintf("%05d", i)
		file = appendRecord(file, append([]byte{0x2a, 9, 0x0a, 7, 0x0a, 5}, tag...))
	}
	r := NewReader(bytes.NewReader(file))
	for i := range maxTags + 2 {
		if e, err := r.Next(); err != nil || len(e.Values) != 1 || e.Values[0].Tag != fmt.Sprintf("%05d", i) {
			t.Fatalf("event %d: %+v, %v", i, e, err)
		}
	}
	if len(r.tags) != maxTags {
		t.Errorf("%d tags are kept, want %d", len(r.tags), maxTags)
	}
}
