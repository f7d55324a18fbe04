package pytorch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/printable"
)

// object is a value of a class, or of a function's making, that the machine does not know. Nothing is made: what the pickle gave to make
// it of is kept, to see whether it holds tensors.
type object struct {
	class string // "argparse.Namespace"
	at    int64  // byte of the pickle
	parts []any  // arguments, state and items
}

// foreign is the name of a class or function that the machine does not know.
type foreign string

// acting are the modules whose names no file of weights needs, since calling them acts on the machine. A pickle that names one was made to do
// harm, or by accident of something that was never meant to be kept: it is refused as a whole.
var acting = []string{
	"os", "posix", "nt", "subprocess", "sys", "shutil", "pty", "socket", "http", "urllib", "urllib2", "httplib", "requests", "ftplib", "smtplib",
	"webbrowser", "asyncio", "importlib", "imp", "pkgutil", "zipimport", "runpy", "codeop", "ctypes", "_ctypes", "pickle", "_pickle", "cPickle", "marshal",
	"bdb", "pdb", "timeit", "cProfile", "pip", "operator", "_operator", "gc", "torch.hub", "torch.utils.cpp_extension",
}

// harmless are the builtins that may be named: they make values.
var harmless = []string{"complex", "slice", "range", "xrange", "bytearray", "bytes", "int", "long", "float", "str", "unicode", "bool", "tuple", "type", "object"}

// acts reports whether a name is one whose call acts on the machine.
func acts(module, name string) bool {
	if module == "builtins" || module == "__builtin__" {
		return !slices.Contains(harmless, name)
	}
	return slices.ContainsFunc(acting, func(bad string) bool { return module == bad || strings.HasPrefix(module, bad+".") })
}

// makers are the functions that only tensors are made by, whether or not these hold values, and what such a tensor is.
var makers = map[string]string{
	"torch._utils._rebuild_sparse_tensor":                 "a sparse tensor",
	"torch._utils._rebuild_sparse_csr_tensor":             "a sparse tensor",
	"torch._utils._rebuild_nested_tensor":                 "a nested tensor",
	"torch._utils._rebuild_meta_tensor_no_storage":        "a tensor without values (device meta)",
	"torch._utils._rebuild_wrapper_subclass":              "a tensor of another class",
	"torch._utils._rebuild_device_tensor_from_numpy":      "a tensor of a device",
	"torch._utils._rebuild_device_tensor_from_cpu_tensor": "a tensor of a device",
	"torch._utils._rebuild_xla_tensor":                    "a tensor of a device",
	"torch._utils._rebuild_mlc_tensor":                    "a tensor of a device",
	"torch._utils._rebuild_qtensor":                       "a quantised tensor",
}

// make keeps what an object of an unknown class is made of.
func (m *machine) make(class string, parts ...any) (*object, error) {
	if err := m.charge(96 + int64(len(class)) + 16*int64(len(parts))); err != nil {
		return nil, err
	}
	return &object{class: class, at: m.at, parts: slices.Clone(parts)}, nil
}

// what says what an object is, for a message.
func (o *object) what() string {
	if text, ok := makers[o.class]; ok {
		return text
	}
	return "an object of " + printable.Short(o.class)
}

// walkParts visits the values in a value, itself among them, each once: visit returns false where what lies within is not wanted. The
// charge bounds the visits, since memory lets one value stand in many places.
func walkParts(v any, charge func() error, visit func(v any) bool) error {
	seen := map[any]bool{}
	stack := []any{v}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch v.(type) {
		case *object, *dict, *list, *tensor, *ndarray:
			if seen[v] {
				continue
			}
			seen[v] = true
		}
		if err := charge(); err != nil {
			return err
		}
		if !visit(v) {
			continue
		}
		switch v := v.(type) {
		case *object:
			stack = append(stack, v.parts...)
		case *dict:
			stack = append(stack, v.values...)
		case *list:
			stack = append(stack, v.items...)
		case tuple:
			stack = append(stack, v...)
		}
	}
	return nil
}

// shows reports whether an object is a tensor, or holds some: what stands in its place then is needed.
func (f *File) shows(o *object) (bool, error) {
	found := false
	err := walkParts(o, f.visits, func(v any) bool {
		switch v := v.(type) {
		case *tensor, *storage:
			found = true
		case *object:
			_, made := makers[v.class]
			found = found || made
		}
		return !found
	})
	return found, err
}

// visits charges one visit of a value.
func (f *File) visits() error {
	if f.budget -= 48; f.budget < 0 {
		return fmt.Errorf("%w", errBudget)
	}
	return nil
}
