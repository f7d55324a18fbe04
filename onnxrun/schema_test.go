package onnxrun

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// idleAttributes change nothing that a run gives, and why.
var idleAttributes = map[string]string{
	"consumed_inputs": "a hint of the first versions to the memory", "sorted": "the order that is asked for by default is one of those that 0 allows",
	"saturate": "of the float8 types, which are refused", "round_mode": "of a float8 type, which is refused", "num_outputs": "the node has as many",
	"output_sequence": "the node leaves out the output", "hidden_size": "the weights say it too", "ratio": "of dropout in training, which is refused",
	"is_test": "only 1 runs", "seed": "of random numbers of their own", "spatial": "only 1 runs",
	"stash_type": "the precision of what is computed, in which the other tools take no notice of it",
}

// elsewhere are operators whose attributes are tried by TestCases or by tests of their own, as nobody gives values to compare with (random
// numbers, bodies that are graphs) or as they came later.
var elsewhere = strings.Fields("Attention Bernoulli BitCast DeformConv GlobalLpPool MaxRoiPool MelWeightMatrix Multinomial NonMaxSuppression RandomNormal " +
	"RandomNormalLike RandomUniform RandomUniformLike RMSNormalization Scan SwiGLU TensorScatter TfIdfVectorizer Col2Im")

// TestSchemas holds the cases of TestWalk against the table: every attribute of every version of an operator that runs is in a case whose
// outputs are others than with the default, there or in another version, or is known to change nothing, or is refused for its value.
func TestSchemas(t *testing.T) {
	effect := map[string]bool{}
	for _, c := range schemaCases(t) {
		for _, opset := range c.Opsets {
			if c.Effect {
				effect[fmt.Sprint(c.Op, opset, c.Attribute)] = true
				effect[c.Op+"."+c.Attribute] = true
			}
		}
	}

	covered, open := 0, map[string]bool{}
	for _, op := range slices.Sorted(maps.Keys(operators())) {
		if strings.Contains(op, ".") {
			continue // of other domains, in cases of their own
		}
		for _, s := range schemas()[op] {
			for name, a := range s.attributes {
				_, idle := idleAttributes[name]
				idle = idle || name == "kernel_shape" && strings.Contains(op, "Conv") // the kernel says it too, and must agree
				if s.deprecated || idle || a.kind == 5 || slices.Contains(refusedValues[op], name) {
					continue
				}
				if effect[fmt.Sprint(op, s.since, name)] {
					covered++
				} else if !effect[op+"."+name] && !slices.Contains(elsewhere, op) {
					open[op+"."+name] = true
				}
			}
		}
	}
	t.Logf("%d attributes of versions have a case", covered)
	if covered < 700 || len(open) > 0 {
		t.Errorf("%d attributes have a case; these have none: %s", covered, strings.Join(slices.Sorted(maps.Keys(open)), " "))
	}
}
