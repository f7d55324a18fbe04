package pytorch

import (
	"errors"
	"fmt"

	"github.com/ballast-ml/ballast/internal/printable"
)

// Call is the name that a pickle wanted to call, such as "os.system": the cause of errors of the kind ErrCall, for errors.As.
type Call string

func (c Call) Error() string { return printable.Short(string(c)) }

// known maps the names that a pickle may use to what the machine does with them. What is made by another name is an object, of which
// nothing is known but what it was to be made of; see foreign.go.
var known = map[string]func(m *machine, args tuple) (any, error){
	"collections.OrderedDict":                    buildDict,
	"collections.defaultdict":                    buildDict,
	"collections.Counter":                        buildDict,
	"builtins.dict":                              buildDict,
	"__builtin__.dict":                           buildDict,
	"builtins.list":                              buildList,
	"__builtin__.list":                           buildList,
	"builtins.set":                               buildList,
	"__builtin__.set":                            buildList,
	"builtins.frozenset":                         buildList,
	"__builtin__.frozenset":                      buildList,
	"torch.Size":                                 buildSize,
	"torch.device":                               buildOpaque,
	"torch.serialization._get_layout":            buildOpaque,
	"torch.Tensor":                               nil, // named as a type only
	"torch.nn.parameter.Parameter":               nil,
	"torch.nn.parameter.Buffer":                  nil,
	"torch.storage.UntypedStorage":               nil,
	"torch.UntypedStorage":                       nil,
	"torch._utils._rebuild_tensor":               buildTensor,
	"torch._utils._rebuild_tensor_v2":            buildTensor,
	"torch._utils._rebuild_tensor_v3":            buildTensor3,
	"torch._utils._rebuild_parameter":            buildFirst,
	"torch._utils._rebuild_parameter_with_state": buildFirst,
	"torch._tensor._rebuild_from_type_v2":        buildFromType,
	"torch._tensor._rebuild_from_type":           buildFromType,
	"torch._utils._rebuild_qtensor":              buildQuantised,
	"numpy.dtype":                                buildNumPyType,
	"numpy.ndarray":                              nil,
	"numpy.core.multiarray._reconstruct":         buildArray,
	"numpy._core.multiarray._reconstruct":        buildArray,
	"numpy.core.numeric._frombuffer":             buildBuffer,
	"numpy._core.numeric._frombuffer":            buildBuffer,
	"numpy.core.multiarray.scalar":               buildNumPyNumber,
	"numpy._core.multiarray.scalar":              buildNumPyNumber,
	"_codecs.encode":                             buildBytes,
}

// lookup turns a name into a value, or refuses it.
func lookup(module, name string) (any, error) {
	full := module + "." + name
	if _, ok := known[full]; ok {
		return global(full), nil
	}
	if module == "torch" {
		if d, ok := dtypeOf(name); ok {
			return d, nil
		}
	}
	if module == "torch" || module == "torch.cuda" || module == "torch.storage" {
		if d, ok := storageType(name); ok {
			return storageClass(d), nil
		}
	}
	if acts(module, name) {
		return nil, Call(full)
	}
	return foreign(full), nil
}

// storageClass is a class of storages of one element type.
type storageClass DType

// object does the opcodes that name, make and fill objects.
func (m *machine) object(op byte) error {
	switch op {
	case 'c', 'i':
		module, err := m.in.line()
		if err != nil {
			return err
		}
		name, err := m.in.line()
		if err != nil {
			return err
		}
		v, err := lookup(module, name)
		if err != nil {
			return err
		}
		if op == 'c' {
			return m.push(v)
		}
		args, err := m.popMark()
		if err != nil {
			return err
		}
		return m.construct(v, args)
	case 0x93: // STACK_GLOBAL
		name, err := m.pop()
		if err != nil {
			return err
		}
		module, err := m.pop()
		if err != nil {
			return err
		}
		n, ok1 := name.(string)
		mod, ok2 := module.(string)
		if !ok1 || !ok2 {
			return errors.New("it names something by what is no text")
		}
		if err := m.charge(64 + int64(len(mod)+len(n))); err != nil {
			return err
		}
		v, err := lookup(mod, n)
		if err != nil {
			return err
		}
		return m.push(v)
	case 'R', 0x81, 0x92: // REDUCE, NEWOBJ, NEWOBJ_EX
		var named []any
		if op == 0x92 {
			v, err := m.pop()
			if err != nil {
				return err
			}
			if d, ok := v.(*dict); !ok || len(d.keys) > 0 {
				named = append(named, v)
			}
		}
		args, err := m.pop()
		if err != nil {
			return err
		}
		f, err := m.pop()
		if err != nil {
			return err
		}
		t, ok := args.(tuple)
		if !ok {
			return fmt.Errorf("arguments are %s, want a tuple", describe(args))
		}
		if class, unknown := f.(foreign); named != nil && unknown {
			return m.pushObject(string(class), append(named, t...)...)
		} else if named != nil {
			return errors.New("it makes an object with named arguments")
		}
		return m.construct(f, t)
	case 'o':
		items, err := m.popMark()
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return errStack
		}
		return m.construct(items[0], items[1:])
	case 'b':
		return m.build()
	case 'Q':
		id, err := m.pop()
		if err != nil {
			return err
		}
		t, ok := id.(tuple)
		if !ok || m.storage == nil {
			return fmt.Errorf("persistent identity is %s, want that of a storage", describe(id))
		}
		if len(t) > 1 && t[0] == "storage" {
			if class, unknown := t[1].(foreign); unknown { // of elements that have no name here
				return m.pushObject(string(class), &storage{key: describe(t[1])})
			}
		}
		s, err := m.storage(t)
		if err != nil {
			return err
		}
		return m.push(s)
	case 'P':
		word, err := m.in.line()
		if err != nil {
			return err
		}
		return fmt.Errorf("persistent identity is the text %s, want that of a storage", printable.Quote(word))
	}

	return Call("copyreg extension")
}

// madeBy is the class of an object: what makes it, or, where that makes objects of any class, the class it is given.
func madeBy(f foreign, args tuple) string {
	switch f {
	case "copyreg._reconstructor", "copy_reg._reconstructor", "copyreg.__newobj__", "copy_reg.__newobj__", "copyreg.__newobj_ex__":
		if len(args) > 0 {
			return describe(args[0])
		}
	}
	return string(f)
}

// pushObject puts an object of an unknown class onto the stack.
func (m *machine) pushObject(class string, parts ...any) error {
	o, err := m.make(class, parts...)
	if err != nil {
		return err
	}
	return m.push(o)
}

func (m *machine) construct(f any, args tuple) error {
	switch f := f.(type) {
	case foreign:
		return m.pushObject(madeBy(f, args), args...)
	case *object: // what an object makes, as functions that were made by a call do
		return m.pushObject(f.class, append([]any{f}, args...)...)
	case storageClass, DType:
		return m.pushObject(describe(f), args...)
	}
	name, ok := f.(global)
	if !ok {
		return fmt.Errorf("it calls %s", describe(f))
	}
	build := known[string(name)]
	if build == nil { // a class that is otherwise only named
		return m.pushObject(string(name), args...)
	}
	v, err := build(m, args)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return m.push(v)
}

// build gives an object its state. Dictionaries keep attributes beside their items, such as _metadata, which no tensor
// needs; NumPy types keep their byte order.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	into, err := m.top()
	if err != nil {
		return err
	}
	switch into := into.(type) {
	case *dict, *tensor:
		return nil
	case *object:
		return grow(m, &into.parts, state)
	case *ndarray:
		return into.fill(state)
	case *numpyType:
		if t, ok := state.(tuple); ok && len(t) > 1 {
			if order, ok := t[1].(string); ok {
				into.bigEndian = order == ">"
				return nil
			}
		}
		return errors.New("numpy.dtype: state is not (version, byte order, ...)")
	}
	return fmt.Errorf("it gives a state to %s", describe(into))
}

// pairs reads what dict() takes: nothing, a dictionary, or a list of pairs.
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
