package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ballast-ml/ballast/internal/strict"
)

// ErrMandatory says that a setting marked ??? was read before it was given.
var ErrMandatory = errors.New("mandatory value missing")

// Get reads the value at a path with its interpolations filled in: ${a.b} from the root, ${.a} beside it, ${..a} one level
// up, ${oc.env:NAME,default} from the environment. A value of ??? is ErrMandatory, a circle an error.
func (c Config) Get(path string) (any, error) { return (&filler{Config: c}).get(path, nil) }

// Resolve fills in every interpolation. What is still ??? stays.
func (c Config) Resolve() (Config, error) {
	out, err := (&filler{Config: c}).fill(map[string]any(c), "", nil)
	if err != nil {
		return nil, err
	}
	return out.(map[string]any), nil
}

// The limits of what interpolations make: settings that name others that name others grow by a factor at each step.
const (
	maxFilled  = 1 << 20 // bytes
	maxLookUps = 10_000
)

// filler fills in interpolations within the limits.
type filler struct {
	Config
	filled  int // bytes so far
	lookUps int
}

// grow counts bytes that are made.
func (c *filler) grow(path string, bytes int) error {
	if c.filled += bytes; c.filled > maxFilled {
		return fmt.Errorf("%s: the interpolations make more than %d bytes; write values out", strict.Short(path), maxFilled)
	}
	return nil
}

func (c *filler) get(path string, via []string) (any, error) {
	for _, v := range via {
		if v == path {
			return nil, fmt.Errorf("%s: the interpolation runs in a circle: %s", path, strings.Join(append(via, path), " -> "))
		}
	}
	names := strings.Split(path, ".")
	parent, err := c.descend(names, false)
	if err != nil {
		return nil, err
	}
	var v any
	last := names[len(names)-1]
	switch p := parent.(type) {
	case map[string]any:
		var ok bool
		if v, ok = p[last]; !ok {
			return nil, unknownKey(names, p)
		}
	case []any:
		i, err := index(last, len(p))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		v = p[i]
	}
	if v == "???" {
		return nil, fmt.Errorf("%s: %w; give it a value", path, ErrMandatory)
	}
	return c.fill(v, path, append(via, path))
}

// fill fills in a value that stands at a path.
func (c *filler) fill(v any, path string, via []string) (any, error) {
	switch v := v.(type) {
	case string:
		if v == "???" {
			return v, nil
		}
		return c.interpolate(v, path, via)
	case map[string]any:
		if err := c.grow(path, 16*len(v)); err != nil {
			return nil, err
		}
		out := make(map[string]any, len(v))
		for key, item := range v {
			at := strings.TrimPrefix(path+"."+key, ".")
			filled, err := c.fill(item, at, append(via, at))
			if err != nil {
				return nil, err
			}
			out[key] = filled
		}
		return out, nil
	case []any:
		if err := c.grow(path, 16*len(v)); err != nil {
			return nil, err
		}
		out := make([]any, len(v))
		for i, item := range v {
			filled, err := c.fill(item, fmt.Sprintf("%s.%d", path, i), via)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	}
	return v, nil
}

// interpolate fills in a string. One that is a single interpolation keeps the type of what it names.
func (c *filler) interpolate(text, path string, via []string) (any, error) {
	var b strings.Builder
	rest := text
	for {
		from := strings.Index(rest, "${")
		if from < 0 {
			b.WriteString(rest)
			return b.String(), nil
		}
		to := strings.IndexByte(rest[from:], '}')
		if to < 0 {
			return nil, fmt.Errorf("%s: unterminated ${ in %q", strict.Short(path), strict.Short(text))
		}
		if c.lookUps++; c.lookUps > maxLookUps {
			return nil, fmt.Errorf("%s: the settings have more than %d interpolations with those they lead to; write values out", strict.Short(path), maxLookUps)
		}
		v, err := c.lookUp(rest[from+2:from+to], path, via)
		if err != nil {
			return nil, err
		}
		if from == 0 && to+1 == len(text) {
			return v, nil
		}
		b.WriteString(rest[:from])
		b.WriteString(show(v))
		if err := c.grow(path, from+len(show(v))); err != nil {
			return nil, err
		}
		rest = rest[from+to+1:]
	}
}

func (c *filler) lookUp(name, path string, via []string) (any, error) {
	if env, ok := strings.CutPrefix(name, "oc.env:"); ok {
		key, fallback, hasFallback := strings.Cut(env, ",")
		if v, ok := os.LookupEnv(key); ok {
			return v, nil
		}
		if !hasFallback {
			return nil, fmt.Errorf("%s: the environment has no %s; set it, or write ${oc.env:%s,default}", path, key, key)
		}
		return strict.Plain(scalar(strings.TrimSpace(fallback))), nil
	}
	if rest := strings.TrimLeft(name, "."); rest != name {
		up := strings.Split(path, ".")
		dots := len(name) - len(rest)
		if dots > len(up) {
			return nil, fmt.Errorf("%s: ${%s} leads above the root", path, name)
		}
		name = strings.Join(append(up[:len(up)-dots:len(up)-dots], rest), ".")
	}
	return c.get(name, via)
}
