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
	case 'c': // GLOBAL
		v, err := m.named()
		if err != nil {
			return err
		}
		return m.push(v)
	case 'i': // INST
		return m.instance()
	case 0x93: // STACK_GLOBAL
		return m.namedOnStack()
	case 'R', 0x81: // REDUCE, NEWOBJ
		return m.reduce(nil)
	case 0x92: // NEWOBJ_EX
		return m.reduceNamed()
	case 'o': // OBJ
		return m.call()
	case 'b': // BUILD
		return m.build()
	case 'Q': // BINPERSID
		return m.persistent()
	case 'P': // PERSID
		word, err := m.in.line()
		if err != nil {
			return err
		}
		return fmt.Errorf("persistent identity is the text %s, want that of a storage", printable.Quote(word))
	}
	return Call("copyreg extension")
}

// named reads the two lines of a name, module and name, and looks it up.
func (m *machine) named() (any, error) {
	module, err := m.in.line()
	if err != nil {
		return nil, err
	}
	name, err := m.in.line()
	if err != nil {
		return nil, err
	}
	return lookup(module, name)
}

// namedOnStack looks up the name whose module and name lie on the stack.
func (m *machine) namedOnStack() error {
	name, err := m.pop()
	if err != nil {
		return err
	}
	module, err := m.pop()
	if err != nil {
		return err
	}
	n, ok := name.(string)
	mod, ok2 := module.(string)
	if !ok || !ok2 {
		return errors.New("it names something by a value that is not text")
	}

	if err := m.charge(64 + int64(len(mod)+len(n))); err != nil {
		return err
	}
	v, err := lookup(mod, n)
	if err != nil {
		return err
	}
	return m.push(v)
}

// instance makes an object of a class that follows and of the arguments above the last mark.
func (m *machine) instance() error {
	class, err := m.named()
	if err != nil {
		return err
	}
	args, err := m.popMark()
	if err != nil {
		return err
	}
	return m.construct(class, args)
}

// call makes an object of the class and the arguments above the last mark.
func (m *machine) call() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return errStack
	}
	return m.construct(items[0], items[1:])
}

// reduceNamed is reduce with named arguments, a dictionary that lies on top of the others. An empty one is like none.
func (m *machine) reduceNamed() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	if d, ok := v.(*dict); ok && len(d.keys) == 0 {
		return m.reduce(nil)
	}
	return m.reduce([]any{v})
}

// reduce makes an object of a class or function and a tuple of arguments; named are those beside the tuple, which only objects of unknown
// classes take.
func (m *machine) reduce(named []any) error {
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

	if named == nil {
		return m.construct(f, t)
	}
	class, unknown := f.(foreign)
	if !unknown {
		return errors.New("it makes an object with named arguments")
	}
	return m.pushObject(string(class), append(named, t...)...)
}

// persistent puts the storage onto the stack whose identity lies there.
func (m *machine) persistent() error {
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
