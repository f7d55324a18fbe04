package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// kind is a file format of pictures.
type kind struct {
	name   string
	is     func(content []byte) bool
	look   func(content []byte) (properties, error) // reads the header alone
	decode func(content []byte) (image.Image, error)
}

// Kinds are the names of the formats that are read.
const Kinds = "PNG, JPEG, GIF, BMP, TIFF and WebP"

// kinds is every format that is read.
func kinds() []kind {
	begins := func(magics ...string) func([]byte) bool {
		return func(content []byte) bool {
			for _, magic := range magics {
				if bytes.HasPrefix(content, []byte(magic)) {
					return true
				}
			}
			return false
		}
	}
	return []kind{
		{"PNG", begins(pngMagic), lookPNG, func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) }},
		{"JPEG", begins(jpegMagic), lookTurned, decodeJPEG},
		{"GIF", begins("GIF87a", "GIF89a"), lookGIF, decodeGIF},
		{"BMP", begins("BM"), lookBMP, func(b []byte) (image.Image, error) { return bmp.Decode(bytes.NewReader(b)) }},
		{"TIFF", begins("II*\x00", "MM\x00*"), lookTIFF, func(b []byte) (image.Image, error) { return tiff.Decode(bytes.NewReader(b)) }},
		{"WebP", isWebP, lookWebP, func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) }},
	}
}

// kindOf finds the format of a file by its first bytes.
func kindOf(content []byte) (kind, bool) {
	for _, k := range kinds() {
		if k.is(content) {
			return k, true
		}
	}
	return kind{}, false
}

// decoded decodes a file whose header was looked at. A decoder that panics has met a file that it should have refused.
func (k kind) decoded(content []byte) (img image.Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			img, err = nil, fmt.Errorf("its decoder stopped: %v", r)
		}
	}()
	return k.decode(content)
}

// Endings are those of the files that are taken for pictures, in lower case.
func Endings() []string {
	return []string{".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
}

// Unread are endings of pictures that are not read: a set without them would be another one, so they are refused and not skipped.
func Unread() []string {
	return []string{".heic", ".heif", ".avif", ".jxl", ".jp2", ".ppm", ".pgm"}
}

// lookTurned is lookJPEG with what it takes to turn the picture as its camera was held.
func lookTurned(content []byte) (properties, error) {
	p, err := lookJPEG(content)
	if err == nil && orientation(content) > 1 {
		p.bytes += 8 * int64(p.width) * int64(p.height) // in RGB, and turned
	}
	return p, err
}

func decodeJPEG(content []byte) (image.Image, error) {
	img, err := jpeg.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return turned(img, orientation(content)), nil
}

// lookGIF reads the size of the screen, which no frame is larger than.
func lookGIF(content []byte) (properties, error) {
	if len(content) < 10 {
		return properties{}, errors.New("it ends within its header")
	}
	p := properties{width: int(binary.LittleEndian.Uint16(content[6:])), height: int(binary.LittleEndian.Uint16(content[8:]))}
	return p.with(5) // a frame in bytes, and the screen where the frame does not cover it
}

// decodeGIF is the first frame on its screen. What no frame has drawn is transparent.
func decodeGIF(content []byte) (image.Image, error) {
	frame, err := gif.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	p, err := lookGIF(content)
	screen := image.Rect(0, 0, p.width, p.height)
	if err != nil || frame.Bounds() == screen {
		return frame, err
	}
	whole := image.NewNRGBA(screen)
	draw.Draw(whole, frame.Bounds(), frame, frame.Bounds().Min, draw.Src)
	return whole, nil
}

func lookBMP(content []byte) (properties, error) {
	config, err := bmp.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return properties{}, err
	}
	p := properties{width: config.Width, height: config.Height}
	return p.with(4)
}

// lookTIFF counts the picture and a strip, each of up to 8 bytes a pixel; a strip's memory doubles as it grows.
func lookTIFF(content []byte) (properties, error) {
	config, err := tiff.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return properties{}, err
	}
	p := properties{width: config.Width, height: config.Height}
	if p, err = p.with(24); err == nil {
		p.bytes += 16 << 20 // a tile may be larger than the picture: 1024x1024 pixels
	}
	return p, err
}

func isWebP(content []byte) bool {
	return len(content) >= 16 && string(content[:4]) == "RIFF" && string(content[8:12]) == "WEBP"
}

// lookWebP refuses lengths beyond the file, which the decoder would make room for.
func lookWebP(content []byte) (properties, error) {
	if length := int64(binary.LittleEndian.Uint32(content[4:])); length+8 > int64(len(content))+1 {
		return properties{}, fmt.Errorf("it says that it has %d bytes, the file has %d", length+8, len(content))
	}
	config, err := webp.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return properties{}, err
	}
	p := properties{width: config.Width, height: config.Height}
	if p, err = p.with(16); err != nil {
		return p, err
	}
	// A lossless one has codes of 2.7 kB for each group of 16 pixels, at most 65,536 of them.
	p.bytes += 2700 * min(1<<16, int64(p.width)*int64(p.height)/16+1)
	return p, nil
}

// with are properties whose picture takes so many bytes a pixel.
func (p properties) with(pixel int64) (properties, error) {
	if p.width < 1 || p.height < 1 {
		return p, errors.New("no pixels")
	}
	p.components = 1
	if area := int64(p.width) * int64(p.height); area <= MaxPixels {
		p.bytes = area * pixel
	}
	return p, nil
}
