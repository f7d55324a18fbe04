package picture

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/draw"
)

// orientation is how a JPEG's camera was held, 1 to 8 as Exif numbers it (tag 274); 1 = as the pixels are, also where nothing is said.
func orientation(content []byte) int {
	for at := len(jpegMagic); at+4 <= len(content) && content[at] == 0xff; {
		marker, length := content[at+1], int(content[at+2])<<8|int(content[at+3])
		if marker == 0xda || length < 2 || at+2+length > len(content) {
			return 1
		}
		if segment := content[at+4 : at+2+length]; marker == 0xe1 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")) {
			return orientationIn(segment[6:])
		}
		at += 2 + length
	}
	return 1
}

// orientationIn reads the first directory of a block of Exif: entries of 12 bytes (tag, type, count, value).
func orientationIn(block []byte) int {
	if len(block) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if block[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(block[4:]))
	if at+2 > int64(len(block)) {
		return 1
	}
	entries := int(order.Uint16(block[at:]))
	for entry := block[at+2:]; entries > 0 && len(entry) >= 12; entries, entry = entries-1, entry[12:] {
		if order.Uint16(entry) != 274 {
			continue
		}
		if v := int(order.Uint16(entry[8:])); v >= 1 && v <= 8 {
			return v
		}
		return 1
	}
	return 1
}

// turned is a picture as its camera was held: grey stays bytes of grey, all others become RGBA.
func turned(img image.Image, orientation int) image.Image {
	if orientation <= 1 {
		return img
	}
	b := img.Bounds()
	height, width := b.Dy(), b.Dx()
	to := image.Rect(0, 0, width, height)
	if orientation >= 5 {
		to = image.Rect(0, 0, height, width)
	}
	if grey, ok := img.(*image.Gray); ok {
		out := image.NewGray(to)
		turn(out.Pix, grey.Pix, out.Stride, grey.Stride, height, width, 1, orientation)
		return out
	}
	flat := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(flat, flat.Bounds(), img, b.Min, draw.Src)
	out := image.NewRGBA(to)
	turn(out.Pix, flat.Pix, out.Stride, flat.Stride, height, width, 4, orientation)
	return out
}

// turn moves each pixel of size bytes to its place: orientations above 4 exchange rows and columns.
func turn(dst, src []byte, dstStride, srcStride, height, width, size, orientation int) {
	for y := range height {
		for x := range width {
			toY, toX := y, x
			switch orientation {
			case 2:
				toX = width - 1 - x
			case 3:
				toY, toX = height-1-y, width-1-x
			case 4:
				toY = height - 1 - y
			case 5:
				toY, toX = x, y
			case 6:
				toY, toX = x, height-1-y
			case 7:
				toY, toX = width-1-x, height-1-y
			case 8:
				toY, toX = width-1-x, y
			}
			from := y*srcStride + x*size
			copy(dst[toY*dstStride+toX*size:][:size], src[from:from+size])
		}
	}
}
