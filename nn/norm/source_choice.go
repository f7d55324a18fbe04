package norm

import (
	"github.com/ballast-ml/ballast/internal/choice"
	"github.com/ballast-ml/ballast/own"
)

// SourceKind is a source that can be chosen by name: its Name, and New, which returns it with its defaults.
type SourceKind = choice.Kind[Source]

// Sources is every source that has a name, with its defaults.
func Sources() []SourceKind {
	return []SourceKind{
		{Name: "running", New: func() Source { return FromRunning{} }},
		{Name: "batch", New: func() Source { return FromBatch{} }},
		{Name: "mixed", New: func() Source { return NewMixed() }},
		{Name: "prior", New: func() Source { return NewPrior() }},
		{Name: "ema", New: func() Source { return NewEMA() }},
		{Name: "unmix", New: func() Source { return NewUnMix() }},
		{Name: "iabn", New: func() Source { return NewIABN() }},
	}
}

// SourceChoice is a source chosen by name: "batch", or {"name": "mixed", "source_weight": 0.5}.
type SourceChoice struct{ Source }

// MarshalJSON writes the name and the options.
func (c SourceChoice) MarshalJSON() ([]byte, error) {
	return choice.Encode("source of statistics", Sources(), c.Source)
}

// UnmarshalJSON reads a name, or a name with options; an unknown name or option is an error that names the nearest.
func (c *SourceChoice) UnmarshalJSON(data []byte) error { return c.UnmarshalOwn(data, nil) }

// UnmarshalOwn is UnmarshalJSON where names may be a program's own.
func (c *SourceChoice) UnmarshalOwn(data []byte, r own.Registry) (err error) {
	if c.Source, err = choice.Decode("source of statistics", Sources(), data, r); err != nil {
		return err
	}
	return ValidateSource(c.Source)
}

// ValidateSource says what is wrong with the options of a source that can tell, nil of others.
func ValidateSource(s Source) error {
	if v, ok := s.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// SourceName returns the name a source has in Sources, or its Go type.
func SourceName(s Source) string { return choice.NameOf(Sources(), s) }
