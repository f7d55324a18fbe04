// Package repair mends models in exported ONNX files: it writes a calibration into the graph, re-estimates the statistics of its batch
// norms, and folds these into the layers before them.
//
//	Calibration   the fitted method becomes nodes behind the scores: a temperature, vector, matrix, Platt, isotonic or histogram
//	Statistics    means and variances of BatchNormalization become those of examples that the user gives, or a mixture of both
//	Fold          BatchNormalization behind Conv, ConvTranspose, Gemm and MatMul goes into their weights
//
// Each makes an onnx.Edit, or says why there is none, and writes nothing: onnx.Model.Rewrite makes the copy, which is run beside the
// original before it is written. Names of inputs and outputs stay, and what is not changed keeps its bytes.
package repair
