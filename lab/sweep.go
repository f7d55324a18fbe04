package lab

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// maxRuns is the most runs of a sweep: all of them are checked before the first begins, and each takes seconds to hours.
const maxRuns = 10_000

// Expand turns overrides with several values into one list of overrides for each combination, the last one varying fastest.
// Several values are a,b,c or choice(a,b,c), and range(stop), range(start,stop) or range(start,stop,step) without the stop. More than 10,000 combinations are an error.
func Expand(args []string) ([][]string, error) {
	combinations := [][]string{nil}
	for _, arg := range args {
		alternatives, err := expandOne(arg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strict.Short(arg), err)
		}
		if n, ok := untrusted.Product(maxRuns, len(combinations), len(alternatives)); !ok {
			return nil, fmt.Errorf("%s: the sweep has more than %d runs (%d x %d with this setting); use fewer values", strict.Short(arg), maxRuns, len(combinations), len(alternatives))
		} else if n == 0 {
			return nil, fmt.Errorf("%s: it has no value", strict.Short(arg))
		}
		var next [][]string
		for _, c := range combinations {
			for _, a := range alternatives {
				next = append(next, append(append([]string(nil), c...), a))
			}
		}
		combinations = next
	}
	return combinations, nil
}

func expandOne(arg string) ([]string, error) {
	key, value, ok := strings.Cut(arg, "=")
	if !ok {
		return []string{arg}, nil
	}
	values, err := alternatives(value)
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		values[i] = key + "=" + v
	}
	return values, nil
}

func alternatives(value string) ([]string, error) {
	inner := func(name string) (string, bool) {
		rest, ok := strings.CutPrefix(value, name+"(")
		return strings.TrimSuffix(rest, ")"), ok && strings.HasSuffix(value, ")")
	}
	if list, ok := inner("choice"); ok {
		return trimmed(list)
	}
	if bounds, ok := inner("range"); ok {
		return numberRange(bounds)
	}
	for _, name := range []string{"interval", "glob"} {
		if _, ok := inner(name); ok {
			return nil, fmt.Errorf("%s(...) cannot be run one by one; use choice(...) or range(...)", name)
		}
	}
	return trimmed(value)
}

func trimmed(list string) ([]string, error) {
	parts, err := splitTop(list)
	if err != nil {
		return nil, err
	}
	parts = whole(parts)
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
		if parts[i] == "" && len(parts) > 1 {
			return nil, errors.New("a value is empty; quote it as ''")
		}
	}
	return parts, nil
}

func numberRange(bounds string) ([]string, error) {
	parts, err := trimmed(bounds)
	if err != nil {
		return nil, err
	}
	numbers := make([]float64, len(parts))
	for i, p := range parts {
		w, ok := scalar(p).(strict.Word)
		if numbers[i], ok = asFloat(w.Value, ok); !ok || math.IsNaN(numbers[i]) || math.IsInf(numbers[i], 0) {
			return nil, fmt.Errorf("range(%s): %q is not a number", strict.Short(bounds), strict.Short(p))
		}
	}
	start, step := 0.0, 1.0
	switch len(numbers) {
	case 1:
		numbers = []float64{0, numbers[0]}
	case 3:
		step = numbers[2]
	case 2:
	default:
		return nil, fmt.Errorf("range(%s): give stop, start,stop or start,stop,step", strict.Short(bounds))
	}
	start = numbers[0]
	n := math.Ceil((numbers[1] - start) / step)
	if !(step != 0) || !(n >= 1 && n <= maxRuns) {
		return nil, fmt.Errorf("range(%s) has no values, or more than %d", strict.Short(bounds), maxRuns)
	}
	values := make([]string, int(n))
	for i := range values {
		values[i] = strconv.FormatFloat(start+float64(i)*step, 'g', 12, 64)
	}
	return values, nil
}

// asFloat is a number of an override.
func asFloat(v any, ok bool) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), ok
	case uint64:
		return float64(v), ok
	case float64:
		return v, ok
	}
	return 0, false
}
