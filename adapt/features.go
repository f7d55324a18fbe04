package adapt

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/ballast-ml/ballast/nn/pass"
	"github.com/ballast-ml/ballast/zoo"
)

// featured are the features of x in front of the last layer, and the logits that the model makes of them, at inference.
func (c *copied) featured(network zoo.Featured, scope *model.Scope, x *Node) (features, logits *Node) {
	at := scope.At("model")
	pass.Through(x.Graph(), pass.Pass{Mode: pass.Infer}, func() {
		features = network.Features(at, c.Bundle.Manifest.Preprocess.Apply(x))
		logits = network.Head(at, features)
	})
	return features, c.Bundle.Manifest.Calibration.Apply(logits)
}
