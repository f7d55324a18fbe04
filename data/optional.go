package data

import "slices"

// Targeted is a set whose examples have targets that are not classes: values [d], or masks [height, width, 1].
type Targeted interface {
	Dataset
	TargetShape() []int
	// Target writes the target of example i to dst, which has the size of TargetShape.
	Target(i int, dst []float32) error
}

// Imaged is a Targeted set whose targets are images, values in [0,1] [height, width, channels], and not masks.
type Imaged interface {
	Targeted
	ImageTargets() // says so
}

// Domained is a set whose examples come from several domains.
type Domained interface {
	Dataset
	Domains() []string
	Domain(i int) int32 // place in Domains
}

// Tokens is one long text. Example i is the window of Window tokens that begins at Starts()[i].
type Tokens interface {
	Dataset
	Stream() []int32
	Starts() []int32
	Window() int
}

// Fresh is a set that is drawn anew in each epoch, on the host: decoding, augmentation that has no graph, simulated inputs.
type Fresh interface {
	Dataset
	At(epoch int) Dataset // as many examples, with the same labels and stable indices
}

// Viewed is a set made of the examples of another: what the other knows of example At(i), its target, domain or tokens, is true of example
// i here too.
type Viewed interface {
	Dataset
	View() (of Dataset, at func(i int) int)
}

// AsTargeted finds the targets of a set, through the sets it was made of.
func AsTargeted(ds Dataset) (Targeted, bool) {
	if t, ok := ds.(Targeted); ok {
		return t, true
	}
	v, ok := ds.(Viewed)
	if !ok {
		return nil, false
	}
	of, at := v.View()
	t, ok := AsTargeted(of)
	if !ok {
		return nil, false
	}
	if len(t.TargetShape()) == 3 && !slices.Equal(ds.Info().Shape, of.Info().Shape) {
		return nil, false // a mask does not fit an image of another size
	}
	view := targetedView{ds, t, at}
	if _, images := t.(Imaged); images {
		return imagedView{view}, true
	}
	return view, true
}

type targetedView struct {
	Dataset
	of Targeted
	at func(i int) int
}

func (v targetedView) TargetShape() []int                { return v.of.TargetShape() }
func (v targetedView) Target(i int, dst []float32) error { return v.of.Target(v.at(i), dst) }

// AsDomained finds the domains of a set, through the sets it was made of.
func AsDomained(ds Dataset) (Domained, bool) {
	if d, ok := ds.(Domained); ok {
		return d, true
	}
	v, ok := ds.(Viewed)
	if !ok {
		return nil, false
	}
	of, at := v.View()
	d, ok := AsDomained(of)
	if !ok {
		return nil, false
	}
	return domainedView{ds, d, at}, true
}

type imagedView struct{ targetedView }

func (imagedView) ImageTargets() {}

type domainedView struct {
	Dataset
	of Domained
	at func(i int) int
}

func (v domainedView) Domains() []string  { return v.of.Domains() }
func (v domainedView) Domain(i int) int32 { return v.of.Domain(v.at(i)) }

// AsTokens finds the text of a set, through the sets it was made of.
func AsTokens(ds Dataset) (Tokens, bool) {
	if t, ok := ds.(Tokens); ok {
		return t, true
	}
	v, ok := ds.(Viewed)
	if !ok {
		return nil, false
	}
	of, at := v.View()
	t, ok := AsTokens(of)
	if !ok {
		return nil, false
	}
	return tokensView{ds, t, at}, true
}

type tokensView struct {
	Dataset
	of Tokens
	at func(i int) int
}

func (v tokensView) Stream() []int32 { return v.of.Stream() }
func (v tokensView) Window() int     { return v.of.Window() }

func (v tokensView) Starts() []int32 {
	all, starts := v.of.Starts(), make([]int32, v.Len())
	for i := range starts {
		starts[i] = all[v.at(i)]
	}
	return starts
}

// made is a set that can be made again of another one in the place of that it was made of.
type made interface {
	source() Dataset
	on(of Dataset) Dataset
}

// AsFresh finds what is drawn anew in a set, through the sets it was made of.
func AsFresh(ds Dataset) (Fresh, bool) {
	if f, ok := ds.(Fresh); ok {
		return f, true
	}
	m, ok := ds.(made)
	if !ok {
		return nil, false
	}
	f, ok := AsFresh(m.source())
	return freshView{ds, m, f}, ok
}

type freshView struct {
	Dataset
	made made
	of   Fresh
}

func (v freshView) At(epoch int) Dataset { return v.made.on(v.of.At(epoch)) }

// DomainsOf returns the domain of every example, nil for a set without domains.
func DomainsOf(ds Dataset) []int32 {
	d, ok := AsDomained(ds)
	if !ok {
		return nil
	}
	domains := make([]int32, ds.Len())
	for i := range domains {
		domains[i] = d.Domain(i)
	}
	return domains
}

// Pixels is an image as its file holds it, [Height, Width, Channels], row after row: bytes, or numbers in [0,1] where it has more bits.
type Pixels struct {
	Height, Width, Channels int
	Bytes                   []byte
	Values                  []float32
}

// Varied is a set of images that need not be equally large. Pixels is example i in its own size; Read makes all one size, or refuses one
// that is not.
type Varied interface {
	Dataset
	Pixels(i int) (Pixels, error)
}

// AsVaried finds the images of a set in their own sizes, through the sets it was made of that leave examples as they are.
func AsVaried(ds Dataset) (Varied, bool) {
	switch s := ds.(type) {
	case Varied:
		return s, true
	case subset, bytedSubset, relabelled, bytedRelabelled, matched:
		of, at := s.(Viewed).View()
		v, ok := AsVaried(of)
		return variedView{ds, v, at}, ok
	}
	return nil, false
}

type variedView struct {
	Dataset
	of Varied
	at func(i int) int
}

func (v variedView) Pixels(i int) (Pixels, error) { return v.of.Pixels(v.at(i)) }
