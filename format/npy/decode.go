package npy

import (
	"encoding/binary"
	"math"
)

// decode converts little endian elements to dst. It returns the place of the first value that does not fit, -1 if all do.
func decode[T float32 | float64 | int64](dst []T, d DType, raw []byte, narrow func(float64) (T, bool)) int {
	le := binary.LittleEndian
	switch d {
	case Bool:
		for i := range dst {
			dst[i] = T(min(raw[i], 1))
		}
	case Uint8:
		for i := range dst {
			dst[i] = T(raw[i])
		}
	case Int8:
		for i := range dst {
			dst[i] = T(int8(raw[i]))
		}
	case Uint16:
		for i := range dst {
			dst[i] = T(le.Uint16(raw[2*i:]))
		}
	case Int16:
		for i := range dst {
			dst[i] = T(int16(le.Uint16(raw[2*i:])))
		}
	case Uint32:
		for i := range dst {
			dst[i] = T(le.Uint32(raw[4*i:]))
		}
	case Int32:
		for i := range dst {
			dst[i] = T(int32(le.Uint32(raw[4*i:])))
		}
	case Uint64:
		_, whole := any(dst).([]int64)
		for i := range dst {
			u := le.Uint64(raw[8*i:])
			if whole && u > math.MaxInt64 {
				return i
			}
			dst[i] = T(u)
		}
	case Int64:
		for i := range dst {
			dst[i] = T(int64(le.Uint64(raw[8*i:])))
		}
	case BFloat16:
		return floats(dst, narrow, func(i int) float64 { return float64(math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)) })
	case Float16:
		return floats(dst, narrow, func(i int) float64 { return fromHalf(le.Uint16(raw[2*i:])) })
	case Float32:
		if _, whole := any(dst).([]int64); !whole {
			for i := range dst {
				dst[i] = T(math.Float32frombits(le.Uint32(raw[4*i:])))
			}
			return -1
		}
		return floats(dst, narrow, func(i int) float64 { return float64(math.Float32frombits(le.Uint32(raw[4*i:]))) })
	case Float64:
		if _, whole := any(dst).([]int64); !whole {
			for i := range dst {
				dst[i] = T(math.Float64frombits(le.Uint64(raw[8*i:])))
			}
			return -1
		}
		return floats(dst, narrow, func(i int) float64 { return math.Float64frombits(le.Uint64(raw[8*i:])) })
	}
	return -1
}

func floats[T float32 | float64 | int64](dst []T, narrow func(float64) (T, bool), at func(int) float64) int {
	for i := range dst {
		v, ok := narrow(at(i))
		if !ok {
			return i
		}
		dst[i] = v
	}
	return -1
}

// fromHalf widens IEEE binary16, exactly.
func fromHalf(h uint16) float64 {
	sign := 1.0
	if h&0x8000 != 0 {
		sign = -1
	}
	exp, man := int(h>>10&31), float64(h&1023)
	switch {
	case exp == 31 && man != 0:
		return math.NaN()
	case exp == 31:
		return math.Inf(int(sign))
	case exp == 0:
		return sign * man * 0x1p-24
	}
	return sign * math.Ldexp(1024+man, exp-25)
}
