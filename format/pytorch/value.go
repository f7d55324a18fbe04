package pytorch

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/internal/zipread"
)

// What the machine builds, beside nil, bool, int64, float64 and string. Nothing here can act.
type (
	tuple []any
	list  struct{ items []any }
	bytea []byte
	// huge is a whole number of more than 64 bits, as its two's complement, little endian.
	huge string
	// global is one of the names that the machine knows.
	global string
	// dict keeps the order in which keys came; a key that comes again replaces the value.
	dict struct {
		keys, values []any
		place        map[any]int
	}
	// opaque is something harmless that no one asks for, such as a device.
	opaque string
)

// set puts a value under a key. Keys that Go cannot compare are kept without looking for an equal one.
func (d *dict) set(key, value any) {
	switch key.(type) {
	case nil, bool, int64, float64, string, global:
	default:
		d.keys, d.values = append(d.keys, key), append(d.values, value)
		return
	}
	if i, ok := d.place[key]; ok {
		d.values[i] = value
		return
	}
	if d.place == nil {
		d.place = map[any]int{}
	}
	d.place[key] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

func (d *dict) get(key any) (any, bool) {
	i, ok := d.place[key]
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

// storage is a run of elements somewhere in the file.
type storage struct {
	key      string
	dtype    DType // "" for bytes without a type
	elements int64 // bytes if dtype is ""
	at       int64 // first byte in the file, or in entry if that is set; -1 while it is not known
	entry    *zipread.Entry
	raw      []byte // the bytes themselves, of an array that stands in the pickle
	swapped  bool   // raw is big endian
}

// bytes returns the size of the storage. It cannot overflow: checkStorage has seen it.
func (s *storage) bytes() int64 {
	if s.dtype == "" {
		return s.elements
	}
	return s.elements * int64(s.dtype.Size())
}

// tensor is a view of a storage.
type tensor struct {
	storage  *storage
	dtype    DType
	offset   int64 // first element
	shape    []int
	strides  []int64
	elements int64
	straight bool // the elements stand one behind the other in row-major order

	negated, conjugate bool       // what PyTorch keeps as marks of a view: values are the stored ones with the other sign, or conjugate
	quantised          *quantizer // how codes become values; nil for plain elements
	scales, zeros      *tensor    // of a quantizer with one scale a channel, until they are loaded
	unread             string     // why there are no values; "" where there are
}

// maxRepeat bounds the elements of a tensor that shows elements of its storage more than once (stride 0), so that a small
// file cannot ask for a large array.
const maxRepeat = 1 << 20

// newTensor checks that a view stays inside its storage. Errors are plain: the machine says where.
func newTensor(s *storage, d DType, offset int64, shape, strides []int64) (*tensor, error) {
	if len(shape) != len(strides) {
		return nil, fmt.Errorf("shape %v and strides %v differ in length", shape, strides)
	}
	if len(shape) > maxDims {
		return nil, fmt.Errorf("%d dimensions, at most %d", len(shape), maxDims)
	}
	t := &tensor{storage: s, dtype: d, offset: offset, shape: make([]int, len(shape)), strides: strides, elements: 1, straight: true}
	size := int64(d.Size())
	room := s.elements // elements of the tensor's type
	if s.dtype != d {
		room = s.bytes() / size
	}
	if offset < 0 || offset > room {
		return nil, fmt.Errorf("offset %d in a storage of %d elements", offset, room)
	}
	for i, dim := range shape {
		if dim < 0 || strides[i] < 0 {
			return nil, fmt.Errorf("shape %v with strides %v has a negative number", shape, strides)
		}
		t.shape[i] = int(dim)
	}
	// The dimensions must have a product even where one of them is 0, so that every number of elements in a row is one.
	product, ok := untrusted.Product(math.MaxInt64/16, slices.DeleteFunc(slices.Clone(t.shape), func(dim int) bool { return dim == 0 })...)
	if !ok {
		return nil, fmt.Errorf("shape %v has more than 2^63 bytes", shape)
	}
	if t.elements = int64(product); slices.Contains(t.shape, 0) {
		t.elements = 0
	}
	if t.elements == 0 {
		return t, nil
	}
	last, expect := uint64(offset), int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] > 1 {
			t.straight = t.straight && strides[i] == expect
			expect *= shape[i]
		}
		high, low := bits.Mul64(uint64(shape[i]-1), uint64(strides[i]))
		if high != 0 || low > math.MaxInt64 || last+low > math.MaxInt64 {
			return nil, fmt.Errorf("shape %v with strides %v reaches beyond 2^63", shape, strides)
		}
		last += low
	}
	if int64(last) >= room {
		return nil, fmt.Errorf("shape %v with strides %v from element %d on reaches element %d of a storage of %d", shape, strides, offset, last, room)
	}
	if t.elements > room && t.elements > maxRepeat {
		return nil, fmt.Errorf("shape %v shows a storage of %d elements more than once, %d elements in all, at most %d", shape, room, t.elements, maxRepeat)
	}
	return t, nil
}

// maxDims is PyTorch's own bound on the number of dimensions.
const maxDims = 64
