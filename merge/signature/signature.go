package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/format/weights"
	"github.com/ballast-ml/ballast/internal/strict"
)

// The treatment of normalisation layers when a signature is applied to a model.
const (
	NormsRecalibrate = "recalibrate" // their scales and offsets are patched, their statistics estimated again on corrupted data
	NormsPatch       = "patch"       // their scales and offsets are patched, their statistics left as they are
	NormsReplace     = "replace"     // all their values are replaced by the mean of those of the robust models (official code)
)

// Robust extracts robust weight signatures: the part of fine-tuning on corrupted data that fine-tuning on clean data
// does not have. For each selected tensor by itself, with three models of one architecture, the last two fine-tuned from the first:
//
//	v = robust - pretrained      b = clean - pretrained
//	signature = v - (<v, b> / <b, b>) b
//
// Added to a clean model, also one of other data, it brings the robustness along; see Apply. The head is never among
// the first convolutions, so signatures work across sets of labels. The statistics of norms have no signature.
// Source: Cai, Zhang, Wang, "Robust Weight Signatures: Gaining Robustness as Easy as Patching Weights?", arXiv 2302.12480.
type Robust struct {
	Layers string `json:"layers"` // what is patched, see SelectLayers; first:7
	Norms  string `json:"norms"`  // recalibrate, patch or replace; recalibrate
}

// NewRobust returns the defaults: the first 7 convolutions, of VGG-16's 13.
func NewRobust() Robust {
	return Robust{Layers: "first:7", Norms: NormsRecalibrate}
}

// Signature is a patch.
type Signature struct {
	ID        string            // of its content: the same values under the same names have the same one
	Name      string            // for people, such as the corruption
	Tensors   weights.Set       // what is added, times a scale
	Removed   []float64         // of each tensor, |projection on the clean direction| / |robust - pretrained|, [0, 1]
	Norms     string            // how norms are treated
	Replaced  weights.Set       // with NormsReplace, the robust model's norms
	Quantizer string            // none, linear, tanh or log
	Levels    int               // of the quantizer; 0 = none
	Model     int               // values of the whole model, for comparing sizes; 0 = unknown
	Warnings  []string          // of tensors that could not be projected
	Metadata  map[string]string // anything else to keep with it

	packed []packedTensor // of each tensor, where quantized
}

// Validate reports what is wrong with the options.
func (r Robust) Validate() error {
	modes := []string{NormsRecalibrate, NormsPatch, NormsReplace}
	if !slices.Contains(modes, r.Norms) {
		text := "use recalibrate, patch or replace"
		if near, ok := strict.Nearest(r.Norms, modes); ok {
			text = fmt.Sprintf("did you mean %q?", near)
		}
		return fmt.Errorf("merge: signature: norms is %q; %s", r.Norms, text)
	}
	if r.Layers == "" {
		return errors.New("merge: signature: layers is empty; use first:N, blocks:N, all, or names")
	}
	_, _, err := countOf(r.Layers)
	return err
}

// Extract computes the signature of a robust model.
func (r Robust) Extract(pretrained, clean, robust weights.Set) (Signature, error) {
	if err := r.Validate(); err != nil {
		return Signature{}, err
	}
	if err := weights.CheckSets("merge: signature", []weights.Set{pretrained, clean, robust}, []string{"the pretrained model", "the clean model", "the robust model"}); err != nil {
		return Signature{}, err
	}
	chosen, err := SelectLayers(r.Layers, pretrained)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{Norms: r.Norms, Quantizer: QuantizeNone, Model: pretrained.Size()}
	for i, t := range pretrained {
		if weights.IsNorm(t.Name) && r.Norms == NormsReplace {
			s.Replaced = append(s.Replaced, weights.Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), Values: slices.Clone(robust[i].Values)})
			continue
		}
		if !slices.Contains(chosen, t.Name) || weights.IsStatistic(t.Name) {
			continue
		}
		values, removed, projected := orthogonalPart(t.Values, clean[i].Values, robust[i].Values)
		if !projected {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s: the clean model equals the pretrained one, so the difference of the robust model is taken as it is", t.Name))
		}
		s.Tensors, s.Removed = append(s.Tensors, weights.Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), Values: values}), append(s.Removed, removed)
	}

	if len(s.Tensors) == 0 {
		return Signature{}, &fault.Input{Field: "layers", Err: fmt.Errorf("%s selects no tensor that has a signature", r.Layers), Fix: "select kernels, not statistics alone"}
	}
	s.ID = s.contentID()
	return s, nil
}

// orthogonalPart is v - (<v,b>/<b,b>) b, and which share of the length of v the projection is.
func orthogonalPart(pretrained, clean, robust []float32) (values []float32, removed float64, projected bool) {
	var vb, bb, vv float64
	for j, p := range pretrained {
		v, b := float64(robust[j])-float64(p), float64(clean[j])-float64(p)
		vb += v * b
		bb += b * b
		vv += v * v
	}
	factor := 0.0
	if bb > 0 {
		factor = vb / bb
	}
	values = make([]float32, len(pretrained))
	for j, p := range pretrained {
		v, b := float64(robust[j])-float64(p), float64(clean[j])-float64(p)
		values[j] = float32(v - factor*b)
	}
	if vv > 0 {
		removed = math.Abs(factor) * math.Sqrt(bb/vv)
	}
	return values, removed, bb > 0
}

// contentID names what the signature adds. That of a quantized one is of its codes, so that it does not hang on how a machine rounds
// the functions that turn them into values.
func (s Signature) contentID() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s", s.Norms, s.Replaced.Checksum())
	if s.packed == nil {
		fmt.Fprint(h, s.Tensors.Checksum())
	}
	for i, p := range s.packed {
		t := s.Tensors[i]
		fmt.Fprintf(h, "%q %v %s %d %x %x %v %x", t.Name, t.Shape, s.Quantizer, s.Levels, math.Float64bits(p.low), math.Float64bits(p.high), p.zeros, p.data)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// TensorNorms returns the L2 norm of each tensor.
func (s Signature) TensorNorms() []float64 {
	norms := make([]float64, len(s.Tensors))
	for i, t := range s.Tensors {
		norms[i] = math.Sqrt(weights.Dot(t.Values, t.Values))
	}
	return norms
}

// Cosine returns the cosine of two signatures over the tensors they share, flattened: high for one corruption on two data
// sets, low for two corruptions. It is an error if they share none, or if one of them is 0 there.
func Cosine(a, b Signature) (float64, error) {
	var ab, aa, bb float64
	shared := 0
	for _, t := range a.Tensors {
		o, ok := b.Tensors.Find(t.Name)
		if !ok {
			continue
		}
		if !slices.Equal(t.Shape, o.Shape) {
			return 0, &fault.Input{File: signatureName(b), Field: t.Name, Err: fmt.Errorf("the shape is %v, that of %s is %v", o.Shape, signatureName(a), t.Shape), Fix: "compare signatures of one architecture"}
		}
		shared++
		ab, aa, bb = ab+weights.Dot(t.Values, o.Values), aa+weights.Dot(t.Values, t.Values), bb+weights.Dot(o.Values, o.Values)
	}
	if shared == 0 {
		return 0, &fault.Input{File: signatureName(b), Err: fmt.Errorf("it has no tensor in common with %s", signatureName(a)), Fix: "compare signatures of the same layers"}
	}
	if aa == 0 || bb == 0 {
		return 0, fmt.Errorf("merge: cosine of %s and %s: one of them is 0 in the %d tensors they share", signatureName(a), signatureName(b), shared)
	}
	return ab / math.Sqrt(aa*bb), nil
}

func signatureName(s Signature) string {
	if s.Name != "" {
		return fmt.Sprintf("signature %s (%s)", s.ID, s.Name)
	}
	return "signature " + s.ID
}

// LayerDifference is how far apart two models are in one tensor.
type LayerDifference struct {
	Name     string  `json:"name"`
	Relative float64 `json:"relative"` // |other - model| / |model|; infinite where the model's tensor is 0 and the other's is not
}

// RelativeDifferences compares two models tensor by tensor: in deep networks what robustness changes is in the shallow layers.
func RelativeDifferences(model, other weights.Set) ([]LayerDifference, error) {
	if err := weights.CheckSets("merge: differences", []weights.Set{model, other}, []string{"the model", "the other model"}); err != nil {
		return nil, err
	}
	differences := make([]LayerDifference, len(model))
	for i, t := range model {
		var far, size float64
		for j, v := range t.Values {
			d := float64(other[i].Values[j]) - float64(v)
			far += d * d
			size += float64(v) * float64(v)
		}
		relative := 0.0
		if far > 0 {
			relative = math.Sqrt(far / size)
		}
		differences[i] = LayerDifference{Name: t.Name, Relative: relative}
	}
	return differences, nil
}
