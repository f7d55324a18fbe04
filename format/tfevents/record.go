package tfevents

import (
	"encoding/binary"
	"hash/crc32"
)

// FileVersion is what the first record of every file says.
const FileVersion = "brain.Event:2"

// castagnoli makes hash/crc32 use the processor's own instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC returns the CRC-32C (Castagnoli) of data.
func CRC(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// MaskedCRC returns the checksum of records: CRC turned right by 15 bits, plus 0xa282ead8. It is masked because the checksum of
// data that hold their own checksum says little.
func MaskedCRC(data []byte) uint32 {
	c := CRC(data)
	return (c>>15 | c<<17) + 0xa282ead8
}

// appendRecord frames a payload.
func appendRecord(b, payload []byte) []byte {
	begin := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, MaskedCRC(b[begin:]))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, MaskedCRC(payload))
}
