package data

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// Source opens the parts of a data set: "train", "test" or "all".
type Source interface {
	Open(part string) (Dataset, error)
}

// Named is a set by its text: a name of List, dir:PATH or npy:X.npy,Y.npy.
type Named string

var _ Source = Named("")

// Open is the function Open.
func (n Named) Open(part string) (Dataset, error) { return Open(string(n), part) }

// Sources is every source that has options, with its defaults. Those that have none go by their text alone.
func Sources() []choice.Kind[Source] {
	return []choice.Kind[Source]{
		{Name: "glyphs", New: func() Source { return NewGlyphs() }},
		{Name: "canvas", New: func() Source { return NewCanvas() }},
		{Name: "domains", New: func() Source { return NewDomains() }},
		{Name: "unseen", New: func() Source { return NewUnseen() }},
		{Name: "go-source", New: func() Source { return NewGoSource() }},
		{Name: "holes", New: func() Source { return NewHoled() }},
		{Name: "prepared", New: func() Source { return NewPreparedSource() }},
		{Name: "gaussian-pair", New: func() Source { return NewGaussianPair() }},
		{Name: "paired-intervals", New: func() Source { return NewPairedIntervals() }},
		{Name: "paired-gaussians", New: func() Source { return NewPairedGaussians() }},
	}
}

// Choice is a source in a recipe: a text as Open takes it ("mnist", "dir:PATH", "npy:X.npy,Y.npy"), or the name of one of Sources
// with its options: {name: glyphs, fonts: 8}.
type Choice struct{ Source }

// MarshalJSON writes the text, or the name and the options.
func (c Choice) MarshalJSON() ([]byte, error) {
	switch s := c.Source.(type) {
	case nil:
		return []byte("null"), nil
	case Named:
		return json.Marshal(string(s))
	}
	return choice.Encode("data source", Sources(), c.Source)
}

// UnmarshalJSON reads a text as it stands: whether there is such a set shows when it is opened. An object needs the name of a
// source, or of a set and no option; an unknown name or option is an error that names the nearest.
func (c *Choice) UnmarshalJSON(b []byte) error { return c.UnmarshalOwn(b, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *Choice) UnmarshalOwn(b []byte, r own.Registry) (err error) {
	var text string
	kinds, err := choice.With("data source", Sources(), r)
	if err != nil {
		return err
	}
	var known []string
	for _, k := range kinds {
		known = append(known, k.Name)
	}
	if json.Unmarshal(b, &text) == nil && string(b) != "null" {
		if c.Source = Named(text); !slices.Contains(known[len(Sources()):], text) { // a program's own goes by its name alone, too
			return nil
		}
	}

	var object map[string]json.RawMessage
	if json.Unmarshal(b, &object) == nil && json.Unmarshal(object["name"], &text) == nil {
		if !slices.Contains(known, text) {
			c.Source, err = withoutOptions(text, len(object)-1, known)
			return err
		}
	}
	c.Source, err = choice.Decode("data source", Sources(), b, r)
	return err
}

// withoutOptions is the set of a name that no source with options has.
func withoutOptions(name string, options int, known []string) (Source, error) {
	for _, s := range named() {
		if s.info.Name == name && options > 0 {
			return nil, fmt.Errorf("data source %s takes no options; write its name alone", name)
		}
		if s.info.Name == name {
			return Named(name), nil
		}
		if !slices.Contains(known, s.info.Name) {
			known = append(known, s.info.Name)
		}
	}
	return nil, choice.NewUnknown("data source", name, known)
}

// String is the text of a named source, or the JSON of one with options.
func (c Choice) String() string {
	if n, ok := c.Source.(Named); ok {
		return string(n)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "unnamed"
	}
	return string(b)
}

// open opens a source that a value holds.
func (c Choice) open(who, part string) (Dataset, error) {
	if c.Source == nil {
		return nil, usage("data: %s: a source is missing; name a data set", who)
	}
	return c.Open(part)
}

// usage is an error of something used wrongly.
func usage(format string, a ...any) error { return &fault.Usage{Err: fmt.Errorf(format, a...)} }
