package corrupt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/strict"
)

// Table is shifts with the constants of one benchmark. A literal of one's own does as well as those of Tables.
type Table struct {
	Name   string
	Shifts []Shift // those that its mean is over, in its order
	Extra  []Shift // those that it publishes besides
}

// The names of the tables.
const (
	Ballast   = "ballast"
	ImageNetC = "imagenet-c"
	CIFARC    = "cifar-c"
)

// Tables are all tables.
//
//	ballast      the four of this package's own audit, whose values stay unrounded
//	imagenet-c   the 15 corruptions of ImageNet-C and three of its four extra ones, at its severities, for images of about 224 x 224
//	cifar-c      the same with the constants of CIFAR-10-C, for images of about 32 x 32
//
// The last two give bytes, as those benchmarks do: see Quantized. Their frost is drawn (see Frost), since the photographs that they mix in
// cannot be passed on. The fourth extra one, spatter, is not there.
func Tables() []Table {
	return []Table{{Name: Ballast, Shifts: All()}, imageNetC(), cifarC()}
}

// TableNames are the names of all tables.
func TableNames() []string {
	var names []string
	for _, t := range Tables() {
		names = append(names, t.Name)
	}
	return names
}

// FindTable returns the table of a name; an unknown one is an error that names the nearest.
func FindTable(name string) (Table, error) {
	for _, t := range Tables() {
		if t.Name == name {
			return t, nil
		}
	}
	return Table{}, unknown("table", name, TableNames())
}

// All is every shift of the table, the extra ones last.
func (t Table) All() []Shift { return append(slices.Clone(t.Shifts), t.Extra...) }

// Names are the names of all shifts of the table.
func (t Table) Names() []string { return namesOf(t.All()) }

// Find returns the shift of a name; the spellings of the published files, such as jpeg_compression, do as well. An unknown one is an error
// that names the nearest.
func (t Table) Find(name string) (Shift, error) {
	for _, s := range t.All() {
		if s.Name() == canonical(name) {
			return s, nil
		}
	}
	if t.Name == Ballast && slices.Contains(imageNetC().Names(), canonical(name)) {
		return nil, &fault.Usage{Err: fmt.Errorf("corrupt: the table %s has no shift %q; %s and %s have it", t.Name, name, ImageNetC, CIFARC)}
	}
	return nil, unknown("shift", name, t.Names())
}

// Find returns the shift of a name, of all tables: those of Ballast's own audit as they are there, the others as in imagenet-c. A table
// before the name chooses another one: cifar-c/fog. An unknown name is an error that names the nearest.
func Find(name string) (Shift, error) {
	if table, rest, ok := strings.Cut(name, "/"); ok {
		t, err := FindTable(table)
		if err != nil {
			return nil, err
		}
		return t.Find(rest)
	}
	own := All()
	for _, s := range append(own, imageNetC().All()...) {
		if s.Name() == canonical(name) {
			return s, nil
		}
	}
	return nil, unknown("shift", name, Names())
}

// Names are the names of all shifts of all tables.
func Names() []string {
	names := namesOf(All())
	for _, name := range imageNetC().Names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func namesOf(shifts []Shift) []string {
	var names []string
	for _, s := range shifts {
		names = append(names, s.Name())
	}
	return names
}

// canonical is a name as it is spelt here.
func canonical(name string) string {
	name = strings.ReplaceAll(name, "_", "-")
	switch name {
	case "jpeg-compression":
		return JPEG{}.Name()
	case "elastic-transform":
		return Elastic{}.Name()
	}
	return name
}

// unknown is the error for a name that there is not.
func unknown(what, name string, known []string) error {
	if near, ok := strict.Nearest(name, known); ok {
		return &fault.Usage{Err: fmt.Errorf("corrupt: no %s %q; did you mean %q?", what, strict.Short(name), near)}
	}
	return &fault.Usage{Err: fmt.Errorf("corrupt: no %s %q; there are %s", what, strict.Short(name), strings.Join(known, ", "))}
}

func imageNetC() Table {
	return quantized(Table{
		Name: ImageNetC,
		Shifts: []Shift{
			GaussianNoise{}, ShotNoise{}, ImpulseNoise{}, DefocusBlur{}, GlassBlur{}, MotionBlur{}, ZoomBlur{}, Snow{}, Frost{}, Fog{},
			Brightness{}, Contrast{}, Elastic{}, Pixelate{}, JPEG{},
		},
		Extra: []Shift{SpeckleNoise{}, GaussianBlur{}, Saturate{}},
	})
}

func cifarC() Table {
	return quantized(Table{
		Name: CIFARC,
		Shifts: []Shift{
			GaussianNoise{Levels: noiseDeviationCIFAR[:]}, ShotNoise{Levels: shotPhotonsCIFAR[:]}, ImpulseNoise{Levels: impulseShareCIFAR[:]},
			DefocusBlur{Levels: defocusCIFAR[:]}, GlassBlur{Levels: glassCIFAR[:]}, MotionBlur{Levels: motionCIFAR[:]},
			ZoomBlur{Levels: zoomCIFAR[:]}, Snow{Levels: snowCIFAR[:]}, Frost{Levels: frostCIFAR[:]}, Fog{Levels: fogCIFAR[:]},
			Brightness{Levels: brightnessAddedCIFAR[:]}, Contrast{Levels: contrastLeftCIFAR[:]}, Elastic{Levels: elasticCIFAR[:]},
			Pixelate{Levels: pixelateCIFAR[:]}, JPEG{Levels: jpegCIFAR[:]},
		},
		Extra: []Shift{
			SpeckleNoise{Levels: speckleShareCIFAR[:]}, GaussianBlur{Levels: gaussianBlurCIFAR[:]}, Saturate{Levels: saturationCIFAR[:]},
		},
	})
}

// quantized is a table of bytes. The levels are copied, so that no caller changes those of others.
func quantized(t Table) Table {
	for _, list := range [][]Shift{t.Shifts, t.Extra} {
		for i, s := range list {
			list[i] = Quantized{s}
		}
	}
	return t
}
