// Package picturetest makes, for tests, small picture files that need far more memory to decode than they have bytes.
package picturetest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
)

// PNG describes a black picture.
type PNG struct {
	Width, Height int
	Depth, Colour byte // as in the header chunk; the zero value is 8-bit grey
	Interlaced    bool
	Before        []byte // chunks between the header and the pixels
	Raw           int64  // bytes of pixels; 0 = as many as the header promises
}

// Bytes is the file. Its pixels are zeros, compressed as far as deflate goes (1,000 to 1), whatever their number.
func (p PNG) Bytes() []byte {
	if p.Depth == 0 {
		p.Depth = 8
	}
	header := binary.BigEndian.AppendUint32(nil, uint32(p.Width))
	header = binary.BigEndian.AppendUint32(header, uint32(p.Height))
	header = append(header, p.Depth, p.Colour, 0, 0, 0)
	if p.Interlaced {
		header[12] = 1
	}
	raw := p.Raw
	if raw == 0 {
		raw = p.size()
	}
	file := []byte("\x89PNG\r\n\x1a\n")
	file = append(file, Chunk("IHDR", header)...)
	file = append(file, p.Before...)
	if p.Colour == 3 {
		file = append(file, Chunk("PLTE", []byte{0, 0, 0, 255, 255, 255})...)
	}
	file = append(file, Chunk("IDAT", zeros(raw))...)
	return append(file, Chunk("IEND", nil)...)
}

// size is the number of bytes that decompression must give: rows of pixels, each after a byte for its filter.
func (p PNG) size() int64 {
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[p.Colour]
	rows := func(width, height int) int64 {
		if width == 0 || height == 0 {
			return 0
		}
		return int64(height) * (1 + (int64(width)*channels*int64(p.Depth)+7)/8)
	}
	if !p.Interlaced {
		return rows(p.Width, p.Height)
	}
	total := int64(0)
	for _, pass := range [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		total += rows((p.Width-pass[0]+pass[2]-1)/pass[2], (p.Height-pass[1]+pass[3]-1)/pass[3])
	}
	return total
}

// Chunk is a chunk of a PNG with its checksum.
func Chunk(kind string, content []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	c = append(append(c, kind...), content...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

// zeros is a zlib stream of n zeros, made of a compressed megabyte repeated.
func zeros(n int64) []byte {
	const piece = 1 << 20
	out := []byte{0x78, 0xda}
	whole := deflated(piece)
	for range n / piece {
		out = append(out, whole...)
	}
	out = append(out, deflated(int(n%piece))...)
	out = append(out, 1, 0, 0, 0xff, 0xff) // the last block, empty
	// Adler-32 of zeros: one sum stays 1, the other counts.
	return binary.BigEndian.AppendUint32(out, uint32(n%65521)<<16|1)
}

// deflated is n zeros as deflate blocks that need nothing before them, up to a byte's border.
func deflated(n int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = w.Write(make([]byte, n))
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// Scans is a grey progressive JPEG with a number of scans over all coefficients, a few bytes for each.
func Scans(width, height, scans int) []byte {
	segment := func(marker byte, content ...byte) []byte {
		return append([]byte{0xff, marker, byte((len(content) + 2) >> 8), byte(len(content) + 2)}, content...)
	}
	file := []byte{0xff, 0xd8}
	file = append(file, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)...)
	file = append(file, segment(0xc2, 8, byte(height>>8), byte(height), byte(width>>8), byte(width), 1, 1, 0x11, 0)...)
	// One code of one bit: a run of up to 32,767 blocks without coefficients.
	table := append([]byte{0x10, 1}, make([]byte, 15)...)
	file = append(file, segment(0xc4, append(table, 0xe0)...)...)

	blocks := ((width + 7) / 8) * ((height + 7) / 8)
	var bits []byte
	for ; blocks > 0; blocks -= 32767 {
		bits = append(bits, "011111111111111"...)
	}
	var scan []byte
	for len(bits)%8 != 0 {
		bits = append(bits, '1')
	}
	for i := 0; i < len(bits); i += 8 {
		b := byte(0)
		for _, bit := range bits[i : i+8] {
			b = b<<1 | bit&1
		}
		if scan = append(scan, b); b == 0xff {
			scan = append(scan, 0)
		}
	}
	one := append(segment(0xda, 1, 1, 0, 1, 63, 0), scan...)
	return append(append(file, bytes.Repeat(one, scans)...), 0xff, 0xd9)
}

// TIFF is a header of grey pixels in one strip of a few bytes, whatever the size says; compression is 1 for none, 8 for deflate.
func TIFF(width, height uint32, compression uint32) []byte {
	var directory []byte
	for _, e := range [][3]uint32{{256, 4, width}, {257, 4, height}, {258, 3, 8}, {259, 3, compression}, {262, 3, 1}, {273, 4, 8}, {277, 3, 1}, {278, 4, height}, {279, 4, 4}} {
		directory = binary.LittleEndian.AppendUint16(directory, uint16(e[0]))
		directory = binary.LittleEndian.AppendUint16(directory, uint16(e[1]))
		directory = binary.LittleEndian.AppendUint32(directory, 1)
		directory = binary.LittleEndian.AppendUint32(directory, e[2])
	}
	file := []byte("II*\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x09\x00")
	return append(append(file, directory...), 0, 0, 0, 0)
}

// BMP is a header of 24-bit colour without pixels.
func BMP(width, height uint32) []byte {
	file := append([]byte("BM"), make([]byte, 8)...)
	for _, word := range []uint32{54, 40, width, height, 1 | 24<<16} {
		file = binary.LittleEndian.AppendUint32(file, word)
	}
	return append(file, make([]byte, 24)...)
}
