package pytorch

import (
	"errors"
	"fmt"
)

// buildDict reads what dict() takes: nothing, a dictionary, or a list of pairs.
func buildDict(m *machine, args tuple) (any, error) {
	if err := m.charge(96); err != nil {
		return nil, err
	}
	d := &dict{}
	if len(args) > 0 {
		switch args[0].(type) {
		case global, foreign, storageClass, DType, nil, *object: // the factory of a defaultdict, which nothing here asks
			args = args[1:]
		}
	}
	if len(args) == 0 {
		return d, nil
	}
	var items []any
	switch from := args[0].(type) {
	case *dict:
		for i := range from.keys {
			if err := grow(m, &items, from.keys[i], from.values[i]); err != nil {
				return nil, err
			}
		}
	case *list:
		for _, item := range from.items {
			pair := sequence(item)
			if len(pair) != 2 {
				return nil, fmt.Errorf("item is %s, want a pair", describe(item))
			}
			if err := grow(m, &items, pair[0], pair[1]); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("made of %s", describe(from))
	}
	return d, m.fill(d, items)
}

// sequence sees a list or a tuple as its items.
func sequence(v any) []any {
	switch v := v.(type) {
	case tuple:
		return v
	case *list:
		return v.items
	}
	return nil
}

func buildList(m *machine, args tuple) (any, error) {
	l := &list{}
	if len(args) > 0 {
		items := sequence(args[0])
		if err := m.charge(48 + 16*int64(len(items))); err != nil {
			return nil, err
		}
		l.items = append(l.items, items...)
	}
	return l, m.charge(48)
}

func buildSize(_ *machine, args tuple) (any, error) {
	if len(args) == 0 {
		return tuple(nil), nil
	}
	return tuple(sequence(args[0])), nil
}

func buildOpaque(m *machine, args tuple) (any, error) {
	if len(args) == 0 {
		return opaque(""), nil
	}
	return opaque(describe(args[0])), m.charge(200)
}

func buildFirst(_ *machine, args tuple) (any, error) {
	if len(args) > 0 {
		switch args[0].(type) {
		case *tensor, *object:
			return args[0], nil
		}
	}
	return nil, errors.New("it is not made of a tensor")
}

// buildFromType is _rebuild_from_type_v2(function, type, arguments, state).
func buildFromType(m *machine, args tuple) (any, error) {
	if len(args) < 3 {
		return nil, errors.New("too few arguments")
	}
	inner, ok := args[2].(tuple)
	switch f := args[0].(type) {
	case global:
		switch {
		case ok && f == "torch._utils._rebuild_tensor_v2":
			return buildTensor(m, inner)
		case ok && f == "torch._utils._rebuild_tensor_v3":
			return buildTensor3(m, inner)
		case ok && f == "torch._utils._rebuild_qtensor":
			return buildQuantised(m, inner)
		}
	case foreign: // a class of tensors that are no plain ones
		class := string(f)
		if named, ok := args[1].(foreign); ok {
			class = string(named)
		}
		return m.make(class, args...)
	}
	return nil, fmt.Errorf("it is made by %s", describe(args[0]))
}

// buildTensor is _rebuild_tensor_v2(storage, offset, shape, strides, ...), and the older form of four arguments.
func buildTensor(m *machine, args tuple) (any, error) { return m.tensor(args, "", at(args, 6)) }

// at is one of the arguments, nil where there are fewer.
func at(args tuple, i int) any {
	if i < len(args) {
		return args[i]
	}
	return nil
}

// buildTensor3 is _rebuild_tensor_v3(storage, offset, shape, strides, requires_grad, hooks, dtype, ...).
func buildTensor3(m *machine, args tuple) (any, error) {
	if len(args) < 7 {
		return nil, errors.New("too few arguments")
	}
	switch d := args[6].(type) {
	case DType:
		return m.tensor(args, d, at(args, 7))
	case foreign: // a type of elements that has no name here
		return m.make(string(d), args...)
	}
	return nil, fmt.Errorf("element type is %s", describe(args[6]))
}

// tensor makes a tensor of (storage, offset, shape, strides, ...). marks are what PyTorch keeps of a view beside its strides.
func (m *machine) tensor(args tuple, d DType, marks any) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("too few arguments")
	}
	s, ok := args[0].(*storage)
	if o, unknown := args[0].(*object); unknown {
		return m.make(o.class, args...)
	}
	if !ok {
		return nil, fmt.Errorf("storage is %s", describe(args[0]))
	}
	if d == "" {
		d = s.dtype
	}
	if d == "" {
		return nil, errors.New("a storage without an element type")
	}
	offset, ok := args[1].(int64)
	if !ok {
		return nil, fmt.Errorf("offset is %s", describe(args[1]))
	}
	shape, err := whole(args[2])
	if err != nil {
		return nil, fmt.Errorf("shape: %w", err)
	}
	strides, err := whole(args[3])
	if err != nil {
		return nil, fmt.Errorf("strides: %w", err)
	}
	if err := m.charge(160 + 32*int64(len(shape))); err != nil {
		return nil, err
	}
	t, err := newTensor(s, d, offset, shape, strides)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShape, err)
	}
	t.mark(marks)
	return t, nil
}

// mark sets what a view keeps beside its strides: {"neg": true}, {"conj": true}. Marks that are not known leave a tensor without values.
func (t *tensor) mark(marks any) {
	d, ok := marks.(*dict)
	if !ok {
		if marks != nil {
			t.unread = "its marks are " + describe(marks)
		}
		return
	}
	for i, key := range d.keys {
		on, isBool := d.values[i].(bool)
		switch {
		case isBool && !on:
		case isBool && key == "neg":
			t.negated = true
		case isBool && key == "conj":
			t.conjugate = true
		default:
			t.unread = "it has the mark " + describe(key)
		}
	}
}

// whole sees a tuple or list as whole numbers.
func whole(v any) ([]int64, error) {
	items := sequence(v)
	if items == nil && v != nil {
		if t, ok := v.(tuple); !ok || len(t) > 0 {
			return nil, fmt.Errorf("%s, want a tuple of whole numbers", describe(v))
		}
	}
	if len(items) > maxDims {
		return nil, fmt.Errorf("%d numbers, at most %d", len(items), maxDims)
	}
	out := make([]int64, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok {
			return nil, fmt.Errorf("%s, want a whole number", describe(item))
		}
		out[i] = n
	}
	return out, nil
}

// buildBytes is how protocol 2 writes bytes: text in which each character is one byte.
func buildBytes(m *machine, args tuple) (any, error) {
	if len(args) != 2 || args[1] != "latin1" {
		return nil, errors.New("want text and latin1")
	}
	text, ok := args[0].(string)
	if !ok {
		return nil, errors.New("want text and latin1")
	}
	if err := m.charge(int64(len(text)) + 32); err != nil {
		return nil, err
	}
	out := make(bytea, 0, len(text))
	for _, r := range text {
		if r > 255 {
			return nil, errors.New("text that is not latin1")
		}
		out = append(out, byte(r))
	}
	return out, nil
}
