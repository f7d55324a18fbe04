// Package corrupt shifts images at five severities, to measure how a network behaves when its inputs change.
//
//	shift            what happens                                            severities 1 to 5
//	gaussian-noise   x + N(0, s^2) for each value                            s = 0.08, 0.12, 0.18, 0.26, 0.38
//	contrast         (x - mean) c + mean, mean of each channel               c = 0.4, 0.3, 0.2, 0.1, 0.05
//	brightness       x + c (in colour: the largest channel, the others in    c = 0.1, 0.2, 0.3, 0.4, 0.5
//	                 proportion)
//	translation      moved in one of eight directions, zeros move in         share of the side = 0.05, 0.1, 0.15, 0.2, 0.25
//
// The first three have the severities of ImageNet-C (Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common
// Corruptions and Perturbations", arXiv 1903.12261), whose constants do not depend on the size of an image; CIFAR-10-C lowers
// them, and MNIST-C has one level each. Translation is Ballast's own: no such suite has it at five severities.
//
// Values are clipped to [0,1] and not rounded to bytes; those suites store 8-bit JPEG or PNG images.
//
// Random numbers depend only on the seed, the example's index, the shift and the severity. Results are the same bytes on
// every machine: random numbers and the normal distribution are computed here from IEEE additions, products and roots, and
// products are rounded before they are added, so that no compiler fuses the two.
package corrupt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/ballast-ml/ballast/data"
	"github.com/ballast-ml/ballast/fault"
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

// Wrap returns ds with every image shifted when it is read. Errors if the examples are not images or severity is not 1 to 5.
func Wrap(ds data.Dataset, s Shift, severity int, seed uint64) (data.Dataset, error) {
	info := ds.Info()
	if len(info.Shape) != 3 {
		return nil, fmt.Errorf("corrupt: %s: an example of %s has shape %v; shifts need images [height, width, channels]", s.Name(), info.Name, info.Shape)
	}
	if severity < 1 || severity > Severities {
		return nil, &fault.Usage{Err: fmt.Errorf("corrupt: %s: severity is %d; use 1 to %d", s.Name(), severity, Severities)}
	}
	how := fmt.Sprintf("%s:%d seed %d", s.Name(), severity, seed)
	settings, err := settingsOf(s)
	if err != nil {
		return nil, err
	}
	if settings != "" {
		how += " " + settings
	}
	if err := Fits(s, info.Shape); err != nil {
		return nil, err
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

// clip keeps a value in [0,1].
func clip(v float64) float32 { return float32(min(max(v, 0), 1)) }
