package robustweightsignatures

import (
	"fmt"
	"testing"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge/signature"
	"github.com/ballast-ml/ballast/papers/paper/mergetest"
)

func TestGolden(t *testing.T) { golden.Run(t, "robust-weight-signatures", kinds()...) }

// kinds tests signatures of one tensor: extracted, quantised together, put on the clean tensor.
func kinds() []golden.Kind {
	return []golden.Kind{{
		Name:  "robust weight signatures",
		Match: func(c *golden.Case) bool { return c.Has("inputs.pretrained", "inputs.clean", "inputs.robust1") },
		Run:   goldenSignatures,
	}}
}

func goldenSignatures(t golden.T, c *golden.Case) {
	p := struct {
		Alphas    []float64 `json:"alphas"`
		Levels    *int      `json:"levels"`
		Quantizer *string   `json:"quantizer"`
	}{}
	c.Params(&p)
	method := signature.NewRobust()
	method.Layers = "all"
	pretrained, clean := mergetest.One(c.Tensor("inputs.pretrained")), mergetest.One(c.Tensor("inputs.clean"))
	var signatures []signature.Signature
	var removed []float64
	for i := 1; c.Has(fmt.Sprintf("inputs.robust%d", i)); i++ {
		s, err := method.Extract(pretrained, clean, mergetest.One(c.Tensor(fmt.Sprintf("inputs.robust%d", i))))
		if err != nil {
			t.Fatalf("%v", err)
		}
		c.Got(fmt.Sprintf("signature%d", i), s.Tensors[0].Shape, mergetest.Widened(s.Tensors[0].Values))
		signatures, removed = append(signatures, s), append(removed, s.Removed[0])
	}
	if len(signatures) != len(p.Alphas) {
		t.Fatalf("%d robust tensors, %d alphas", len(signatures), len(p.Alphas))
	}
	c.Got("fraction_removed", []int{len(removed)}, removed)
	cosine, err := signature.Cosine(signatures[0], signatures[len(signatures)-1])
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("cosine_between", cosine)
	if p.Levels != nil {
		kind := signature.QuantizeLinear
		if p.Quantizer != nil {
			kind = *p.Quantizer
		}
		if signatures, err = signature.Quantize(kind, *p.Levels, signatures...); err != nil {
			t.Fatalf("%v", err)
		}
		for i, s := range signatures {
			c.Got(fmt.Sprintf("quantized%d", i+1), s.Tensors[0].Shape, mergetest.Widened(s.Tensors[0].Values))
		}
	}
	var scaled []signature.Scaled
	for i, s := range signatures {
		scaled = append(scaled, signature.Scaled{Signature: s, Scale: p.Alphas[i]})
	}
	patched, err := signature.Apply(clean, scaled, signature.ApplyOptions{Force: true}) // small tensors may share a signature
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("patched", patched.Weights[0].Shape, mergetest.Widened(patched.Weights[0].Values))
}
