// Package picture lists and decodes untrusted pictures: PNG, JPEG, GIF (the first frame), BMP, TIFF and WebP. It calls those decoders
// directly, so other packages that register decoders with package image do not change it, and it checks the cost of decoding against limits
// before it starts. A JPEG is turned as its camera was held.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/memory"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// The limits of one picture.
const (
	// MaxPixels is the most pixels of a picture: 134 million, more than most medium-format cameras take (100 million).
	MaxPixels = 1 << 27

	// MaxFile is the most bytes of a file: MaxPixels as a PNG of 16-bit colour with transparency that did not compress at all.
	MaxFile = 1 << 30

	// FreeBytes and BytesPerByte bound what decoding may take: FreeBytes whatever the file, enough for a picture of 50 million pixels
	// in one flat colour, and BytesPerByte for each byte of the file. Photos take 2 to 60 bytes of memory for a byte of the file;
	// a file made to exhaust memory takes 1,000 to 10,000.
	FreeBytes    = 1 << 28
	BytesPerByte = 64

	// MaxScans is the most scans of a progressive JPEG for each component. Encoders write about 10 in all, and a script that gives each of the
	// 64 coefficients a scan of its own 64. A scan may be a few bytes that cost a walk over the whole picture.
	MaxScans = 100

	// MaxScanPixels is the most pixels that the scans of a progressive JPEG walk over in all, about 2 s of work: 16 scans of MaxPixels.
	MaxScanPixels = 1 << 31
)

// Read returns the content of a picture's file.
func Read(path string) (content []byte, err error) {
	f, err := untrusted.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if stat.Size() > MaxFile {
		return nil, &fault.Input{
			File: path, Err: fmt.Errorf("it has %s; pictures of at most %s are read", memory.Size(stat.Size()), memory.Size(MaxFile)),
			Fix: "save it smaller",
		}
	}
	if err := memory.Need(path, stat.Size()); err != nil {
		return nil, err
	}
	content = make([]byte, stat.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, &fault.Input{File: path, Err: fmt.Errorf("it was cut while it was read: %w", err), Fix: "try again"}
	}
	return content, nil
}

// Open reads and decodes a file.
func Open(path string) (image.Image, error) {
	content, err := Read(path)
	if err != nil {
		return nil, err
	}
	img, _, err := Decode(path, content)
	return img, err
}

// Decode decodes the content of a file whose name errors give. bytes is the most memory that decoding took beside content. What is not a
// whole picture, or beyond the limits of this package, is a *fault.Input; what the process's memory limit forbids is a
// *memory.Error.
func Decode(name string, content []byte) (img image.Image, bytes int64, err error) {
	if bytes, err = Cost(name, content); err != nil {
		return nil, 0, err
	}
	k, _ := kindOf(content)
	img, err = k.decoded(content)
	if err == nil && img.Bounds().Empty() {
		err = errors.New("no pixels")
	}
	if err != nil {
		return nil, 0, unreadable(name, err)
	}
	return img, bytes, nil
}

// Cost is the most memory that decoding takes beside the content of the file, or why it is refused. Only the header is looked at, and of a
// progressive JPEG the scans are counted.
func Cost(name string, content []byte) (int64, error) {
	p, err := look(content)
	if err != nil {
		return 0, unreadable(name, err)
	}
	small := "save it smaller, or remove it"
	if pixels := int64(p.width) * int64(p.height); pixels > MaxPixels {
		return 0, &fault.Input{
			File: name, Err: fmt.Errorf("it has %dx%d pixels; pictures of at most %d million are decoded", p.height, p.width, MaxPixels/1_000_000), Fix: small,
		}
	} else if walked := pixels * int64(p.scans); p.scans > MaxScans*p.components || p.scans > 1 && walked > MaxScanPixels {
		return 0, &fault.Input{
			File: name, Err: fmt.Errorf("its %d scans of %dx%d pixels are more than any encoder writes", p.scans, p.height, p.width), Fix: "save it anew, or remove it",
		}
	}
	if most := FreeBytes + BytesPerByte*int64(len(content)); p.bytes > most {
		return 0, &fault.Input{
			File: name, Err: fmt.Errorf("its %dx%d pixels take %s decoded, too much for a file of %s", p.height, p.width, memory.Size(p.bytes), memory.Size(int64(len(content)))),
			Fix: small,
		}
	}
	if err := memory.Need(name, p.bytes+int64(len(content))); err != nil {
		return 0, err
	}
	return p.bytes, nil
}

// Replace is the fix of a file that is not a picture, or not a whole one.
const Replace = "replace or remove it"

// unreadable says that a file is not a picture.
func unreadable(name string, err error) error {
	return &fault.Input{File: name, Err: fmt.Errorf("not a readable image: %w", err), Fix: Replace}
}

// The first bytes of the two kinds that are decoded most.
const (
	pngMagic  = "\x89PNG\r\n\x1a\n"
	jpegMagic = "\xff\xd8"
)

// others are the first bytes of files that people give for pictures.
var others = []struct{ magic, name string }{
	{"II+\x00", "a BigTIFF"}, {"MM\x00+", "a BigTIFF"}, {"RIFF", "a RIFF file without a picture"},
	{"<svg", "an SVG"}, {"<?xml", "an SVG"}, {"\x00\x00\x00\x0cJXL", "a JPEG XL"}, {"\x00\x00\x00\x0cjP", "a JPEG 2000"}, {"%PDF", "a PDF"},
	{"version https://git-lfs", "a pointer of Git LFS"},
}

// properties are what the header of a picture says.
type properties struct {
	width, height int
	components    int
	scans         int   // of a progressive JPEG, else 0
	bytes         int64 // that decoding takes at most
}

// look reads the header of a file.
func look(content []byte) (properties, error) {
	if k, ok := kindOf(content); ok {
		return k.look(content)
	}
	if len(content) == 0 {
		return properties{}, errors.New("it is empty")
	}
	for _, o := range others {
		if bytes.HasPrefix(content, []byte(o.magic)) {
			return properties{}, fmt.Errorf("it is %s; %s are read", o.name, Kinds)
		}
	}
	if len(content) > 12 && string(content[4:8]) == "ftyp" {
		return properties{}, fmt.Errorf("it is a HEIC, an AVIF or a film; %s are read", Kinds)
	}
	return properties{}, errors.New("it is neither PNG nor JPEG, nor GIF, BMP, TIFF or WebP")
}

// lookPNG reads the header chunk, which comes first: width and height at 16 and 20, depth, colour type and interlacing at 24, 25 and 28.
func lookPNG(content []byte) (properties, error) {
	config, err := png.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return properties{}, err
	}
	depth, colour, interlaced := int64(content[24]), content[25], content[28] != 0
	p := properties{width: config.Width, height: config.Height, components: 1}
	// Bytes of a pixel as decoded, and channels of one in the file.
	pixel, channels := int64(1), int64(1)
	switch colour {
	case 2, 4, 6: // colour, grey with alpha, colour with alpha
		pixel, channels = 4, 4
	case 0:
		if bytes.Contains(content, []byte("tRNS")) { // a grey that is transparent
			pixel = 4
		}
	}
	if depth == 16 {
		pixel *= 2
	}
	area := int64(p.width) * int64(p.height)
	if area > MaxPixels {
		return p, nil
	}
	p.bytes = area * pixel
	if interlaced { // every pass is a picture of its own first
		p.bytes *= 2
	}
	p.bytes += 2 * (int64(p.width)*channels*depth/8 + 2) // the present row and the one before
	return p, nil
}

// lookJPEG reads segments up to the frame header as the decoder does: bytes between segments are skipped, and so are fill bytes.
func lookJPEG(content []byte) (properties, error) {
	short := errors.New("it ends before its frame header")
	for at := len(jpegMagic); ; {
		for at+1 < len(content) && (content[at] != 0xff || content[at+1] == 0) {
			at++
		}
		for at+1 < len(content) && content[at] == 0xff && content[at+1] == 0xff {
			at++
		}
		if at+4 > len(content) {
			return properties{}, short
		}
		marker, length := content[at+1], int(content[at+2])<<8|int(content[at+3])
		switch {
		case marker >= 0xd0 && marker <= 0xd7: // a restart marker has no segment
			at += 2
			continue
		case marker == 0xd9 || marker == 0xda:
			return properties{}, errors.New("it has no frame header")
		case length < 2 || at+2+length > len(content):
			return properties{}, short
		}
		segment := content[at+4 : at+2+length]
		if marker >= 0xc0 && marker <= 0xc2 {
			return frame(content, segment, marker == 0xc2)
		}
		at += 2 + length
	}
}

// frame reads a frame header: depth, height, width, the number of components, and three bytes for each: its name, its sampling
// factors, and its table.
func frame(content, segment []byte, progressive bool) (properties, error) {
	if len(segment) < 6 || len(segment) != 6+3*int(segment[5]) {
		return properties{}, errors.New("its frame header has a wrong length")
	}
	p := properties{height: int(segment[1])<<8 | int(segment[2]), width: int(segment[3])<<8 | int(segment[4]), components: int(segment[5])}
	if p.width == 0 || p.height == 0 {
		return p, errors.New("no pixels")
	}
	if p.components != 1 && p.components != 3 && p.components != 4 {
		return p, fmt.Errorf("it has %d components", p.components)
	}
	across, down, blocks := int64(1), int64(1), int64(1) // of the first component, and of all in a unit
	if p.components > 1 {
		blocks = 0
		for i := range p.components {
			h, v := int64(segment[7+3*i]>>4), int64(segment[7+3*i]&15)
			if h < 1 || h > 4 || v < 1 || v > 4 {
				return p, errors.New("its sampling factors are not 1 to 4")
			}
			if i == 0 {
				across, down = h, v
			}
			blocks += h * v
		}
	}
	units := ((int64(p.width) + 8*across - 1) / (8 * across)) * ((int64(p.height) + 8*down - 1) / (8 * down))
	p.bytes = units * blocks * 64
	if progressive {
		p.bytes *= 5 // the coefficients are kept, 4 bytes each
		p.scans = bytes.Count(content, []byte("\xff\xda"))
	}
	if p.components == 4 || p.components == 3 && (bytes.HasPrefix(segment[6:], []byte("R")) || bytes.Contains(content, []byte("Adobe"))) {
		p.bytes += 4 * int64(p.width) * int64(p.height) // turned into RGB or CMYK
	}
	return p, nil
}
