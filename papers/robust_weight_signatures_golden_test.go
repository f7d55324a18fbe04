package papers

import (
	"fmt"

	"github.com/ballast-ml/ballast/internal/golden"
	"github.com/ballast-ml/ballast/merge"
)

// signatureCases tests signatures of one tensor: extracted, quantised together, put on the clean tensor.
func signatureCases() []golden.Kind {
	return []golden.Kind{{
		Name: "robust weight signatures", Slugs: []string{"robust-weight-signatures"},
		Match: func(c *golden.Case) bool { return c.Has("inputs.pretrained", "inputs.clean", "inputs.robust1") },
		Run:   goldenSignatures,
	}}
}

func oneTensor(t golden.Tensor) merge.Weights {
	return merge.Weights{{Name: "kernel", Shape: t.Shape, Values: narrowed(t.Data)}}
}

func goldenSignatures(t golden.T, c *golden.Case) {
	p := struct {
		Alphas    []float64 `json:"alphas"`
		Levels    *int      `json:"levels"`
		Quantizer *string   `json:"quantizer"`
	}{}
	c.Params(&p)
	method := merge.NewRobustSignature()
	method.Layers = "all"
	pretrained, clean := oneTensor(c.Tensor("inputs.pretrained")), oneTensor(c.Tensor("inputs.clean"))
	var signatures []merge.Signature
	var removed []float64
	for i := 1; c.Has(fmt.Sprintf("inputs.robust%d", i)); i++ {
		s, err := method.Extract(pretrained, clean, oneTensor(c.Tensor(fmt.Sprintf("inputs.robust%d", i))))
		if err != nil {
			t.Fatalf("%v", err)
		}
		c.Got(fmt.Sprintf("signature%d", i), s.Tensors[0].Shape, widened(s.Tensors[0].Values))
		signatures, removed = append(signatures, s), append(removed, s.Removed[0])
	}
	if len(signatures) != len(p.Alphas) {
		t.Fatalf("%d robust tensors, %d alphas", len(signatures), len(p.Alphas))
	}
	c.Got("fraction_removed", []int{len(removed)}, removed)
	cosine, err := merge.SignatureCosine(signatures[0], signatures[len(signatures)-1])
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Scalar("cosine_between", cosine)
	if p.Levels != nil {
		kind := merge.QuantizeLinear
		if p.Quantizer != nil {
			kind = *p.Quantizer
		}
		if signatures, err = merge.QuantizeSignatures(kind, *p.Levels, signatures...); err != nil {
			t.Fatalf("%v", err)
		}
		for i, s := range signatures {
			c.Got(fmt.Sprintf("quantized%d", i+1), s.Tensors[0].Shape, widened(s.Tensors[0].Values))
		}
	}
	var scaled []merge.Scaled
	for i, s := range signatures {
		scaled = append(scaled, merge.Scaled{Signature: s, Scale: p.Alphas[i]})
	}
	patched, err := merge.ApplySignatures(clean, scaled, merge.ApplyOptions{Force: true}) // small tensors may share a signature
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Got("patched", patched.Weights[0].Shape, widened(patched.Weights[0].Values))
}
