package weights

import (
	"errors"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
)

// Load reads the floating tensors of a model file or folder of any format into memory, in the natural order of their names: layer_2 comes
// before layer_10.
func Load(path string) (Set, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read

	var set Set
	for _, info := range f.Tensors() {
		if isCounter(info) {
			continue
		}
		if err := Readable(f, info); err != nil {
			return nil, err
		}
		t := Tensor{Name: info.Name, Shape: info.Shape, Values: make([]float32, info.Elements)}
		if err := f.ReadFloat32s(info.Name, 0, t.Values); err != nil {
			return nil, err
		}
		set = append(set, t)
	}
	slices.SortFunc(set, func(x, y Tensor) int { return naturally(x.Name, y.Name) })
	return set, nil
}

// Readable refuses a tensor that is listed and has no values here, such as a sparse one: a *fault.Input.
func Readable(f File, info Info) error {
	if info.Unread == "" {
		return nil
	}
	return &fault.Input{
		File: f.Path(), Field: info.Name, Err: errors.New(info.Unread),
		Fix: "make it a plain tensor where it was saved, or leave it out of the file",
	}
}

// isCounter reports whether a tensor holds whole numbers.
func isCounter(info Info) bool {
	name := strings.ToLower(info.Type)
	return strings.HasPrefix(name, "i") && !strings.HasPrefix(name, "iq") || strings.HasPrefix(name, "u") || strings.HasPrefix(name, "bool")
}

// naturally compares names with numbers in them by the numbers.
func naturally(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			x, y := strings.TrimLeft(a[:da], "0"), strings.TrimLeft(b[:db], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
