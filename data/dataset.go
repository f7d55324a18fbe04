// Package data reads data sets, splits them, cuts them into batches and prepares them: a subset, a long tail, labels made wrong on
// purpose. Package data/sample chooses the examples of each update, data/augment changes them in the graph.
//
//	name               what                                                       where it is
//	optdigits          1,797 digits, 8x8 grey                                     in the binary
//	mnist              70,000 digits, 28x28 grey                                  "ballast data get mnist"
//	fashion-mnist      70,000 pieces of clothing, 28x28 grey                      "ballast data get fashion-mnist"
//	long-tail-optdigits, canvas-digits   made of optdigits                        in the binary
//	glyphs             4,464 characters of the Go fonts, 16x16 grey               in the binary
//	dir:PATH           pictures, one folder per class                             yours
//	csv:FILE           pictures by a table of paths and labels                    yours
//	npy:X.npy,Y.npy    arrays of examples and labels                              yours
//	npz:FILE           the same in one file                                       yours
//	parquet:FILE       a table with pictures, or of numbers                       yours
//	wds:SHARDS         pictures and labels in tar files, as WebDataset has them   yours
//
// A path alone is taken for what it is (Open); what it was taken for, NotesOf says.
//
// An example keeps its index in the data set through shuffling, splitting and batching. Shifts are in data/corrupt.
package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Info describes a data set.
type Info struct {
	Name     string   `json:"name"`
	Part     string   `json:"part,omitempty"` // train, test or all
	Examples int      `json:"examples"`
	Shape    []int    `json:"shape"`   // of one example: height, width, channels; or features
	Classes  []string `json:"classes"` // name of each label
	Origin   string   `json:"origin,omitempty"`
	Licence  string   `json:"licence,omitempty"`
	Checksum string   `json:"checksum,omitempty"` // names the content: another one means other examples, labels or shape
	Images   bool     `json:"images"`             // values are brightness in [0,1]
}

// Size is the number of values of one example.
func (i Info) Size() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// Dataset is a sequence of labelled examples. Its methods may be called at the same time by many.
type Dataset interface {
	Info() Info
	Len() int
	Label(i int) int32
	// Read writes example i to dst, row-major; image values are in [0,1]. dst has Info().Size() elements.
	Read(i int, dst []float32) error
}

// Byted is a data set that holds all its examples as bytes: a value is byte/255. A trainer can then keep bytes on the device.
type Byted interface {
	Dataset
	Bytes() []byte // example after example; read only
}

// Indexed is a part of another data set that knows where its examples stand there. Without it the place is the index.
type Indexed interface {
	Dataset
	StableIndex(i int) int32
}

// Order is the order in which epoch number epoch visits n examples: a permutation that depends on n, seed and epoch alone,
// and so not on how many workers read. It is a Fisher-Yates shuffle from the last place down, each draw the high half of the
// product of a 64-bit PCG-DXSM output and the number of places left.
func Order(n int, seed uint64, epoch int) []int32 {
	r := generator(seed, "order", uint64(epoch))
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := below(r, i+1)
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// generator is the stream of random numbers for one purpose, named by key, and one place in it.
func generator(seed uint64, key string, place uint64) *rand.PCG {
	h := fnv.New64a()
	h.Write([]byte(key))
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], place)
	h.Write(b[:])
	return rand.NewPCG(seed, h.Sum64())
}

// below draws a number in [0, n) with a bias under n/2^64.
func below(r *rand.PCG, n int) int {
	hi, _ := bits.Mul64(r.Uint64(), uint64(n))
	return int(hi)
}

// Checksum is the SHA-256 over a data set's shape, and then over each example's label and values, all as little-endian words
// of 32 bits. It reads everything. It is Info.Checksum of the named sets; folders and arrays have the hash of their files,
// and parts and shifts made of a set one that follows from the set's.
func Checksum(ds Dataset) (string, error) {
	h := sha256.New()
	info := ds.Info()
	word := func(v uint32) {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], v)
		h.Write(b[:])
	}
	for _, d := range info.Shape {
		word(uint32(d))
	}
	row := make([]float32, info.Size())
	packed := make([]byte, 4*len(row))
	for i := range ds.Len() {
		if err := ds.Read(i, row); err != nil {
			return "", err
		}
		word(uint32(ds.Label(i)))
		for j, v := range row {
			binary.LittleEndian.PutUint32(packed[4*j:], math.Float32bits(v))
		}
		h.Write(packed)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// derived is the checksum of what is made of a set in a way that text describes.
func derived(checksum, text string) string {
	if checksum == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(checksum + "\n" + text))
	return hex.EncodeToString(sum[:])
}

// memory is a data set of bytes in memory.
type memory struct {
	info   Info
	pixels []byte
	labels []int32
	values *[256]float32 // of each byte
	first  int32         // stable index of example 0
}

func (m *memory) Info() Info        { return m.info }
func (m *memory) Len() int          { return len(m.labels) }
func (m *memory) Label(i int) int32 { return m.labels[i] }

func (m *memory) Read(i int, dst []float32) error {
	size := m.info.Size()
	pixels := m.pixels[i*size : (i+1)*size]
	dst = dst[:len(pixels)]
	for j, b := range pixels {
		dst[j] = m.values[b]
	}
	return nil
}

func (m *memory) StableIndex(i int) int32 { return m.first + int32(i) }

// bytes255 is memory whose values are byte/255.
type bytes255 struct{ *memory }

// values255 are the values of bytes.
var values255 = fractions(255)

func fractions(one float32) *[256]float32 {
	var values [256]float32
	for b := range values {
		values[b] = float32(b) / one
	}
	return &values
}

func (b bytes255) Bytes() []byte { return b.pixels }
