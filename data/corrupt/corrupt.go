// Package corrupt shifts images at five severities, to measure how a network behaves when its inputs change.
//
//	shift            what happens                                            severities 1 to 5, for images of about 224 x 224
//	gaussian-noise   x + N(0, s^2) for each value                            s = 0.08, 0.12, 0.18, 0.26, 0.38
//	shot-noise       Poisson(c x) / c                                        c = 60, 25, 12, 5, 3
//	impulse-noise    a share of the values is 0 or 1                         0.03, 0.06, 0.09, 0.17, 0.27
//	defocus-blur     the mean over a disk                                    radius 3, 4, 6, 8, 10
//	glass-blur       pixels change place with near ones, between two blurs   see Glass
//	motion-blur      a mean along a line                                     over 21, 31, 31, 31, 41 pixels
//	zoom-blur        the mean of the image at several zooms                  up to 1.11, 1.15, 1.2, 1.24, 1.3
//	snow             flakes that fall, and a paler image                     see Flakes
//	frost            ice flowers over the image                              0.4, 0.6, 0.7, 0.7, 0.75 of them
//	fog              a cloud over the image                                  1.5, 2, 2.5, 2.5, 3 of it
//	brightness       x + c (in colour: the largest channel, the others in    c = 0.1, 0.2, 0.3, 0.4, 0.5
//	                 proportion)
//	contrast         (x - mean) c + mean, mean of each channel               c = 0.4, 0.3, 0.2, 0.1, 0.05
//	elastic          stretched like rubber                                   see Rubber
//	pixelate         few large pixels                                        0.6, 0.5, 0.4, 0.3, 0.25 of the sides
//	jpeg             a JPEG of low quality                                   25, 18, 15, 10, 7
//	speckle-noise    x + x N(0, s^2)                                         s = 0.15, 0.2, 0.35, 0.45, 0.6
//	gaussian-blur    blurred by a Gaussian                                   of 1, 2, 3, 4, 6 pixels
//	saturate         colours fade, or shriek                                 S times 0.3, 0.1, 2, 5, 20
//	translation      moved in one of eight directions, zeros move in         share of the side = 0.05, 0.1, 0.15, 0.2, 0.25
//
// All but the last are of ImageNet-C (Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
// Perturbations", arXiv 1903.12261), whose mean is over the first 15. A value without Levels has the severities above; CIFAR-10-C has its
// own, for images of about 32 x 32. Tables gathers both as benchmarks, and the four that Ballast audits with by itself, of which translation
// is its own: no such suite has it at five severities.
//
//	images of                  take         because
//	photographs, 224 x 224     imagenet-c   its blurs are 10 pixels wide, and its numbers are published
//	32 x 32, digits too        cifar-c      the same kinds, as strong as small images bear
//	any size, quickly          ballast      four shifts whose constants do not depend on the size
//
// Values are clipped to [0,1]. In the tables imagenet-c and cifar-c they are bytes besides, as in those benchmarks (Quantized); in ballast
// they are not rounded. Grey images are shifted as one channel: brightness and saturate take it for the value of HSV.
//
// Random numbers depend only on the seed, the example's index, the shift and the severity. Results are the same bytes on
// every machine: random numbers, the normal distribution and exponentials are computed here from IEEE additions, products and roots, and
// products are rounded before they are added, so that no compiler fuses the two. Motion-blur, snow, frost and jpeg follow programs that
// are not published as formulas, and are not claimed to give the published images bit for bit.
//
// Where draws are given, as for numbers that another program computed, take WithNormal, WithSpeckle, WithCounts, WithImpulses, Plasma,
// Displace, and the methods With of Cloud, Flakes, Glass, Ice and Motion.
package corrupt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/ballast-ml/ballast/data"
)

// Severities is the number of severities, counted from 1.
const Severities = 5

// Shift changes one image.
type Shift interface {
	Name() string
	// Apply writes the shifted image to dst. src holds height x width x channels values in [0,1], shape = [height, width,
	// channels]; dst is another slice of the same length; severity is 1 to 5 (others panic); index is the example's stable one.
	Apply(dst, src []float32, shape []int, severity int, seed uint64, index int)
}

// All is every shift of Ballast's own audit: those of the table "ballast".
func All() []Shift { return []Shift{GaussianNoise{}, Contrast{}, Brightness{}, Translation{}} }

// Wrap returns ds with every image shifted when it is read. Errors if the examples are not images,
// severity is not 1 to 5, or the shift does not fit the images (see Fits).
func Wrap(ds data.Dataset, s Shift, severity int, seed uint64) (data.Dataset, error) {
	info := ds.Info()
	if err := checkWrap(s, info.Shape, severity, info.Name); err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%s:%d seed %d", s.Name(), severity, seed)
	settings, err := settingsOf(s)
	if err != nil {
		return nil, err
	}
	if settings != "" {
		how += " " + settings
	}
	info.Name = fmt.Sprintf("%s %s:%d", info.Name, s.Name(), severity)
	info.Checksum = derivedChecksum(info.Checksum, how)
	w := &shifted{from: ds, info: info, shift: s, severity: severity, seed: seed}
	w.buffers.New = func() any { b := make([]float32, info.Size()); return &b }
	return w, nil
}

type shifted struct {
	from     data.Dataset
	info     data.Info
	shift    Shift
	severity int
	seed     uint64
	buffers  sync.Pool // *[]float32
}

func (s *shifted) Info() data.Info   { return s.info }
func (s *shifted) Len() int          { return s.from.Len() }
func (s *shifted) Label(i int) int32 { return s.from.Label(i) }

func (s *shifted) Read(i int, dst []float32) error {
	buffer := s.buffers.Get().(*[]float32)
	defer s.buffers.Put(buffer)
	src := *buffer
	if err := s.from.Read(i, src); err != nil {
		return err
	}
	s.shift.Apply(dst, src, s.info.Shape, s.severity, s.seed, int(s.StableIndex(i)))
	return nil
}

// StableIndex makes a part of a data set shift as it would within the whole.
func (s *shifted) StableIndex(i int) int32 {
	if from, ok := s.from.(data.Indexed); ok {
		return from.StableIndex(i)
	}
	return int32(i)
}

// settingsOf are the settings of a shift as JSON, so that two tables make two sets of one; "" = it has none. It refuses levels that are not
// one for each severity.
func settingsOf(s Shift) (string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("corrupt: %s: %w", s.Name(), err)
	}
	var own struct {
		Levels    []json.RawMessage `json:"levels"`
		Quantized struct {
			Levels []json.RawMessage `json:"levels"`
		} `json:"quantized"`
	}
	if json.Unmarshal(text, &own) == nil { // else it is a value of another kind, of a program's own
		for _, levels := range [][]json.RawMessage{own.Levels, own.Quantized.Levels} {
			if levels != nil && len(levels) != Severities {
				return "", fmt.Errorf("corrupt: %s: there are %d levels; give one for each of %d severities", s.Name(), len(levels), Severities)
			}
		}
	}
	if q, ok := s.(Quantized); ok {
		s = q.Shift
	}
	if f, ok := s.(Frost); ok && f.Textures != nil {
		return string(text) + " " + f.digest(), nil
	}
	if string(text) == "{}" {
		return "", nil
	}
	return string(text), nil
}

// derivedChecksum names a shifted set by what it was made of and how.
func derivedChecksum(checksum, how string) string {
	if checksum == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(checksum + "\n" + how))
	return hex.EncodeToString(sum[:])
}

// clip keeps a value in [0,1]. Comparing is faster than min and max, which have to tell apart the two zeros.
func clip(v float64) float32 {
	switch {
	case v >= 1:
		return 1
	case v <= 0:
		return 0
	}
	return float32(v) // NaN too
}
