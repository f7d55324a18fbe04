package objective

import (
	"errors"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // formulas read as formulas

	"github.com/ballast-ml/ballast/nn/attention"
	"github.com/ballast-ml/ballast/nn/loss"
	"github.com/ballast-ml/ballast/train/update"
)

// BatchFormer lets the examples of a batch see each other: features x [n, dim] and what a transformer layer over the batch makes of them,
// z [n, dim], go through the network's head, and the loss is the mean over both:
//
//	(L(head(x), y) + L(head(z), y)) / 2      z = attention.Batch of x
//
// Through z each example gets a gradient of the losses of all others. The head is the same for both, which is why the layer can be left
// out of the saved model. With Separate z has a head of its own, which is left out too: the paper's ablation, there for comparison.
//
// Variables: those of attention.Batch below /objective/between, and with Separate a head there. They move at the rate of the network.
// The paper's loss on a long tail is balanced-softmax, for both streams.
//
// Sources: Hou, Yu, Tao, "BatchFormer: Learning to Explore Sample Relationships for Robust Representation Learning", arXiv 2203.01522.
type BatchFormer struct {
	attention.Batch
	Separate bool `json:"separate_heads"` // z has a head of its own; false
}

var _ Between = BatchFormer{}

// NewBatchFormer returns the numbers of the paper.
func NewBatchFormer() BatchFormer { return BatchFormer{Batch: attention.NewBatch()} }

// Validate refuses options outside their ranges, what keeps a row for each example, and a batch that is cut into parts.
func (b BatchFormer) Validate(p update.Plan) error {
	var errs []error
	if err := b.Check(); err != nil {
		errs = append(errs, usage("objective.between: batchformer: %w", err))
	}
	const sees = "objective.between: batchformer lets the examples of a batch see each other, and "
	if p.Accumulate > 1 {
		errs = append(errs, usage(sees+"accumulate=%d would cut it into parts; use accumulate: 1", p.Accumulate))
	}
	if p.Devices > 1 {
		errs = append(errs, usage(sees+"%d devices would each see a part of it; use one device", p.Devices))
	}
	return errors.Join(errs...)
}

// Warning says that an example alone sees nobody.
func (b BatchFormer) Warning(p update.Plan) string {
	if p.Streams[update.Train].Batch > 1 {
		return ""
	}
	return "objective.between: batchformer shows each example nothing but itself: there is one in a batch; use a larger batch_size"
}

// Apply returns the answers for x and for z, [2n, outputs].
func (b BatchFormer) Apply(at Middle, features *Node) *Node {
	scope, random := at.Step.At(betweenScope), at.Step.Random("between")
	if !b.Separate {
		return at.Head("/model", b.Batch.Apply(scope, features, at.Mask, random))
	}
	z, _ := b.Mixed(scope, features, at.Mask, random)
	return Concatenate([]*Node{at.Head("/model", features), at.Head(betweenScope, z)}, 0)
}

// checkOnce refuses a loss that keeps a row for each example, where an example is several rows, or a part of several.
func checkOnce(name string, l loss.Loss, why string) error {
	if !loss.NeedsIndex(l) {
		return nil
	}
	return usage("loss %s keeps a row for each example, and %s; use another loss, for example cross-entropy", name, why)
}
