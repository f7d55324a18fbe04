package onnxrun

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/format/onnx"
	"github.com/ballast-ml/ballast/internal/printable"
)

// words are the values that attributes of text may have, by operator or for all operators by "*".
var words = map[string]map[string][]string{
	"*":               {"auto_pad": {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}},
	"BitShift":        {"direction": {"LEFT", "RIGHT"}},
	"DepthToSpace":    {"mode": {"DCR", "CRD"}},
	"SpaceToDepth":    {"mode": {"DCR", "CRD"}},
	"Gelu":            {"approximate": {"none", "tanh"}},
	"Pad":             {"mode": {"constant", "reflect", "edge", "wrap"}},
	"Upsample":        {"mode": {"nearest", "linear", "bilinear", "cubic"}},
	"ScatterElements": {"reduction": {"none", "add", "mul", "max", "min"}},
	"ScatterND":       {"reduction": {"none", "add", "mul", "max", "min"}},
	"Resize": {
		"mode": {"nearest", "linear", "bilinear", "cubic"}, "nearest_mode": {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"},
		"keep_aspect_ratio_policy": {"stretch", "not_larger", "not_smaller"},
		"coordinate_transformation_mode": {
			"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize",
		},
	},
	"NegativeLogLikelihoodLoss": {"reduction": {"none", "mean", "sum"}},
	"SoftmaxCrossEntropyLoss":   {"reduction": {"none", "mean", "sum"}},
	"RNN":                       {"direction": {"forward", "reverse", "bidirectional"}},
	"GRU":                       {"direction": {"forward", "reverse", "bidirectional"}},
	"LSTM":                      {"direction": {"forward", "reverse", "bidirectional"}},
}

// numbers are the values that attributes of one number may have.
var numbers = map[string]map[string][]int64{
	"BatchNormalization": {"spatial": {1}},
	"LpNormalization":    {"p": {1, 2}},
	"GroupNormalization": {"stash_type": {1, 11}},
	"RMSNormalization":   {"stash_type": {1, 11}},
}

// typed are the attributes that name a type of elements; those in narrowTyped may name integers of 4 bits too.
var (
	typed = map[string][]string{
		"Cast": {"to"}, "EyeLike": {"dtype"}, "QuantizeLinear": {"output_dtype", "precision"}, "DequantizeLinear": {"output_dtype"},
		"LayerNormalization": {"stash_type"}, "Range": {"stash_type"},
	}
	narrowTyped = []string{"QuantizeLinear.output_dtype"}
)

// refusedValues are attributes that name no value that can be run.
var refusedValues = map[string][]string{"Constant": {"sparse_value", "value_string", "value_strings"}}

// checkValue refuses a value of an attribute that the operator cannot be run with.
func checkValue(op string, a *onnx.Attribute) error {
	for _, of := range []string{op, "*"} {
		list := words[of][a.Name]
		if list != nil && !slices.Contains(list, string(a.Bytes)) {
			return fmt.Errorf("attribute %s is %s; there are %s", a.Name, printable.Quote(string(a.Bytes)), strings.Join(list, ", "))
		}
	}
	if list := numbers[op][a.Name]; list != nil && !slices.Contains(list, a.Int) {
		return fmt.Errorf("attribute %s is %d; supported are %s", a.Name, a.Int, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ", "), "[]"))
	}
	if slices.Contains(refusedValues[op], a.Name) {
		return fmt.Errorf("attribute %s is not supported", a.Name)
	}
	if op == "ConstantOfShape" && a.Tensor != nil || op == "Constant" && a.Tensor != nil {
		if _, ok := keptAs(a.Tensor.Type); !ok || op == "ConstantOfShape" && a.Tensor.Type.Size() == 0 {
			return fmt.Errorf("attribute %s: the engines have no type %s", a.Name, a.Tensor.Type)
		}
	}
	if !slices.Contains(typed[op], a.Name) || a.Int == 0 && a.Name != "to" {
		return nil
	}
	t := onnx.DataType(a.Int)
	_, four := fourBits[t]
	if _, ok := engineTypes[t]; !ok && (!four || !slices.Contains(narrowTyped, op+"."+a.Name)) {
		return fmt.Errorf("attribute %s: the engines have no type %s", a.Name, t)
	}
	return nil
}
