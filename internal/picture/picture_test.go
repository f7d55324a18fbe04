package picture_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	_ "golang.org/x/image/tiff" // registers itself with package image, as plotting libraries have it do

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/picture"
	"github.com/ballast-ml/ballast/internal/picture/picturetest"
)

func encoded(t *testing.T, write func(*bytes.Buffer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noisy is a picture that compresses as photos do or worse.
func noisy(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32())
	}
	return m
}

func TestDecode(t *testing.T) {
	photo := noisy(37, 21)
	deep := image.NewNRGBA64(photo.Rect)
	deep.Set(1, 1, color.White)
	for name, content := range map[string][]byte{
		"png":              encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, photo) }),
		"png of 16 bits":   encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, deep) }),
		"jpeg":             encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, photo, nil) }),
		"interlaced":       picturetest.PNG{Width: 37, Height: 21, Colour: 6, Interlaced: true}.Bytes(),
		"palette":          picturetest.PNG{Width: 37, Height: 21, Colour: 3, Depth: 1}.Bytes(),
		"progressive jpeg": picturetest.Scans(37, 21, 10),
	} {
		img, _, err := picture.Decode(name, content)
		if err != nil || img.Bounds().Dx() != 37 || img.Bounds().Dy() != 21 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefuses demands that each is refused before its pixels take memory.
func TestRefuses(t *testing.T) {
	paletted := image.NewPaletted(image.Rect(0, 0, 4, 4), color.Palette{color.Black, color.White})
	animated := encoded(t, func(b *bytes.Buffer) error { return gif.Encode(b, paletted, nil) })
	whole := encoded(t, func(b *bytes.Buffer) error { return png.Encode(b, noisy(40, 40)) })
	photo := encoded(t, func(b *bytes.Buffer) error { return jpeg.Encode(b, noisy(40, 40), nil) })
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"16 bits a channel":     {picturetest.PNG{Width: 16384, Height: 16384, Depth: 16, Colour: 6}.Bytes(), "at most 134 million"},
		"8 bits a channel":      {picturetest.PNG{Width: 11000, Height: 11000, Colour: 6}.Bytes(), "take 484.1 MB decoded, too much for a file of"},
		"a transparent grey":    {picturetest.PNG{Width: 11000, Height: 11000, Before: picturetest.Chunk("tRNS", []byte{0, 0})}.Bytes(), "decoded, too much"},
		"interlaced":            {picturetest.PNG{Width: 7000, Height: 7000, Colour: 2, Interlaced: true}.Bytes(), "decoded, too much"},
		"one row":               {picturetest.PNG{Width: 1 << 27, Height: 1, Colour: 6, Depth: 16, Raw: 1}.Bytes(), "decoded, too much"},
		"as wide as can be":     {picturetest.PNG{Width: 1<<31 - 1, Height: 1, Raw: 1}.Bytes(), "at most 134 million"},
		"as large as can be":    {picturetest.PNG{Width: 1<<31 - 1, Height: 1<<31 - 1, Raw: 1}.Bytes(), "dimension overflow"},
		"no width":              {picturetest.PNG{Width: 0, Height: 1, Raw: 1}.Bytes(), "not a readable image"},
		"fewer pixels":          {picturetest.PNG{Width: 100, Height: 100, Raw: 5000}.Bytes(), "not a readable image"},
		"more pixels":           {picturetest.PNG{Width: 100, Height: 100, Raw: 50000}.Bytes(), "not a readable image"},
		"a colour type of none": {picturetest.PNG{Width: 10, Height: 10, Colour: 5, Raw: 50}.Bytes(), "not a readable image"},
		"a depth of none":       {picturetest.PNG{Width: 10, Height: 10, Depth: 3, Raw: 50}.Bytes(), "not a readable image"},
		"a cut png":             {whole[:len(whole)/2], "not a readable image"},
		"a cut header":          {whole[:20], "not a readable image"},
		"a damaged png":         {damaged, "checksum"},
		"many scans":            {picturetest.Scans(800, 800, 101), "101 scans of 800x800 pixels"},
		"scans of many pixels":  {picturetest.Scans(7000, 7000, 50), "50 scans of 7000x7000 pixels"},
		"progressive":           {picturetest.Scans(11000, 11000, 2), "take 605.0 MB decoded"},
		"a jpeg of 4 GB":        {picturetest.Scans(65535, 65535, 1), "at most 134 million"},
		"a jpeg without width":  {picturetest.Scans(0, 10, 1), "no pixels"},
		"a cut jpeg":            {photo[:len(photo)/2], "not a readable image"},
		"a jpeg of two bytes":   {photo[:2], "ends before its frame header"},
		"a cut gif":             {animated[:len(animated)-4], "not a readable image"},
		"a gif of 4 GB":         {append([]byte("GIF89a\xff\xff\xff\xff"), animated[10:]...), "at most 134 million"},
		"a large gif":           {append([]byte("GIF89a\x10\x27\x10\x27"), animated[10:]...), "decoded, too much for a file of"},
		"tiff":                  {[]byte("II*\x00\x08\x00\x00\x00"), "EOF"},
		"a large tiff":          {picturetest.TIFF(8192, 8192, 1), "decoded, too much for a file of"},
		"a tiff of none":        {picturetest.TIFF(0, 16, 1), "not a readable image"},
		"a large bmp":           {picturetest.BMP(10000, 10000), "decoded, too much for a file of"},
		"a bmp of 16 GB":        {picturetest.BMP(65536, 65536), "at most 134 million"},
		"a webp of 4 GB":        {webPOf(t, 0xfffffff0, lossy), "it says that it has"},
		"a chunk of 2 GB":       {chunkOf(t, 0x7fffff00, lossy), "not a readable image"},
		"a heic":                {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), "it is a HEIC"},
		"text":                  {[]byte("no picture"), "neither PNG nor JPEG"},
		"nothing":               {nil, "empty"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := picture.Decode("x.png", c.content)
		runtime.ReadMemStats(&after)
		var bad *fault.Input
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "x.png: ") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s: %d MB", name, took>>20)
		}
	}
}

// TestLargePhotosPass has what cameras take: 50 million pixels, and all that 134 million may need.
func TestLargePhotosPass(t *testing.T) {
	flat := picturetest.PNG{Width: 8660, Height: 5773, Colour: 2}.Bytes() // 50 million pixels in 150 kB
	if cost, err := picture.Cost("flat", flat); err != nil || cost < 4*8660*5773 {
		t.Errorf("%d, %v", cost, err)
	}
	for _, c := range []struct {
		header []byte
		size   int // of a file with this header: below what such photos have
	}{
		{picturetest.PNG{Width: 8660, Height: 5773, Depth: 16, Colour: 6, Interlaced: true, Raw: 1}.Bytes(), 40 << 20},
		{picturetest.PNG{Width: 11648, Height: 8736, Depth: 16, Colour: 2, Raw: 1}.Bytes(), 50 << 20},
		{picturetest.Scans(8660, 5773, 12), 4 << 20},
		{picturetest.Scans(11648, 8736, 12), 8 << 20},
	} {
		if _, err := picture.Cost("photo", append(c.header, make([]byte, c.size)...)); err != nil {
			t.Error(err)
		}
	}
	memory.SetLimit(100 << 20)
	defer memory.SetLimit(0)
	var short *memory.Error
	if _, _, err := picture.Decode("flat", flat); !errors.As(err, &short) {
		t.Errorf("got %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.png")
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, picture.MaxFile+1); err != nil {
		t.Skip("no sparse files here:", err)
	}
	for path, want := range map[string]string{dir: "it is a folder", large: "pictures of at most 1.1 GB are read", os.DevNull: "it is a device"} {
		if _, err := picture.Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
